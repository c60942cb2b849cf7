{{/* How metrics are read. */}}
{{- define "cloudtenant-operator.validateMonitoring" -}}
{{- $v := .Values -}}
{{- if and $v.monitoring.serviceMonitor.enabled $v.monitoring.podMonitor.enabled -}}
{{- fail "monitoring.serviceMonitor and monitoring.podMonitor exclude each other: both would read the same metrics" -}}
{{- end -}}

{{- range $name := list "serviceMonitor" "podMonitor" -}}
{{- range $key := list "interval" "scrapeTimeout" -}}
{{- $given := index $v.monitoring $name $key | default "" -}}
{{- if not (regexMatch "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" $given) -}}
{{- fail (printf "monitoring.%s.%s: %q is no duration, such as 30s or 1m" $name $key $given) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

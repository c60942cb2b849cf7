{{/* A duration, such as 1m30s, in milliseconds. */}}
{{- define "cloudtenant-operator.milliseconds" -}}
{{- $sum := 0 -}}
{{- range $unit, $factor := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- /* With what follows the unit: the m of 5ms is none of minutes. */ -}}
{{- $part := regexFind (printf "[0-9]+%s([0-9]|$)" $unit) $ -}}
{{- $sum = add $sum (mul (regexFind "^[0-9]+" $part | int64) $factor) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

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
{{- with index $v.monitoring $name -}}
{{- /* The Prometheus operator passes over such a monitor, and nothing is read. */ -}}
{{- if and .interval .scrapeTimeout (gt (include "cloudtenant-operator.milliseconds" .scrapeTimeout | int64) (include "cloudtenant-operator.milliseconds" .interval | int64)) -}}
{{- fail (printf "monitoring.%s.scrapeTimeout: %s is longer than monitoring.%s.interval, which is %s" $name .scrapeTimeout $name .interval) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

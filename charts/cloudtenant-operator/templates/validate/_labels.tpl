{{/* Labels and annotations that are the chart's own. */}}
{{- define "cloudtenant-operator.validateLabels" -}}
{{- $v := .Values -}}
{{- $labels := dict "commonLabels" $v.commonLabels "podLabels" $v.podLabels -}}
{{- range $name := list "serviceMonitor" "podMonitor" "prometheusRule" "dashboard" -}}
{{- $_ := set $labels (printf "monitoring.%s.labels" $name) (index $v.monitoring $name).labels -}}
{{- end -}}
{{- range $value, $given := $labels -}}
{{- range $name, $ignored := $given -}}
{{- if has $name (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/part-of" "app.kubernetes.io/managed-by" "helm.sh/chart" "cloudtenant.dev/shard") -}}
{{- fail (printf "%s: the label %s is the chart's own" $value $name) -}}
{{- end -}}
{{- /* They would be on the operator's own ClusterRole too, and give its rights to people. */ -}}
{{- if hasPrefix "rbac.authorization.k8s.io/" $name -}}
{{- fail (printf "%s: the label %s is the chart's own: rbac.aggregatedRoles sets it where it belongs" $value $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if hasKey ($v.podAnnotations | default dict) "checksum/cloud-ca" -}}
{{- fail "podAnnotations: checksum/cloud-ca is the chart's own" -}}
{{- end -}}
{{- end -}}

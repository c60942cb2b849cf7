{{/* How a ServiceMonitor or a PodMonitor reads metrics. */}}
{{- define "cloudtenant-operator.metricsEndpoint" -}}
port: metrics
path: /metrics
# `namespace` and `name` in the series are the CloudTenant's, and must not give way to the Pod's.
honorLabels: true
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* How a ServiceMonitor or a PodMonitor reads metrics. */}}
{{- define "cloudtenant-operator.metricsEndpoint" -}}
port: metrics
path: /metrics
# `namespace` in the series is the CloudTenant's. Where Prometheus overwrites it, `tenant_namespace` is left.
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

{{/* What is given beside the chart's own variables, volumes and mounts. */}}
{{- define "cloudtenant-operator.validateExtra" -}}
{{- $v := .Values -}}
{{- $ours := list "POD_NAME" "POD_NAMESPACE" "WATCH_NAMESPACE" "WATCH_SECRETS" "LEADER_ELECTION" "LEASE_NAME" "SHARD" "LISTEN_ADDRESS" "LOG_LEVEL" "LOG_FORMAT" "KEPT_PER_NAMESPACE" "KEPT_IN_ALL" "CLOUD_REQUESTS_PER_SECOND" "CLOUD_REQUESTS_IN_FLIGHT" "METRICS_PROJECT_LABEL" "CLOUD_CA_FILE" "CLOUD_CA_MERGE_SYSTEM" "CLOUD_PROXIES" "ALLOW_CLOUD_CIDR" "CLOUD_HOSTS" "REQUIRE_HTTPS" "TENANT_SETS" "TENANT_SET_WRITES_PER_MINUTE" -}}
{{- $names := list -}}
{{- range $v.extraEnv -}}
{{- if has .name $ours -}}
{{- fail (printf "extraEnv: %s is the chart's to set: use the value that it has for it" .name) -}}
{{- end -}}
{{- if has .name $names -}}
{{- fail (printf "extraEnv: %s is there twice" .name) -}}
{{- end -}}
{{- if and .value .valueFrom -}}
{{- fail (printf "extraEnv: %s has both value and valueFrom: set one" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}

{{- $volumes := list -}}
{{- range $v.extraVolumes -}}
{{- if eq .name "cloud-ca" -}}
{{- fail "extraVolumes: cloud-ca is the chart's own, for cloudCA: take another name" -}}
{{- end -}}
{{- if has .name $volumes -}}
{{- fail (printf "extraVolumes: %s is there twice" .name) -}}
{{- end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}

{{- $bundle := include "cloudtenant-operator.cloudCADirectory" . -}}
{{- $paths := list -}}
{{- range $v.extraVolumeMounts -}}
{{- if not (has .name $volumes) -}}
{{- fail (printf "extraVolumeMounts: %q is no volume of extraVolumes" .name) -}}
{{- end -}}
{{- $path := clean .mountPath -}}
{{- if has $path (list "/" "/cloudtenant-operator") -}}
{{- fail (printf "extraVolumeMounts: what is mounted at %s hides the operator's program: take another path" .mountPath) -}}
{{- end -}}
{{- if or (eq $path $bundle) (hasPrefix (printf "%s/" $bundle) $path) (hasPrefix (printf "%s/" $path) $bundle) -}}
{{- fail (printf "extraVolumeMounts: %s is where cloudCA is mounted (%s): take another path" .mountPath $bundle) -}}
{{- end -}}
{{- if has $path $paths -}}
{{- fail (printf "extraVolumeMounts: there are two at %s" .mountPath) -}}
{{- end -}}
{{- $paths = append $paths $path -}}
{{- end -}}
{{- end -}}

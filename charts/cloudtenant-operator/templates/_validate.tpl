{{/* What values.schema.json cannot say: values that contradict each other. */}}
{{- define "cloudtenant-operator.validate" -}}
{{- $v := .Values -}}

{{- if and (eq $v.rbac.scope "namespaces") (not $v.rbac.namespaces) -}}
{{- fail "rbac.scope is namespaces, but rbac.namespaces names none: list the namespaces whose CloudTenants are looked at" -}}
{{- end -}}
{{- if and (eq $v.rbac.scope "cluster") $v.rbac.namespaces -}}
{{- fail "rbac.namespaces is only for rbac.scope: namespaces: set that, or leave the list empty" -}}
{{- end -}}

{{- $bundles := list -}}
{{- if $v.cloudCA.pem }}{{ $bundles = append $bundles "cloudCA.pem" }}{{ end -}}
{{- if $v.cloudCA.configMap.name }}{{ $bundles = append $bundles "cloudCA.configMap.name" }}{{ end -}}
{{- if $v.cloudCA.secret.name }}{{ $bundles = append $bundles "cloudCA.secret.name" }}{{ end -}}
{{- if gt (len $bundles) 1 -}}
{{- fail (printf "%s exclude each other: set one" (join " and " $bundles)) -}}
{{- end -}}

{{- if and $v.cloudProxies $v.cloudProxiesSecret.name -}}
{{- fail "cloudProxies and cloudProxiesSecret.name exclude each other: set one" -}}
{{- end -}}
{{- range $v.cloudProxies -}}
{{- if contains "@" .url -}}
{{- fail (printf "cloudProxies: the proxy for %s has a user or a password: put it into a Secret, and name that in cloudProxiesSecret" .host) -}}
{{- end -}}
{{- if not (regexMatch "^http://[^/?#,=[:space:]]+:[0-9]+/?$" .url) -}}
{{- fail (printf "cloudProxies: the URL of the proxy for %s must be http://HOST:PORT" .host) -}}
{{- end -}}
{{- end -}}

{{- $ours := list "POD_NAME" "POD_NAMESPACE" "WATCH_NAMESPACE" "WATCH_SECRETS" "LEADER_ELECTION" "LEASE_NAME" "LISTEN_ADDRESS" "LOG_LEVEL" "LOG_FORMAT" "CLOUD_CA_FILE" "CLOUD_PROXIES" -}}
{{- range $v.extraEnv -}}
{{- if has .name $ours -}}
{{- fail (printf "extraEnv: %s is the chart's to set: use the value that it has for it" .name) -}}
{{- end -}}
{{- end -}}

{{- range $value, $labels := dict "commonLabels" $v.commonLabels "podLabels" $v.podLabels -}}
{{- range $name, $ignored := $labels -}}
{{- if or (has $name (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/part-of" "app.kubernetes.io/managed-by" "helm.sh/chart")) -}}
{{- fail (printf "%s: the label %s is the chart's own" $value $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and $v.monitoring.serviceMonitor.enabled $v.monitoring.podMonitor.enabled -}}
{{- fail "monitoring.serviceMonitor and monitoring.podMonitor exclude each other: both would read the same metrics" -}}
{{- end -}}

{{- with $v.networkPolicy -}}
{{- if .enabled -}}
{{- if not .apiServer.cidrs -}}
{{- fail "networkPolicy.apiServer.cidrs names no address: without the API server the operator cannot work. `kubectl get endpointslices kubernetes` shows its addresses" -}}
{{- end -}}
{{- if not .clouds.cidrs -}}
{{- fail "networkPolicy.clouds.cidrs names no address: name the clouds', or 0.0.0.0/0 and ::/0 for any" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

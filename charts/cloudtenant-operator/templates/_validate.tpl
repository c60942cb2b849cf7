{{/* What values.schema.json cannot say, or not clearly: values that contradict each other, and texts of some form. */}}
{{- define "cloudtenant-operator.validate" -}}
{{- $v := .Values -}}

{{- if and (eq $v.rbac.scope "namespaces") (not $v.rbac.namespaces) -}}
{{- fail "rbac.scope is namespaces, but rbac.namespaces names none: list the namespaces whose CloudTenants are looked at" -}}
{{- end -}}
{{- if and (eq $v.rbac.scope "cluster") $v.rbac.namespaces -}}
{{- fail "rbac.namespaces is only for rbac.scope: namespaces: set that, or leave the list empty" -}}
{{- end -}}

{{- if not (regexMatch "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$" $v.listen.address) -}}
{{- fail (printf "listen.address: %q is no address, such as 0.0.0.0 or ::" $v.listen.address) -}}
{{- end -}}

{{- /* The message must not show what may be a key. */ -}}
{{- if contains "PRIVATE KEY" ($v.cloudCA.pem | default "") -}}
{{- fail "cloudCA.pem holds a private key: it is for certificates alone" -}}
{{- end -}}
{{- if and $v.cloudCA.pem (not (contains "-----BEGIN CERTIFICATE-----" $v.cloudCA.pem)) -}}
{{- fail "cloudCA.pem holds no certificate: it must have -----BEGIN CERTIFICATE-----" -}}
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

{{- range $name := list "serviceMonitor" "podMonitor" -}}
{{- range $key := list "interval" "scrapeTimeout" -}}
{{- $given := index $v.monitoring $name $key | default "" -}}
{{- if not (regexMatch "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" $given) -}}
{{- fail (printf "monitoring.%s.%s: %q is no duration, such as 30s or 1m" $name $key $given) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- with $v.networkPolicy -}}
{{- range $name, $cidrs := dict "apiServer" .apiServer.cidrs "clouds" .clouds.cidrs -}}
{{- range $cidrs -}}
{{- if not (regexMatch "^([0-9]{1,3}(\\.[0-9]{1,3}){3}/([12]?[0-9]|3[0-2])|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/([1-9]?[0-9]|1[01][0-9]|12[0-8]))$" .) -}}
{{- fail (printf "networkPolicy.%s.cidrs: %q is no CIDR, such as 198.51.100.0/24" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
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

{{/* Whether this is an address, of IPv4 or IPv6: empty if not. */}}
{{- define "cloudtenant-operator.isAddress" -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" -}}
{{- $v4 := printf "%s(\\.%s){3}" $byte $byte -}}
{{- if regexMatch (printf "^%s$" $v4) . -}}
true
{{- else if contains "::" . -}}
{{- /* Zeros are left out, once. */ -}}
{{- $group := "[0-9a-fA-F]{1,4}" -}}
{{- if and (regexMatch (printf "^((%s:){0,6}%s)?::((%s:){0,6}%s|(%s:){0,5}%s)?$" $group $group $group $group $group $v4) .) (lt (len (splitList ":" . | compact)) 8) -}}
true
{{- end -}}
{{- else if regexMatch (printf "^([0-9a-fA-F]{1,4}:){6}([0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}|%s)$" $v4) . -}}
true
{{- end -}}
{{- end -}}

{{/* What values.schema.json cannot say, or not clearly: values that contradict each other, and texts of some form. */}}
{{- define "cloudtenant-operator.validate" -}}
{{- $v := .Values -}}

{{- if and (eq $v.rbac.scope "namespaces") (not $v.rbac.namespaces) -}}
{{- fail "rbac.scope is namespaces, but rbac.namespaces names none: list the namespaces whose CloudTenants are looked at" -}}
{{- end -}}
{{- if and (eq $v.rbac.scope "cluster") $v.rbac.namespaces -}}
{{- fail "rbac.namespaces is only for rbac.scope: namespaces: set that, or leave the list empty" -}}
{{- end -}}

{{- /* With a tag in it, it would get another one behind that. */ -}}
{{- if not (regexMatch "^([^:/]+(:[0-9]+)?/)?[^:]+$" $v.image.repository) -}}
{{- fail (printf "image.repository: %q has a tag, which belongs into image.tag: a colon may only stand before the registry's port" $v.image.repository) -}}
{{- end -}}

{{- /* What is no level would be read as a module's name, and nothing else be logged. */ -}}
{{- $level := "(error|warn|info|debug|trace|off)" -}}
{{- $directive := printf "([A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*=)?%s" $level -}}
{{- if not (regexMatch (printf "^%s(,%s)*$" $directive $directive) $v.log.level) -}}
{{- fail (printf "log.level: %q is not understood: name error, warn, info, debug, trace or off, or MODULE=LEVEL, separated by commas" $v.log.level) -}}
{{- end -}}

{{- with $v.updateStrategy -}}
{{- $none := list "0" "0%" -}}
{{- if and (eq .type "RollingUpdate") (has (toString .rollingUpdate.maxSurge) $none) (has (toString .rollingUpdate.maxUnavailable) $none) -}}
{{- fail "updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no Pod could ever be replaced: set one" -}}
{{- end -}}
{{- end -}}

{{- if not (include "cloudtenant-operator.isAddress" $v.listen.address) -}}
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

{{- $labels := dict "commonLabels" $v.commonLabels "podLabels" $v.podLabels -}}
{{- range $name := list "serviceMonitor" "podMonitor" "prometheusRule" "dashboard" -}}
{{- $_ := set $labels (printf "monitoring.%s.labels" $name) (index $v.monitoring $name).labels -}}
{{- end -}}
{{- range $value, $given := $labels -}}
{{- range $name, $ignored := $given -}}
{{- if has $name (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/part-of" "app.kubernetes.io/managed-by" "helm.sh/chart") -}}
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
{{- $length := ternary "([1-9]?[0-9]|1[01][0-9]|12[0-8])" "([12]?[0-9]|3[0-2])" (contains ":" .) -}}
{{- if not (and (regexMatch (printf "^[^/]+/%s$" $length) .) (include "cloudtenant-operator.isAddress" (splitList "/" . | first))) -}}
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

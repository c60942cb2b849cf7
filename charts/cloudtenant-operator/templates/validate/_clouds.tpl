{{/* Authorities and proxies of the clouds. */}}
{{- define "cloudtenant-operator.validateClouds" -}}
{{- $v := .Values -}}

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
{{- end -}}

{{/* Authorities, addresses and proxies of the clouds. */}}
{{- define "cloudtenant-operator.validateClouds" -}}
{{- $v := .Values -}}

{{- /* The message must not show what may be a key. */ -}}
{{- if contains "PRIVATE KEY" ($v.cloudCA.pem | default "") -}}
{{- fail "cloudCA.pem holds a private key: it is for certificates alone" -}}
{{- end -}}
{{- if and $v.cloudCA.pem (not (contains "-----BEGIN CERTIFICATE-----" $v.cloudCA.pem)) -}}
{{- fail "cloudCA.pem holds no certificate: it must have -----BEGIN CERTIFICATE-----" -}}
{{- end -}}
{{- /* What is left of it when each certificate is taken out may be a comment, but no piece of another one. */ -}}
{{- if contains "CERTIFICATE-----" (regexReplaceAll "-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=[:space:]]+-----END CERTIFICATE-----" ($v.cloudCA.pem | default "") "") -}}
{{- fail "cloudCA.pem has a certificate that is not whole: between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE----- there is its Base64 alone" -}}
{{- end -}}
{{- $bundles := list -}}
{{- if $v.cloudCA.pem }}{{ $bundles = append $bundles "cloudCA.pem" }}{{ end -}}
{{- if $v.cloudCA.configMap.name }}{{ $bundles = append $bundles "cloudCA.configMap.name" }}{{ end -}}
{{- if $v.cloudCA.secret.name }}{{ $bundles = append $bundles "cloudCA.secret.name" }}{{ end -}}
{{- if gt (len $bundles) 1 -}}
{{- fail (printf "%s exclude each other: set one" (join " and " $bundles)) -}}
{{- end -}}

{{- include "cloudtenant-operator.validateCIDRs" (list "cloudAddresses.allowCIDRs" $v.cloudAddresses.allowCIDRs) -}}
{{- range $v.cloudAddresses.hosts -}}
{{- if contains "/" . -}}
{{- include "cloudtenant-operator.validateCIDRs" (list "cloudAddresses.hosts" (list .)) -}}
{{- end -}}
{{- end -}}

{{- if and $v.cloudProxies $v.cloudProxiesSecret.name -}}
{{- fail "cloudProxies and cloudProxiesSecret.name exclude each other: set one" -}}
{{- end -}}
{{- $port := "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])" -}}
{{- $before := list -}}
{{- range $at, $proxy := $v.cloudProxies -}}
{{- if contains "@" .url -}}
{{- fail (printf "cloudProxies: the proxy for %s has a user or a password: put it into a Secret, and name that in cloudProxiesSecret" .host) -}}
{{- end -}}
{{- $six := regexFind "^http://\\[[^]]*\\]" .url | trimPrefix "http://[" | trimSuffix "]" -}}
{{- if not (or (regexMatch (printf "^http://[A-Za-z0-9._-]+:%s/?$" $port) .url) (and (contains ":" $six) (include "cloudtenant-operator.isAddress" $six) (regexMatch (printf "\\]:%s/?$" $port) .url))) -}}
{{- fail (printf "cloudProxies: the URL of the proxy for %s must be http://HOST:PORT" .host) -}}
{{- end -}}
{{- $host := lower .host -}}
{{- range $before -}}
{{- if or (eq . "*" $host) (and (hasPrefix "*." .) (hasSuffix (trimPrefix "*" .) $host)) -}}
{{- fail (printf "cloudProxies[%d]: the proxy for %s is never used, since %s stands before it and matches: put it first, or leave it out" $at $proxy.host .) -}}
{{- end -}}
{{- end -}}
{{- $before = append $before $host -}}
{{- end -}}
{{- end -}}

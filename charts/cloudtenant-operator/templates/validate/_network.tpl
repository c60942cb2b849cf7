{{/* Whom the Pods reach, and who reaches them. */}}
{{- define "cloudtenant-operator.validateNetwork" -}}
{{- with .Values.networkPolicy -}}
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

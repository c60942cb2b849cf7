{{/* For a value's name and its CIDRs: all must be networks. */}}
{{- define "cloudtenant-operator.validateCIDRs" -}}
{{- $name := first . -}}
{{- range last . -}}
{{- if not (include "cloudtenant-operator.isCIDR" .) -}}
{{- fail (printf "%s: %q is no CIDR, such as 198.51.100.0/24" $name .) -}}
{{- end -}}
{{- if include "cloudtenant-operator.hasHostBits" . -}}
{{- fail (printf "%s: %q has bits behind its prefix: give the network's first address, or one address with the longest prefix" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whom the Pods reach, and who reaches them. */}}
{{- define "cloudtenant-operator.validateNetwork" -}}
{{- with .Values.networkPolicy -}}
{{- $cidrs := dict "apiServer.cidrs" .apiServer.cidrs "clouds.cidrs" .clouds.cidrs -}}
{{- range $name, $peers := dict "dns.to" .dns.to "scrape.from" .scrape.from -}}
{{- range $at, $peer := $peers -}}
{{- with $peer.ipBlock -}}
{{- if gt (len $peer) 1 -}}
{{- fail (printf "networkPolicy.%s[%d]: ipBlock and selectors exclude each other: make two peers of them" $name $at) -}}
{{- end -}}
{{- $_ := set $cidrs (printf "%s[%d].ipBlock.cidr" $name $at) (list .cidr) -}}
{{- $_ := set $cidrs (printf "%s[%d].ipBlock.except" $name $at) .except -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $given := $cidrs -}}
{{- include "cloudtenant-operator.validateCIDRs" (list (printf "networkPolicy.%s" $name) $given) -}}
{{- end -}}

{{- if .enabled -}}
{{- if not .apiServer.cidrs -}}
{{- fail "networkPolicy.apiServer.cidrs names no address: without the API server the operator cannot work. `kubectl get endpointslices kubernetes --namespace default` shows its addresses" -}}
{{- end -}}
{{- if not .clouds.cidrs -}}
{{- fail "networkPolicy.clouds.cidrs names no address: name the clouds', or 0.0.0.0/0 and ::/0 for any" -}}
{{- end -}}
{{- $ports := toStrings .clouds.ports -}}
{{- range $.Values.cloudProxies -}}
{{- $port := trimSuffix "/" .url | splitList ":" | last -}}
{{- if not (has $port $ports) -}}
{{- fail (printf "networkPolicy.clouds.ports lacks %s, the port of the proxy for %s: add it, and the proxy's address to networkPolicy.clouds.cidrs" $port .host) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

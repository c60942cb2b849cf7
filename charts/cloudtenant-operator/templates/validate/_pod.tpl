{{/* What the Pods run, and how they are replaced. */}}
{{- define "cloudtenant-operator.validatePod" -}}
{{- $v := .Values -}}

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
{{- if include "cloudtenant-operator.isLoopback" $v.listen.address -}}
{{- fail (printf "listen.address: nobody outside of the Pod reaches %q, neither its probes nor who reads metrics: take 0.0.0.0 or ::" $v.listen.address) -}}
{{- end -}}
{{- end -}}

{{/* Which nodes the Pods run on. */}}
{{- define "cloudtenant-operator.validateScheduling" -}}
{{- $v := .Values -}}
{{- range $at, $toleration := $v.tolerations -}}
{{- with $toleration -}}
{{- if and (eq (.operator | default "Equal") "Exists") .value -}}
{{- fail (printf "tolerations[%d]: operator Exists takes any value, so %q is none of its: leave one of both out" $at .value) -}}
{{- end -}}
{{- if and (ne (.operator | default "Equal") "Exists") (not .key) -}}
{{- fail (printf "tolerations[%d] has no key: name one, or set operator: Exists for all taints" $at) -}}
{{- end -}}
{{- if and (hasKey . "tolerationSeconds") (ne (.effect | default "") "NoExecute") -}}
{{- fail (printf "tolerations[%d]: tolerationSeconds is only for effect: NoExecute" $at) -}}
{{- end -}}
{{- else -}}
{{- fail (printf "tolerations[%d] is empty: set operator: Exists for all taints" $at) -}}
{{- end -}}
{{- end -}}

{{- $keys := list -}}
{{- range $at, $constraint := $v.topologySpreadConstraints -}}
{{- $key := printf "%s and %s" .topologyKey .whenUnsatisfiable -}}
{{- if has $key $keys -}}
{{- fail (printf "topologySpreadConstraints[%d]: there is one for %s already" $at $key) -}}
{{- end -}}
{{- $keys = append $keys $key -}}
{{- if and .minDomains (ne .whenUnsatisfiable "DoNotSchedule") -}}
{{- fail (printf "topologySpreadConstraints[%d]: minDomains is only for whenUnsatisfiable: DoNotSchedule" $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}

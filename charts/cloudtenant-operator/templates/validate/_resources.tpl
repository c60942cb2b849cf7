{{/* A quantity, such as 64Mi or 20m, as a number. */}}
{{- define "cloudtenant-operator.quantity" -}}
{{- $text := toString . -}}
{{- $suffix := regexFind "[a-zA-Z]+$" $text -}}
{{- $factors := dict "" 1.0 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 0x1p10 "Mi" 0x1p20 "Gi" 0x1p30 "Ti" 0x1p40 "Pi" 0x1p50 "Ei" 0x1p60 -}}
{{- mulf (trimSuffix $suffix $text | float64) (get $factors $suffix) -}}
{{- end -}}

{{/* Requests and limits. */}}
{{- define "cloudtenant-operator.validateResources" -}}
{{- $resources := .Values.resources | default dict -}}
{{- $limits := $resources.limits | default dict -}}
{{- range $kind, $given := pick $resources "requests" "limits" -}}
{{- range $name, $quantity := $given -}}
{{- $number := include "cloudtenant-operator.quantity" $quantity | float64 -}}
{{- /* Meant in another unit: `m` is a thousandth, here of a byte. */ -}}
{{- if and (has $name (list "memory" "ephemeral-storage")) (gt $number 0.0) (lt $number 1e6) -}}
{{- fail (printf "resources.%s.%s: %v is less than a megabyte: give it in Mi, such as 256Mi" $kind $name $quantity) -}}
{{- end -}}
{{- if hasKey $limits $name -}}
{{- $limit := get $limits $name -}}
{{- if gt $number (include "cloudtenant-operator.quantity" $limit | float64) -}}
{{- fail (printf "resources.%s.%s: %v is more than resources.limits.%s, which is %v: raise that too" $kind $name $quantity $name $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

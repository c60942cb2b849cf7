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

{{/* Whether this is a CIDR: empty if not. */}}
{{- define "cloudtenant-operator.isCIDR" -}}
{{- $length := ternary "([1-9]?[0-9]|1[01][0-9]|12[0-8])" "([12]?[0-9]|3[0-2])" (contains ":" .) -}}
{{- $mixed := and (contains ":" .) (contains "." .) -}}
{{- if and (not $mixed) (regexMatch (printf "^[^/]+/%s$" $length) .) (include "cloudtenant-operator.isAddress" (splitList "/" . | first)) -}}
true
{{- end -}}
{{- end -}}

{{/* Whether a CIDR has bits behind its prefix, as 10.0.0.1/8 has: empty if not. */}}
{{- define "cloudtenant-operator.hasHostBits" -}}
{{- $address := splitList "/" . | first -}}
{{- $length := splitList "/" . | last | int -}}
{{- $groups := splitList "." $address -}}
{{- $width := 8 -}}
{{- if contains ":" . -}}
{{- $halves := splitList "::" $address -}}
{{- $left := first $halves | splitList ":" | compact -}}
{{- $right := rest $halves | join "" | splitList ":" | compact -}}
{{- $groups = list -}}
{{- range $left }}{{ $groups = append $groups (printf "0x%s" .) }}{{ end -}}
{{- range sub 8 (add (len $left) (len $right)) | int | until }}{{ $groups = append $groups "0" }}{{ end -}}
{{- range $right }}{{ $groups = append $groups (printf "0x%s" .) }}{{ end -}}
{{- $width = 16 -}}
{{- end -}}
{{- range $at, $group := $groups -}}
{{- $free := sub (mul $width (add1 $at)) $length | max 0 | min $width | int -}}
{{- $size := 1 -}}
{{- range until $free }}{{ $size = mul $size 2 }}{{ end -}}
{{- if mod (int64 $group) $size -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether an address is the Pod's own to itself, which nobody else reaches: empty if not. */}}
{{- define "cloudtenant-operator.isLoopback" -}}
{{- /* 127.0.0.0/8 and ::1, both in all the ways that IPv6 can write them. */ -}}
{{- if regexMatch "^(127\\.|[0:]*:([fF]{4}:(127\\.|7[fF][0-9a-fA-F]{2}:)|0{0,3}1$|0\\.0\\.0\\.1$))" . -}}
true
{{- end -}}
{{- end -}}

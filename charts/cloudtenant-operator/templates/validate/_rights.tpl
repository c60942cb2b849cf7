{{/* Where the operator works, and who has its rights. */}}
{{- define "cloudtenant-operator.validateRights" -}}
{{- $v := .Values -}}
{{- if and (eq $v.rbac.scope "namespaces") (not $v.rbac.namespaces) -}}
{{- fail "rbac.scope is namespaces, but rbac.namespaces names none: list the namespaces whose CloudTenants are looked at" -}}
{{- end -}}
{{- if and (eq $v.rbac.scope "cluster") $v.rbac.namespaces -}}
{{- fail "rbac.namespaces is only for rbac.scope: namespaces: set that, or leave the list empty" -}}
{{- end -}}

{{- $account := include "cloudtenant-operator.serviceAccountName" . -}}
{{- if and $v.rbac.create (eq $account "default") -}}
{{- fail (printf "serviceAccount.name: with rbac.create, the operator's rights would go to the account %q, which all Pods of the namespace have that name none: name another one, or let the chart make one (serviceAccount.create)" $account) -}}
{{- end -}}
{{- if and (not $v.serviceAccount.create) $v.serviceAccount.annotations -}}
{{- fail "serviceAccount.annotations is only for an account that the chart makes: set serviceAccount.create, or annotate the one that is there" -}}
{{- end -}}
{{- end -}}

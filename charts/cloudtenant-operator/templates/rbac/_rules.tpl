{{/* What the operator may do where it looks at CloudTenants. */}}
{{- define "cloudtenant-operator.rules" -}}
# It follows the CloudTenants, and reads one anew whose spec it does not understand, before it says so.
- apiGroups: [cloudtenant.dev]
  resources: [cloudtenants]
  verbs: [get, list, watch]
# It reports into the status, by server-side apply. It never changes a spec, and creates and deletes nothing.
- apiGroups: [cloudtenant.dev]
  resources: [cloudtenants/status]
  verbs: [patch]
{{- if .Values.secrets.watch }}
# It reads the Secret that a CloudTenant names, in that CloudTenant's namespace, and follows when Secrets change, by
# their metadata. RBAC knows no right to the metadata alone.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- else }}
# It reads the Secret that a CloudTenant names, in that CloudTenant's namespace. It cannot list Secrets: it learns the
# names of none but these.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
# It tells of transitions. An event is created once and never changed, so it needs no other verb.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

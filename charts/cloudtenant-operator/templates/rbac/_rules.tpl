{{/* What the operator may do where it looks at CloudTenants. */}}
{{- define "cloudtenant-operator.rules" -}}
# It follows the CloudTenants, and reads one anew whose spec it does not understand, before it says so.
- apiGroups: [cloudtenant.dev]
  resources: [cloudtenants]
  verbs: [get, list, watch]
{{- if .Values.tenantSets.enabled }}
# It reports into the status.
{{- else }}
# It reports into the status. It never changes a spec, and creates and deletes nothing.
{{- end }}
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
{{- if .Values.tenantSets.enabled }}
# It follows the CloudTenantSets, to know which CloudTenants there have to be.
- apiGroups: [cloudtenant.dev]
  resources: [cloudtenantsets]
  verbs: [get, list, watch]
# It reports into the status of a CloudTenantSet, by server-side apply. It never changes the spec of one.
- apiGroups: [cloudtenant.dev]
  resources: [cloudtenantsets/status]
  verbs: [patch]
# With `prune: Delete` a CloudTenant names its CloudTenantSet as owner. Where the API server protects such references, it
# asks for this right.
- apiGroups: [cloudtenant.dev]
  resources: [cloudtenantsets/finalizers]
  verbs: [update]
# It creates the CloudTenants of a CloudTenantSet and applies its template to them, both by server-side apply. It deletes
# those whose project is gone, only with `prune: Delete`. RBAC cannot restrict this to the CloudTenants of sets.
- apiGroups: [cloudtenant.dev]
  resources: [cloudtenants]
  verbs: [create, patch, delete]
{{- end }}
{{- end -}}

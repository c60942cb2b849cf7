{{/* What the operator's Pods and the test's Pod have in common: they must see the same. */}}
{{- define "cloudtenant-operator.environment" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- if eq .Values.rbac.scope "namespaces" }}
- name: WATCH_NAMESPACE
  value: {{ join "," .Values.rbac.namespaces | quote }}
{{- end }}
{{- if .Values.secrets.watch }}
- name: WATCH_SECRETS
  value: "true"
{{- end }}
# Also with one Pod: while it is replaced, there are two.
- name: LEADER_ELECTION
  value: "true"
- name: LEASE_NAME
  value: {{ include "cloudtenant-operator.fullname" . }}
- name: LISTEN_ADDRESS
  value: {{ include "cloudtenant-operator.listenAddress" . | quote }}
- name: LOG_LEVEL
  value: {{ .Values.log.level | quote }}
- name: LOG_FORMAT
  value: {{ .Values.log.format }}
- name: KEPT_PER_NAMESPACE
  value: {{ .Values.kept.perNamespace }}
- name: KEPT_IN_ALL
  value: {{ .Values.kept.inAll }}
- name: CLOUD_REQUESTS_PER_SECOND
  value: {{ .Values.cloudLimits.requestsPerSecond | int | quote }}
- name: CLOUD_REQUESTS_IN_FLIGHT
  value: {{ .Values.cloudLimits.requestsInFlight | int | quote }}
{{- if .Values.monitoring.projectLabel }}
- name: METRICS_PROJECT_LABEL
  value: "true"
{{- end }}
{{- if include "cloudtenant-operator.hasCloudCA" . }}
- name: CLOUD_CA_FILE
  value: {{ include "cloudtenant-operator.cloudCADirectory" . }}/ca.crt
{{- end }}
{{- if .Values.cloudCA.mergeSystem }}
- name: CLOUD_CA_MERGE_SYSTEM
  value: "true"
{{- end }}
{{- if .Values.cloudProxiesSecret.name }}
- name: CLOUD_PROXIES
  valueFrom:
    secretKeyRef:
      name: {{ .Values.cloudProxiesSecret.name | quote }}
      key: {{ .Values.cloudProxiesSecret.key | quote }}
{{- else if .Values.cloudProxies }}
- name: CLOUD_PROXIES
  value: {{ include "cloudtenant-operator.cloudProxies" . | quote }}
{{- end }}
- name: ALLOW_CLOUD_CIDR
  value: {{ join "," .Values.cloudAddresses.allowCIDRs | quote }}
- name: CLOUD_HOSTS
  value: {{ join "," .Values.cloudAddresses.hosts | quote }}
- name: REQUIRE_HTTPS
  value: {{ .Values.cloudAddresses.requireHTTPS | default false | quote }}
{{- if .Values.tenantSets.enabled }}
- name: TENANT_SETS
  value: "true"
- name: TENANT_SET_WRITES_PER_MINUTE
  value: {{ .Values.tenantSets.writesPerMinute | int | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cloudtenant-operator.listenAddress" -}}
{{- if contains ":" .Values.listen.address -}}
{{- printf "[%s]:%v" .Values.listen.address .Values.listen.port -}}
{{- else -}}
{{- printf "%s:%v" .Values.listen.address .Values.listen.port -}}
{{- end -}}
{{- end -}}

{{- define "cloudtenant-operator.cloudProxies" -}}
{{- $entries := list -}}
{{- range .Values.cloudProxies -}}
{{- $entries = append $entries (printf "%s=%s" .host (trimSuffix "/" .url)) -}}
{{- end -}}
{{- join "," $entries -}}
{{- end -}}

{{/* Whether the platform chooses the user, as OpenShift does: empty if not. */}}
{{- define "cloudtenant-operator.platformSetsUser" -}}
{{- $openshift := ((.Values.global | default dict).compatibility | default dict).openshift | default dict -}}
{{- $adapt := $openshift.adaptSecurityContext | default "auto" -}}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
true
{{- end -}}
{{- end -}}

{{/* Pod security `restricted`, for the Pod and for its container. */}}
{{- define "cloudtenant-operator.podSecurityContext" -}}
runAsNonRoot: true
{{- if not (include "cloudtenant-operator.platformSetsUser" .) }}
{{- with .Values.securityContext.runAsUser }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with .Values.securityContext.runAsGroup }}
runAsGroup: {{ int64 . }}
{{- end }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "cloudtenant-operator.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}

{{- define "cloudtenant-operator.volumeMounts" -}}
{{- if include "cloudtenant-operator.hasCloudCA" . }}
- name: cloud-ca
  mountPath: {{ include "cloudtenant-operator.cloudCADirectory" . }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cloudtenant-operator.volumes" -}}
{{- if include "cloudtenant-operator.hasCloudCA" . }}
- name: cloud-ca
  {{- with .Values.cloudCA }}
  {{- if .secret.name }}
  secret:
    secretName: {{ .secret.name | quote }}
    items:
      - key: {{ .secret.key | quote }}
        path: ca.crt
  {{- else }}
  configMap:
    name: {{ .configMap.name | default (printf "%s-cloud-ca" (include "cloudtenant-operator.fullname" $)) | quote }}
    items:
      - key: {{ ternary .configMap.key "ca.crt" (not (empty .configMap.name)) | quote }}
        path: ca.crt
  {{- end }}
  {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cloudtenant-operator.topologySpreadConstraints" -}}
{{- $selector := dict "matchLabels" (include "cloudtenant-operator.selectorLabels" . | fromYaml) -}}
{{- $constraints := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- /* Not merged: a selector that is given is meant as a whole. */ -}}
{{- $constraints = append $constraints (hasKey . "labelSelector" | ternary . (set (deepCopy .) "labelSelector" $selector)) -}}
{{- else -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" -}}
{{- $constraints = append $constraints (dict "maxSkew" 1 "topologyKey" . "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" $selector) -}}
{{- end -}}
{{- end -}}
{{- toYaml $constraints -}}
{{- end -}}

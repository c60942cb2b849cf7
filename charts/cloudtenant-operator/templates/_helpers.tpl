{{/* The release's name, with the chart's name behind it where that is not part of it. */}}
{{- define "cloudtenant-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- /* A Service's name may have 63 characters. A release's may have 53. */ -}}
{{- printf "%s-%s" (.Release.Name | trunc 42 | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end -}}

{{/* What selects the Pods. It can never be changed in a Deployment. */}}
{{- define "cloudtenant-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The labels of the Pods. Those that change with the chart alone would restart them for nothing. */}}
{{- define "cloudtenant-operator.podLabels" -}}
{{ include "cloudtenant-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
{{- end -}}

{{/* The labels of all objects. */}}
{{- define "cloudtenant-operator.labels" -}}
{{- include "cloudtenant-operator.labelsWith" (dict "root" . "more" dict) -}}
{{- end -}}

{{/*
The same with some more, of `more`, for the context `root`. They are put into one dict, since a label that came twice
would be a key that is there twice: the chart's own, then commonLabels, then what is for this object alone.
*/}}
{{- define "cloudtenant-operator.labelsWith" -}}
{{- $labels := include "cloudtenant-operator.podLabels" .root | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- /* Not by merge, to which an empty label is none. */ -}}
{{- range list .root.Values.commonLabels .more -}}
{{- range $name, $value := . -}}
{{- $_ := set $labels $name $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{- define "cloudtenant-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "cloudtenant-operator.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "cloudtenant-operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Where the bundle of authorities is mounted. */}}
{{- define "cloudtenant-operator.cloudCADirectory" -}}
/etc/cloudtenant-operator/cloud-ca
{{- end -}}

{{/* Whether there is such a bundle: empty if not. */}}
{{- define "cloudtenant-operator.hasCloudCA" -}}
{{- with .Values.cloudCA -}}
{{- if or .pem .configMap.name .secret.name -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* The labels of the test's Pod. It must not be selected as one of the operator's: the Service would lead to it. */}}
{{- define "cloudtenant-operator.testSelectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The release's name, with the chart's name behind it where that is not part of it. */}}
{{- define "cloudtenant-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- /* A Service's name may have 63 characters. A release's may have 53, and the alias of a subchart any number. */ -}}
{{- $room := sub 62 (len .Chart.Name) | min 42 | max 1 | int -}}
{{- printf "%s-%s" (.Release.Name | trunc $room | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end -}}

{{/* What selects the Pods. It can never be changed in a Deployment. */}}
{{- define "cloudtenant-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The labels of the Pods. Those that change with the chart alone would restart them for nothing. */}}
{{- define "cloudtenant-operator.podLabels" -}}
{{ include "cloudtenant-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ include "cloudtenant-operator.labelValue" .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name | quote }}
{{- end -}}

{{/* The labels of all objects. */}}
{{- define "cloudtenant-operator.labels" -}}
{{- include "cloudtenant-operator.labelsWith" (dict "root" . "more" dict) -}}
{{- end -}}

{{/*
The same with some more, of `more` and `podLabels`, for the context `root`. They are put into one dict, since a label
that came twice would be a key that is there twice: the chart's own, then podLabels, then commonLabels, then what is for
this object alone.
*/}}
{{- define "cloudtenant-operator.labelsWith" -}}
{{- $labels := include "cloudtenant-operator.podLabels" .root | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | include "cloudtenant-operator.labelValue") -}}
{{- /* Not by merge, to which an empty label is none. */ -}}
{{- range list .podLabels .root.Values.commonLabels .more -}}
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

{{/* A text as a label's value. A version may have 256 characters, and others than a label's. */}}
{{- define "cloudtenant-operator.labelValue" -}}
{{- $value := regexReplaceAll "[^-A-Za-z0-9_.]" . "_" -}}
{{- $value = regexReplaceAll "^[^A-Za-z0-9]+" $value "" | trunc 63 -}}
{{- regexReplaceAll "[^A-Za-z0-9]+$" $value "" -}}
{{- end -}}

{{/* A version as an image's tag. */}}
{{- define "cloudtenant-operator.tag" -}}
{{- regexReplaceAll "^[-.]+" (regexReplaceAll "[^-A-Za-z0-9_.]" . "_") "" | trunc 128 -}}
{{- end -}}

{{/* Where the image is. The first part of a repository is a registry if it has a dot or a port, or is localhost. */}}
{{- define "cloudtenant-operator.repository" -}}
{{- $parts := splitList "/" .Values.image.repository -}}
{{- with (.Values.global | default dict).imageRegistry -}}
{{- if and (gt (len $parts) 1) (regexMatch "[.:]|^localhost$" (first $parts)) -}}
{{- $parts = rest $parts -}}
{{- end -}}
{{- $parts = prepend $parts (trimSuffix "/" .) -}}
{{- end -}}
{{- join "/" $parts -}}
{{- end -}}

{{- define "cloudtenant-operator.image" -}}
{{- $repository := include "cloudtenant-operator.repository" . -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- /* A chart need not have an appVersion. */ -}}
{{- $tag := include "cloudtenant-operator.tag" .Chart.AppVersion | default (include "cloudtenant-operator.tag" .Chart.Version) -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default $tag) -}}
{{- end -}}
{{- end -}}

{{/* Secrets for the registry, of the umbrella chart and of this one: empty if there are none. */}}
{{- define "cloudtenant-operator.imagePullSecrets" -}}
{{- $secrets := list -}}
{{- range concat ((.Values.global | default dict).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with $secrets | uniq -}}
{{- toYaml . -}}
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
app.kubernetes.io/name: {{ printf "%s-test" .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/*
The Deployments, one for each shard. A Deployment's selector can never be changed, and no two may select the same Pods: so
with shards, all have names and labels that a chart without shards does not use.
*/}}
{{- define "cloudtenant-operator.shards" -}}
{{- $name := include "cloudtenant-operator.fullname" . -}}
{{- $count := int .Values.shards -}}
{{- $shards := list -}}
{{- range $index := until $count -}}
{{- $shard := dict "index" $index "name" $name -}}
{{- if gt $count 1 -}}
{{- $labels := dict "cloudtenant.dev/shard" (toString $index) -}}
{{- $shard = dict "index" $index "name" (printf "%s-%d" $name $index) "shard" (printf "%d/%d" $index $count) "labels" $labels -}}
{{- end -}}
{{- $shards = append $shards $shard -}}
{{- end -}}
{{- toYaml $shards -}}
{{- end -}}

{{/* The names of the Leases, as the operator makes them (src/shard.rs). */}}
{{- define "cloudtenant-operator.leases" -}}
{{- $name := include "cloudtenant-operator.fullname" . -}}
{{- $leases := list $name -}}
{{- if gt (int .Values.shards) 1 -}}
{{- range $index := until (int .Values.shards) -}}
{{- $leases = append $leases (printf "%s-shard-%d-of-%d" $name $index (int $.Values.shards)) -}}
{{- end -}}
{{- end -}}
{{- join ", " $leases -}}
{{- end -}}

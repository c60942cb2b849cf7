{{/* The names of objects come from the release, and from the chart's name, which is its alias in an umbrella chart. */}}
{{- define "cloudtenant-operator.validateNames" -}}
{{- /* With `-test` behind it, for the label of the test's Pod. */ -}}
{{- if not (regexMatch "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,56}[A-Za-z0-9])?$" .Chart.Name) -}}
{{- fail (printf "the chart's alias %q cannot be a label's value: give it at most 58 letters, digits and hyphens, the first and last of them no hyphen" .Chart.Name) -}}
{{- end -}}
{{- if not .Values.fullnameOverride -}}
{{- $release := .Release.Name -}}
{{- if contains "." $release -}}
{{- fail (printf "the release name %q has a dot, and a Service's name cannot have one: choose another release name, or set fullnameOverride" $release) -}}
{{- end -}}
{{- if regexMatch "^[0-9]" $release -}}
{{- fail (printf "the release name %q begins with a digit, and a Service's name must begin with a letter: choose another release name, or set fullnameOverride" $release) -}}
{{- end -}}
{{- $name := include "cloudtenant-operator.fullname" . -}}
{{- if or (not (regexMatch "^[-a-z0-9]*[a-z0-9]$" .Chart.Name)) (gt (len $name) 63) -}}
{{- fail (printf "the chart's alias %q makes the name %q, which a Service cannot have: choose a shorter alias of small letters, digits and hyphens, or set fullnameOverride" .Chart.Name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

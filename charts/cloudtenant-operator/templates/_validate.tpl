{{/* What values.schema.json cannot say, or not clearly: values that contradict each other, and texts of some form. */}}
{{- define "cloudtenant-operator.validate" -}}
{{- include "cloudtenant-operator.validateNames" . -}}
{{- include "cloudtenant-operator.validateRights" . -}}
{{- include "cloudtenant-operator.validatePod" . -}}
{{- include "cloudtenant-operator.validateExtra" . -}}
{{- include "cloudtenant-operator.validateResources" . -}}
{{- include "cloudtenant-operator.validateScheduling" . -}}
{{- include "cloudtenant-operator.validateClouds" . -}}
{{- include "cloudtenant-operator.validateLabels" . -}}
{{- include "cloudtenant-operator.validateMonitoring" . -}}
{{- include "cloudtenant-operator.validateNetwork" . -}}
{{- end -}}

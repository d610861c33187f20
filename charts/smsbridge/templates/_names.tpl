{{/* Names, labels and references that several files need. Components: gateway, sender, status, hlr, all, operator,
valkey, sandbox, master-key, tryout. */}}

{{- define "smsbridge.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 43 | trimSuffix "-" -}}
{{- end }}

{{/* 43 letters: a StatefulSet's name has 52 at most, and `-gateway` follows. */}}
{{- define "smsbridge.fullname" -}}
{{- $name := include "smsbridge.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 43 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 43 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* root, component: what selects the pods of a component; never changes in a release. */}}
{{- define "smsbridge.selector" -}}
app.kubernetes.io/name: {{ include "smsbridge.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* root, component: labels of every object. */}}
{{- define "smsbridge.labels" -}}
{{ include "smsbridge.selector" . }}
app.kubernetes.io/part-of: smsbridge
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* root, component, suffix: the metadata that every object has. */}}
{{- define "smsbridge.metadata" -}}
name: {{ include "smsbridge.fullname" .root }}-{{ .suffix | default .component }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "smsbridge.labels" . | nindent 2 }}
{{- end }}

{{- define "smsbridge.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "smsbridge.masterKeySecret" -}}
{{- .Values.masterKey.existingSecret | default (printf "%s-master-key" (include "smsbridge.fullname" .)) -}}
{{- end }}

{{/* Secret and key of the store's password; empty where it has none. */}}
{{- define "smsbridge.storeSecret" -}}
{{- if .Values.valkey.enabled -}}
{{- .Values.valkey.existingSecret | default (printf "%s-valkey" (include "smsbridge.fullname" .)) -}}
{{- else -}}
{{- .Values.externalStore.existingSecret -}}
{{- end -}}
{{- end }}

{{/* Namespaces that the operator follows, as JSON: `{"list": [...]}`. */}}
{{- define "smsbridge.watched" -}}
{{- dict "list" (.Values.operator.namespaces | default (list .Release.Namespace)) | toJson -}}
{{- end }}

{{/* role, root: the component in whose pods a role runs. */}}
{{- define "smsbridge.componentOf" -}}
{{- ternary "all" .role (eq .root.Values.mode "all") -}}
{{- end }}

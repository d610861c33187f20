{{/* Settings of smsbridge by dotted name, as docs/configuration.md lists them, and how they become environment. */}}

{{/* Ports of a role: its server's, and that of /metrics, /livez, /readyz. In one pod the latter must differ. */}}
{{- define "smsbridge.ports" -}}
{{- $all := eq .Values.mode "all" -}}
gateway: {server: 8080, internal: 7100}
sender: {server: 7102, internal: {{ ternary 7112 7100 $all }}}
status: {server: 7103, internal: {{ ternary 7113 7100 $all }}}
hlr: {server: 7104, internal: {{ ternary 7114 7100 $all }}}
{{- end }}

{{/* root, loopback: where the store and the roles are. */}}
{{- define "smsbridge.places" -}}
{{- $values := .root.Values -}}
{{- $name := include "smsbridge.fullname" .root -}}
process.master_key_file: /keys/master.key
{{- if $values.valkey.enabled }}
store.url: redis://{{ $name }}-valkey:6379/0
{{- else }}
store.url: {{ $values.externalStore.url | quote }}
store.wait_replicas: {{ $values.externalStore.waitReplicas }}
{{- end }}
{{- range $role := list "sender" "status" "hlr" }}
{{- $port := (get (include "smsbridge.ports" $.root | fromYaml) $role).server | toString }}
endpoints.{{ $role }}: {{ ternary (printf "127.0.0.1:%s" $port) (printf "dns:///%s-%s:%s" $name $role $port) (default false $.loopback) }}
{{- end }}
{{- end }}

{{/* root, role: all settings of a role's container. */}}
{{- define "smsbridge.roleSettings" -}}
{{- $ports := get (include "smsbridge.ports" .root | fromYaml) .role -}}
{{- include "smsbridge.places" (dict "root" .root "loopback" (eq .root.Values.mode "all")) }}
process.internal: 0.0.0.0:{{ $ports.internal }}
{{ .role }}.listen: 0.0.0.0:{{ $ports.server }}
{{- if eq .role "gateway" }}
gateway.journal_dir: /journal/gateway
{{- end }}
{{- end }}

{{/* root: all settings of the operator. Of the roles' settings it knows these sections. */}}
{{- define "smsbridge.operatorSettings" -}}
{{- $known := list "process" "logging" "store" "endpoints" "provisioning" "account" "egress" "portal" "smsc" -}}
{{- include "smsbridge.places" (dict "root" .) }}
process.internal: 0.0.0.0:7100
{{- if .Values.operator.clusterWide }}
operator.cluster_wide: true
{{- else }}
operator.namespaces: {{ (include "smsbridge.watched" . | fromJson).list | toJson }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- if has (splitList "." $name | first) $known }}
{{ $name }}: {{ $value | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{/* A map of settings as a container's `env`. Text goes as it is; numbers, truth values and lists as JSON, which is
what they are in YAML too, and never as 1e+06. */}}
{{- define "smsbridge.env" -}}
{{- range $name, $value := . -}}
- name: SMSBRIDGE_{{ $name | replace "." "__" | upper }}
  value: {{ ternary $value ($value | toJson) (kindIs "string" $value) | quote }}
{{ end }}
{{- end }}

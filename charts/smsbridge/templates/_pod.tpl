{{/* The body of every pod: metadata and spec, for the `template` of a workload or a pod of its own.

root            the chart's context
component       its label
containers      list of what `smsbridge.container` takes
grace           seconds to stop; where a container has a preStop, its seconds come on top
volumes         further volumes
key             true: the master key is mounted at /keys
account         name of its ServiceAccount behind the full name; `services` has no token and no rights
token           true: it talks to the API server
restartPolicy   of jobs and test pods
spread          true: spread over nodes
annotations     further annotations
*/}}
{{- define "smsbridge.pod" -}}
{{- $values := .root.Values -}}
{{- $grace := .grace | default 30 | int -}}
{{- $preStop := 0 -}}
{{- range .containers -}}
{{- if .health }}{{ $preStop = int $values.pods.preStopSeconds }}{{ end -}}
{{- end -}}
metadata:
  labels:
    {{- include "smsbridge.selector" . | nindent 4 }}
    app.kubernetes.io/part-of: smsbridge
    {{- with $values.pods.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) (.annotations | default dict) $values.pods.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "smsbridge.fullname" .root }}-{{ .account | default "services" }}
  automountServiceAccountToken: {{ .token | default false }}
  # SMSBRIDGE_SENDER_PORT and the like are no settings.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add $grace $preStop }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with $values.pods.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.pods.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.pods.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.pods.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and .spread $values.pods.topologySpread.enabled }}
  topologySpreadConstraints:
    - maxSkew: {{ $values.pods.topologySpread.maxSkew }}
      topologyKey: {{ $values.pods.topologySpread.topologyKey }}
      whenUnsatisfiable: {{ $values.pods.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "smsbridge.selector" . | nindent 10 }}
  {{- end }}
  containers:
    {{- range .containers }}
    - {{ include "smsbridge.container" (dict "root" $.root "it" .) | nindent 6 | trim }}
    {{- end }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    {{- if .key }}
    - name: keys
      secret:
        secretName: {{ include "smsbridge.masterKeySecret" .root }}
        defaultMode: 0440
    {{- if and (not $values.valkey.enabled) $values.externalStore.caSecret }}
    - name: store-ca
      secret:
        secretName: {{ $values.externalStore.caSecret }}
        defaultMode: 0440
    {{- end }}
    {{- end }}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* One container. `it`: name, image, command, args, settings (by dotted name), store (true: works with the store,
so it has its password and the master key), ports, health (port of /livez and /readyz), tcp (port, where there are
none), mounts, resources. */}}
{{- define "smsbridge.container" -}}
{{- $values := .root.Values -}}
{{- $it := .it -}}
name: {{ $it.name }}
image: {{ $it.image | default (include "smsbridge.image" .root) | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
{{- with $it.command }}
command: {{ toJson . }}
{{- end }}
{{- with $it.args }}
args: {{ toJson . }}
{{- end }}
{{- if or $it.settings $it.store }}
env:
  {{- $secret := include "smsbridge.storeSecret" .root }}
  {{- if and $it.store $secret }}
  - name: SMSBRIDGE_STORE__PASSWORD
    valueFrom:
      secretKeyRef:
        name: {{ $secret }}
        key: {{ ternary "password" $values.externalStore.passwordKey $values.valkey.enabled }}
  {{- end }}
  {{- include "smsbridge.env" $it.settings | trim | nindent 2 }}
{{- end }}
{{- with $it.ports }}
ports:
  {{- range . }}
  - containerPort: {{ . }}
  {{- end }}
{{- end }}
{{- with $it.health }}
startupProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 5
lifecycle:
  preStop:
    sleep:
      seconds: {{ $values.pods.preStopSeconds }}
{{- end }}
{{- with $it.tcp }}
startupProbe:
  tcpSocket: {port: {{ . }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  tcpSocket: {port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  tcpSocket: {port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}
securityContext:
  runAsNonRoot: true
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml $it.resources | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- if $it.store }}
  - name: keys
    mountPath: /keys
    readOnly: true
  {{- if and (not $values.valkey.enabled) $values.externalStore.caSecret }}
  - name: store-ca
    mountPath: /store-ca
    readOnly: true
  {{- end }}
  {{- end }}
  {{- with $it.mounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* root, role: the container of a role. */}}
{{- define "smsbridge.roleContainer" -}}
{{- $ports := get (include "smsbridge.ports" .root | fromYaml) .role -}}
{{- $settings := mustMergeOverwrite (include "smsbridge.roleSettings" . | fromYaml) .root.Values.settings -}}
name: {{ .role }}
args: [run, {{ .role }}]
settings: {{ toJson $settings }}
store: true
ports: [{{ $ports.server }}, {{ $ports.internal }}]
health: {{ $ports.internal }}
resources: {{ (get .root.Values .role).resources | toJson }}
{{- if eq .role "gateway" }}
mounts: [{name: journal, mountPath: /journal}]
{{- end }}
{{- end }}

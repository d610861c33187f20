{{/* The spec of a claim from `size` and `storageClass`. */}}
{{- define "smsbridge.claim" -}}
accessModes: [ReadWriteOnce]
{{- with .storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end }}

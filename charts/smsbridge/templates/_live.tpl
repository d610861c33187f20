{{/* What the cluster has already. Without one, as in `helm template`, `lookup` finds nothing. */}}

{{/* root, kind, component: the workload that runs now; `{}` if none does. */}}
{{- define "smsbridge.live" -}}
{{- lookup "apps/v1" .kind .root.Release.Namespace (printf "%s-%s" (include "smsbridge.fullname" .root) .component) | toJson -}}
{{- end }}

{{/* root, kind, component, minReplicas: `replicas` where an autoscaler sets it. Left out, the server would take 1 for
it as soon as the release has had a number, and a gateway's journal would go with each pod. Exactly what runs, since
another number would be a conflict with the autoscaler. */}}
{{- define "smsbridge.scaledReplicas" -}}
{{- dig "spec" "replicas" .minReplicas (include "smsbridge.live" . | fromJson) -}}
{{- end }}

{{/* A quantity as a plain number: the server writes 1024Mi as 1Gi. */}}
{{- define "smsbridge.plain" -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $number := regexFind "^[0-9.]+([eE][+-]?[0-9]+)?" (toString .) -}}
{{- printf "%.3f" (mulf (float64 $number) (get $units (trimPrefix $number (toString .)))) -}}
{{- end }}

{{/* root, component, path (of the values), claim (name), volume (`size`, `storageClass`), wanted: fails where the
StatefulSet that runs has other volumes. The server would refuse it too, with half of the release upgraded. */}}
{{- define "smsbridge.checkVolume" -}}
{{- $live := include "smsbridge.live" (dict "root" .root "kind" "StatefulSet" "component" .component) | fromJson -}}
{{- if $live -}}
{{- $changes := list -}}
{{- $had := dig "spec" "volumeClaimTemplates" list $live -}}
{{- if ne .wanted (not (empty $had)) -}}
{{- $changes = append $changes (printf "%s.enabled was %t and is %t" .path (not .wanted) .wanted) -}}
{{- else if .wanted -}}
{{- $spec := (first $had).spec -}}
{{- if ne (include "smsbridge.plain" $spec.resources.requests.storage) (include "smsbridge.plain" .volume.size) -}}
{{- $changes = append $changes (printf "%s.size was %s and is %v" .path $spec.resources.requests.storage .volume.size) -}}
{{- end -}}
{{- if ne ($spec.storageClassName | default "") .volume.storageClass -}}
{{- $changes = append $changes (printf "%s.storageClass was %q and is %q" .path ($spec.storageClassName | default "") .volume.storageClass) -}}
{{- end -}}
{{- end -}}
{{- with $changes -}}
{{- $namespace := $.root.Release.Namespace -}}
{{- $name := $live.metadata.name -}}
{{- fail (printf "%s, which Kubernetes does not change in a StatefulSet that is there; nothing was upgraded. Enlarge its claims (%s-%s-0 and so on) if they are to grow, take the StatefulSet away without its pods, and upgrade again: kubectl --namespace %s delete statefulset %s --cascade=orphan (docs/kubernetes.md, \"Change a volume\")" (join ", " .) $.claim $name $namespace $name) -}}
{{- end -}}
{{- end -}}
{{- end }}

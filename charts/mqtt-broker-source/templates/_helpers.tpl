{{/* Names, labels, and how texts with a unit become numbers. Nothing here looks at what the values mean together. */}}

{{- define "mbs.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters: what hangs on it, such as the revision of a StatefulSet's pods, has to fit into a label of 63. */}}
{{- define "mbs.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "mbs.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What selects the pods of the program, and never changes. The pod of `helm test` is another component. */}}
{{- define "mbs.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mbs.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: broker
{{- end }}

{{/* Those of every object. `mbs.metadata` adds what the values say. */}}
{{- define "mbs.labels" -}}
helm.sh/chart: {{ include "mbs.chart" . }}
app.kubernetes.io/name: {{ include "mbs.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "mbs.name" . }}
{{- end }}

{{/* The port that `sink.uri` names, as a list; none where it names none. */}}
{{- define "mbs.sinkPort" -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .Values.sink.uri).host | trimPrefix ":" -}}
{{- if $port }}- {{ int $port }}{{ else }}[]{{ end }}
{{- end }}

{{/* The ports of Redis that the configuration names, as a list. */}}
{{- define "mbs.redisPorts" -}}
{{- $redis := (include "mbs.config" . | fromYaml).redis | default dict -}}
{{- $ports := list -}}
{{- with $redis.url -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" | default "6379" | int) -}}
{{- end -}}
{{- range concat (dig "sentinel" "nodes" list $redis) (dig "cluster" "nodes" list $redis) -}}
{{- $ports = append $ports (regexFind "[0-9]+$" . | int) -}}
{{- end -}}
{{- toYaml ($ports | uniq) -}}
{{- end }}

{{/*
The metadata of an object: name, namespace, labels, annotations.
Takes a dict: root; name, the end of the name; labels and annotations of its own; component.
*/}}
{{- define "mbs.metadata" -}}
{{- $component := dict "app.kubernetes.io/component" (default "broker" .component) -}}
{{- $labels := mergeOverwrite (include "mbs.labels" .root | fromYaml) (deepCopy .root.Values.commonLabels) (default dict .labels | deepCopy) (include "mbs.selectorLabels" .root | fromYaml) $component -}}
{{- $annotations := mergeOverwrite (deepCopy .root.Values.commonAnnotations) (default dict .annotations | deepCopy) -}}
name: {{ include "mbs.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mbs.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "mbs.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "mbs.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}
{{- .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}
{{- else }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* What holds the outbox: a StatefulSet with a volume, or a Deployment without. */}}
{{- define "mbs.workloadKind" -}}
{{- if .Values.persistence.enabled }}StatefulSet{{ else }}Deployment{{ end }}
{{- end }}

{{/* Where outbox and sessions are kept, and whether pods share them: in the words of the program, and as YAML. */}}
{{- define "mbs.kept" -}}
{{- $config := include "mbs.config" . | fromYaml -}}
{{- $store := dig "outbox" "store" "disk" $config -}}
{{- $sessions := dig "broker" "sessions" "memory" $config -}}
store: {{ $store }}
sessions: {{ $sessions }}
inRedis: {{ or (eq $store "redis") (eq $sessions "redis") }}
shared: {{ and (eq $store "redis") (eq $sessions "redis") }}
{{- end }}

{{/* Not empty where there may be more than one pod. */}}
{{- define "mbs.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}true{{ end }}
{{- end }}

{{/* Not empty where there is a PodDisruptionBudget. */}}
{{- define "mbs.pdb" -}}
{{- if eq (toString .Values.pdb.enabled) "auto" }}{{ include "mbs.several" . }}
{{- else if eq (toString .Values.pdb.enabled) "true" }}true{{ end }}
{{- end }}

{{/* The Secret with the certificate of the listeners; empty where there is none. */}}
{{- define "mbs.tlsSecret" -}}
{{- if .Values.tls.existingSecret }}
{{- .Values.tls.existingSecret }}
{{- else if .Values.tls.certManager.enabled }}
{{- include "mbs.fullname" . }}-tls
{{- end }}
{{- end }}

{{/* Seconds of an ISO 8601 duration such as PT1M30S: a number as text. */}}
{{- define "mbs.seconds" -}}
{{- $pattern := "^P(?:([0-9.]+)W)?(?:([0-9.]+)D)?(?:T(?:([0-9.]+)H)?(?:([0-9.]+)M)?(?:([0-9.]+)S)?)?$" -}}
{{- $sum := 0.0 -}}
{{- range $group, $factor := dict "1" 604800 "2" 86400 "3" 3600 "4" 60 "5" 1 -}}
{{- $part := regexReplaceAll $pattern $ (printf "${%s}" $group) -}}
{{- if regexMatch $pattern $ -}}
{{- $sum = addf $sum (mulf (float64 (default "0" $part)) $factor) -}}
{{- end -}}
{{- end -}}
{{- $sum -}}
{{- end }}

{{/* Bytes of a size of the program (1GiB) or a quantity of Kubernetes (1Gi, 500M): a number as text. */}}
{{- define "mbs.bytes" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text | trimSuffix "B" -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" $text | default "0" | float64) (get $factors $unit | default 1) | int64 -}}
{{- end }}

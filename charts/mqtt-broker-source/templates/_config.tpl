{{/* The program's configuration as this chart makes it of the values, with `config` laid over it. */}}

{{/* Where things are mounted. Folders, not single files: what is mounted by subPath is never updated. */}}
{{- define "mbs.etc" -}}
/etc/mqtt-broker-source
{{- end }}

{{/* The listeners that are enabled, complete, by name. */}}
{{- define "mbs.listeners" -}}
{{- $ports := dict "mqtt" 1883 "mqtts" 8883 "ws" 8083 "wss" 8884 -}}
{{- $enabled := dict -}}
{{- range $name, $given := .Values.listeners -}}
{{- if and $given (dig "enabled" false $given) -}}
{{- $protocol := default $name $given.protocol -}}
{{- $own := dict "protocol" $protocol "secure" (has $protocol (list "mqtts" "wss")) "web" (has $protocol (list "ws" "wss")) -}}
{{- $own = mergeOverwrite (deepCopy $given) $own -}}
{{- $_ := set $own "port" (default (get $ports $protocol) $given.port | int) -}}
{{- $_ := set $own "anonymous" (dig "anonymous" false $given) -}}
{{- $_ := set $own "clientCertificate" (default "none" $given.clientCertificate) -}}
{{- $_ := set $own "trusted" (dig "proxyProtocol" "trusted" list $given) -}}
{{- $_ := set $enabled $name $own -}}
{{- end -}}
{{- end -}}
{{- toYaml $enabled -}}
{{- end }}

{{/* One of them in the words of the program. Takes a dict: root, listener. */}}
{{- define "mbs.listener" -}}
{{- $etc := include "mbs.etc" .root -}}
{{- $clientCA := .root.Values.tls.clientCA -}}
{{- with .listener -}}
protocol: {{ .protocol }}
host: {{ $.root.Values.bindAddress | quote }}
port: {{ .port }}
anonymous: {{ .anonymous }}
{{- if .web }}
path: {{ default "/mqtt" .path | quote }}
{{- with .origins }}
origins: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .trusted }}
proxyProtocol:
  trusted: {{- toYaml . | nindent 4 }}
{{- end }}
{{- if .secure }}
tls:
  cert: {{ $etc }}/tls/tls.crt
  key: {{ $etc }}/tls/tls.key
  {{- if ne .clientCertificate "none" }}
  ca: {{ $etc }}/client-ca/{{ $clientCA.key }}
  {{- with $clientCA.crlKey }}
  crl: {{ $etc }}/client-ca/{{ . }}
  {{- end }}
  {{- end }}
  clientCertificate: {{ .clientCertificate }}
  {{- with .minVersion }}
  minVersion: {{ . }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Permissions stand in a file of their own, unless `config` has them. */}}
{{- define "mbs.permissions" -}}
{{- $access := default dict (default dict .Values.config).access -}}
{{- if not (or (hasKey $access "permissions") (hasKey $access "permissionsFile")) -}}
{{- if .Values.auth.permissions.existingSecret -}}
secret
{{- else if not (kindIs "invalid" .Values.auth.permissions.rules) -}}
configmap
{{- end -}}
{{- end -}}
{{- end }}

{{/* `delivery` in the words of the program. */}}
{{- define "mbs.delivery" -}}
{{- $own := pick .Values.delivery "retry" "backoffPolicy" "backoffDelay" "retryAfterMax" -}}
{{- with .Values.delivery.deadLetterSink -}}
{{- $_ := set $own "deadLetterSink" (dict "url" .uri) -}}
{{- end -}}
{{- toYaml $own -}}
{{- end }}

{{/* `sink` in the words of the program. Its address comes by K_SINK, or stands in `config`; a token that is mounted is found. */}}
{{- define "mbs.sink" -}}
{{- $sink := dict -}}
{{- if or (ne .Values.sink.mode "none") (not (default dict .Values.config).sinks) -}}
{{- $_ := set $sink "kind" "http" -}}
{{- end -}}
{{- with .Values.delivery.timeout -}}
{{- $_ := set $sink "timeout" . -}}
{{- end -}}
{{- with .Values.delivery.format -}}
{{- $_ := set $sink "contentMode" (eq . "json" | ternary "structured" "binary") -}}
{{- end -}}
{{- toYaml $sink -}}
{{- end }}

{{/* What all keys in Redis begin with; at most 64 characters, as the program wants. */}}
{{- define "mbs.keyPrefix" -}}
{{- $name := include "mbs.fullname" . -}}
{{- $whole := printf "mbs:%s/%s:" .Release.Namespace $name -}}
{{- if .Values.redis.keyPrefix -}}
{{- .Values.redis.keyPrefix -}}
{{- else if le (len $whole) 64 -}}
{{- $whole -}}
{{- else -}}
{{- printf "mbs:%s-%s:" (trunc 42 $name) (sha256sum $whole | trunc 16) -}}
{{- end -}}
{{- end }}

{{/* `redis` in the words of the program; empty where neither it nor `config` says where Redis is. */}}
{{- define "mbs.redis" -}}
{{- $etc := include "mbs.etc" . -}}
{{- $redis := dict -}}
{{- $given := default dict (default dict .Values.config).redis -}}
{{- with .Values.redis -}}
{{- $sentinel := dict -}}
{{- if or .sentinel.master .sentinel.nodes -}}
{{- $sentinel = dict "master" .sentinel.master "nodes" .sentinel.nodes -}}
{{- end -}}
{{- if or .url $sentinel .cluster.nodes $given.url $given.sentinel $given.cluster -}}
{{- $_ := set $redis "keyPrefix" (include "mbs.keyPrefix" $) -}}
{{- range $key := list "url" "username" -}}
{{- with get $.Values.redis $key -}}
{{- $_ := set $redis $key . -}}
{{- end -}}
{{- end -}}
{{- with .cluster.nodes -}}
{{- $_ := set $redis "cluster" (dict "nodes" .) -}}
{{- end -}}
{{- if and $sentinel .sentinel.username -}}
{{- $_ := set $sentinel "username" .sentinel.username -}}
{{- end -}}
{{- if .auth.existingSecret -}}
{{- $_ := set $redis "passwordFile" (printf "%s/redis/password" $etc) -}}
{{- if and .auth.sentinelPasswordKey $sentinel -}}
{{- $_ := set $sentinel "passwordFile" (printf "%s/redis/sentinel-password" $etc) -}}
{{- end -}}
{{- end -}}
{{- with $sentinel -}}
{{- $_ := set $redis "sentinel" . -}}
{{- end -}}
{{- $tls := dict -}}
{{- if .tls.existingSecret -}}
{{- range $file, $path := include "mbs.redisTlsFiles" $ | fromYaml -}}
{{- $_ := set $tls $file (printf "%s/redis-tls/%s" $etc $path) -}}
{{- end -}}
{{- end -}}
{{- with .tls.servername -}}
{{- $_ := set $tls "servername" . -}}
{{- end -}}
{{- if or $tls .tls.enabled .tls.existingSecret -}}
{{- $_ := set $redis "tls" $tls -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $redis -}}
{{- end }}

{{/* The files of redis.tls that the Secret has, by the program's word for them. */}}
{{- define "mbs.redisTlsFiles" -}}
{{- $files := dict -}}
{{- with .Values.redis.tls -}}
{{- if .caKey -}}
{{- $_ := set $files "ca" "ca.crt" -}}
{{- end -}}
{{- if .certKey -}}
{{- $_ := set $files "cert" "tls.crt" -}}
{{- end -}}
{{- if .keyKey -}}
{{- $_ := set $files "key" "tls.key" -}}
{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end }}

{{- define "mbs.config" -}}
{{- $etc := include "mbs.etc" . -}}
{{- $listeners := list -}}
{{- range $name, $listener := include "mbs.listeners" . | fromYaml -}}
{{- $listeners = append $listeners (include "mbs.listener" (dict "root" $ "listener" $listener) | fromYaml) -}}
{{- end -}}
{{- $access := dict -}}
{{- if .Values.auth.users.existingSecret -}}
{{- $_ := set $access "users" (printf "%s/users/%s" $etc .Values.auth.users.key) -}}
{{- end -}}
{{- with include "mbs.permissions" . -}}
{{- $file := eq . "secret" | ternary $.Values.auth.permissions.key "permissions.yaml" -}}
{{- $_ := set $access "permissionsFile" (printf "%s/permissions/%s" $etc $file) -}}
{{- end -}}
{{- $computed := dict
  "name" (include "mbs.fullname" .)
  "dataDir" "/data"
  "listeners" $listeners
  "access" $access
  "sink" (include "mbs.sink" . | fromYaml)
  "delivery" (include "mbs.delivery" . | fromYaml)
  "drain" (deepCopy .Values.drain)
  "http" (dict "host" .Values.bindAddress "port" (.Values.http.port | int))
  "log" (dict "format" "json")
-}}
{{- with include "mbs.redis" . | fromYaml -}}
{{- $_ := set $computed "redis" . -}}
{{- $_ := set $computed "outbox" (dict "store" "redis") -}}
{{- $_ := set $computed "broker" (dict "sessions" "redis") -}}
{{- end -}}
{{- toYaml (mergeOverwrite $computed (default dict .Values.config | deepCopy)) -}}
{{- end }}

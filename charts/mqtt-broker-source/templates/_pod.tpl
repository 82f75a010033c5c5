{{/* The pod of the program, for a StatefulSet and a Deployment alike. */}}

{{- define "mbs.podTemplate" -}}
metadata:
  labels:
    {{- mergeOverwrite (deepCopy .Values.commonLabels) (deepCopy .Values.podLabels) (include "mbs.selectorLabels" . | fromYaml) | toYaml | nindent 4 }}
  annotations:
    {{- /* The configuration is read at the start only. Certificates, users and permissions are read again by the program. */}}
    checksum/config: {{ include "mbs.config" . | sha256sum }}
    {{- with mergeOverwrite (deepCopy .Values.commonAnnotations) (deepCopy .Values.podAnnotations) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  serviceAccountName: {{ include "mbs.serviceAccountName" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
  {{- /* A Service whose name begins with mbs would set variables that look like settings. */}}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext: {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with include "mbs.scheduling" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.hostAliases }}
  hostAliases: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.dnsConfig }}
  dnsConfig: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.initContainers }}
  initContainers: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: broker
      image: {{ include "mbs.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run, --config, {{ include "mbs.etc" . }}/config/config.yaml]
      env: {{- include "mbs.env" . | nindent 8 }}
      {{- with .Values.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- range $name, $listener := include "mbs.listeners" . | fromYaml }}
        - { name: {{ $name }}, containerPort: {{ $listener.port }}, protocol: TCP }
        {{- end }}
        - { name: http, containerPort: {{ .Values.http.port }}, protocol: TCP }
      startupProbe: {{- include "mbs.probe" (list "/startupz" .Values.probes.startup) | nindent 8 }}
      readinessProbe: {{- include "mbs.probe" (list "/readyz" .Values.probes.readiness) | nindent 8 }}
      livenessProbe: {{- include "mbs.probe" (list "/livez" .Values.probes.liveness) | nindent 8 }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext: {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts: {{- include "mbs.volumeMounts" . | nindent 8 }}
    {{- with .Values.sidecars }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes: {{- include "mbs.volumes" . | nindent 4 }}
{{- end }}

{{/* Where pods may run; that of `helm test` too. */}}
{{- define "mbs.scheduling" -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "schedulerName" "runtimeClassName" }}
{{- with get $.Values $key }}
{{ $key }}: {{ kindIs "string" . | ternary (toString . | quote) (toYaml . | nindent 2) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "mbs.env" -}}
- name: NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: NAME
  value: {{ (include "mbs.config" . | fromYaml).name | quote }}
{{- if eq .Values.sink.mode "uri" }}
- name: K_SINK
  value: {{ .Values.sink.uri | quote }}
{{- with .Values.sink.CACerts }}
- name: K_CA_CERTS
  value: {{ . | quote }}
{{- end }}
{{- with .Values.sink.ceOverrides.extensions }}
- name: K_CE_OVERRIDES
  value: {{ dict "extensions" . | toJson | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes a list: path, and what the values say. */}}
{{- define "mbs.probe" -}}
{{- toYaml (mergeOverwrite (dict "httpGet" (dict "path" (first .) "port" "http")) (deepCopy (last .))) }}
{{- end }}

{{- define "mbs.volumeMounts" -}}
{{- $etc := include "mbs.etc" . -}}
- { name: config, mountPath: {{ $etc }}/config, readOnly: true }
{{- if include "mbs.permissions" . }}
- { name: permissions, mountPath: {{ $etc }}/permissions, readOnly: true }
{{- end }}
{{- if .Values.auth.users.existingSecret }}
- { name: users, mountPath: {{ $etc }}/users, readOnly: true }
{{- end }}
{{- if include "mbs.tlsSecret" . }}
- { name: tls, mountPath: {{ $etc }}/tls, readOnly: true }
{{- end }}
{{- if .Values.tls.clientCA.existingSecret }}
- { name: client-ca, mountPath: {{ $etc }}/client-ca, readOnly: true }
{{- end }}
{{- if include "mbs.projectsToken" . }}
- { name: sink-token, mountPath: /oidc, readOnly: true }
{{- end }}
{{- if include "mbs.redis" . | fromYaml }}
{{- if .Values.redis.auth.existingSecret }}
- { name: redis, mountPath: {{ $etc }}/redis, readOnly: true }
{{- end }}
{{- if .Values.redis.tls.existingSecret }}
- { name: redis-tls, mountPath: {{ $etc }}/redis-tls, readOnly: true }
{{- end }}
{{- end }}
- { name: data, mountPath: /data }
- { name: tmp, mountPath: /tmp }
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where Knative would mount the token of a SinkBinding; the program sends it to the sink of K_SINK. */}}
{{- define "mbs.projectsToken" -}}
{{- if and (eq .Values.sink.mode "uri") .Values.sink.audience }}true{{ end }}
{{- end }}

{{- define "mbs.volumes" -}}
- name: config
  configMap: { name: {{ include "mbs.fullname" . }}-config }
{{- with include "mbs.permissions" . }}
- name: permissions
  {{- if eq . "secret" }}
  secret: { secretName: {{ $.Values.auth.permissions.existingSecret }} }
  {{- else }}
  configMap: { name: {{ include "mbs.fullname" $ }}-permissions }
  {{- end }}
{{- end }}
{{- with .Values.auth.users.existingSecret }}
- name: users
  secret: { secretName: {{ . }} }
{{- end }}
{{- with include "mbs.tlsSecret" . }}
- name: tls
  secret: { secretName: {{ . }} }
{{- end }}
{{- with .Values.tls.clientCA.existingSecret }}
- name: client-ca
  secret: { secretName: {{ . }} }
{{- end }}
{{- if include "mbs.projectsToken" . }}
- name: sink-token
  projected:
    sources:
      - serviceAccountToken: { path: token, audience: {{ .Values.sink.audience | quote }}, expirationSeconds: 3600 }
{{- end }}
{{- if include "mbs.redis" . | fromYaml }}
{{- /* Only what is named: such Secrets often hold more, and other passwords. */}}
{{- with .Values.redis.auth }}
{{- if .existingSecret }}
- name: redis
  secret:
    secretName: {{ .existingSecret }}
    items:
      - { key: {{ .passwordKey | quote }}, path: password }
      {{- with .sentinelPasswordKey }}
      - { key: {{ . | quote }}, path: sentinel-password }
      {{- end }}
{{- end }}
{{- end }}
{{- with .Values.redis.tls }}
{{- if .existingSecret }}
- name: redis-tls
  secret:
    secretName: {{ .existingSecret }}
    items:
      {{- range $file, $path := include "mbs.redisTlsFiles" $ | fromYaml }}
      - { key: {{ get $.Values.redis.tls (printf "%sKey" $file) | quote }}, path: {{ $path }} }
      {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if not .Values.persistence.enabled }}
- name: data
  emptyDir: { sizeLimit: {{ .Values.persistence.emptyDir.sizeLimit }} }
{{- else if .Values.persistence.existingClaim }}
- name: data
  persistentVolumeClaim: { claimName: {{ .Values.persistence.existingClaim }} }
{{- end }}
- name: tmp
  emptyDir: { sizeLimit: 64Mi }
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

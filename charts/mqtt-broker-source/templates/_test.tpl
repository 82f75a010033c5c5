{{/* What `helm test` needs to know: where its pod can get in, and as whom. */}}

{{- define "mbs.testLabels" -}}
app.kubernetes.io/name: {{ include "mbs.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{/* The name of the listener that it uses; empty where there is none that it could get in at. */}}
{{- define "mbs.testListener" -}}
{{- $fitting := list -}}
{{- range $name, $listener := include "mbs.listeners" . | fromYaml -}}
{{- $lets := or $listener.anonymous $.Values.tests.username -}}
{{- if and (not $listener.trusted) (ne $listener.clientCertificate "required") $lets (include "mbs.testService" (dict "root" $ "listener" $name)) -}}
{{- $fitting = append $fitting $name -}}
{{- end -}}
{{- end -}}
{{- if .Values.tests.enabled -}}
{{- if not .Values.tests.listener -}}
{{- $fitting | first | default "" -}}
{{- else if has .Values.tests.listener $fitting -}}
{{- .Values.tests.listener -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The client identifier that it has to take; empty where any will do. */}}
{{- define "mbs.testClientId" -}}
{{- $bound := dig "access" "clientId" "" (include "mbs.config" . | fromYaml) -}}
{{- $ofUser := eq $bound "{username}" | ternary .Values.tests.username "" -}}
{{- default $ofUser .Values.tests.clientId -}}
{{- end }}

{{/* The host and port of the first Service that leads to a listener. Takes a dict: root, listener, its name. */}}
{{- define "mbs.testService" -}}
{{- $at := list -}}
{{- $port := get (include "mbs.listeners" .root | fromYaml) .listener | dig "port" 0 -}}
{{- range $name, $service := include "mbs.services" .root | fromYaml -}}
{{- if has $.listener (include "mbs.serviceListeners" (dict "root" $.root "service" $service) | fromYamlArray) -}}
{{- $host := printf "%s%s.%s.svc" (include "mbs.fullname" $.root) ($name | empty | ternary "" (printf "-%s" $name)) $.root.Release.Namespace -}}
{{- $at = append $at (printf "%s:%v" (default $host $.root.Values.tests.host) (dig "ports" $.listener $port $service)) -}}
{{- end -}}
{{- end -}}
{{- $at | first | default "" -}}
{{- end }}

{{/* The Secret with the authority that it checks the certificate against; empty for the usual ones. */}}
{{- define "mbs.testCA" -}}
{{- with .Values.tls.certManager -}}
{{- $own := and .enabled .clusterNames | ternary (include "mbs.tlsSecret" $) "" -}}
{{- default $own $.Values.tests.ca.existingSecret -}}
{{- end -}}
{{- end }}

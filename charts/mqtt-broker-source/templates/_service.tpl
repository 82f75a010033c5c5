{{/* A Service that devices connect to. Takes a dict: root; name, the end of its name; service, what the values say. */}}

{{/* What `extraServices` leaves out is as in a ClusterIP Service. */}}
{{- define "mbs.services" -}}
{{- $services := dict -}}
{{- if .Values.service.enabled -}}
{{- $_ := set $services "" .Values.service -}}
{{- end -}}
{{- range $name, $service := .Values.extraServices -}}
{{- if dig "enabled" true $service -}}
{{- $_ := set $services $name $service -}}
{{- end -}}
{{- end -}}
{{- toYaml $services -}}
{{- end }}

{{/* The names of the listeners that a Service leads to, as a list. Takes a dict: root, service. */}}
{{- define "mbs.serviceListeners" -}}
{{- $enabled := include "mbs.listeners" .root | fromYaml | keys | sortAlpha -}}
{{- toYaml (default $enabled .service.listeners) -}}
{{- end }}

{{- define "mbs.clientService" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $type := default "ClusterIP" $service.type -}}
{{- $listeners := include "mbs.listeners" $root | fromYaml -}}
{{- $protocols := dict "mqtt" "tcp" "mqtts" "tls" "ws" "http" "wss" "https" -}}
apiVersion: v1
kind: Service
metadata: {{- include "mbs.metadata" (dict "root" $root "name" .name "labels" $service.labels "annotations" $service.annotations) | nindent 2 }}
spec:
  type: {{ $type }}
  selector: {{- include "mbs.selectorLabels" $root | nindent 4 }}
  {{- range $key := list "clusterIP" "loadBalancerClass" "loadBalancerIP" "externalTrafficPolicy" "internalTrafficPolicy" "ipFamilyPolicy" "ipFamilies" }}
  {{- with get $service $key }}
  {{ $key }}: {{ toJson . }}
  {{- end }}
  {{- end }}
  {{- with $service.sourceRanges }}
  loadBalancerSourceRanges: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and (eq $type "LoadBalancer") (eq (dig "allocateNodePorts" true $service) false) }}
  allocateLoadBalancerNodePorts: false
  {{- end }}
  ports:
    {{- range $name := include "mbs.serviceListeners" (dict "root" $root "service" $service) | fromYamlArray }}
    {{- $listener := get $listeners $name }}
    {{- if $listener }}
    - name: {{ $name }}
      port: {{ dig "ports" $name $listener.port $service }}
      targetPort: {{ $name }}
      protocol: TCP
      appProtocol: {{ dig "appProtocols" $name (get $protocols $listener.protocol) $service }}
      {{- with dig "nodePorts" $name "" $service }}
      nodePort: {{ . }}
      {{- end }}
    {{- end }}
    {{- end }}
{{- end }}

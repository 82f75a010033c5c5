{{/*
What no schema can tell: which values go together. Each mistake is a sentence that says what to do; all of them are told
at once. The parts stand by subject; each gives a list of sentences as YAML.
*/}}

{{- define "mbs.mistakes.sink" -}}
{{- $found := list -}}
{{- $sink := .Values.sink -}}
{{- $config := default dict (default dict .Values.config).sink -}}
{{- $set := list -}}
{{- range .Values.extraEnv -}}
{{- if has .name (list "K_SINK" "K_CA_CERTS" "K_CE_OVERRIDES" "MBS_SINK_URL") -}}
{{- $set = append $set .name -}}
{{- end -}}
{{- end -}}
{{- if eq $sink.mode "sinkbinding" -}}
{{- if not $sink.ref.name -}}
{{- $found = append $found "sink.ref.name is missing: name the Broker, Channel or Service that gets the events (--set sink.ref.name=default), or set sink.mode to uri or none." -}}
{{- end -}}
{{- if contains "://" $sink.uri -}}
{{- $found = append $found "sink.uri is absolute while sink.mode is sinkbinding, where it is a path laid over the address of sink.ref: set sink.mode to uri, or make it relative." -}}
{{- end -}}
{{- if eq (default "http" $config.kind) "display" -}}
{{- $found = append $found "config.sink.kind is display while sink.mode is sinkbinding: the sink of the SinkBinding would get nothing. Set sink.mode to none to have events printed, or take it out." -}}
{{- end -}}
{{- with $set -}}
{{- $found = append $found (printf "extraEnv sets %s while sink.mode is sinkbinding: the SinkBinding sets these variables itself, and takes others away. Take it out of extraEnv, or set sink.mode to uri." (join ", " .)) -}}
{{- end -}}
{{- if $config.url -}}
{{- $found = append $found "config.sink.url is set while sink.mode is sinkbinding: until the SinkBinding is there, events would go to that URL. Set sink.mode to none to use it, or take it out." -}}
{{- end -}}
{{- else -}}
{{- if $sink.ref.name -}}
{{- $found = append $found (printf "sink.ref.name has no effect while sink.mode is %s: set sink.mode to sinkbinding, or take it out." $sink.mode) -}}
{{- end -}}
{{- end -}}
{{- if eq $sink.mode "uri" -}}
{{- if not (regexMatch "^https?://[^/]+" $sink.uri) -}}
{{- $found = append $found "sink.uri has to be an http:// or https:// URL while sink.mode is uri: set it to the address that `kubectl get broker` shows, for instance." -}}
{{- end -}}
{{- with $set -}}
{{- $found = append $found (printf "extraEnv sets %s, and so does sink.mode uri: take it out of extraEnv and use sink.uri, sink.CACerts and sink.ceOverrides." (join ", " .)) -}}
{{- end -}}
{{- if $config.url -}}
{{- $found = append $found "config.sink.url has no effect while sink.mode is uri: take it out, or set sink.mode to none." -}}
{{- end -}}
{{- end -}}
{{- if eq $sink.mode "none" -}}
{{- if or $sink.uri $sink.CACerts $sink.audience $sink.ceOverrides.extensions -}}
{{- $found = append $found "sink.uri, sink.CACerts, sink.audience and sink.ceOverrides have no effect while sink.mode is none: set sink.mode to sinkbinding or uri, or use config.sink and config.events.overrides." -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- define "mbs.mistakes.listeners" -}}
{{- $found := list -}}
{{- $listeners := include "mbs.listeners" . | fromYaml -}}
{{- $config := include "mbs.config" . | fromYaml -}}
{{- $access := $config.access -}}
{{- $tls := .Values.tls -}}
{{- $secrets := or $access.users (hasKey $access "jwt") (hasKey $access "http") -}}
{{- if not $listeners -}}
{{- $found = append $found "No listener is enabled: devices could not connect. Set listeners.mqtts.enabled=true, or another one." -}}
{{- end -}}
{{- $secure := list -}}
{{- $asking := list -}}
{{- $taken := dict (toString .Values.http.port) "http" -}}
{{- range $name, $listener := $listeners -}}
{{- $at := printf "listeners.%s" $name -}}
{{- if not (has $listener.protocol (list "mqtt" "mqtts" "ws" "wss")) -}}
{{- $found = append $found (printf "%s.protocol is missing: a listener that is not called mqtt, mqtts, ws or wss has to say which of them it speaks." $at) -}}
{{- end -}}
{{- if eq $name "http" -}}
{{- $found = append $found "listeners.http: the port of health and metrics is called http: give the listener another name, and say what it speaks by its protocol." -}}
{{- end -}}
{{- if hasKey $taken (toString $listener.port) -}}
{{- $found = append $found (printf "%s.port %v is taken by %s: choose another one." $at $listener.port (get $taken (toString $listener.port))) -}}
{{- end -}}
{{- $_ := set $taken (toString $listener.port) $at -}}
{{- if $listener.secure -}}
{{- $secure = append $secure $name -}}
{{- else if ne $listener.clientCertificate "none" -}}
{{- $found = append $found (printf "%s.clientCertificate needs TLS: use the protocol mqtts or wss, or set it to none." $at) -}}
{{- end -}}
{{- if ne $listener.clientCertificate "none" -}}
{{- $asking = append $asking $at -}}
{{- end -}}
{{- if and (not $listener.web) (or $listener.path $listener.origins) -}}
{{- $found = append $found (printf "%s.path and %s.origins are for WebSockets: use the protocol ws or wss, or take them out." $at $at) -}}
{{- end -}}
{{- $certificates := and (hasKey $access "certificates") (ne $listener.clientCertificate "none") -}}
{{- if not (or $listener.anonymous $secrets $certificates) -}}
{{- $found = append $found (printf "%s takes no credentials, so nobody could connect: set auth.users.existingSecret to a Secret with a user file (mqtt-broker-source passwd --file users.yaml USER), or config.access.jwt, config.access.http or config.access.certificates with clientCertificate; or, for a try, %s.anonymous=true." $at $at) -}}
{{- end -}}
{{- end -}}
{{- if and $secure (not (include "mbs.tlsSecret" .)) -}}
{{- $found = append $found (printf "listeners.%s needs a certificate: set tls.existingSecret to a Secret with tls.crt and tls.key, or tls.certManager.enabled=true with an issuer." (first $secure)) -}}
{{- end -}}
{{- if and $tls.existingSecret $tls.certManager.enabled -}}
{{- $found = append $found "tls.existingSecret and tls.certManager.enabled are both set, and there is one certificate: take one of them out." -}}
{{- end -}}
{{- if and $tls.certManager.enabled (not $tls.certManager.issuerRef.name) -}}
{{- $found = append $found "tls.certManager.issuerRef.name is missing: name the Issuer, or the ClusterIssuer with kind=ClusterIssuer." -}}
{{- end -}}
{{- if and $tls.certManager.enabled (not (or $tls.certManager.dnsNames $tls.certManager.ipAddresses $tls.certManager.clusterNames)) -}}
{{- $found = append $found "tls.certManager has neither dnsNames nor ipAddresses: say which names devices connect to." -}}
{{- end -}}
{{- if and $asking (not $tls.clientCA.existingSecret) -}}
{{- $found = append $found (printf "%s asks for client certificates: set tls.clientCA.existingSecret to a Secret with the CA certificates that they are checked against." (first $asking)) -}}
{{- end -}}
{{- if and $tls.clientCA.existingSecret (not $asking) -}}
{{- $found = append $found "tls.clientCA.existingSecret has no effect: no listener asks for client certificates. Set clientCertificate of a listener to required or optional." -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- define "mbs.mistakes.services" -}}
{{- $found := list -}}
{{- $listeners := include "mbs.listeners" . | fromYaml -}}
{{- range $name, $service := include "mbs.services" . | fromYaml -}}
{{- $at := $name | empty | ternary "service" (printf "extraServices.%s" $name) -}}
{{- $type := default "ClusterIP" $service.type -}}
{{- $outside := has $type (list "LoadBalancer" "NodePort") -}}
{{- if has $name (list "http" "headless") -}}
{{- $found = append $found (printf "%s: the chart has a Service of that name itself: choose another one." $at) -}}
{{- end -}}
{{- range $wanted := include "mbs.serviceListeners" (dict "root" $ "service" $service) | fromYamlArray -}}
{{- $listener := get $listeners $wanted -}}
{{- if not $listener -}}
{{- $found = append $found (printf "%s.listeners names %s, which is not enabled: set listeners.%s.enabled=true, or take it out." $at $wanted $wanted) -}}
{{- else if and $outside $listener.anonymous (ne $listener.clientCertificate "required") -}}
{{- $found = append $found (printf "%s is a %s that leads to listeners.%s, which lets in everyone without credentials: set listeners.%s.anonymous=false and give credentials, or name other listeners in %s.listeners, or make it a ClusterIP." $at $type $wanted $wanted $at) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "ports" "nodePorts" "appProtocols" -}}
{{- range $named := get $service $key | default dict | keys -}}
{{- if not (hasKey $listeners $named) -}}
{{- $found = append $found (printf "%s.%s names %s, which is no listener that is enabled: set listeners.%s.enabled=true, or take it out." $at $key $named $named) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if ne $type "LoadBalancer" -}}
{{- range $key := list "loadBalancerClass" "loadBalancerIP" "sourceRanges" -}}
{{- if get $service $key -}}
{{- $found = append $found (printf "%s.%s has no effect while the type is %s: set %s.type=LoadBalancer, or take it out." $at $key $type $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $outside -}}
{{- range $key := list "nodePorts" "externalTrafficPolicy" -}}
{{- if get $service $key -}}
{{- $found = append $found (printf "%s.%s has no effect while the type is ClusterIP: set %s.type to NodePort or LoadBalancer, or take it out." $at $key $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $.Values.bindAddress "0.0.0.0") (or (has "IPv6" (default list $service.ipFamilies)) (eq (default "" $service.ipFamilyPolicy) "RequireDualStack")) -}}
{{- $found = append $found (printf "%s asks for IPv6, and bindAddress is 0.0.0.0, which is IPv4 alone: set bindAddress to \"::\"." $at) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled -}}
{{- $found = append $found "metrics.podMonitor and metrics.serviceMonitor are both enabled, and everything would be counted twice: take one of them." -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- define "mbs.mistakes.redis" -}}
{{- $found := list -}}
{{- $redis := .Values.redis -}}
{{- $given := default dict (default dict .Values.config).redis -}}
{{- $config := default dict (include "mbs.config" . | fromYaml).redis -}}
{{- $kept := include "mbs.kept" . | fromYaml -}}
{{- $own := include "mbs.redis" . | fromYaml -}}
{{- $places := list -}}
{{- range $key := list "url" "sentinel" "cluster" -}}
{{- if get $config $key -}}
{{- $places = append $places (printf "%s.%s" (hasKey $own $key | ternary "redis" "config.redis") $key) -}}
{{- end -}}
{{- end -}}
{{- if gt (len $places) 1 -}}
{{- $found = append $found (printf "%s say at once where Redis is: take all but one of them out." (join " and " $places)) -}}
{{- end -}}
{{- if not $places -}}
{{- $set := list -}}
{{- range $key, $value := dict "username" $redis.username "auth.existingSecret" $redis.auth.existingSecret "auth.sentinelPasswordKey" $redis.auth.sentinelPasswordKey "tls.enabled" $redis.tls.enabled "tls.existingSecret" $redis.tls.existingSecret "keyPrefix" $redis.keyPrefix "sentinel.username" $redis.sentinel.username -}}
{{- if $value -}}
{{- $set = append $set (printf "redis.%s" $key) -}}
{{- end -}}
{{- end -}}
{{- with $set -}}
{{- $found = append $found (printf "%s: no effect while nothing says where Redis is: set redis.url, redis.sentinel or redis.cluster, or take it out." (join ", " .)) -}}
{{- end -}}
{{- if $kept.inRedis -}}
{{- $found = append $found (printf "config.%s is redis, and nothing says where Redis is: set redis.url, redis.sentinel or redis.cluster." (eq $kept.store "redis" | ternary "outbox.store" "broker.sessions")) -}}
{{- end -}}
{{- else if not $kept.inRedis -}}
{{- $found = append $found (printf "redis has no effect while config.outbox.store is %s and config.broker.sessions is %s: take one of these out of config, or %s." $kept.store $kept.sessions (first $places)) -}}
{{- end -}}
{{- if ne (empty $redis.sentinel.master) (empty $redis.sentinel.nodes) -}}
{{- $found = append $found "redis.sentinel needs both: set master to what the Sentinels call the server, and nodes to where they are." -}}
{{- end -}}
{{- $labels := dict "url" "url" "sentinel" "sentinel" "cluster" "cluster" "username" "username" "passwordFile" "auth.existingSecret" -}}
{{- range $key, $label := $labels -}}
{{- if and (hasKey $own $key) (hasKey $given $key) -}}
{{- $found = append $found (printf "redis.%s and config.redis.%s are both set: take one of them out." $label $key) -}}
{{- end -}}
{{- end -}}
{{- if and $redis.keyPrefix (hasKey $given "keyPrefix") -}}
{{- $found = append $found "redis.keyPrefix and config.redis.keyPrefix are both set: take one of them out." -}}
{{- end -}}
{{- range $key, $_ := default dict $own.tls -}}
{{- if hasKey (default dict $given.tls) $key -}}
{{- $found = append $found (printf "redis.tls and config.redis.tls both have %s: take one of them out." $key) -}}
{{- end -}}
{{- end -}}
{{- if and $config.username (not $config.passwordFile) -}}
{{- $found = append $found "redis.username needs a password: set redis.auth.existingSecret to a Secret that has it." -}}
{{- end -}}
{{- if and $places $redis.auth.sentinelPasswordKey (not (and $redis.auth.existingSecret $redis.sentinel.master)) -}}
{{- $found = append $found "redis.auth.sentinelPasswordKey has no effect without redis.auth.existingSecret and redis.sentinel: set both, or take it out." -}}
{{- end -}}
{{- if and $places $redis.sentinel.username (not $redis.sentinel.master) (not $redis.sentinel.nodes) -}}
{{- $found = append $found "redis.sentinel.username has no effect without redis.sentinel.master and nodes: set them, or take it out." -}}
{{- end -}}
{{- if and (dig "sentinel" "username" "" $config) (not (dig "sentinel" "passwordFile" "" $config)) (not $redis.auth.sentinelPasswordKey) -}}
{{- $found = append $found "redis.sentinel.username needs a password: set redis.auth.sentinelPasswordKey to its key in the Secret of redis.auth.existingSecret." -}}
{{- end -}}
{{- if and (hasPrefix "redis:" (default "" $config.url)) (hasKey $config "tls") -}}
{{- $found = append $found "redis.url is redis:// while redis.tls asks for TLS: write rediss://, or take redis.tls out." -}}
{{- end -}}
{{- if ne (empty $redis.tls.certKey) (empty $redis.tls.keyKey) -}}
{{- $found = append $found "redis.tls.certKey and redis.tls.keyKey belong together: name both, or none." -}}
{{- else if and $redis.tls.certKey (not $redis.tls.existingSecret) -}}
{{- $found = append $found "redis.tls.certKey and redis.tls.keyKey are keys of redis.tls.existingSecret, which is not set: name the Secret." -}}
{{- end -}}
{{- if and $redis.tls.existingSecret (not (or $redis.tls.caKey $redis.tls.certKey $redis.tls.keyKey)) -}}
{{- $found = append $found "redis.tls.existingSecret has no effect: name what is in it by redis.tls.caKey, or by certKey and keyKey." -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- define "mbs.mistakes.group" -}}
{{- $found := list -}}
{{- $kept := include "mbs.kept" . | fromYaml -}}
{{- $scaling := .Values.autoscaling -}}
{{- $config := include "mbs.config" . | fromYaml -}}
{{- if and (include "mbs.several" .) (not $kept.shared) -}}
{{- $what := $scaling.enabled | ternary "autoscaling.enabled is true" (printf "replicas is %v" .Values.replicas) -}}
{{- $found = append $found (printf "%s, and pods share nothing but what is in Redis, while outbox.store is %s and broker.sessions is %s: set redis.url, redis.sentinel or redis.cluster with persistence.enabled=false, and take these two out of config; or have one pod." $what $kept.store $kept.sessions) -}}
{{- end -}}
{{- if and (eq $kept.store "redis") (ne $kept.sessions "disk") .Values.persistence.enabled -}}
{{- $found = append $found "persistence.enabled is true while outbox.store is redis, and the volume would be empty: set persistence.enabled=false." -}}
{{- end -}}
{{- if $scaling.enabled -}}
{{- if ne (int .Values.replicas) 1 -}}
{{- $found = append $found (printf "replicas is %v, and has no effect while autoscaling.enabled is true: take it out, and use autoscaling.minReplicas and maxReplicas." .Values.replicas) -}}
{{- end -}}
{{- if lt (int $scaling.maxReplicas) (int $scaling.minReplicas) -}}
{{- $found = append $found (printf "autoscaling.maxReplicas is %v, less than autoscaling.minReplicas (%v): make it larger." $scaling.maxReplicas $scaling.minReplicas) -}}
{{- end -}}
{{- if not (or $scaling.connections $scaling.publishesPerSecond $scaling.cpu) -}}
{{- $found = append $found "autoscaling has nothing to go by: set autoscaling.connections, publishesPerSecond or cpu." -}}
{{- end -}}
{{- $most := dig "limits" "connections" (.Files.Get "files/program.yaml" | fromYaml).limits.connections $config | int64 -}}
{{- if gt (mul 5 (int64 $scaling.connections)) (mul 4 $most) -}}
{{- $found = append $found (printf "autoscaling.connections is %v, and a pod takes %d (config.limits.connections): it would be full before there is another one. Set it to %d or less, or raise that limit." $scaling.connections $most (div (mul 4 $most) 5)) -}}
{{- end -}}
{{- if and $scaling.cpu (not (dig "requests" "cpu" "" .Values.resources)) -}}
{{- $found = append $found "autoscaling.cpu is a part of resources.requests.cpu, which is not set: set it, or take autoscaling.cpu out." -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{- define "mbs.mistakes.pod" -}}
{{- $found := list -}}
{{- $config := include "mbs.config" . | fromYaml -}}
{{- $program := .Files.Get "files/program.yaml" | fromYaml -}}
{{- $delay := include "mbs.seconds" (dig "drain" "delay" "PT0S" $config) | float64 -}}
{{- $window := include "mbs.seconds" (dig "drain" "window" "PT0S" $config) | float64 -}}
{{- $grace := include "mbs.seconds" (dig "delivery" "grace" $program.delivery.grace $config) | float64 -}}
{{- $answer := 0.0 -}}
{{- $more := "" -}}
{{- if (include "mbs.kept" . | fromYaml).inRedis -}}
{{- $answer = include "mbs.seconds" (dig "redis" "timeout" $program.redis.timeout $config) | float64 -}}
{{- $more = " + config.redis.timeout" -}}
{{- end -}}
{{- $needed := addf $delay $window $grace $answer 5 | ceil | int -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) $needed -}}
{{- $found = append $found (printf "terminationGracePeriodSeconds is %v, and ending the pod takes up to %d s (drain.delay + drain.window + config.delivery.grace%s + 5): set it to %d or more, or make these shorter." .Values.terminationGracePeriodSeconds $needed $more $needed) -}}
{{- end -}}
{{- $most := include "mbs.bytes" (dig "outbox" "maxBytes" $program.outbox.maxBytes $config) | float64 -}}
{{- $room := .Values.persistence.enabled | ternary .Values.persistence.size .Values.persistence.emptyDir.sizeLimit -}}
{{- $where := .Values.persistence.enabled | ternary "persistence.size" "persistence.emptyDir.sizeLimit" -}}
{{- if and (not .Values.persistence.existingClaim) (eq (dig "outbox" "store" "disk" $config) "disk") (lt (include "mbs.bytes" $room | float64) (mulf 2 $most)) -}}
{{- $found = append $found (printf "%s is %s, less than twice what the outbox may take (%v): the files of the outbox need up to twice its size while they are tidied. Make it larger, or set config.outbox.maxBytes." $where $room (dig "outbox" "maxBytes" $program.outbox.maxBytes $config)) -}}
{{- end -}}
{{- if and (eq (dig "broker" "sessions" "memory" $config) "disk") (not .Values.persistence.enabled) -}}
{{- $found = append $found "config.broker.sessions is disk while persistence.enabled is false: sessions would be gone with the pod. Set persistence.enabled=true, or config.broker.sessions to memory." -}}
{{- end -}}
{{- if and .Values.persistence.existingClaim (not .Values.persistence.enabled) -}}
{{- $found = append $found "persistence.existingClaim has no effect while persistence.enabled is false: set persistence.enabled=true, or take it out." -}}
{{- end -}}
{{- range $key := list "listeners" "dataDir" "http" -}}
{{- if hasKey (default dict $.Values.config) $key -}}
{{- $instead := get (dict "listeners" "listeners and bindAddress" "dataDir" "persistence; the outbox is in /data" "http" "http.port and bindAddress") $key -}}
{{- $found = append $found (printf "config.%s cannot be set there, for ports, Services and volumes hang on it: use %s of the values." $key $instead) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if regexMatch "^MBS_(LISTENERS|HTTP|DATA_DIR)" .name -}}
{{- $found = append $found (printf "extraEnv sets %s, which ports, Services and volumes hang on: use listeners, http.port and bindAddress of the values." .name) -}}
{{- end -}}
{{- if regexMatch "^MBS_(OUTBOX_STORE$|BROKER_SESSIONS$|REDIS)" .name -}}
{{- $found = append $found (printf "extraEnv sets %s, which the kind of workload, its volumes and the number of pods hang on: use redis, config.outbox and config.broker of the values." .name) -}}
{{- end -}}
{{- if has .name (list "NAME" "NAMESPACE") -}}
{{- $found = append $found (printf "extraEnv sets %s, which the chart sets itself: use config.name, and the namespace of the release." .name) -}}
{{- end -}}
{{- end -}}
{{- $access := default dict (default dict .Values.config).access -}}
{{- if and .Values.auth.users.existingSecret (hasKey $access "users") -}}
{{- $found = append $found "auth.users.existingSecret and config.access.users both name a user file: take one of them out." -}}
{{- end -}}
{{- if and .Values.auth.permissions.existingSecret (or (hasKey $access "permissions") (hasKey $access "permissionsFile")) -}}
{{- $found = append $found "auth.permissions.existingSecret and config.access both have permissions: take one of them out." -}}
{{- end -}}
{{- if and .Values.tests.username (not .Values.tests.passwordSecret.name) -}}
{{- $found = append $found "tests.passwordSecret.name is missing: name the Secret with the password of tests.username." -}}
{{- end -}}
{{- if and .Values.tests.enabled .Values.tests.listener (not (include "mbs.testListener" .)) -}}
{{- $found = append $found (printf "tests.listener %s is none that helm test can get in at: it has to be enabled and led to by a Service, without the PROXY protocol and required client certificates, and anonymous or with tests.username." .Values.tests.listener) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

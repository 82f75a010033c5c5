/**
 * The one table of errors. Each entry has a sentence and a remedy; docs/errors.md is generated from it. A code that is
 * retired is never used again. Errors are made by errors.ts alone.
 */

export interface ErrorEntry {
  /** What happened, in one sentence. `{name}` is filled in from the details. */
  readonly message: string
  /** What the reader can do about it. */
  readonly help: string
  /** True where the same call may succeed later without anything being changed. */
  readonly retryable?: boolean
  /** The CONNACK return code that a device sees [MQTT-3.2.2.3]. */
  readonly connack?: 1 | 2 | 3 | 4 | 5
  /** The exit code of the program where the error ends it; 1 unless given. */
  readonly exitCode?: number
}

/** Exit code of a configuration that cannot be used (EX_CONFIG of sysexits.h). */
export const EXIT_CONFIG = 78

export const table = {
  // ---- configuration ------------------------------------------------------------------------------------------
  MBS_ERR_CONFIG_FILE: {
    message: 'The configuration file {file} cannot be read: {reason}.',
    help: 'Check the path given with --config and that this user may read it.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_CONFIG_SYNTAX: {
    message: 'The configuration file {file} is not valid YAML: {reason}.',
    help: 'Correct the line that is named; YAML indents with spaces, never with tabs.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_CONFIG_INVALID: {
    message: 'The configuration has {count} mistake(s): {problems}',
    help: 'Correct each setting that is named; `mqtt-broker-source check --config FILE` lists them again, and docs/configuration.md says what is allowed.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_CONFIG_ANONYMOUS: {
    message: 'The listener {listener} is reachable from other machines and would let anyone in.',
    help: 'Say in `access` how devices prove who they are (docs/security.md), bind it to 127.0.0.1 or ::1, or write `anonymous: true` at this very listener if everyone who reaches it may publish.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_CLI_USAGE: {
    message: 'The command line is not understood: {reason}.',
    help: 'Run `mqtt-broker-source --help` for the commands and their options.',
    exitCode: EXIT_CONFIG
  },

  // ---- listeners and the frame gate -----------------------------------------------------------------------------
  MBS_ERR_LISTENER_BIND: {
    message: 'The listener {listener} cannot be opened: {reason}.',
    help: 'Stop the program that uses the port or socket, or give this listener another `port`, `host` or `socket`.'
  },
  MBS_ERR_LISTENER_TLS: {
    message: 'The TLS files of the listener {listener} cannot be used: {reason}.',
    help: 'Check that `tls.cert`, `tls.key`, `tls.ca` and `tls.crl` are PEM files which this user may read, and that key and certificate belong together.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_LISTENER_HANDSHAKE: {
    message: 'A TLS handshake failed: {reason}; the connection was closed.',
    help: 'Check that the client speaks the TLS versions allowed, trusts the certificate of this broker, and has a valid certificate of its own where `tls.clientCertificate` asks for one.'
  },
  MBS_ERR_LISTENER_PROXY: {
    message: 'The PROXY header of a connection cannot be used: {reason}; the connection was closed.',
    help: 'Make the load balancer send the PROXY protocol, version 1 or 2, to this listener; or remove `proxyProtocol` from it.'
  },
  MBS_ERR_LISTENER_PROXY_UNTRUSTED: {
    message: 'A connection came past the load balancers, from an address that is not in `proxyProtocol.trusted`; it was closed.',
    help: 'Add the address if it is that of a load balancer; devices that connect directly need a listener without `proxyProtocol`.'
  },
  MBS_ERR_LISTENER_UPGRADE: {
    message: 'A connection did not become a WebSocket: {reason}; it was closed.',
    help: 'Connect to the `path` of the listener with the subprotocol mqtt; for a page in a browser, add its origin to the `origins` of the listener.'
  },
  MBS_ERR_GATE_WEBSOCKET: {
    message: 'The WebSocket frames received cannot be used: {reason}; the connection was closed.',
    help: 'Send MQTT in binary frames, none larger than limits.packetBytes or 64 KiB, whichever is more.'
  },
  MBS_ERR_GATE_PACKET_TOO_LARGE: {
    message: 'A packet of {bytes} bytes is larger than limits.packetBytes ({maxBytes}); the connection was closed.',
    help: 'Send smaller messages, or raise limits.packetBytes.'
  },
  MBS_ERR_GATE_MALFORMED: {
    message: 'The bytes received are not MQTT: {reason}; the connection was closed.',
    help: 'Check that the client speaks MQTT 3.1 or 3.1.1, and TLS only to an mqtts listener.'
  },
  MBS_ERR_GATE_CONNECT_EXPECTED: {
    message: 'The first packet was not CONNECT; the connection was closed [MQTT-3.1.0-1].',
    help: 'Check that the client speaks MQTT, and TLS only to an mqtts listener.'
  },
  MBS_ERR_GATE_CONNECT_TIMEOUT: {
    message: 'No session was established within limits.connectTimeout ({timeoutMs} ms); the connection was closed.',
    help: 'Send CONNECT at once after connecting; raise limits.connectTimeout for very slow links.'
  },
  MBS_ERR_GATE_PACKET_TIMEOUT: {
    message: 'A packet was begun and not finished within limits.packetTimeout ({timeoutMs} ms); the connection was closed.',
    help: 'Send whole packets, or raise limits.packetTimeout for very slow links.'
  },
  MBS_ERR_GATE_KEEPALIVE: {
    message: 'Nothing arrived for 1.5 times the keep alive of {keepAliveSeconds} s; it was closed [MQTT-3.1.2-24].',
    help: 'Check the network; the client has to send PINGREQ within its keep alive time.'
  },
  MBS_ERR_GATE_SLOW_READER: {
    message: 'The client does not read what is sent to it: {reason}; the connection was closed.',
    help: 'Check the network and whether the client keeps up; let it subscribe to less, or raise limits.unreadBytes for bursts.'
  },
  MBS_ERR_GATE_SUBSCRIPTIONS: {
    message: 'A SUBSCRIBE or UNSUBSCRIBE has more than limits.subscriptionsPerPacket ({max}) topic filters; the connection was closed.',
    help: 'Subscribe and unsubscribe in several packets, or raise limits.subscriptionsPerPacket.'
  },
  MBS_ERR_LIMIT_CONNECTIONS: {
    message: 'There are limits.connections ({max}) connections already; this one was closed.',
    help: 'Raise limits.connections (and the open file limit), or spread the devices over several brokers.',
    retryable: true
  },
  MBS_ERR_LIMIT_ADDRESS: {
    message: 'The address has limits.connectionsPerAddress ({max}) connections already; this one was closed.',
    help: 'Raise limits.connectionsPerAddress where many devices come from one address (behind NAT, a load balancer, a proxy), or set it to 0.',
    retryable: true
  },
  MBS_ERR_LIMIT_IDENTITY: {
    message: 'The user has limits.connectionsPerIdentity ({max}) sessions already; this connection was closed.',
    help: 'Give each device a user of its own, raise limits.connectionsPerIdentity, or set it to 0.',
    retryable: true
  },
  MBS_ERR_LIMIT_SUBSCRIPTIONS: {
    message: 'A subscription was denied, because there are too many already (limits.{setting}, {max}).',
    help: 'Unsubscribe from what is no longer needed, subscribe with wildcards, or raise limits.subscriptionsPerClient or limits.subscriptionBytes.'
  },
  MBS_ERR_LIMIT_RETAINED: {
    message: 'There is no room for another retained message (limits.{setting}, {max}); this one was forwarded and not retained.',
    help: 'Delete retained messages with an empty one on their topic, or raise limits.retainedMessages and limits.retainedBytes.'
  },
  MBS_ERR_LIMIT_SESSIONS: {
    message: 'There are limits.sessions ({max}) persistent sessions already; this one ends with its connection.',
    help: 'Connect with a clean session where nothing is subscribed, shorten limits.sessionExpiry, or raise limits.sessions.',
    retryable: true
  },
  MBS_ERR_LIMIT_QUEUE: {
    message: 'A message was not kept for a session that has not taken what waits for it (limits.{setting}, {max}).',
    help: 'Let the client connect more often, raise limits.queuedMessages, limits.queuedBytes and limits.queuedBytesTotal, or subscribe at QoS 0.'
  },

  // ---- broker -----------------------------------------------------------------------------------------------------
  MBS_ERR_BROKER_MQTT5: {
    message: 'A client asked for MQTT 5, which this broker does not speak.',
    help: 'Configure the client for MQTT 3.1.1 (protocol version 4).',
    connack: 1
  },
  MBS_ERR_BROKER_CLIENT_ID: {
    message: 'The client identifier is not usable: {reason}.',
    help: 'Use a non-empty UTF-8 identifier without NUL; an empty one needs a clean session [MQTT-3.1.3-7].',
    connack: 2
  },
  MBS_ERR_BROKER_WILL: {
    message: 'The will is not usable: {reason}.',
    help: 'A will needs a topic without wildcards that does not begin with $, but for those of a preset [MQTT-3.3.2-2].',
    connack: 5
  },
  MBS_ERR_BROKER_TOPIC: {
    message: 'The topic is not usable: {reason}; the connection was closed.',
    help: 'Publish to a topic without wildcards and NUL that does not begin with $ (but for those of events.presets), of at most limits.topicBytes bytes and limits.topicLevels levels.'
  },
  MBS_ERR_BROKER_FILTER: {
    message: 'The topic filter is not allowed: {reason}.',
    help: 'Use # and + as whole levels, # last; $SYS and $share cannot be subscribed, $aws and $iothub as far as events.presets say.'
  },
  MBS_ERR_BROKER_PROTOCOL: {
    message: 'The client did what MQTT does not allow: {reason}; the connection was closed.',
    help: 'Check the client, or report it to its makers: the reason says which rule it broke.'
  },
  MBS_ERR_BROKER_UNAVAILABLE: {
    message: 'The broker cannot store publishes at the moment; the connection was closed.',
    help: 'The device tries again by itself; see the log and /readyz for why the outbox does not store.',
    retryable: true
  },

  // ---- access ------------------------------------------------------------------------------------------------------
  MBS_ERR_ACCESS_KEYS: {
    message: 'The keys that tokens are checked with cannot be taken from {source}: {reason}.',
    help: 'Give a JWK Set (JSON) or its URL in access.jwt.jwks, or a PEM file in access.jwt.publicKey, with keys for access.jwt.algorithms. What was in force stays so: keys of a file until it is right, keys of a URL for access.jwt.maxAge.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_ACCESS_HOOK: {
    message: 'The authentication hook {url} cannot be asked: {reason}.',
    help: 'Check access.http, and that the service answers 200 with JSON, 204, 401 or 403 within access.http.timeout (docs/tokens.md). Nobody is let in by it meanwhile.',
    retryable: true
  },
  MBS_ERR_ACCESS_URL: {
    message: 'The URL {url} cannot be asked about devices: {reason}.',
    help: 'Give an absolute URL without user, password and fragment; access.jwt.jwks is https://, or http:// on loopback.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_ACCESS_CREDENTIALS: {
    message: 'The credentials are refused: {reason}.',
    help: 'Correct what the device shows, or change it here: `mqtt-broker-source passwd USER` sets a password. The field `reason` of the log says more.',
    connack: 4
  },
  MBS_ERR_ACCESS_DENIED: {
    message: 'The device is not let in: {reason}.',
    help: 'Give the device credentials of a kind that `access` names: user name and password, or a client certificate.',
    connack: 5
  },
  MBS_ERR_ACCESS_CLIENT_ID: {
    message: 'The client identifier is not one that this user may take.',
    help: 'Give the device the client identifier that `access.clientId`, or `clientId` of this user in the user file, asks for.',
    connack: 5
  },
  MBS_ERR_ACCESS_ATTEMPTS: {
    message: 'Wrong credentials came too often from this address or for this user; nothing is looked at for a while.',
    help: 'Correct the devices that show wrong credentials; access.attempts says how many may fail. The device tries again by itself.',
    retryable: true
  },
  MBS_ERR_ACCESS_UNAVAILABLE: {
    message: 'It cannot be told at the moment who this is: {reason}; the connection was closed.',
    help: 'The device tries again by itself. Where it lasts, look in the log for what keeps credentials from being checked.',
    retryable: true
  },
  MBS_ERR_ACCESS_EXPIRED: {
    message: 'The credentials of the session have expired; the connection was closed.',
    help: 'The device has to connect again with new credentials, such as a token that is valid longer.'
  },
  MBS_ERR_ACCESS_USERS: {
    message: 'The user file {file} cannot be used: {reason}.',
    help: 'Correct what is named; `mqtt-broker-source passwd --file FILE USER` makes entries. A running program goes on with the last good file.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_ACCESS_PERMISSIONS: {
    message: 'The permissions file {file} cannot be used: {reason}.',
    help: 'Correct what is named; the file has `permissions:` with a list like that of access.permissions (docs/permissions.md). While the program runs, the permissions that it had stay in force.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_ACCESS_PUBLISH: {
    message: 'The client may not publish to the topic {topic}.',
    help: 'Correct the client, or allow the topic in access.permissions: `mqtt-broker-source check --as USER --topic TOPIC` says which rule decides. access.deniedPublish says what becomes of such a publish.'
  },
  MBS_ERR_ACCESS_SUBSCRIBE: {
    message: 'The client may not subscribe to the topic filter {filter}.',
    help: 'Everything that a filter matches has to be allowed in access.permissions, and nothing of it denied: `mqtt-broker-source check --as USER --topic FILTER --subscribe` says which rule decides.'
  },
  MBS_ERR_ACCESS_WILL: {
    message: 'The client may not publish its will to the topic {topic}.',
    help: 'Correct the will of the client, or allow its topic under `publish` in access.permissions.',
    connack: 5
  },

  // ---- ingest -----------------------------------------------------------------------------------------------------
  MBS_ERR_INGEST_TIMEOUT: {
    message: 'The outbox did not store the publish within limits.publishTimeout ({timeoutMs} ms); it was not acknowledged.',
    help: 'The device sends it again on reconnect. Check the disk for load or faults (iostat, dmesg).',
    retryable: true
  },
  MBS_ERR_INGEST_UNDELIVERED: {
    message: 'The sinks have not taken an event whose rule says ack: delivered: {reason}; the publish was not acknowledged.',
    help: 'The device sends it again on reconnect, and waits for the same event. See the log for the sink that is down; `ack: stored` does not wait for sinks.',
    retryable: true
  },
  MBS_ERR_MAPPING_RULE: {
    message: 'The rule events.rules[{index}] cannot be used: {reason}.',
    help: 'Correct it; `mqtt-broker-source check` says all that is wrong with the rules, and docs/mapping.md what they can be.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_MAPPING_SOURCE: {
    message: 'The template events.lifecycle.source cannot be used: {reason}.',
    help: 'Correct it; docs/lifecycle.md says which placeholders there are.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_INGEST_LIFECYCLE: {
    message: 'More than {maxBytes} bytes of life-cycle events wait for the outbox; this one was left out.',
    help: 'Nothing else is concerned: devices go on and publishes are stored in their turn. See the log and /readyz for why the outbox does not store, and ask for fewer in events.lifecycle.events.'
  },
  MBS_ERR_MAPPING_SCHEMA: {
    message: 'The JSON Schema {file} cannot be used: {reason}.',
    help: 'Give a file with one JSON Schema (draft-07 or 2020-12) that refers to nothing outside of it; docs/mapping.md says what it can be.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_MAPPING_REFUSED: {
    message: 'The rule events.rules[{index}] refuses the publish: {reason}; it was not acknowledged.',
    help: 'Correct what the device sends: it will send the same again until it fits. `otherwise: deadLetter` in the rule stores such publishes as dead letters instead.'
  },
  MBS_ERR_MAPPING_TRANSFORMER: {
    message: 'Transforms cannot be evaluated at present: {reason}; the publish was not acknowledged.',
    help: 'They run in a process of their own: check that this user may start processes, and that there is memory for one more. The device sends the message again on reconnect.',
    retryable: true
  },
  MBS_ERR_INGEST_MAPPING: {
    message: 'The publish could not be made a CloudEvent: {reason}; it was not acknowledged.',
    help: 'This is a defect of the program: please report it with the topic and the configuration.'
  },
  MBS_ERR_INGEST_APPEND: {
    message: 'The outbox failed in a way that was not foreseen: {reason}; the publish was not acknowledged.',
    help: 'This is a defect of the program: please report it with the log. The device sends the message again on reconnect.',
    retryable: true
  },
  MBS_ERR_INGEST_CLOSING: {
    message: 'The program is shutting down; the publish was not acknowledged.',
    help: 'The device sends it again when it has reconnected.',
    retryable: true
  },

  // ---- outbox -----------------------------------------------------------------------------------------------------
  MBS_ERR_OUTBOX_DIRECTORY: {
    message: 'The outbox directory {directory} cannot be used: {reason}.',
    help: 'Set dataDir to a directory on a writable disk which this user may write.'
  },
  MBS_ERR_OUTBOX_LOCKED: {
    message: 'The outbox directory {directory} is in use by another process.',
    help: 'Stop the other process, or give each its own dataDir.'
  },
  MBS_ERR_OUTBOX_CORRUPT: {
    message: 'The outbox in {directory} is damaged and cannot be opened: {reason}.',
    help: 'Keep a copy of the directory, check the disk, then move the directory away to begin with an empty outbox.'
  },
  MBS_ERR_OUTBOX_DAMAGED: {
    message: '{count} stored event(s) cannot be read any more: {reason}; the others are kept and delivered.',
    help: 'Check the disk and its file system. What was lost are the sequence numbers named in the log.'
  },
  MBS_ERR_OUTBOX_WRITE: {
    message: 'The outbox could not write to {directory}: {reason}; nothing is acknowledged until it can.',
    help: 'Free space on the disk or make it writable again; the program tries again by itself.',
    retryable: true
  },
  MBS_ERR_OUTBOX_FULL: {
    message: 'The outbox holds outbox.maxBytes ({maxBytes} bytes) of undelivered events; the publish was not acknowledged.',
    help: 'Bring the sink back, raise outbox.maxBytes, or remove dead letters. The device sends it again on reconnect.',
    retryable: true
  },
  MBS_ERR_OUTBOX_TOO_LARGE: {
    message: 'The event of {bytes} bytes is larger than the whole outbox may be (outbox.maxBytes, {maxBytes}).',
    help: 'Raise outbox.maxBytes well above limits.packetBytes.'
  },
  MBS_ERR_OUTBOX_DEAD_LETTERS: {
    message: 'The event is one to set aside, and dead letters fill {bytes} bytes, a quarter of the outbox; the publish was not acknowledged.',
    help: 'See with outbox dead-letters what is wrong with these events, mend their rule or their device, then requeue or discard them.'
  },
  MBS_ERR_OUTBOX_EVENT: {
    message: 'The event cannot be written to the outbox: {reason}; the publish was not acknowledged.',
    help: 'This is a defect of the program: please report it with the topic and the configuration.'
  },
  MBS_ERR_OUTBOX_CLOSED: {
    message: 'The outbox is closed.',
    help: 'The program is shutting down; the device sends its message again when it has reconnected.',
    retryable: true
  },

  // ---- sink ---------------------------------------------------------------------------------------------------------
  MBS_ERR_SINK_URL: {
    message: 'The sink URL {url} cannot be used: {reason}.',
    help: 'Give an absolute http:// or https:// URL in sink.url, K_SINK or --sink.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_SINK_CA: {
    message: 'The CA certificates for the sink cannot be used: {reason}.',
    help: 'Give PEM certificates in sink.ca (a file) or K_CA_CERTS (the text).',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_SINK_TLS: {
    message: 'The client certificate for the sink cannot be used: {reason}.',
    help: 'Check that `tls.cert` and `tls.key` of the sink are PEM files which this user may read, and that key and certificate belong together.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_SINK_CREDENTIALS: {
    message: 'The credentials for the sink cannot be used: {reason}.',
    help: 'Check the files that `headers` and `auth` of the sink name (docs/sinks.md): one line each, which this user may read.',
    exitCode: EXIT_CONFIG
  },
  MBS_ERR_SINK_TOKEN: {
    message: 'The token endpoint {url} gave no token: {reason}.',
    help: 'Check `auth.oauth2` of the sink, and that the service is up (docs/sinks.md). Events wait meanwhile; the program asks again by itself.',
    retryable: true
  },
  MBS_ERR_SINK_OVERRIDES: {
    message: 'K_CE_OVERRIDES cannot be used: {reason}.',
    help: 'Give JSON like {"extensions":{"name":"value"}}: names of a-z and 0-9, none a CloudEvents attribute, values texts.',
    exitCode: EXIT_CONFIG
  },

  // ---- files that are read again, display, admin --------------------------------------------------------------------
  MBS_ERR_RELOAD_FAILED: {
    message: 'The {what} could not be taken over: {reason}; what was in force before still is.',
    help: 'Correct the files, `mqtt-broker-source check` says what is wrong with them. They are read again when they change, and on SIGHUP.'
  },
  MBS_ERR_DISPLAY_EVENT: {
    message: 'The request is not a CloudEvent: {reason}.',
    help: 'POST a CloudEvent in binary, structured or batched content mode [CE-HTTP 3].'
  },
  MBS_ERR_HTTP_BIND: {
    message: 'The HTTP server cannot listen on {address}: {reason}.',
    help: 'Stop the program that uses it, or choose another one: http.port or MBS_HTTP_PORT; for `display`, its --port.'
  },
  MBS_ERR_CLOUDEVENT_ATTRIBUTE: {
    message: 'The CloudEvents attribute {name} is not valid: {reason}.',
    help: 'Names are 1 to 20 of a-z and 0-9; values are strings, booleans or 32-bit integers, without control characters.'
  },
  MBS_ERR_SOURCE_CLOSED: {
    message: 'The source has been closed and cannot be started again.',
    help: 'Make a new one with createSource().'
  }
} as const satisfies Record<string, ErrorEntry>

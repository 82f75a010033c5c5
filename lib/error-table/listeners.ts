/** What goes wrong between a device and the broker: listeners, the frame gate, limits. */
import { EXIT_CONFIG, type ErrorEntry } from './entry.ts'

export const listenerErrors = {
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
  }
} as const satisfies Record<string, ErrorEntry>

/**
 * The nouns that pass between the stages. Types only: a stage that needs behaviour brings its own.
 *
 * device -> Publish -> (mapping) -> Event -> (outbox) -> StoredEvent -> (delivery) -> sink
 */

/** MQTT quality of service [MQTT-4.3]. */
export type QoS = 0 | 1 | 2

/** Who published, as far as the broker knows. */
export interface ClientIdentity {
  /** The MQTT client identifier [MQTT-3.1.3-3]. */
  readonly id: string
  /** The name that was proven. */
  readonly username?: string
  /** The certificate that was proven. */
  readonly certificate?: PeerCertificate
  /** How it was proven; absent where nobody knows. */
  readonly method?: AuthMethod
}

/** The certificate with which a device proved itself in TLS; valid by the CA of its listener. */
export interface PeerCertificate {
  /** The common name of its subject. */
  readonly cn?: string
  /** Its subject alternative names in order; types as OpenSSL prints them: `DNS`, `URI`, `email`, `IP Address`. */
  readonly sans: ReadonlyArray<{ readonly type: string, readonly value: string }>
  /** SHA-256 over the certificate (DER), as 64 lower-case hex digits. */
  readonly fingerprint: string
}

/** What a device shows of itself when it asks for a session. */
export interface Credentials {
  /** The MQTT client identifier [MQTT-3.1.3-3]. */
  readonly clientId: string
  readonly username?: string
  readonly password?: Buffer
  readonly certificate?: PeerCertificate
  /** The IP address of the device, without its port. */
  readonly address: string
  /** The listener at which it arrived. */
  readonly listener: string
  /** True where the bytes came over TLS. */
  readonly secure: boolean
  /** True where that listener lets clients in that show nothing. */
  readonly anonymous: boolean
}

/** How a session proved who it is. */
export type AuthMethod = 'anonymous' | 'password' | 'certificate' | 'jwt' | 'http'

/** Who a session is, once that was checked. Never changes while the session lasts. */
export interface Identity {
  /** The MQTT client identifier [MQTT-3.1.3-3]. */
  readonly clientId: string
  readonly method: AuthMethod
  /** The name that was proven; absent for anonymous sessions. */
  readonly username?: string
  readonly certificate?: PeerCertificate
  /** The claims of its token. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** Milliseconds since the epoch at which the session has to end, as its token does. */
  readonly expiresAt?: number
}

/** One PUBLISH of a device, or its will, as the broker hands it to ingest. */
export interface Publish {
  readonly client: ClientIdentity
  readonly topic: string
  /** The application message. Ingest may keep it: it must not be a view on a read buffer. */
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  /** The DUP flag [MQTT-3.3.1-1]: the device believes that it sent this one before. */
  readonly dup: boolean
  /** The packet identifier; absent at QoS 0 and for wills. */
  readonly messageId?: number
  /** True for a will, which is published because its device went away [MQTT-3.1.2-8]. */
  readonly will: boolean
  /** The id of its event, for a will that another program may publish as well; absent: it gets a new one. */
  readonly eventId?: string
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
}

/** What is known of a session from its CONNACK on. */
export interface SessionFacts {
  readonly client: ClientIdentity
  readonly authMethod: AuthMethod
  /** As in CONNECT: 3 is MQTT 3.1, 4 is MQTT 3.1.1. */
  readonly protocolVersion: number
  /** It ends with its connection. */
  readonly cleanSession: boolean
  /** It was there before this connection. */
  readonly sessionPresent: boolean
  /** 0: none. */
  readonly keepAliveSeconds: number
  /** The listener at which it arrived. */
  readonly listener: string
  /** Address and port of the other side. */
  readonly address: string
  readonly willTopic?: string
}

/** Why the connection of a session ended: docs/lifecycle.md says what each means. */
export type EndReason =
  'clean' | 'keepalive' | 'takenover' | 'kicked' | 'protocol-error' | 'server-shutdown' | 'connection-lost'

/** How the connection of a session ended. */
export interface SessionEnd {
  readonly reason: EndReason
  /** The code of the error (docs/errors.md), where there was one. */
  readonly code?: string
  readonly durationMs: number
  /** PUBLISH packets that came, retransmissions among them. */
  readonly messagesReceived: number
}

/** One thing that happened to a session. */
export type LifecycleChange = { readonly session: SessionFacts } & (
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected', readonly end: SessionEnd }
  | { readonly kind: 'subscribed', readonly subscriptions: ReadonlyArray<{ readonly filter: string, readonly qos: QoS }> }
  | { readonly kind: 'unsubscribed', readonly filters: readonly string[] }
)

/** A value of a CloudEvents extension attribute [CE 3.1]. */
export type ExtensionValue = string | number | boolean

/** Where something stands in a trace, as W3C Trace Context has it. */
export interface TraceContext {
  readonly traceparent: string
  readonly tracestate?: string
}

/** What the program itself does with an event. Stored beside it; no sink is told. */
export interface Handling {
  /** When its publish is answered: at once, or when every sink has taken the event. `stored` unless given. */
  readonly ack?: 'received' | 'delivered'
  /** Milliseconds since the epoch; what is not delivered then is not delivered any more [CE expirytime]. */
  readonly expiresAt?: number
  /** While it is not delivered, a newer event of the same key makes it irrelevant. */
  readonly supersede?: string
  /** No other sink than the one of this name gets it. */
  readonly only?: string
  /** It is a dead letter from the beginning, and no sink gets it. */
  readonly aside?: Aside
  /** Its extension `sequence` looks like one that the outbox gives, and is not. */
  readonly ownSequence?: true
  /** The span of its publish, which attempts to deliver it belong to. */
  readonly trace?: TraceContext
}

/**
 * Why an event cannot be what its rule wants: a field has no value, its transform failed, its data fits no schema, what
 * its device made is no CloudEvent or not one that it may make.
 */
export interface Aside {
  readonly reason: 'missing' | 'transform' | 'schema' | 'invalid'
  /** One sentence, without payloads. */
  readonly detail: string
  /** What was published where, and by whom: no attribute may tell. */
  readonly topic?: string
  readonly clientId?: string
}

/** A CloudEvent as this program stores and delivers it. Never edited once it is stored. */
export interface Event {
  /** With `source`, what tells a duplicate: the same over retries, restarts, retransmissions [CE id]. */
  readonly id: string
  /** A URI-reference [CE source]. */
  readonly source: string
  readonly type: string
  readonly subject?: string
  /** RFC 3339, in UTC. */
  readonly time: string
  readonly datacontenttype?: string
  readonly dataschema?: string
  readonly extensions: Readonly<Record<string, ExtensionValue>>
  /** Events of one partition key reach a sink in the order in which they were stored. */
  readonly partitionKey: string
  /** The payload, byte for byte as the device sent it. */
  readonly data: Buffer
  readonly handling?: Handling
}

/** An event with its place in the outbox. */
export interface StoredEvent {
  /** Position in the outbox: counts up by one per event from 1, and is never used twice. */
  readonly sequence: number
  /** Milliseconds since the epoch at which it was handed to the outbox. */
  readonly storedAt: number
  readonly event: Event
}

/** Names a dead letter: an event is one for each sink that did not take it. */
export interface LetterId {
  readonly sequence: number
  /** The name of the sink; `mapping` where no sink was asked. */
  readonly sink: string
}

/** How an event that a sink did not take was set aside. */
export interface DeadLetter {
  readonly stored: StoredEvent
  /** The name of the sink; `mapping` where no sink was asked. */
  readonly sink: string
  /**
   * `answer`: the sink refused it; `attempts`: it failed while others succeeded, until none were left; the others: it
   * cannot be what its rule wants.
   */
  readonly reason: 'answer' | 'attempts' | Aside['reason']
  /** How often it was tried in all, counted attempts or not. */
  readonly attempts: number
  /** The HTTP status of the last answer; 500 where there was none, as Knative's dispatcher says. */
  readonly code: number
  /** Where it was refused: the URL of the sink, or `mapping`. */
  readonly destination: string
  /** The beginning of the last answer's body, or the network error; at most 768 bytes. */
  readonly data: Buffer
  /** Milliseconds since the epoch. */
  readonly diedAt: number
  /** Milliseconds since the epoch at which the dead-letter sink took it; absent while it has not. */
  readonly forwardedAt?: number
}

/** What the broker needs from its neighbors: the connection it is given, and the function it hands publishes to. */
import type { Duplex } from 'node:stream'
import type { MbsError } from '../errors.ts'
import type { Credentials, Identity, LifecycleChange, PeerCertificate, Publish } from '../message.ts'
import type { Levels } from '../topic-filter.ts'

/** What is known of a device before it has said anything. */
export interface PeerFacts {
  /** Its IP address, without the port. */
  readonly ip: string
  /** True where the bytes come over TLS. */
  readonly secure: boolean
  /** True where the listener lets in who shows nothing. */
  readonly anonymous: boolean
  /** The certificate that it proved in TLS, valid by the CA of the listener. */
  readonly certificate?: PeerCertificate
}

/** One device's connection: bytes of MQTT, bounded before they come here. */
export interface Connection extends Duplex {
  /** What a log line says of it. */
  readonly facts: { readonly listener: string, readonly address: string }
  readonly peer: PeerFacts
  /** The keep alive of CONNECT, in seconds; the connection watches it. 0: none. */
  setKeepAlive (seconds: number): void
  /** The session is established. */
  sessionAccepted (): void
  /** Says in the CONNACK that there is a session, whatever Aedes says. */
  announceSession (): void
  /** True once the broker has sent something, which CONNACK is the first of. */
  readonly answered: boolean
  /** Sends a CONNACK that refuses; it arrives although the connection is destroyed next. */
  refuse (connack: Buffer): void
  /** One publish of this connection has come out of the parser: it is held until it is said to be stored. */
  publishArrived (): void
  /** The event of one publish of this connection is stored, or was refused. */
  publishStored (): void
  /** One publish of this connection has been handed to all its subscribers, or will be to none. */
  publishForwarded (): void
  /** One SUBSCRIBE has been answered, and the retained messages that it asks for have been sent. */
  subscribeSettled (): void
  /** Lets no further publish through. */
  quiesce (): void
  /** Resolves when every publish that came whole has been handed on, as `publishForwarded` says, or it has closed. */
  settled (): Promise<void>
  /** True while more waits for the device than may: it does not read as fast as messages come. */
  readonly full: boolean
  /** Resolves when little waits for the device, or it has gone. */
  room (): Promise<void>
}

/** What became of a publish. */
export type PublishOutcome =
  | { readonly kind: 'stored' }
  | { readonly kind: 'refused', readonly error: MbsError }

/** Stores the event of a publish. Called in the order of arrival; never rejects; settles within a bound. */
export type StorePublish = (publish: Publish) => Promise<PublishOutcome>

/** What became of a device's credentials. */
export type Authentication =
  | { readonly kind: 'accepted', readonly identity: Identity }
  /** With a `connack`, the device is told; without, its connection is closed, and it may try again. */
  | { readonly kind: 'refused', readonly error: MbsError }

/**
 * Says who a device is. Never rejects; settles within a bound, and when the signal is aborted because the device has
 * gone. Whoever is refused has been told to telemetry.
 */
export type Authenticate = (credentials: Credentials, signal: AbortSignal) => Promise<Authentication>

/**
 * Told what happens to sessions, in the order in which it happens to each: `connected` before anything that it
 * publishes is handed on, `disconnected` after all of it and after its will. Returns at once and never throws.
 */
export type TellLifecycle = (change: LifecycleChange) => void

/** Topic filters that begin with `$`, by what may be done with the topics that they match. */
export interface ReservedTopics {
  readonly publish: readonly Levels[]
  readonly subscribe: readonly Levels[]
}

/** What clients may ask of the broker. */
export interface BrokerLimits {
  /** Longest topic or topic filter, in bytes of UTF-8. */
  readonly topicBytes: number
  /** Most levels of a topic or topic filter; at most 100, which is all that Aedes can do. */
  readonly topicLevels: number
  /** Topics beginning with `$` that are in use all the same. None unless given. */
  readonly reserved?: ReservedTopics
}

/** How much the broker keeps, for one client and for all. */
export interface StateLimits {
  /** Sessions of one user at a time; 0: as many as there are. */
  readonly connectionsPerIdentity: number
  readonly subscriptionsPerClient: number
  /** Bytes that the subscriptions of all clients may take. */
  readonly subscriptionBytes: number
  /** Persistent sessions, and how long one is kept whose client is away. */
  readonly sessions: number
  readonly sessionExpiryMs: number
  /** What waits for one persistent session, and the bytes of all of them. */
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly queuedBytesTotal: number
  readonly retainedMessages: number
  readonly retainedBytes: number
}

/** What each session may do. Asked for every publish and every delivery: answers at once and never throws. */
export interface Permissions {
  mayPublish (identity: Identity, topic: string): boolean
  /** Whether it may have a subscription with this filter, which is well-formed. */
  maySubscribe (identity: Identity, filter: string): boolean
  /** Whether a message of this topic may be sent to it, whatever its subscriptions are. */
  mayReceive (identity: Identity, topic: string): boolean
}

/**
 * What becomes of a publish that is not permitted; MQTT 3.1.1 has no answer that refuses [MQTT-3.3.5-2]. `close`: its
 * connection is closed; `drop`: it is acknowledged, and that is all.
 */
export type DeniedPublish = 'close' | 'drop'

/**
 * What Aedes 1.2 has and its types lack. Every name here was read in its source and is relied upon by a test on the
 * wire; this file is the first to look at when Aedes is upgraded.
 */
import type { Readable } from 'node:stream'
import type { Aedes, AedesOptions, Client } from 'aedes'
import type { QoS } from '../message.ts'
import type { Connection } from './contract.ts'

export type PublishPacket = Parameters<Aedes['authorizePublish']>[1]
export type ConnectPacket = Parameters<Aedes['preConnect']>[1]
export type ForwardPacket = Parameters<Aedes['authorizeForward']>[1]

/** QoS 0 of a subscription, where Aedes must not take it for the QoS of other ones: above every QoS, equal to none. */
export const NO_QOS = 3

export interface AedesClient extends Omit<Client, 'conn' | 'clean' | 'connecting'> {
  readonly conn: Connection
  /** By topic filter; `qos` may be `NO_QOS` in the place of 0. */
  subscriptions: Record<string, { qos: number }>
  /** The session ends with its connection. */
  clean: boolean
  /** From CONNECT to the session; while neither this nor `connected` holds, nothing is written to it. */
  connecting: boolean
  /** Read a turn after `close` where it has subscriptions. */
  will: object | null
  /** It has sent DISCONNECT [MQTT-3.14.4-3]. */
  readonly _disconnected: boolean
  /** The packet identifier that a message sent to it gets next. */
  _nextId: number
  /** The session was accepted: nothing goes out before that. */
  readonly connackSent: boolean
  /** The highest number of a message by its broker; a lower one is dropped. */
  duplicates: Record<string, number>
  /** Hands a message to it, as a subscription at QoS 0 or at a higher one does; always calls back. */
  deliver0: (packet: OutgoingPacket, callback: () => void) => void
  readonly deliverQoS: (packet: OutgoingPacket, callback: () => void) => void
}

/** Called back once: null lets the publish pass, an error closes the connection. */
export type PublishCallback = (error: Error | null) => void

export interface AedesHooks {
  /**
   * Before anything else is done with a publish, and the only hook before PUBACK. Called again for every DUP at QoS 2,
   * and for wills: then `packet.cmd` is undefined, and the client closed, or null where its broker is gone.
   */
  authorizePublish: (client: AedesClient | null, packet: PublishPacket, callback: PublishCallback) => void
  /** An error closes the connection without a CONNACK. */
  preConnect: (
    client: AedesClient, packet: ConnectPacket, callback: (error: Error | null, success: boolean) => void
  ) => void
  /** After `preConnect`, with the client's identifier known. An error is answered with CONNACK 5, or what it says. */
  authenticate: (
    client: AedesClient, username: string | undefined, password: Buffer | undefined,
    callback: (error: Error | null, success: boolean) => void
  ) => void
  /** A null subscription is answered with SUBACK 0x80. */
  authorizeSubscribe: NonNullable<AedesOptions['authorizeSubscribe']>
  /** Before each message to a client; null: not this one. */
  authorizeForward: NonNullable<AedesOptions['authorizeForward']>
  /** After a publish was handed to all subscribers; the client is null for what the broker publishes itself. */
  published: (packet: ForwardPacket, client: AedesClient | null | undefined, callback: (error: null) => void) => void
}

/** Where Aedes keeps the packet identifiers at QoS 2 between PUBLISH and PUBREL. */
export interface IncomingPackets {
  incomingStorePacket (client: AedesClient, packet: { messageId: number }): Promise<void>
  /** Rejects where the identifier is not known. */
  incomingGetPacket (client: AedesClient, packet: { messageId: number }): Promise<object>
  incomingDelPacket (client: AedesClient, packet: { messageId: number }): Promise<void>
  /** The session begins anew, or ends. */
  cleanIncoming (client: AedesClient): Promise<void>
}

/** A message as the persistence gets it. */
export interface StoredPacket {
  readonly cmd: 'publish'
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  /** Which broker published it, and its number there: what tells messages apart. */
  readonly brokerId?: string
  readonly brokerCounter?: number
}

/** A subscription as SUBSCRIBE asked for it, with the QoS that was granted, or 128: refused. */
export interface GrantedSubscription {
  readonly topic: string
  readonly qos: number
}

/** Where Aedes keeps retained messages. */
export interface RetainedPackets {
  storeRetained (packet: StoredPacket): Promise<void>
  createRetainedStream (filter: string): Readable
  /** For one SUBSCRIBE, in the same step after the event `subscribe`; read as fast as it is handed out. */
  createRetainedStreamCombi (filters: readonly string[]): Readable
}

/** A message on its way to one client, or the PUBREL, PUBACK or PUBCOMP for it. */
export interface OutgoingPacket {
  readonly cmd: string
  readonly qos?: QoS | undefined
  readonly retain?: boolean | undefined
  /** Read again when it goes out, after `outgoingUpdate`. */
  messageId?: number | undefined
  readonly brokerId?: string | undefined
  readonly brokerCounter?: number | undefined
  /** Of a message; the publisher's, for all who get it. */
  readonly payload?: string | Buffer | undefined
}

/** Where Aedes keeps what is on its way to persistent sessions. */
export interface OutgoingPackets {
  outgoingEnqueue (subscription: { clientId: string }, packet: StoredPacket): Promise<void>
  outgoingEnqueueCombi (subscriptions: ReadonlyArray<{ clientId: string }>, packet: StoredPacket): Promise<void>
  /** Notes the packet identifier of a message, or that PUBREL has taken its place. Rejecting closes the connection. */
  outgoingUpdate (client: { id: string }, packet: OutgoingPacket): Promise<void>
  outgoingClearMessageId (client: { id: string }, packet: OutgoingPacket): Promise<OutgoingPacket | undefined>
  /** What a client gets that has come back; read as fast as it is handed out. */
  outgoingStream (client: AedesClient): Readable
}

/** Where Aedes keeps the subscriptions of persistent sessions. */
export interface SubscriptionStore {
  addSubscriptions (
    client: { id: string }, subscriptions: ReadonlyArray<{ readonly topic: string, readonly qos?: QoS }>
  ): Promise<void>
  removeSubscriptions (client: AedesClient, filters: readonly string[]): Promise<void>
  /** Those with QoS 1 and 2 that a message of this topic matches, each of a client. */
  subscriptionsByTopic (topic: string): Promise<ReadonlyArray<{ readonly clientId: string, readonly topic: string }>>
  /** A session begins anew. */
  cleanSubscriptions (client: { id: string }): Promise<void>
}

/** Where Aedes keeps who is connected. It calls these methods itself, on the broker. */
export interface SessionBooks {
  /** By client identifier. */
  readonly clients: Record<string, AedesClient>
  /** A session is about to begin. Aedes goes on at once, whatever this waits for. */
  registerClient (client: AedesClient): void
  /** Enters and counts it, and raises `client`. */
  _finishRegisterClient (client: AedesClient): void
  /** Deletes whoever has its client identifier, counts it off, and raises `clientDisconnect`. */
  unregisterClient (client: AedesClient): void
}

export type Persistence = IncomingPackets & OutgoingPackets & RetainedPackets & SubscriptionStore

/** What a persistence has beside that where several brokers share it. */
export interface SharedPersistence extends Persistence {
  setup (broker: object): Promise<void>
  subscriptionsByTopic (topic: string): Promise<ReadonlyArray<{ readonly clientId: string, readonly topic: string }>>
  /** Rejecting is fatal. */
  delWill (client: AedesClient): Promise<void>
  putWill (client: AedesClient, will: PublishPacket): Promise<void>
  /** The wills of brokers that are gone; Aedes publishes them. */
  streamWill (): Readable
}

export interface AedesInternals extends SessionBooks {
  readonly persistence: Persistence
  /** Fatal without a listener. */
  on (event: 'error', listener: (error: Error) => void): void
}

/** Options with the hooks as they really are. */
export function toAedesOptions (options: Omit<AedesOptions, keyof AedesHooks>, hooks: AedesHooks): AedesOptions {
  return { ...options, ...hooks as unknown as Pick<AedesOptions, keyof AedesHooks> }
}

export function internalsOf (aedes: Aedes): AedesInternals {
  return aedes as unknown as AedesInternals
}

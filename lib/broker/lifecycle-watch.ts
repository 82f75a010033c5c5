/**
 * Sees what happens to sessions and tells it: connected, subscribed, unsubscribed, disconnected. There only where
 * someone asks for it; without it, not a line of it runs.
 *
 * Invariants: whoever is told as connected is told as disconnected, once, and before whoever takes the session over is
 * told as connected; nothing is told of a CONNECT that was refused. What is published is told of by others; it comes
 * between.
 */
import type { QoS, SessionFacts } from '../message.ts'
import type { AedesClient, AedesHooks, ConnectPacket } from './aedes-types.ts'
import type { TellLifecycle } from './contract.ts'
import { endReasonOf } from './end-reason.ts'
import { clientOf, type Identities } from './identities.ts'

/** In the place of the QoS that was granted [MQTT-3.9.3-2]. */
const REFUSED = 0x80

/** What only CONNECT says. */
interface Asked {
  readonly protocolVersion: number
  readonly keepAliveSeconds: number
  readonly willTopic?: string
}

/** A session that was told as connected and not as disconnected. */
interface Session {
  readonly client: AedesClient
  readonly facts: SessionFacts
  /** As `performance.now()` tells it. */
  readonly startedAt: number
  readonly filters: Set<string>
  messagesReceived: number
}

export class LifecycleWatch {
  readonly #tell: TellLifecycle
  readonly #identities: Identities
  readonly #asked = new WeakMap<AedesClient, Asked>()
  /** By client identifier. */
  readonly #sessions = new Map<string, Session>()
  #isClosing = false
  #waiters: Array<() => void> = []

  constructor (tell: TellLifecycle, identities: Identities) {
    this.#tell = tell
    this.#identities = identities
  }

  /** CONNECT was accepted; whether a session comes of it is not said yet. */
  readonly accepted = (client: AedesClient, { protocolVersion, keepalive, will }: ConnectPacket): void => {
    this.#asked.set(client, {
      protocolVersion: protocolVersion ?? 4,
      keepAliveSeconds: keepalive ?? 0,
      ...(will !== undefined && { willTopic: will.topic })
    })
  }

  /** CONNACK has gone out. */
  connected (client: AedesClient, sessionPresent: boolean): void {
    const asked = this.#asked.get(client)
    if (asked === undefined || client.closed) return
    const before = this.#sessions.get(client.id)
    if (before !== undefined) this.#end(before)
    const identity = this.#identities.of(client)
    const { conn, clean } = client
    const facts: SessionFacts = {
      client: clientOf(identity),
      authMethod: identity.method,
      cleanSession: clean,
      sessionPresent,
      ...asked,
      ...conn.facts
    }
    const filters = new Set(Object.keys(client.subscriptions)) // those that a persistent session brings along
    this.#sessions.set(client.id, { client, facts, startedAt: performance.now(), filters, messagesReceived: 0 })
    this.#tell({ kind: 'connected', session: facts })
  }

  /** The hook with the messages of each session counted. */
  counting (authorize: AedesHooks['authorizePublish']): AedesHooks['authorizePublish'] {
    return (client, packet, callback) => {
      // A will has no command.
      const session = client === null || packet.cmd === undefined ? undefined : this.#sessionOf(client)
      if (session !== undefined) session.messagesReceived++
      authorize(client, packet, callback)
    }
  }

  /** SUBACK has gone out. @param answered each filter with what was granted, or refused */
  subscribed (client: AedesClient, answered: ReadonlyArray<{ readonly topic: string, readonly qos: number }>): void {
    const session = this.#sessionOf(client)
    const subscriptions = answered.filter(({ qos }) => qos !== REFUSED)
      .map(({ topic, qos }) => ({ filter: topic, qos: qos as QoS }))
    if (session === undefined || subscriptions.length === 0) return
    for (const { filter } of subscriptions) session.filters.add(filter)
    this.#tell({ kind: 'subscribed', session: session.facts, subscriptions })
  }

  /** UNSUBACK has gone out; or a clean session ends, which is told otherwise. */
  unsubscribed (client: AedesClient, filters: readonly string[]): void {
    const session = client.closed ? undefined : this.#sessionOf(client)
    const held = filters.filter((filter) => session?.filters.delete(filter) === true)
    if (session !== undefined && held.length > 0) this.#tell({ kind: 'unsubscribed', session: session.facts, filters: held })
  }

  /** Its connection has ended, or is about to. */
  ended (client: AedesClient): void {
    const session = this.#sessionOf(client)
    if (session !== undefined) this.#end(session)
  }

  /** From now on the broker ends sessions. */
  closing (): void {
    this.#isClosing = true
  }

  /** Resolves when every session has been told as disconnected; each connection has to be closed for it. */
  async settled (): Promise<void> {
    if (this.#sessions.size > 0) await new Promise<void>((resolve) => { this.#waiters.push(resolve) })
  }

  #sessionOf (client: AedesClient): Session | undefined {
    const session = this.#sessions.get(client.id)
    return session?.client === client ? session : undefined
  }

  #end ({ client, facts, startedAt, messagesReceived }: Session): void {
    this.#sessions.delete(client.id)
    const { conn } = client
    const why = endReasonOf({
      saidGoodbye: client._disconnected,
      error: conn.errored,
      isGone: conn.destroyed || conn.readableEnded,
      isClosing: this.#isClosing
    })
    const durationMs = Math.round(performance.now() - startedAt)
    this.#tell({ kind: 'disconnected', session: facts, end: { ...why, durationMs, messagesReceived } })
    if (this.#sessions.size > 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }
}

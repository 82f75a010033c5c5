/**
 * PUBLISH: the one hook that Aedes waits for before it answers. A publish at QoS 1 or 2 passes when its event is
 * stored, which is when PUBACK or PUBREC goes out; refused, its connection is closed and the device sends it again. One
 * that is not permitted is answered in its turn as well, by closing the connection or by an acknowledgement of nothing.
 *
 * Aedes guards this hook with nothing: it must not throw, must not reject, and must call back once. Calls back in the
 * order of arrival [MQTT-4.6.0-2, MQTT-4.6.0-3], and for QoS 0 and 2 each in a turn of its own: Aedes drops a message
 * for a subscriber if one that it numbered later has overtaken it.
 */
import { createError, reasonOf, type MbsError } from '../errors.ts'
import type { Identity, Publish } from '../message.ts'
import type { ConnectionFields } from '../telemetry/telemetry-base.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { AedesClient, AedesHooks, PublishCallback, PublishPacket } from './aedes-types.ts'
import type { BrokerLimits, DeniedPublish, Permissions, PublishOutcome, StorePublish } from './contract.ts'
import { clientOf, fieldsOf, type Identities } from './identities.ts'
import { copyOf, ownCopyOf } from './payload.ts'
import { topicProblem } from './topics.ts'
import type { UnreleasedPublishes } from './unreleased-publishes.ts'

/** What a publish at QoS 1 or 2 changes for clients that may be away, kept before it is acknowledged. */
export interface WriteAhead {
  /**
   * Resolves when it is kept. Called in the order of arrival, after the event was stored; never rejects.
   * @param isVoid true as soon as an earlier publish of this connection was refused: nothing may overtake that one
   * @returns what keeps it from being kept; the publish is refused then
   */
  write (client: AedesClient, packet: PublishPacket, isVoid: () => boolean): Promise<MbsError | undefined>
  /** The publish does not go on. */
  discard (client: AedesClient, packet: PublishPacket): void
}

export interface PublishHookOptions {
  readonly store: StorePublish
  readonly identities: Identities
  readonly permissions: Permissions
  readonly deniedPublish: DeniedPublish
  readonly unreleased: Pick<UnreleasedPublishes, 'has'>
  /** What a publish waits for at QoS 1 and 2, after its event is stored, where sessions outlive the program. */
  readonly writeAhead?: WriteAhead | undefined
  /** The id that the event of this client's will gets, where another program may publish that will as well. */
  readonly willEventId?: ((client: AedesClient) => string | undefined) | undefined
  readonly limits: BrokerLimits
  readonly telemetry: Telemetry
  /** Called before a connection is closed because a publish was refused, which telemetry has been told of. */
  readonly refused: (client: AedesClient) => void
}

/** Answers a duplicate, once it is known what became of the publish that it waited for. */
type Answer = (outcome: PublishOutcome) => void

/** Publishes of one session at QoS 2 that are being stored, by packet identifier, and the duplicates that wait. */
type Pending = Map<number, Answer[]>

type Will = Pick<PublishPacket, 'topic' | 'payload' | 'qos' | 'retain'>

/** A publish on its way: when it is settled, and the outcome where that is known before. */
interface Arrival {
  readonly settled: Promise<PublishOutcome>
  readonly denial?: PublishOutcome
}

/**
 * Where a publish goes that is dropped: a topic that no filter reaches, live or kept. Aedes has no other way to
 * acknowledge a publish and send it to no one.
 */
const NOWHERE = '$SYS/dropped'

export class PublishHook {
  readonly #options: PublishHookOptions
  /** By session for those that outlive their connection, else by connection: identifiers mean nothing beyond. */
  readonly #pending = new Map<string | AedesClient, Pending>()
  /** The last publish of each that was handed on: a denied one is answered after it, to keep the order of answers. */
  readonly #last = new WeakMap<AedesClient, Promise<PublishOutcome>>()
  /** Connections that are closed for a publish that was refused, where publishes wait for more than their event. */
  readonly #refused = new WeakMap<AedesClient, MbsError>()
  #open = 0
  #waiters: Array<() => void> = []

  constructor (options: PublishHookOptions) {
    this.#options = options
  }

  /** Resolves when every publish is settled and its answer handed to Aedes. */
  async settled (): Promise<void> {
    if (this.#open > 0) await new Promise<void>((resolve) => { this.#waiters.push(resolve) })
  }

  /** Resolves when what a client has published is settled, in the order in which it came. */
  async settledOf (client: AedesClient): Promise<void> {
    await this.#last.get(client)
  }

  /** Stores the will of a client whose broker has died. @returns false where it is lost, which was told */
  async storeWillOf (identity: Identity, will: Will, eventId: string): Promise<boolean> {
    return await new Promise((resolve) => {
      this.#storeWill(identity, { clientId: identity.clientId }, will, eventId, (error) => { resolve(error === null) })
    })
  }

  readonly authorize: AedesHooks['authorizePublish'] = (client, packet, callback) => {
    let problem: MbsError
    try {
      if (packet.cmd === undefined && client?.conn.answered === false) {
        this.#answer(callback, NOT_LET_IN)
        return
      }
      if (client === null || packet.cmd === undefined) {
        const clientId = client?.id ?? (packet as { clientId?: string }).clientId ?? ''
        const identity: Identity = client === null ? { clientId, method: 'anonymous' } : this.#options.identities.of(client)
        const eventId = client === null ? undefined : this.#options.willEventId?.(client)
        this.#storeWill(identity, { ...client?.conn.facts, clientId }, packet, eventId, callback)
        return
      }
      const reason = topicProblem(packet.topic, this.#options.limits)
      if (reason === undefined && (packet.qos === 0 || packet.messageId !== 0)) {
        this.#take(client, packet, callback)
        return
      }
      problem = reason === undefined
        ? createError('MBS_ERR_BROKER_PROTOCOL', { reason: 'a packet identifier of 0 [MQTT-2.3.1-1]' })
        : createError('MBS_ERR_BROKER_TOPIC', { reason })
    } catch (error) {
      problem = createError('MBS_ERR_INGEST_MAPPING', { reason: reasonOf(error) }, error)
    }
    this.#answer(callback, problem)
  }

  #take (client: AedesClient, packet: PublishPacket, callback: PublishCallback): void {
    client.conn.publishArrived()
    if (packet.qos === 2 && this.#isDuplicate(client, packet, callback)) return
    const arrival = this.#arrive(client, packet)
    const messageId = packet.messageId as number
    if (packet.qos === 2) this.#answerExactlyOnce(client, messageId, arrival, callback)
    else if (packet.qos === 1 || arrival.denial?.kind === 'refused') this.#answerAtLeastOnce(client, packet, arrival, callback)
    else this.#answerAtMostOnce(client, arrival, callback)
  }

  /** Hands a publish on, if it is permitted. */
  #arrive (client: AedesClient, packet: PublishPacket): Arrival {
    const identity = this.#options.identities.of(client)
    const denial = this.#denialOf(client, identity, packet)
    if (denial !== undefined) return { settled: this.#last.get(client) ?? Promise.resolve(STORED), denial }
    const stored = this.#options.store(toPublish(identity, packet))
    const { writeAhead } = this.#options
    const settled = writeAhead === undefined || packet.qos === 0
      ? stored
      : this.#writeAhead(writeAhead, stored, client, packet)
    this.#last.set(client, settled)
    return { settled }
  }

  /** Settles when what the publish changes for other clients is kept as well, and not before those before it. */
  async #writeAhead (
    writeAhead: WriteAhead, stored: Promise<PublishOutcome>, client: AedesClient, packet: PublishPacket
  ): Promise<PublishOutcome> {
    const before = this.#last.get(client)
    let outcome = await stored
    if (outcome.kind === 'stored') {
      const error = this.#refused.get(client) ??
        await writeAhead.write(client, packet, () => this.#refused.has(client))
      if (error !== undefined) outcome = { kind: 'refused', error }
    }
    if (outcome.kind === 'refused') this.#refused.set(client, outcome.error)
    await before
    return outcome
  }

  /** What becomes of a publish that is not permitted; undefined: it is. */
  #denialOf (client: AedesClient, identity: Identity, packet: PublishPacket): PublishOutcome | undefined {
    const { permissions, deniedPublish, telemetry } = this.#options
    const { topic } = packet
    if (permissions.mayPublish(identity, topic)) return undefined
    if (deniedPublish === 'close') {
      return { kind: 'refused', error: createError('MBS_ERR_ACCESS_PUBLISH', { topic: JSON.stringify(topic) }) }
    }
    telemetry.publishDenied(topic, this.#fieldsOf(client))
    sendNowhere(packet)
    return STORED
  }

  /** QoS 0: passes at once, and still counts against what the client may have under way until it is stored. */
  #answerAtMostOnce (client: AedesClient, arrival: Arrival, callback: PublishCallback): void {
    this.#await(arrival, (outcome) => {
      if (outcome.kind === 'refused') this.#options.telemetry.publishDropped(outcome.error, this.#fieldsOf(client))
      client.conn.publishStored()
    })
    setImmediate(() => { this.#answer(callback, null) })
  }

  #answerAtLeastOnce (client: AedesClient, packet: PublishPacket, arrival: Arrival, callback: PublishCallback): void {
    this.#await(arrival, (outcome) => {
      // Aedes hands on what it can acknowledge.
      if (!client.connected && !client.connecting) this.#options.writeAhead?.discard(client, packet)
      this.#settle(client, outcome, callback)
      client.conn.publishStored()
    })
  }

  #answerExactlyOnce (client: AedesClient, messageId: number, arrival: Arrival, callback: PublishCallback): void {
    const key = this.#sessionOf(client)
    const duplicates: Answer[] = []
    const pending = this.#pending.get(key) ?? new Map<number, Answer[]>()
    this.#await(arrival, (outcome) => {
      pending.delete(messageId)
      if (pending.size === 0) this.#pending.delete(key)
      this.#later(() => { this.#settle(client, outcome, callback) })
      for (const answer of duplicates) this.#later(() => { answer(outcome) })
      client.conn.publishStored()
    })
    pending.set(messageId, duplicates)
    this.#pending.set(key, pending)
  }

  /**
   * Recognizes a retransmission of what is stored, or of what is being stored; that one is answered with the other.
   * Recognized by its packet identifier alone: what else is in it must not reach anyone unless it is permitted.
   */
  #isDuplicate (client: AedesClient, packet: PublishPacket, callback: PublishCallback): boolean {
    const messageId = packet.messageId as number
    const pending = this.#pending.get(this.#sessionOf(client))
    const isKnown = this.#options.unreleased.has(client.id, messageId)
    // What is known waits for the last one that is not, so that the PUBRECs keep their order.
    const waiting = isKnown ? lastOf(pending) : pending?.get(messageId)
    if (!isKnown && waiting === undefined) return false
    this.#options.telemetry.publishDuplicate()
    // A PUBREL right behind it would make Aedes take it for a new one.
    if (isKnown) sendNowhere(packet)
    const known = isKnown ? STORED : this.#denialOf(client, this.#options.identities.of(client), packet)
    const answer: Answer = (outcome) => {
      this.#settle(client, known ?? outcome, callback)
      client.conn.publishStored()
      client.conn.publishForwarded()
    }
    if (waiting === undefined) this.#later(() => { answer(STORED) })
    else waiting.push(answer)
    return true
  }

  /** A session is that of its client identifier and its user. */
  #sessionOf (client: AedesClient): string | AedesClient {
    return client.clean ? client : `${client.id}\0${this.#options.identities.of(client).username ?? ''}`
  }

  #storeWill (
    identity: Identity, fields: ConnectionFields, will: Will, eventId: string | undefined, callback: PublishCallback
  ): void {
    const { permissions, store } = this.#options
    const answer = (outcome: PublishOutcome) => {
      const isStored = outcome.kind === 'stored'
      if (!isStored) this.#options.telemetry.willLost(outcome.error, fields)
      this.#answer(callback, isStored ? null : outcome.error)
    }
    // It was permitted at CONNECT; permissions may have changed since.
    if (!permissions.mayPublish(identity, will.topic)) {
      answer({ kind: 'refused', error: createError('MBS_ERR_ACCESS_WILL', { topic: JSON.stringify(will.topic) }) })
      return
    }
    const publish: Publish = {
      client: clientOf(identity),
      topic: will.topic,
      payload: will.payload as Buffer,
      qos: will.qos,
      retain: will.retain,
      dup: false,
      will: true,
      ...(eventId !== undefined && { eventId }),
      receivedAt: Date.now()
    }
    this.#await({ settled: store(publish) }, answer)
  }

  /** `done` comes later, never within this call. */
  #await ({ settled, denial }: Arrival, done: (outcome: PublishOutcome) => void): void {
    this.#open++
    void settled.then((outcome) => {
      const end = (): void => {
        done(denial ?? outcome)
        this.#close()
      }
      // Acknowledgements given just now are not on the socket yet; with them, the device has less to send again.
      if (denial?.kind === 'refused') afterTurns(FLUSH_TURNS, end)
      else end()
    })
  }

  /** Calls Aedes back: the publish passes, or its connection is closed. */
  #settle (client: AedesClient, outcome: PublishOutcome, callback: PublishCallback): void {
    if (outcome.kind === 'stored') {
      this.#answer(callback, null)
    } else {
      this.#options.telemetry.publishRefused(outcome.error, this.#fieldsOf(client))
      this.#options.refused(client)
      this.#answer(callback, outcome.error)
    }
  }

  #answer (callback: PublishCallback, error: Error | null): void {
    try {
      callback(error)
    } catch (thrown) {
      this.#options.telemetry.unexpected(thrown, 'the broker, after a publish')
    }
  }

  /** What a log line says of a client; its name was proven. */
  #fieldsOf (client: AedesClient) {
    return fieldsOf(client, this.#options.identities.of(client))
  }

  /** In a turn of its own, in the order of the calls. */
  #later (work: () => void): void {
    this.#open++
    setImmediate(() => {
      work()
      this.#close()
    })
  }

  #close (): void {
    this.#open--
    if (this.#open > 0 || this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }
}

/** The will of a connection that had no CONNACK: there was no session that it could be of [MQTT-3.1.2-8]. */
const NOT_LET_IN = createError('MBS_ERR_BROKER_PROTOCOL', { reason: 'the will of a connection that was not let in' })
const STORED: PublishOutcome = Object.freeze({ kind: 'stored' })
const NOTHING = Buffer.alloc(0)
/** An answer that was given to Aedes is on the socket after so many turns. */
const FLUSH_TURNS = 3

/**
 * The publish as the next stage gets it. The packet gets the same copy of the payload: what goes to subscribers and is
 * retained is no view on read bytes either.
 */
function toPublish (identity: Identity, packet: PublishPacket): Publish {
  const { topic, qos, retain, dup, messageId } = packet
  const payload = retain ? ownCopyOf(packet.payload as Buffer) : copyOf(packet.payload as Buffer)
  packet.payload = payload
  // How the publisher sent it is no concern of the subscribers [MQTT-3.3.1-3].
  packet.dup = false
  return {
    client: clientOf(identity),
    topic,
    payload,
    qos,
    retain,
    dup,
    ...(qos > 0 && { messageId: messageId as number }),
    will: false,
    receivedAt: Date.now()
  }
}

function afterTurns (turns: number, work: () => void): void {
  if (turns === 0) work()
  else setImmediate(() => { afterTurns(turns - 1, work) })
}

/** Aedes acknowledges the packet, and sends and retains nothing of it. */
function sendNowhere (packet: PublishPacket): void {
  packet.topic = NOWHERE
  packet.retain = false
  packet.payload = NOTHING
}

function lastOf (pending: Pending | undefined): Answer[] | undefined {
  let last: Answer[] | undefined
  if (pending !== undefined) for (const answers of pending.values()) last = answers
  return last
}

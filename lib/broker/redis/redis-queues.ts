/**
 * What is on its way to persistent sessions at QoS 1 and 2, in Redis: for each session one queue in the order of its
 * own serials, which no pod and no restart disturbs, bounded in number and bytes. A message stands in it once, however
 * many filters it matches, until the client has acknowledged it to whichever pod. Beyond the bounds the newest message
 * is not kept: a client that is connected may still get it, but not again.
 *
 * The queue alone says in which order a client gets its messages. One that comes live, from whichever pod, brings its
 * serials in the queues of those who get it. If it is the next one it is handed on; if others are missing, because a
 * pod died before it had sent them, or a faster pod has overtaken it, the queue is read.
 *
 * Stands in for that part of aedes-persistence-redis, which has no bounds, hands out 1001 messages and no more, forgets
 * the packet identifiers of other pods, and takes several steps for what has to happen at once.
 */
import { Readable } from 'node:stream'
import { createError, type MbsError } from '../../errors.ts'
import type { QoS } from '../../message.ts'
import type { AedesClient, OutgoingPacket, OutgoingPackets, StoredPacket } from '../aedes-types.ts'
import type { QueueLimits } from '../outgoing-queues.ts'
import { startsWithDollar, startsWithWildcard } from '../topics.ts'
import type { Keys } from './keys.ts'
import type { RedisSessions } from './redis-sessions.ts'
import { toSessionsError, type Requests } from './requests.ts'
import { enqueue, identify, LOST, readPage, release, remove, TOO_LARGE, TOO_MANY } from './scripts.ts'
import type { RedisSession } from './session.ts'

/** What keeping a message costs beside its topic and payload, in bytes. */
const OVERHEAD_BYTES = 300
/** Messages that are read, or on their way to Redis and the client, at a time. */
const AT_ONCE = 32
const BYTES_AT_ONCE = 64 * 1024

export interface RedisQueuesOptions {
  /** This program, in the names of messages. */
  readonly pod: string
  readonly requests: Requests
  readonly keys: Keys
  readonly sessions: Pick<RedisSessions, 'of' | 'connected' | 'lost'>
  /** Resolves when messages between pods are heard again; at once while they are. Never rejects. */
  readonly heard: () => Promise<void>
  /** Told whose queues have something that no live message will bring. */
  readonly waiting: (clientIds: readonly string[]) => void
  readonly limits: Pick<QueueLimits, 'queuedMessages' | 'queuedBytes'>
  /** Told of each message that is not kept for a session: MBS_ERR_LIMIT_QUEUE, MBS_ERR_SESSIONS_REDIS. */
  readonly dropped: (clientId: string, error: MbsError) => void
}

/** A message that was kept before it was acknowledged: what it is called, and for whom it was kept. */
interface Ahead {
  readonly brokerId: string
  readonly brokerCounter: number
  readonly clientIds: readonly string[]
  serials: Serials
}

/** Client identifiers, each with the serial of a message in its queue. */
type Serials = ReadonlyArray<readonly [clientId: string, serial: number]>

/** A message as it goes to all pods; `serials` where it is in queues. */
interface LiveMessage {
  readonly payload?: Buffer
  readonly serials?: Serials
}

export class RedisQueues {
  readonly #options: RedisQueuesOptions
  /** By payload: Aedes makes a packet of its own of each publish, with the same one. */
  readonly #ahead = new WeakMap<Buffer, Ahead>()
  #aheadCounter = 0
  /** Of live messages, by payload: Aedes makes a packet of its own for each subscription, with the same one. */
  readonly #serials = new WeakMap<Buffer, ReadonlyMap<string, number>>()
  /** What was held back because it is in the queue: it is not to be deleted there. */
  readonly #heldBack = new WeakSet<object>()
  /** What was read out of the queue again, on its way to its connection. */
  readonly #caughtUp = new WeakSet<object>()

  constructor (options: RedisQueuesOptions) {
    this.#options = options
  }

  /** Takes the place of what the persistence has. */
  attach (persistence: OutgoingPackets): void {
    persistence.outgoingEnqueue = async (subscription, packet) => { await this.enqueue([subscription], packet) }
    persistence.outgoingEnqueueCombi = async (all, packet) => { await this.enqueue(all, packet) }
    persistence.outgoingUpdate = async (client, packet) => { await this.update(client, packet) }
    persistence.outgoingClearMessageId = async (client, packet) => await this.clear(client, packet)
    persistence.outgoingStream = (client) => Readable.from(this.#drain(client))
  }

  /**
   * Keeps a message for these sessions before its publisher is answered. What is beyond a bound is told and not kept.
   * @param isVoid true as soon as one before it was not kept: what is not sent by then is not kept either
   * @throws MBS_ERR_SESSIONS_REDIS where it may not be kept for all of them; for some it may be
   */
  async writeAhead (
    all: ReadonlyArray<{ clientId: string, topic?: string }>, packet: StoredPacket, isVoid: () => boolean
  ): Promise<void> {
    const clientIds = reachedBy(all, packet.topic)
    if (clientIds.length === 0) return
    // Aedes numbers what it publishes itself; these are others.
    const brokerId = `${this.#options.pod}/ahead`
    const ahead: Ahead = { brokerId, brokerCounter: ++this.#aheadCounter, clientIds, serials: [] }
    this.#ahead.set(packet.payload, ahead)
    ahead.serials = await this.#keep(clientIds, nameOf(ahead), packet, isVoid)
  }

  /**
   * A message that was kept so does not go on: nobody can acknowledge it any more. It was received, and may have been
   * sent already together with those behind it; so it stays, and is sent from the queue.
   */
  discard (payload: Buffer): void {
    const ahead = this.#ahead.get(payload)
    if (ahead === undefined) return
    this.#ahead.delete(payload)
    this.#options.waiting(ahead.clientIds)
  }

  /**
   * Aedes comes to a message that matches these sessions. What was kept ahead has its name and is kept; else it is kept
   * now, and where Redis does not take it, it is told: it goes on to those who are connected.
   */
  async enqueue (all: ReadonlyArray<{ clientId: string, topic?: string }>, packet: StoredPacket): Promise<void> {
    const ahead = this.#ahead.get(packet.payload)
    if (ahead !== undefined) {
      this.#ahead.delete(packet.payload)
      const { brokerId, brokerCounter } = ahead
      Object.assign(packet, { brokerId, brokerCounter })
    }
    const kept = new Set(ahead?.clientIds)
    const clientIds = reachedBy(all, packet.topic).filter((clientId) => !kept.has(clientId))
    const name = nameOf(packet)
    const serials = [...ahead?.serials ?? []]
    await Promise.all(clientIds.map(async (clientId) => {
      try {
        serials.push(...await this.#keep([clientId], name, packet, () => false))
      } catch (error) {
        this.#options.dropped(clientId, toSessionsError(error))
      }
    }))
    // It goes to all pods with the message.
    if (serials.length > 0) Object.assign(packet, { serials })
  }

  /** A message has come, from whichever pod, and goes to those who have subscribed here. */
  live ({ payload, serials }: LiveMessage): void {
    if (payload !== undefined && serials !== undefined) this.#serials.set(payload, new Map(serials))
  }

  /** @throws MBS_ERR_SESSIONS_REDIS */
  async #keep (
    clientIds: readonly string[], name: string, packet: StoredPacket, isVoid: () => boolean
  ): Promise<Serials> {
    const { requests, keys, limits, dropped } = this.#options
    const serials: Array<readonly [string, number]> = []
    const args = [name, bodyOf(packet), OVERHEAD_BYTES, limits.queuedMessages, limits.queuedBytes]
    await Promise.all(clientIds.map(async (clientId) => {
      const { session, order, bodies } = keys.session(clientId)
      // Messages of one publisher are kept in the order in which they came.
      const outcome = await requests.ask(async (client) => {
        if (isVoid()) throw new Error('a publish before it was not kept')
        return await enqueue.run(client, [session, order, bodies], args)
      })
      if (outcome > 0) serials.push([clientId, outcome])
      if (outcome !== TOO_MANY && outcome !== TOO_LARGE) return
      const setting = outcome === TOO_MANY ? 'queuedMessages' : 'queuedBytes'
      dropped(clientId, createError('MBS_ERR_LIMIT_QUEUE', { setting, max: limits[setting] }))
    }))
    return serials
  }

  /**
   * A message is about to be handed to a connection, or not: false where it has it already, or will get it with what
   * waits, in its turn.
   * @param atMostOnce the subscription is at QoS 0
   */
  mayHand (client: AedesClient, packet: OutgoingPacket, atMostOnce: boolean): boolean {
    const session = this.#options.sessions.of(client)
    if (session === undefined || packet.brokerId == null) return true
    const serial = this.#serials.get(packet.payload as Buffer)?.get(client.id)
    // What is in the queue comes from there, at the higher QoS [MQTT-3.3.5-1].
    if (atMostOnce) return serial === undefined
    if (packet.messageId !== undefined || this.#caughtUp.has(packet)) return true
    const name = nameOf(packet)
    if (session.isDraining) session.hasMissed = true
    else if (!session.has(name)) {
      if (serial === undefined || serial === session.handedTo + 1) {
        session.handed.add(name)
        session.handedTo = serial ?? session.handedTo
        return true
      }
      if (serial <= session.handedTo) session.isDoubtful = true
      void this.catchUp(session)
    }
    this.#heldBack.add(packet)
    return false
  }

  /** Notes the packet identifier under which a message goes out, or that PUBREL has taken its place. */
  async update (client: object, packet: OutgoingPacket): Promise<void> {
    const { requests } = this.#options
    const session = this.#options.sessions.of(client)
    if (session === undefined) return
    const { keys, serial } = session
    const messageId = packet.messageId as number
    if (packet.cmd === 'pubrel') {
      const name = session.names.get(messageId)
      if (name === undefined || session.sent.get(name)?.isReleased === true) return
      const its = [keys.session, keys.order, keys.bodies, keys.sent]
      this.#check(session, await requests.run(release, its, [serial, name, messageId]))
      session.note(name, messageId, true)
      return
    }
    const name = nameOf(packet)
    if (session.sent.get(name)?.messageId === messageId) return
    packet.messageId = session.freeId(messageId, name)
    session.note(name, packet.messageId, false)
    const its = [keys.session, keys.order, keys.sent]
    this.#check(session, await requests.run(identify, its, [serial, name, packet.messageId]))
  }

  /** Forgets the message that was acknowledged, or that may not be forwarded. Resolves with nothing. */
  async clear (client: object, packet: OutgoingPacket): Promise<undefined> {
    const session = this.#options.sessions.of(client)
    if (session === undefined || this.#heldBack.has(packet)) return
    const name = packet.brokerId == null ? session.names.get(packet.messageId as number) : nameOf(packet)
    if (name === undefined) return
    const { keys, serial } = session
    const its = [keys.session, keys.order, keys.bodies, keys.sent]
    this.#check(session, await this.#options.requests.run(remove, its, [serial, name, OVERHEAD_BYTES]))
    session.forget(name)
  }

  /** What waited when the session began is on its way; what has come meanwhile follows. */
  ready (client: object): void {
    const session = this.#options.sessions.of(client)
    if (session === undefined) return
    session.isDraining = false
    if (session.hasMissed || session.isDoubtful) void this.catchUp(session)
  }

  /**
   * Live messages may have been lost, for any session that is connected here. From now on until its queue was read each
   * gets nothing but from there: what comes live would overtake what was lost.
   */
  doubt (): void {
    for (const session of this.#options.sessions.connected()) {
      session.isDoubtful = true
      void this.catchUp(session)
    }
  }

  /**
   * Hands out what waits and was not handed to this connection: messages between pods may be lost. Where the queue
   * cannot be read the connection is closed, since the next live message would be out of order. Never rejects.
   */
  async catchUp (session: RedisSession): Promise<void> {
    if (session.client.closed) return
    if (session.isDraining) {
      session.hasMissed = true
      return
    }
    session.isDraining = true
    // As what comes live they go out in the order in which they are handed over, some without waiting for each other.
    let sending: Array<Promise<void>> = []
    let bytes = 0
    try {
      for await (const packet of this.#waiting(session)) {
        if (session.client.closed) return
        if (packet.messageId !== undefined) continue
        this.#caughtUp.add(packet)
        sending.push(new Promise((resolve) => { session.client.deliverQoS(packet, resolve) }))
        bytes += packet.payload?.length ?? 0
        if (sending.length < AT_ONCE && bytes < BYTES_AT_ONCE) continue
        await Promise.all(sending)
        sending = []
        bytes = 0
      }
      await Promise.all(sending)
    } catch (error) {
      session.client.conn.destroy(toSessionsError(error))
      return
    }
    this.ready(session.client)
  }

  async * #drain (client: AedesClient): AsyncGenerator<OutgoingPacket> {
    const session = this.#options.sessions.of(client)
    if (session === undefined) return
    yield * this.#waiting(session)
  }

  /** Until the queue was read to its end, and nothing has come since it was. */
  async * #waiting (session: RedisSession): AsyncGenerator<OutgoingPacket> {
    const { keys, serial: own } = session
    const its = [keys.session, keys.order, keys.bodies, keys.sent]
    for (;;) {
      await this.#options.heard()
      session.hasMissed = false
      if (session.isDoubtful) {
        session.isDoubtful = false
        session.handedTo = 0
      }
      const page = await this.#options.requests.run(readPage, its, [own, session.handedTo, AT_ONCE])
      if (page === LOST) {
        this.#options.sessions.lost(session)
        return
      }
      if (typeof page === 'number') {
        session.handedTo = page
        if (!session.hasMissed && !session.isDoubtful) return
        continue
      }
      for (const [name, serial, body, state] of page) {
        session.handedTo = Number(serial)
        const packet = packetOf(name.toString(), body, state.toString())
        if (packet === undefined || session.has(name.toString())) continue
        session.handed.add(name.toString())
        await session.client.conn.room()
        yield packet
      }
    }
  }

  #check (session: RedisSession, outcome: number): void {
    if (outcome !== LOST) return
    this.#options.sessions.lost(session)
    throw createError('MBS_ERR_SESSIONS_TAKEN', { reason: 'another connection has it, or it has ended' })
  }
}

/** Tells messages apart, whatever their packet identifier is for one client. */
export function nameOf ({ brokerId, brokerCounter }: Pick<OutgoingPacket, 'brokerId' | 'brokerCounter'>): string {
  return `${brokerId}:${brokerCounter}`
}

/** Who of these gets a message: no wildcard at the first level matches a topic with `$` [MQTT-4.7.2-1]. */
function reachedBy (all: ReadonlyArray<{ clientId: string, topic?: string }>, topic: string): string[] {
  const reached = startsWithDollar(topic)
    ? all.filter(({ topic: filter }) => filter === undefined || !startsWithWildcard(filter))
    : all
  return reached.map(({ clientId }) => clientId)
}

/** QoS, length of the topic, topic, payload. */
function bodyOf ({ topic, payload, qos }: StoredPacket): Buffer {
  const text = Buffer.from(topic)
  const head = Buffer.from([qos, text.length >> 8, text.length & 0xff])
  return Buffer.concat([head, text, payload])
}

/** Undefined where there is neither a message nor a PUBREL. */
function packetOf (name: string, body: Buffer, state: string): OutgoingPacket | undefined {
  const at = name.lastIndexOf(':')
  const from = { brokerId: name.slice(0, at), brokerCounter: Number(name.slice(at + 1)) }
  const messageId = state === '' ? undefined : Number(state.slice(1))
  if (state.startsWith('r')) return { cmd: 'pubrel', messageId, ...from }
  if (body.length < 3) return undefined
  const end = 3 + body.readUInt16BE(1)
  return {
    cmd: 'publish',
    topic: body.toString('utf8', 3, end),
    payload: body.subarray(end),
    qos: body[0] as QoS,
    retain: false,
    // It was sent to an earlier connection, or nearly so [MQTT-3.3.1-1].
    dup: messageId !== undefined,
    messageId,
    ...from
  } as OutgoingPacket
}

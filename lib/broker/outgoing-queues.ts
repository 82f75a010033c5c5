/**
 * What is on its way to persistent sessions at QoS 1 and 2: kept from the publish until the client has acknowledged it,
 * bounded for each session and for all. Beyond the bounds the newest message is not kept, for that session alone: a
 * client that is connected still gets it, but not again after a reconnect. A topic beginning with `$` matches no filter
 * that begins with a wildcard [MQTT-4.7.2-1], which Aedes heeds for connected clients alone.
 *
 * Stands in for that part of Aedes' persistence, which is not bounded, keeps a message twice that matches two filters
 * of one client, mistakes one PUBREL for another, and forgets the wrong message when one may not be forwarded.
 *
 * With a journal, what is acknowledged is written down before, in `ahead`, and kept when Aedes comes to it. At QoS 2 a
 * packet identifier is on disk before it goes out, and so is PUBREL: a message sent again has the one that it had. That
 * a client has acknowledged is written when there is time: after a crash it may get a message at QoS 1 again.
 */
import { Readable } from 'node:stream'
import { createError, type MbsError } from '../errors.ts'
import type { AedesClient, OutgoingPacket, OutgoingPackets, StoredPacket } from './aedes-types.ts'
import type { Connection } from './contract.ts'
import { ownCopyOf } from './payload.ts'
import type { StateJournal } from './state-journal.ts'
import type { RecoveredQueued } from './state-recovery.ts'
import { startsWithDollar, startsWithWildcard } from './topics.ts'

/** What keeping a message costs beside its topic and payload, in bytes. */
const OVERHEAD_BYTES = 300
/** Messages of a queue that get their packet identifiers at once: one write of the journal for all of them. */
const IDENTIFIED_AT_ONCE = 256
const MAX_MESSAGE_ID = 65_535
/** In the place of a broker, for messages from before a restart: their numbers are no one else's. */
const RESTORED = 'restored'

export interface QueueLimits {
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly queuedBytesTotal: number
}

/** A message in the journal, once for all who wait for it. */
interface Body {
  readonly serial: number
  waiting: number
}

/** A message, or the PUBREL that has taken its place, as it waits for one client. */
interface Kept extends OutgoingPacket {
  readonly topic?: string | undefined
  readonly payload?: Buffer | undefined
  messageId: number | undefined
  /** It may have been sent before. */
  dup?: boolean
  readonly bytes: number
  /** Where there is a journal. */
  readonly body?: Body | undefined
}

/** What was written down of a message that Aedes has not come to yet. */
interface Ahead {
  readonly serial: number
  readonly clientIds: Set<string>
}

/** A subscription that a message matches. */
export interface Matched {
  readonly clientId: string
  readonly topic?: string
}

interface Queue {
  /** In the order of the publishes, by broker and number; a PUBREL keeps the place of its message. */
  readonly packets: Map<string, Kept>
  readonly keyByMessageId: Map<number, string>
  bytes: number
}

export class OutgoingQueues implements OutgoingPackets {
  readonly #limits: QueueLimits
  readonly #dropped: (clientId: string, error: MbsError) => void
  readonly #queues = new Map<string, Queue>()
  readonly #journal: StateJournal | undefined
  /** By payload: every publish has one of its own, which Aedes hands on as it is. */
  readonly #ahead = new WeakMap<Buffer, Ahead>()
  /** By client: the message that was sent to it last, at the first of its filters that match. */
  readonly #forwarded = new WeakMap<object, string>()
  /** The last number of a message in the journal. */
  #serial = 0
  #count = 0
  #bytes = 0

  /**
   * @param dropped told MBS_ERR_LIMIT_QUEUE for each message that is not kept for a session
   * @param journal where messages are kept as well
   */
  constructor (limits: QueueLimits, dropped: (clientId: string, error: MbsError) => void, journal?: StateJournal) {
    this.#limits = limits
    this.#dropped = dropped
    this.#journal = journal
  }

  /** Messages of all sessions. */
  get count (): number {
    return this.#count
  }

  /** Bytes of all sessions, with what keeping them costs. */
  get bytes (): number {
    return this.#bytes
  }

  /** True where nothing waits for this session. */
  isEmpty (clientId: string): boolean {
    return !this.#queues.has(clientId)
  }

  /** The session has ended: nothing waits for it any more. */
  forget (clientId: string): void {
    const queue = this.#queues.get(clientId)
    if (queue === undefined) return
    this.#queues.delete(clientId)
    this.#count -= queue.packets.size
    this.#bytes -= queue.bytes
    for (const kept of queue.packets.values()) this.#gone(clientId, kept)
  }

  /** Takes up what waited before a restart; it is on disk. @param lastSerial the last that a message has there */
  restore (
    queues: Iterable<readonly [string, { readonly queue: readonly RecoveredQueued[] }]>, lastSerial: number
  ): void {
    this.#serial = lastSerial
    const bodies = new Map<number, Body>()
    for (const [clientId, { queue }] of queues) {
      for (const { serial, message, isReleased, messageId } of queue) {
        let body = bodies.get(serial)
        if (body === undefined) bodies.set(serial, body = { serial, waiting: 0 })
        if (!isReleased) body.waiting++
        const bytes = message === undefined ? OVERHEAD_BYTES : sizeOf(message)
        this.#enter(clientId, {
          cmd: isReleased ? 'pubrel' : 'publish', ...message, messageId, brokerId: RESTORED, brokerCounter: serial, bytes, body
        })
      }
    }
  }

  /**
   * Writes down a message that is not acknowledged yet, for those who will get it; `outgoingEnqueueCombi` or `discard`
   * follows with the same payload.
   * @returns false where nobody will
   */
  ahead (
    subscriptions: readonly Matched[], packet: Pick<StoredPacket, 'topic' | 'payload' | 'qos' | 'retain'>
  ): boolean {
    if (this.#journal === undefined) return false
    const bytes = sizeOf(packet)
    const clientIds = new Set<string>()
    for (const { clientId } of matching(subscriptions, packet.topic)) {
      if (this.#reached(this.#queues.get(clientId), bytes) === undefined) clientIds.add(clientId)
    }
    if (clientIds.size === 0) return false
    const serial = ++this.#serial
    this.#journal.message(serial, packet)
    for (const clientId of clientIds) this.#journal.queued(clientId, serial)
    this.#ahead.set(packet.payload, { serial, clientIds })
    return true
  }

  /** A message that was written ahead does not go on. */
  discard (payload: Buffer): void {
    const ahead = this.#ahead.get(payload)
    if (ahead === undefined) return
    this.#ahead.delete(payload)
    for (const clientId of ahead.clientIds) this.#journal?.unqueued(clientId, ahead.serial)
    this.#journal?.messageGone(ahead.serial)
  }

  /** Takes the place of what Aedes has. */
  attach (persistence: OutgoingPackets): void {
    persistence.outgoingEnqueue = async (subscription, packet) => { await this.outgoingEnqueue(subscription, packet) }
    persistence.outgoingEnqueueCombi = async (all, packet) => { await this.outgoingEnqueueCombi(all, packet) }
    persistence.outgoingUpdate = async (client, packet) => { await this.outgoingUpdate(client, packet) }
    persistence.outgoingClearMessageId = async (client, packet) => await this.outgoingClearMessageId(client, packet)
    persistence.outgoingStream = (client) => this.outgoingStream(client)
  }

  async outgoingEnqueue (subscription: { clientId: string }, packet: StoredPacket): Promise<void> {
    await this.outgoingEnqueueCombi([subscription], packet)
  }

  async outgoingEnqueueCombi (all: readonly Matched[], packet: StoredPacket): Promise<void> {
    const { payload } = packet
    const ahead = this.#ahead.get(payload)
    const subscriptions = matching(all, packet.topic)
    if (subscriptions.length === 0) {
      this.discard(payload)
      return
    }
    this.#ahead.delete(payload)
    // A small payload is a view on a slab that it would keep whole.
    const kept = payload.buffer.byteLength > 2 * payload.length ? { ...packet, payload: ownCopyOf(payload) } : packet
    const body = this.#journal === undefined ? undefined : { serial: ahead?.serial ?? ++this.#serial, waiting: 0 }
    for (const { clientId } of subscriptions) {
      if (!this.#keep(clientId, kept, body) || body === undefined) continue
      if (ahead?.clientIds.delete(clientId) === true) continue
      if (ahead === undefined && body.waiting === 1) this.#journal?.message(body.serial, packet)
      this.#journal?.queued(clientId, body.serial)
    }
    if (ahead !== undefined) {
      for (const clientId of ahead.clientIds) this.#journal?.unqueued(clientId, ahead.serial)
      if (body?.waiting === 0) this.#journal?.messageGone(ahead.serial)
    } else if (packet.qos === 2) {
      // PUBREC comes after this. What fails is told by the journal, and is no reason to go without a message now.
      await this.#journal?.written().catch(() => {})
    }
  }

  /**
   * Notes the packet identifier under which a message goes out, or that PUBREL has taken its place. What is not kept is
   * no mistake: it goes out all the same. Gives it another identifier where another message has that one.
   */
  async outgoingUpdate (client: { id: string, _nextId?: number }, packet: OutgoingPacket): Promise<void> {
    const { id } = client
    const queue = this.#queues.get(id)
    if (queue === undefined) return
    const messageId = packet.messageId as number
    const key = packet.cmd === 'pubrel' ? queue.keyByMessageId.get(messageId) : keyOf(packet)
    const kept = key === undefined ? undefined : queue.packets.get(key)
    if (key === undefined || kept === undefined) return
    if (packet.cmd === 'pubrel') {
      if (kept.cmd !== 'pubrel') this.#release(id, queue, key, kept, messageId)
    } else if (kept.messageId !== messageId) {
      const other = queue.keyByMessageId.get(messageId)
      if (other !== undefined && other !== key) packet.messageId = freeId(queue, client, messageId)
      this.#identify(id, queue, key, kept, packet.messageId as number, packet.qos === 2)
    }
    if (packet.cmd === 'pubrel' || packet.qos === 2) await this.#journal?.written()
  }

  /** A message goes out to a client as it was published. */
  forwarded (client: object, packet: OutgoingPacket): void {
    this.#forwarded.set(client, keyOf(packet))
  }

  /** Forgets the message that was acknowledged, or that may not be forwarded; it resolves with it. */
  async outgoingClearMessageId (
    client: { id: string, subscriptions?: AedesClient['subscriptions'] }, packet: OutgoingPacket
  ): Promise<OutgoingPacket | undefined> {
    const { id } = client
    // Aedes has it forgotten as well when it meets the next filter that matches, while it is on its way by the first.
    const isOnItsWay = packet.messageId === undefined && this.#forwarded.get(client) === keyOf(packet)
    if (isOnItsWay && Object.values(client.subscriptions ?? {}).every(({ qos }) => qos > 0)) return undefined
    const queue = this.#queues.get(id)
    if (queue === undefined) return undefined
    const key = packet.brokerId === undefined ? queue.keyByMessageId.get(packet.messageId as number) : keyOf(packet)
    const kept = key === undefined ? undefined : queue.packets.get(key)
    if (key === undefined || kept === undefined) return undefined
    queue.packets.delete(key)
    if (kept.messageId !== undefined) queue.keyByMessageId.delete(kept.messageId)
    this.#count--
    this.#addBytes(queue, -kept.bytes)
    if (queue.packets.size === 0) this.#queues.delete(id)
    this.#gone(id, kept)
    return kept
  }

  /** What waits now, oldest first; no faster than its client takes it. */
  outgoingStream (client: Pick<AedesClient, 'id' | 'conn'> & { _nextId?: number }): Readable {
    const packets = [...this.#queues.get(client.id)?.packets.values() ?? []]
    // Who has an identifier by now was sent to an earlier connection, or nearly so [MQTT-3.3.1-1].
    for (const kept of packets) if (kept.cmd === 'publish' && kept.messageId !== undefined) kept.dup = true
    const prepare = this.#journal === undefined ? undefined : (some: readonly Kept[]) => this.#identifyAll(client, some)
    return Readable.from(pace(packets, client.conn, prepare))
  }

  /** Gives messages at QoS 2 their packet identifiers, all in one write. */
  async #identifyAll (client: { id: string, _nextId?: number }, packets: readonly Kept[]): Promise<void> {
    const queue = this.#queues.get(client.id)
    if (queue === undefined) return
    let isChanged = false
    for (const kept of packets) {
      if (kept.qos !== 2 || kept.cmd !== 'publish' || kept.messageId !== undefined) continue
      const key = keyOf(kept)
      if (queue.packets.get(key) !== kept) continue
      this.#identify(client.id, queue, key, kept, freeId(queue, client, client._nextId ?? 1), true)
      isChanged = true
    }
    if (isChanged) await this.#journal?.written()
  }

  #identify (clientId: string, queue: Queue, key: string, kept: Kept, messageId: number, isExactlyOnce: boolean): void {
    if (kept.messageId !== undefined) queue.keyByMessageId.delete(kept.messageId)
    kept.messageId = messageId
    queue.keyByMessageId.set(messageId, key)
    if (isExactlyOnce && kept.body !== undefined) {
      this.#journal?.identified(clientId, kept.body.serial, { isReleased: false, messageId })
    }
  }

  /** PUBREL takes the place of a message. */
  #release (clientId: string, queue: Queue, key: string, kept: Kept, messageId: number): void {
    this.#addBytes(queue, OVERHEAD_BYTES - kept.bytes)
    const { brokerId, brokerCounter, body } = kept
    queue.packets.set(key, { cmd: 'pubrel', messageId, brokerId, brokerCounter, bytes: OVERHEAD_BYTES, body })
    if (body === undefined) return
    this.#journal?.identified(clientId, body.serial, { isReleased: true, messageId })
    this.#leave(body)
  }

  /** Nothing of it waits for this client any more. */
  #gone (clientId: string, { cmd, body }: Kept): void {
    if (body === undefined) return
    this.#journal?.unqueued(clientId, body.serial)
    if (cmd === 'publish') this.#leave(body)
  }

  #leave (body: Body): void {
    if (--body.waiting === 0) this.#journal?.messageGone(body.serial)
  }

  /** False where it is kept already, or cannot be. */
  #keep (clientId: string, packet: StoredPacket, body: Body | undefined): boolean {
    const queue = this.#queues.get(clientId)
    if (queue?.packets.has(keyOf(packet)) === true) return false
    const bytes = sizeOf(packet)
    const reached = this.#reached(queue, bytes)
    if (reached !== undefined) {
      this.#dropped(clientId, createError('MBS_ERR_LIMIT_QUEUE', { setting: reached, max: this.#limits[reached] }))
      return false
    }
    const { topic, payload, qos, retain, brokerId, brokerCounter } = packet
    this.#enter(clientId, { cmd: 'publish', topic, payload, qos, retain, brokerId, brokerCounter, messageId: undefined, bytes, body })
    if (body !== undefined) body.waiting++
    return true
  }

  #enter (clientId: string, kept: Kept): void {
    const queue = this.#queues.get(clientId) ?? { packets: new Map(), keyByMessageId: new Map(), bytes: 0 }
    const key = keyOf(kept)
    queue.packets.set(key, kept)
    if (kept.messageId !== undefined) queue.keyByMessageId.set(kept.messageId, key)
    this.#queues.set(clientId, queue)
    this.#count++
    this.#addBytes(queue, kept.bytes)
  }

  /** The bound that another message would break. */
  #reached (queue: Queue | undefined, bytes: number): keyof QueueLimits | undefined {
    const { queuedMessages, queuedBytes, queuedBytesTotal } = this.#limits
    if ((queue?.packets.size ?? 0) >= queuedMessages) return 'queuedMessages'
    if ((queue?.bytes ?? 0) + bytes > queuedBytes) return 'queuedBytes'
    return this.#bytes + bytes > queuedBytesTotal ? 'queuedBytesTotal' : undefined
  }

  #addBytes (queue: Queue, bytes: number): void {
    queue.bytes += bytes
    this.#bytes += bytes
  }
}

/**
 * Where the connection has gone, the next one is handed out all the same: writing it fails, which ends it in order.
 * @param prepare called with the next of them, before the first of these is handed out
 */
async function * pace (
  packets: readonly Kept[], connection: Connection, prepare?: (some: readonly Kept[]) => Promise<void>
): AsyncGenerator<Kept> {
  for (const [index, packet] of packets.entries()) {
    if (index % IDENTIFIED_AT_ONCE === 0) await prepare?.(packets.slice(index, index + IDENTIFIED_AT_ONCE))
    await connection.room()
    yield packet
  }
}

/** A packet identifier that no message of this queue has, this one or a later one; the next is that after it. */
function freeId (queue: Queue, client: { _nextId?: number }, from: number): number {
  let messageId = from
  for (let tries = 0; queue.keyByMessageId.has(messageId) && tries < MAX_MESSAGE_ID; tries++) {
    messageId = messageId % MAX_MESSAGE_ID + 1
  }
  client._nextId = messageId % MAX_MESSAGE_ID + 1
  return messageId
}

/** A topic beginning with `$` matches no filter that begins with a wildcard [MQTT-4.7.2-1]. */
function matching (subscriptions: readonly Matched[], messageTopic: string): readonly Matched[] {
  if (!startsWithDollar(messageTopic)) return subscriptions
  return subscriptions.filter(({ topic }) => topic === undefined || !startsWithWildcard(topic))
}

function sizeOf ({ topic, payload }: { readonly topic: string, readonly payload: Buffer }): number {
  return Buffer.byteLength(topic) + payload.length + OVERHEAD_BYTES
}

/** Tells messages apart, whatever their packet identifier is for one client. */
function keyOf ({ brokerId, brokerCounter }: Pick<OutgoingPacket, 'brokerId' | 'brokerCounter'>): string {
  return `${brokerId}:${brokerCounter}`
}

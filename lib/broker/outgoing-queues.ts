/**
 * What is on its way to persistent sessions at QoS 1 and 2: kept from the publish until the client has acknowledged it,
 * bounded for each session and for all. Beyond the bounds the newest message is not kept, for that session alone: a
 * client that is connected still gets it, but not again after a reconnect. A topic beginning with `$` matches no filter
 * that begins with a wildcard [MQTT-4.7.2-1], which Aedes heeds for connected clients alone.
 *
 * Stands in for that part of Aedes' persistence, which is not bounded, keeps a message twice that matches two filters
 * of one client, mistakes one PUBREL for another, and forgets the wrong message when one may not be forwarded.
 */
import { Readable } from 'node:stream'
import { createError, type MbsError } from '../errors.ts'
import type { AedesClient, OutgoingPacket, OutgoingPackets, StoredPacket } from './aedes-types.ts'
import type { Connection } from './contract.ts'
import { ownCopyOf } from './payload.ts'
import { startsWithDollar, startsWithWildcard } from './topics.ts'

/** What keeping a message costs beside its topic and payload, in bytes. */
const OVERHEAD_BYTES = 300

export interface QueueLimits {
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly queuedBytesTotal: number
}

/** A message, or the PUBREL that has taken its place, as it waits for one client. */
interface Kept extends OutgoingPacket {
  readonly topic?: string
  readonly payload?: Buffer
  messageId: number | undefined
  readonly bytes: number
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
  #count = 0
  #bytes = 0

  /** @param dropped told MBS_ERR_LIMIT_QUEUE for each message that is not kept for a session */
  constructor (limits: QueueLimits, dropped: (clientId: string, error: MbsError) => void) {
    this.#limits = limits
    this.#dropped = dropped
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

  async outgoingEnqueueCombi (
    all: ReadonlyArray<{ clientId: string, topic?: string }>, packet: StoredPacket
  ): Promise<void> {
    const subscriptions = startsWithDollar(packet.topic)
      ? all.filter(({ topic }) => topic === undefined || !startsWithWildcard(topic))
      : all
    if (subscriptions.length === 0) return
    // A small payload is a view on a slab that it would keep whole.
    const { payload } = packet
    const kept = payload.buffer.byteLength > 2 * payload.length ? { ...packet, payload: ownCopyOf(payload) } : packet
    for (const { clientId } of subscriptions) this.#keep(clientId, kept)
  }

  /**
   * Notes the packet identifier under which a message goes out, or that PUBREL has taken its place. What is not kept is
   * no mistake: it goes out all the same.
   */
  async outgoingUpdate ({ id }: { id: string }, packet: OutgoingPacket): Promise<void> {
    const queue = this.#queues.get(id)
    if (queue === undefined) return
    const messageId = packet.messageId as number
    const key = packet.cmd === 'pubrel' ? queue.keyByMessageId.get(messageId) : keyOf(packet)
    const kept = key === undefined ? undefined : queue.packets.get(key)
    if (key === undefined || kept === undefined) return
    if (packet.cmd === 'pubrel') {
      this.#addBytes(queue, OVERHEAD_BYTES - kept.bytes)
      const { brokerId, brokerCounter } = kept
      queue.packets.set(key, { cmd: 'pubrel', messageId, brokerId, brokerCounter, bytes: OVERHEAD_BYTES })
    } else {
      if (kept.messageId !== undefined) queue.keyByMessageId.delete(kept.messageId)
      kept.messageId = messageId
      queue.keyByMessageId.set(messageId, key)
    }
  }

  /** Forgets the message that was acknowledged, or that may not be forwarded; it resolves with it. */
  async outgoingClearMessageId (
    { id }: { id: string }, packet: OutgoingPacket
  ): Promise<OutgoingPacket | undefined> {
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
    return kept
  }

  /** What waits now, oldest first; no faster than its client takes it. */
  outgoingStream ({ id, conn }: Pick<AedesClient, 'id' | 'conn'>): Readable {
    return Readable.from(pace([...this.#queues.get(id)?.packets.values() ?? []], conn))
  }

  #keep (clientId: string, packet: StoredPacket): void {
    const key = keyOf(packet)
    const bytes = Buffer.byteLength(packet.topic) + packet.payload.length + OVERHEAD_BYTES
    const queue = this.#queues.get(clientId) ?? { packets: new Map(), keyByMessageId: new Map(), bytes: 0 }
    if (queue.packets.has(key)) return
    const reached = this.#reached(queue, bytes)
    if (reached !== undefined) {
      this.#dropped(clientId, createError('MBS_ERR_LIMIT_QUEUE', { setting: reached, max: this.#limits[reached] }))
      return
    }
    const { topic, payload, qos, retain, brokerId, brokerCounter } = packet
    queue.packets.set(key, { cmd: 'publish', topic, payload, qos, retain, brokerId, brokerCounter, messageId: undefined, bytes })
    this.#queues.set(clientId, queue)
    this.#count++
    this.#addBytes(queue, bytes)
  }

  /** The bound that another message would break. */
  #reached (queue: Queue, bytes: number): keyof QueueLimits | undefined {
    const { queuedMessages, queuedBytes, queuedBytesTotal } = this.#limits
    if (queue.packets.size >= queuedMessages) return 'queuedMessages'
    if (queue.bytes + bytes > queuedBytes) return 'queuedBytes'
    return this.#bytes + bytes > queuedBytesTotal ? 'queuedBytesTotal' : undefined
  }

  #addBytes (queue: Queue, bytes: number): void {
    queue.bytes += bytes
    this.#bytes += bytes
  }
}

/** Where the connection has gone, the next one is handed out all the same: writing it fails, which ends it in order. */
async function * pace (packets: readonly Kept[], connection: Connection): AsyncGenerator<Kept> {
  for (const packet of packets) {
    await connection.room()
    yield packet
  }
}

/** Tells messages apart, whatever their packet identifier is for one client. */
function keyOf ({ brokerId, brokerCounter }: Pick<OutgoingPacket, 'brokerId' | 'brokerCounter'>): string {
  return `${brokerId}:${brokerCounter}`
}

/**
 * The retained messages, bounded in number and bytes. What is beyond the bounds is forwarded like any other message and
 * not retained; replacing one and deleting one (an empty payload) make room [MQTT-3.3.1-10].
 *
 * Stands in for that part of Aedes' persistence, which is not bounded, and which compares a new subscription with all
 * retained messages in one step: here a search takes many short ones, one search after the other. A client has one
 * search at a time, which goes on as the client takes what was found.
 */
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createError, type MbsError } from '../errors.ts'
import { levelsOf, matchesTopic } from '../topic-filter.ts'
import type { RetainedPackets, StoredPacket } from './aedes-types.ts'
import type { Connection } from './contract.ts'
import { hasWildcard } from './topics.ts'

/** What keeping a message costs beside its topic and payload, in bytes. */
const OVERHEAD_BYTES = 200
/** Topics compared in one turn of the event loop. */
const TOPICS_A_TURN = 500

export interface RetainedLimits {
  readonly retainedMessages: number
  readonly retainedBytes: number
}

export class RetainedMessages {
  readonly #limits: RetainedLimits
  readonly #refused: (error: MbsError) => void
  readonly #messages = new Map<string, StoredPacket>()
  #bytes = 0
  #turn: Promise<void> = Promise.resolve()
  /** Who subscribed last. */
  #subscriber: Connection | undefined

  /** @param refused told MBS_ERR_LIMIT_RETAINED for each message that is not retained */
  constructor (limits: RetainedLimits, refused: (error: MbsError) => void) {
    this.#limits = limits
    this.#refused = refused
  }

  get count (): number {
    return this.#messages.size
  }

  /** Payloads and topics, and what keeping them costs. */
  get bytes (): number {
    return this.#bytes
  }

  /** Takes the place of what Aedes has. */
  attach (persistence: RetainedPackets): void {
    persistence.storeRetained = async (packet) => { this.store(packet) }
    persistence.createRetainedStream = (filter) => Readable.from(this.find([filter]))
    persistence.createRetainedStreamCombi = (filters) => Readable.from(this.find(filters, this.#subscriber))
  }

  /** A client has subscribed: the search that begins in the same step is for it. */
  subscribed (connection: Connection): void {
    this.#subscriber = connection
  }

  /** Retains a message, replaces the one of its topic, or, being empty, deletes that. */
  store ({ topic, payload, qos }: StoredPacket): void {
    const before = this.#messages.get(topic)
    const freed = before === undefined ? 0 : sizeOf(before)
    if (payload.length === 0) {
      this.#messages.delete(topic)
      this.#bytes -= freed
      return
    }
    const packet: StoredPacket = { cmd: 'publish', topic, payload, qos, retain: true }
    const bytes = this.#bytes - freed + sizeOf(packet)
    const { retainedMessages, retainedBytes } = this.#limits
    if (before === undefined && this.#messages.size >= retainedMessages) {
      this.#refused(createError('MBS_ERR_LIMIT_RETAINED', { setting: 'retainedMessages', max: retainedMessages }))
    } else if (bytes > retainedBytes) {
      // The one before is no longer true.
      this.#messages.delete(topic)
      this.#bytes -= freed
      this.#refused(createError('MBS_ERR_LIMIT_RETAINED', { setting: 'retainedBytes', max: retainedBytes }))
    } else {
      this.#messages.set(topic, packet)
      this.#bytes = bytes
    }
  }

  /**
   * The messages that these filters match, filter by filter.
   * @param subscriber for whom; it is told when the search has ended
   */
  async * find (filters: readonly string[], subscriber?: Connection): AsyncGenerator<StoredPacket> {
    for (const filter of filters) {
      for await (const packet of this.#matching(filter, subscriber)) {
        await subscriber?.room()
        yield packet
      }
    }
    subscriber?.subscribeSettled()
  }

  /** Ends early where nobody waits for it any more. */
  async * #matching (filter: string, subscriber: Connection | undefined): AsyncGenerator<StoredPacket> {
    if (!hasWildcard(filter)) {
      const packet = this.#messages.get(filter)
      if (packet !== undefined) yield packet
      return
    }
    const levels = levelsOf(filter)
    let compared = 0
    for (const [topic, packet] of this.#messages) {
      if (++compared % TOPICS_A_TURN === 0) await this.#nextTurn()
      if (subscriber?.destroyed === true) return
      if (matchesTopic(levels, topic)) yield packet
    }
  }

  /** A turn of the event loop for one search alone: a thousand at a time would make a long one. */
  async #nextTurn (): Promise<void> {
    this.#turn = this.#turn.then(async () => { await nextTurn() })
    await this.#turn
  }
}

function sizeOf ({ topic, payload }: StoredPacket): number {
  return Buffer.byteLength(topic) + payload.length + OVERHEAD_BYTES
}

/**
 * The retained messages, bounded in number and bytes. What is beyond the bounds is forwarded like any other message and
 * not retained; replacing one and deleting one (an empty payload) make room [MQTT-3.3.1-10].
 *
 * Stands in for that part of Aedes' persistence, which is not bounded, and which compares a new subscription with all
 * retained messages in one step: here a search takes many short ones, one search after the other. A client has one
 * search at a time, which goes on as the client takes what was found.
 *
 * With a journal, what is acknowledged is written down before, in `ahead`, and stored when Aedes comes to it: of a
 * topic the journal has the last that was written ahead, whatever is stored in between.
 */
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createError, type MbsError } from '../errors.ts'
import type { QoS } from '../message.ts'
import { levelsOf, matchesTopic } from '../topic-filter.ts'
import type { GrantedSubscription, RetainedPackets, StoredPacket } from './aedes-types.ts'
import type { Connection } from './contract.ts'
import type { RetainedRecord } from './journal-records.ts'
import type { StateJournal } from './state-journal.ts'
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
  /** Who subscribed last, and to what. */
  #subscriber: Connection | undefined
  #granted: readonly GrantedSubscription[] = []
  readonly #journal: StateJournal | undefined
  /** By topic: the payload that was written ahead last, until it is stored. */
  readonly #ahead = new Map<string, Buffer>()

  /**
   * @param refused told MBS_ERR_LIMIT_RETAINED for each message that is not retained
   * @param journal where they are kept as well
   */
  constructor (limits: RetainedLimits, refused: (error: MbsError) => void, journal?: StateJournal) {
    this.#limits = limits
    this.#refused = refused
    this.#journal = journal
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
    persistence.createRetainedStream = (filter) => Readable.from(this.find([{ topic: filter, qos: 2 }]))
    persistence.createRetainedStreamCombi = (filters) => {
      const granted = this.#granted.filter(({ topic }) => filters.includes(topic))
      return Readable.from(this.find(granted, this.#subscriber))
    }
  }

  /** A client has subscribed: the search that begins in the same step is for it. */
  subscribed (connection: Connection, granted: readonly GrantedSubscription[]): void {
    this.#subscriber = connection
    this.#granted = granted
  }

  /** Takes up messages from before a restart; they are on disk. */
  restore (messages: ReadonlyMap<string, RetainedRecord>): void {
    for (const [topic, { payload, qos }] of messages) {
      const packet: StoredPacket = { cmd: 'publish', topic, payload, qos, retain: true }
      this.#messages.set(topic, packet)
      this.#bytes += sizeOf(packet)
    }
  }

  /**
   * Writes down what a publish that is not acknowledged yet will change, which `store` or `discard` follows.
   * @returns false where there is nothing to write
   */
  ahead (packet: Pick<StoredPacket, 'topic' | 'payload' | 'qos'>): boolean {
    const { topic, payload } = packet
    if (this.#journal === undefined) return false
    if (payload.length === 0) {
      if (!this.#messages.has(topic) && !this.#ahead.has(topic)) return false
      this.#journal.retainedGone(topic)
    } else {
      if (this.#reached(packet) !== undefined) return false
      this.#journal.retained(topic, packet)
    }
    this.#ahead.set(topic, payload)
    return true
  }

  /** A publish that was written ahead does not go on. */
  discard ({ topic, payload }: Pick<StoredPacket, 'topic' | 'payload'>): void {
    if (this.#ahead.get(topic) !== payload) return
    this.#ahead.delete(topic)
    this.#write(topic)
  }

  /** Retains a message, replaces the one of its topic, or, being empty, deletes that. */
  store ({ topic, payload, qos }: StoredPacket): void {
    const before = this.#messages.get(topic)
    const packet: StoredPacket = { cmd: 'publish', topic, payload, qos, retain: true }
    const reached = payload.length === 0 ? undefined : this.#reached(packet)
    if (reached !== undefined) {
      this.#refused(createError('MBS_ERR_LIMIT_RETAINED', { setting: reached, max: this.#limits[reached] }))
    }
    const isKept = payload.length > 0 && reached === undefined
    if (isKept) this.#messages.set(topic, packet)
    // Where there is no room for the new one, the one before is no longer true.
    else if (reached !== 'retainedMessages') this.#messages.delete(topic)
    this.#bytes += (isKept ? sizeOf(packet) : 0) - (before === undefined ? 0 : sizeOf(before))
    const isWritten = this.#ahead.get(topic) === payload
    if (isWritten) this.#ahead.delete(topic)
    const isAsWritten = isWritten && reached === undefined
    if (!isAsWritten && !this.#ahead.has(topic) && (isKept || before !== undefined || isWritten)) this.#write(topic)
  }

  /** The bound that retaining a message would break. */
  #reached (packet: Pick<StoredPacket, 'topic' | 'payload'>): keyof RetainedLimits | undefined {
    const before = this.#messages.get(packet.topic)
    const { retainedMessages, retainedBytes } = this.#limits
    if (before === undefined && this.#messages.size >= retainedMessages) return 'retainedMessages'
    const freed = before === undefined ? 0 : sizeOf(before)
    return this.#bytes - freed + sizeOf(packet) > retainedBytes ? 'retainedBytes' : undefined
  }

  /** The journal gets what is there now. */
  #write (topic: string): void {
    const packet = this.#messages.get(topic)
    if (packet === undefined) this.#journal?.retainedGone(topic)
    else this.#journal?.retained(topic, packet)
  }

  /**
   * The messages that these filters match, filter by filter, at no QoS above that of the filter [MQTT-3.8.4-6].
   * @param subscriber for whom; it is told when the search has ended
   */
  async * find (granted: readonly GrantedSubscription[], subscriber?: Connection): AsyncGenerator<StoredPacket> {
    for (const { topic: filter, qos } of granted) {
      for await (const packet of this.#matching(filter, subscriber)) {
        await subscriber?.room()
        yield atMost(qos, packet)
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

/** A message at the QoS of a subscription, where that is lower than its own. */
export function atMost (qos: number, packet: StoredPacket): StoredPacket {
  return packet.qos > qos ? { ...packet, qos: qos as QoS } : packet
}

function sizeOf ({ topic, payload }: Pick<StoredPacket, 'topic' | 'payload'>): number {
  return Buffer.byteLength(topic) + payload.length + OVERHEAD_BYTES
}

/**
 * Knows the publishes that a device may send again, so that the event of a retransmission has the id of the first one
 * and whoever receives both can tell [MQTT-4.4.0-1]. A retransmission says so by its DUP flag [MQTT-3.3.1-1]; some
 * client libraries forget it, but while the first one is not answered its identifier can stand for nothing else.
 *
 * Remembers the newest `limit` publishes in a ring of numbers, found through a hash table with chains. Every publish at
 * QoS 1 and 2 passes here: as objects in a Map, remembering them cost more than mapping and acknowledging them.
 */
import { crc32 } from 'node:zlib'
import type { Publish } from '../message.ts'
import type { Receipt } from '../outbox/outbox.ts'
import type { EventIds } from './event-ids.ts'

export interface RetransmissionsOptions {
  /** How many are remembered; one in any case. */
  readonly limit: number
  /** What was remembered before a restart, oldest first. */
  readonly receipts: readonly Receipt[]
  readonly ids: EventIds
}

/** A receipt, and how it is remembered. */
export interface RememberedReceipt extends Receipt {
  /** How many publishes had been remembered when this one was. */
  readonly serial: number
}

/** The end of a chain. */
const NONE = -1

export class Retransmissions {
  readonly #ids: EventIds
  readonly #limit: number
  // The ring: what is known of the publish in each slot. Clients are known by a hash of their identifier.
  readonly #clients: Uint32Array
  readonly #messageIds: Uint16Array
  readonly #digests: Uint32Array
  /** The number of the event's id; below zero it stands for one of `#recovered`. */
  readonly #idNumbers: Float64Array
  readonly #isAnswered: Uint8Array
  /** The next slot of the same chain, and the first slot of each chain: the newest. */
  readonly #nextOf: Int32Array
  readonly #firstOf: Int32Array
  /** Ids that an earlier start of the program made. */
  readonly #recovered: string[]
  #serial = 0

  constructor (options: RetransmissionsOptions) {
    const limit = Math.max(1, options.limit)
    this.#ids = options.ids
    this.#limit = limit
    this.#clients = new Uint32Array(limit)
    this.#messageIds = new Uint16Array(limit)
    this.#digests = new Uint32Array(limit)
    this.#idNumbers = new Float64Array(limit)
    this.#isAnswered = new Uint8Array(limit)
    this.#nextOf = new Int32Array(limit)
    this.#firstOf = new Int32Array(2 ** Math.ceil(Math.log2(limit + 1))).fill(NONE)
    const newest = options.receipts.slice(-limit)
    this.#recovered = newest.map(({ eventId }) => eventId)
    for (const [index, { clientId, messageId, digest }] of newest.entries()) {
      const serial = this.#remember(hashOf(clientId), messageId, digest, -1 - index)
      this.#isAnswered[serial % limit] = 1
    }
  }

  /**
   * The receipt of a publish at QoS 1 or 2. Where the same message was seen under this packet identifier, and DUP is
   * set or that one was not answered, the event id is that of the first time; otherwise it is a new one.
   */
  receiptOf (publish: Publish, messageId: number): RememberedReceipt {
    const clientId = publish.client.id
    const client = hashOf(clientId)
    // NUL, which no topic has, keeps the two apart.
    const digest = crc32(publish.payload, crc32(`${publish.topic}\0`))
    const slot = this.#find(client, messageId)
    if (slot !== NONE && this.#digests[slot] === digest && (publish.dup || this.#isAnswered[slot] === 0)) {
      const eventId = this.#idOf(slot)
      return { clientId, messageId, digest, eventId, again: publish.dup, serial: this.#serialOf(slot) }
    }
    const number = this.#ids.next()
    const serial = this.#remember(client, messageId, digest, number)
    return { clientId, messageId, digest, eventId: this.#ids.textOf(number), again: publish.dup, serial }
  }

  /** The publish of this receipt is stored, and so answered. */
  answered ({ serial }: RememberedReceipt): void {
    if (this.#serial - serial <= this.#limit) this.#isAnswered[serial % this.#limit] = 1
  }

  #remember (client: number, messageId: number, digest: number, idNumber: number): number {
    const serial = this.#serial++
    const slot = serial % this.#limit
    if (serial >= this.#limit) this.#forget(slot)
    this.#clients[slot] = client
    this.#messageIds[slot] = messageId
    this.#digests[slot] = digest
    this.#idNumbers[slot] = idNumber
    this.#isAnswered[slot] = 0
    const chain = this.#chainOf(client, messageId)
    this.#nextOf[slot] = this.#firstOf[chain] as number
    this.#firstOf[chain] = slot
    return serial
  }

  /** Takes the oldest publish out of its chain: being the oldest, it is the last. */
  #forget (slot: number): void {
    const chain = this.#chainOf(this.#clients[slot] as number, this.#messageIds[slot] as number)
    let before = NONE
    for (let at = this.#firstOf[chain] as number; at !== slot; at = this.#nextOf[at] as number) before = at
    if (before === NONE) this.#firstOf[chain] = NONE
    else this.#nextOf[before] = NONE
  }

  #find (client: number, messageId: number): number {
    let slot = this.#firstOf[this.#chainOf(client, messageId)] as number
    while (slot !== NONE && (this.#clients[slot] !== client || this.#messageIds[slot] !== messageId)) {
      slot = this.#nextOf[slot] as number
    }
    return slot
  }

  #chainOf (client: number, messageId: number): number {
    return (Math.imul(client ^ messageId, 0x9e3779b1) >>> 8) & (this.#firstOf.length - 1)
  }

  #idOf (slot: number): string {
    const number = this.#idNumbers[slot] as number
    return number < 0 ? this.#recovered[-1 - number] as string : this.#ids.textOf(number)
  }

  /** The newest serial that has this slot. */
  #serialOf (slot: number): number {
    const newest = this.#serial - 1
    return newest - (newest - slot) % this.#limit
  }
}

/** FNV-1a: for the short texts that client identifiers are, cheaper than a call out of JavaScript. */
function hashOf (text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return hash >>> 0
}

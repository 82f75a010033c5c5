/**
 * Knows the publishes that a device may send again, so that the event of a retransmission has the id of the first one
 * and whoever receives both can tell [MQTT-4.4.0-1]. A retransmission says so by its DUP flag [MQTT-3.3.1-1]; some
 * client libraries forget it, but while the first one is not answered its identifier can stand for nothing else.
 *
 * Remembers at least half of `limit` publishes, the newest, and never more than `limit`: two generations, of which the
 * older one is dropped whole. (A Map that loses its oldest key again and again becomes slow.)
 */
import { crc32 } from 'node:zlib'
import type { Publish } from '../message.ts'
import type { Receipt } from '../outbox/outbox.ts'

export interface RetransmissionsOptions {
  readonly limit: number
  /** What was remembered before a restart, oldest first. */
  readonly receipts: readonly Receipt[]
  /** Makes the id of an event. */
  readonly newId: () => string
}

/** A receipt, and whether its publish was answered: as far as the outbox can tell, it was stored. */
interface Seen extends Receipt {
  isAnswered: boolean
}

export class Retransmissions {
  readonly #generationSize: number
  readonly #newId: () => string
  #younger = new Map<string, Seen>()
  #older = new Map<string, Seen>()

  constructor (options: RetransmissionsOptions) {
    this.#generationSize = Math.max(1, options.limit >> 1)
    this.#newId = options.newId
    for (const receipt of options.receipts) {
      this.#remember(keyOf(receipt.clientId, receipt.messageId), { ...receipt, isAnswered: true })
    }
  }

  /** How many publishes are remembered. */
  get size (): number {
    return this.#younger.size + this.#older.size
  }

  /**
   * The receipt of a publish at QoS 1 or 2. Where the same message was seen under this packet identifier, and DUP is
   * set or that one was not answered, the event id is that of the first time; otherwise it is a new one.
   */
  receiptOf (publish: Publish, messageId: number): Receipt {
    const clientId = publish.client.id
    const digest = crc32(publish.payload, crc32(publish.topic))
    const key = keyOf(clientId, messageId)
    const seen = this.#younger.get(key) ?? this.#older.get(key)
    if (seen?.digest === digest && (publish.dup || !seen.isAnswered)) return seen
    const receipt = { clientId, messageId, digest, eventId: this.#newId(), isAnswered: false }
    this.#remember(key, receipt)
    return receipt
  }

  /** The publish of this receipt is stored, and so answered. */
  answered (receipt: Receipt): void {
    (receipt as Seen).isAnswered = true
  }

  #remember (key: string, receipt: Seen): void {
    if (this.#younger.size >= this.#generationSize) {
      this.#older = this.#younger
      this.#younger = new Map()
    }
    this.#younger.set(key, receipt)
  }
}

/** The packet identifier comes first: it holds no `/`, a client id may. */
function keyOf (clientId: string, messageId: number): string {
  return `${messageId}/${clientId}`
}

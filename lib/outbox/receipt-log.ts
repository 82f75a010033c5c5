/**
 * The receipts on disk: one value with those of each block, written in the same batch. About the newest `limit` stay;
 * a write that adds some removes what is too old, so that keeping them costs no write of its own.
 */
import { seal, unseal } from '../level/sealed.ts'
import { receiptsKey, type ReceiptsKey } from './keys.ts'
import type { BatchOperation } from './database.ts'
import type { Receipt } from './outbox.ts'

export class ReceiptLog {
  readonly #limit: number
  /** What is on disk, oldest first, from `#oldest` on. */
  #kept: ReceiptsKey[] = []
  #oldest = 0
  #receipts = 0

  constructor (limit: number) {
    this.#limit = limit
  }

  /** Notes what was found on disk, oldest first. */
  load (found: readonly ReceiptsKey[]): void {
    this.#kept = [...found]
    this.#oldest = 0
    this.#receipts = found.reduce((sum, key) => sum + key.receipts, 0)
  }

  /** The operations that store the receipts of a block. Changes nothing before `wrote`. */
  operations (key: ReceiptsKey, value: Buffer): BatchOperation[] {
    const operations: BatchOperation[] = [{ type: 'put', key: receiptsKey(key), value }]
    for (const old of this.#superfluous(key.receipts)) operations.push({ type: 'del', key: receiptsKey(old) })
    return operations
  }

  /** The operations for this key are durable. */
  wrote (key: ReceiptsKey): void {
    for (const old of this.#superfluous(key.receipts)) {
      this.#receipts -= old.receipts
      this.#oldest++
    }
    if (this.#oldest > 1024 && this.#oldest * 2 > this.#kept.length) {
      this.#kept = this.#kept.slice(this.#oldest)
      this.#oldest = 0
    }
    this.#kept.push(key)
    this.#receipts += key.receipts
  }

  /** The oldest ones without which there are still `limit`. */
  #superfluous (added: number): ReceiptsKey[] {
    let receipts = this.#receipts + added
    let index = this.#oldest
    for (;;) {
      const old = this.#kept[index]
      if (old === undefined || receipts - old.receipts < this.#limit) return this.#kept.slice(this.#oldest, index)
      receipts -= old.receipts
      index++
    }
  }
}

/** Receipts as one value: a flat array is what JSON does fastest. */
export function encodeReceipts (receipts: readonly Receipt[]): Buffer {
  const flat: Array<string | number> = []
  for (const { clientId, messageId, digest, eventId } of receipts) flat.push(clientId, messageId, digest, eventId)
  return seal(Buffer.from(JSON.stringify(flat)))
}

/** None where the value is damaged: a retransmission then becomes a second event, as where a receipt is too old. */
export function decodeReceipts (value: Buffer): Receipt[] {
  const body = unseal(value)
  if (body === undefined) return []
  const flat = JSON.parse(body.toString()) as Array<string | number>
  const receipts: Receipt[] = []
  for (let at = 0; at + 3 < flat.length; at += 4) {
    receipts.push({
      clientId: flat[at] as string,
      messageId: flat[at + 1] as number,
      digest: flat[at + 2] as number,
      eventId: flat[at + 3] as string
    })
  }
  return receipts
}

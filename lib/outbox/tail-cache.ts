/**
 * The newest events, as the very objects that were appended: a dispatcher that keeps up reads nothing from disk.
 * Holds whole blocks, one behind the other without a hole, at most `maxBytes` of them as encoded.
 */
import type { Page, PageLimit } from './outbox.ts'
import type { StoredEvent } from '../message.ts'

interface TailBlock {
  readonly first: number
  readonly events: readonly StoredEvent[]
  readonly sizes: readonly number[]
  readonly bytes: number
}

/** Dropped blocks at the front of the array before it is made shorter. */
const COMPACT_AT = 1024

export class TailCache {
  readonly #maxBytes: number
  #blocks: TailBlock[] = []
  /** Index of the oldest block: the array is not shifted for each. */
  #oldest = 0
  #bytes = 0

  constructor (maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Adds the block that follows the last one. */
  push (first: number, events: readonly StoredEvent[], sizes: readonly number[], bytes: number): void {
    this.#blocks.push({ first, events, sizes, bytes })
    this.#bytes += bytes
    while (this.#bytes > this.#maxBytes) this.#dropOldest()
  }

  clear (): void {
    this.#blocks = []
    this.#oldest = 0
    this.#bytes = 0
  }

  /** Forgets the blocks that lie before a sequence altogether. */
  trimBefore (sequence: number): void {
    for (;;) {
      const block = this.#blocks[this.#oldest]
      if (block === undefined || block.first + block.events.length > sequence) return
      this.#dropOldest()
    }
  }

  has (sequence: number): boolean {
    const oldest = this.#blocks[this.#oldest]
    const newest = this.#blocks.at(-1)
    return oldest !== undefined && newest !== undefined &&
      sequence >= oldest.first && sequence < newest.first + newest.events.length
  }

  get (sequence: number): StoredEvent | undefined {
    if (!this.has(sequence)) return undefined
    const block = this.#blocks[this.#find(sequence)]
    return block?.events[sequence - block.first]
  }

  /** The page that begins at a sequence; undefined where that is not here. */
  page (from: number, limit: PageLimit): Page | undefined {
    if (!this.has(from)) return undefined
    const events: StoredEvent[] = []
    let bytes = 0
    for (let index = this.#find(from); index < this.#blocks.length; index++) {
      const block = this.#blocks[index] as TailBlock
      for (let at = from + events.length - block.first; at < block.events.length; at++) {
        bytes += block.sizes[at] as number
        if (events.length > 0 && (events.length >= limit.events || bytes > limit.bytes)) {
          return { events, next: from + events.length, lost: 0 }
        }
        events.push(block.events[at] as StoredEvent)
      }
    }
    return { events, next: from + events.length, lost: 0 }
  }

  /** Index of the block that holds a sequence, which `has` has said is here. */
  #find (sequence: number): number {
    let low = this.#oldest
    let high = this.#blocks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#blocks[middle] as TailBlock).first <= sequence) low = middle
      else high = middle - 1
    }
    return low
  }

  #dropOldest (): void {
    const block = this.#blocks[this.#oldest]
    if (block === undefined) return
    this.#bytes -= block.bytes
    this.#blocks[this.#oldest] = dropped
    this.#oldest++
    if (this.#oldest >= COMPACT_AT && this.#oldest * 2 > this.#blocks.length) {
      this.#blocks = this.#blocks.slice(this.#oldest)
      this.#oldest = 0
    }
  }
}

/** Stands where a block was, so that it can be collected before the array is made shorter. */
const dropped: TailBlock = { first: -1, events: [], sizes: [], bytes: 0 }

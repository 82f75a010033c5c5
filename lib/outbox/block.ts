/**
 * A block: the events of one group commit as one value. LevelDB costs by the entry (14 to 19 µs of CPU an event when
 * each has its own), so a block has as many as came together. First byte the version of the format, then the records.
 */
import type { Event, StoredEvent } from '../message.ts'
import { endOf, type BlockKey } from './keys.ts'
import { extensionsText, readRecord, recordBound, recordLength, writeRecord } from './record.ts'

const VERSION = 1

/** A block ends before either is passed, unless its only event is larger: bounds what one event can hold on disk. */
export const BLOCK_MAX_BYTES = 1024 * 1024
export const BLOCK_MAX_EVENTS = 2048

/** Bytes of a block beside its records. */
export const BLOCK_OVERHEAD_BYTES = 1

/** Builds one block after another in the same memory. */
export class BlockWriter {
  #scratch = Buffer.allocUnsafeSlow(64 * 1024)
  #length = BLOCK_OVERHEAD_BYTES
  #sizes: number[] = []

  /** Length of the block so far. */
  get bytes (): number {
    return this.#length
  }

  get count (): number {
    return this.#sizes.length
  }

  /** Adds a record and returns its size in bytes. */
  add (storedAt: number, event: Event): number {
    const extensions = extensionsText(event)
    const bound = this.#length + recordBound(event, extensions)
    if (bound > this.#scratch.length) this.#grow(bound)
    const size = writeRecord(this.#scratch, this.#length, storedAt, event, extensions)
    this.#length += size
    this.#sizes.push(size)
    return size
  }

  /** Takes the record added last away again. */
  undo (): void {
    this.#length -= this.#sizes.pop() ?? 0
  }

  /** The finished block and the sizes of its records; the writer is empty again. */
  finish (): { value: Buffer, sizes: readonly number[] } {
    const value = Buffer.allocUnsafeSlow(this.#length)
    this.#scratch.copy(value, 0, 0, this.#length)
    value[0] = VERSION
    const sizes = this.#sizes
    this.#sizes = []
    this.#length = BLOCK_OVERHEAD_BYTES
    // One huge event must not keep its memory for ever.
    if (this.#scratch.length > 4 * BLOCK_MAX_BYTES) this.#scratch = Buffer.allocUnsafeSlow(BLOCK_MAX_BYTES)
    return { value, sizes }
  }

  #grow (bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(bytes, 2 * this.#scratch.length))
    this.#scratch.copy(larger, 0, 0, this.#length)
    this.#scratch = larger
  }
}

/** Reads a block record by record, so that a page decodes no more than it returns. */
export class BlockReader {
  readonly key: BlockKey
  readonly end: number
  readonly #value: Buffer
  #offset: number
  #sequence: number

  constructor (key: BlockKey, value: Buffer) {
    this.key = key
    this.end = endOf(key)
    this.#value = value
    this.#sequence = key.first
    // A block of another format is one without readable records.
    this.#offset = value[0] === VERSION ? BLOCK_OVERHEAD_BYTES : value.length
  }

  /** The sequence that is read next; `end` when all has been read. */
  get sequence (): number {
    return this.#sequence
  }

  /** Size of the next record in bytes; 0 where it cannot be read. */
  get size (): number {
    return recordLength(this.#value, this.#offset) ?? 0
  }

  skipTo (sequence: number): void {
    while (this.#sequence < sequence && this.#sequence < this.end) this.#advance()
  }

  /** The next event, or undefined where its bytes are damaged; goes on behind it either way. */
  next (): StoredEvent | undefined {
    const sequence = this.#sequence
    const at = this.#offset
    const length = this.#advance()
    const record = length === undefined ? undefined : readRecord(this.#value, at, length)
    return record === undefined ? undefined : { sequence, storedAt: record.storedAt, event: record.event }
  }

  #advance (): number | undefined {
    const length = recordLength(this.#value, this.#offset)
    // Without a length the next record cannot be found: the rest of the block is lost.
    this.#offset = length === undefined ? this.#value.length : this.#offset + length
    this.#sequence++
    return length
  }
}

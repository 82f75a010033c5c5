/**
 * The keys of the database. One prefix byte for each kind, numbers big-endian so that they sort:
 *
 *   C sink name            cursor of a sink
 *   D sequence sink name   dead letter; no name: that of the sink `default`
 *   E first offset count bytes checksum   block of events; all that is asked about a block stands in its key
 *   M                      marks (log-state.ts)
 *   N                      how far the counters of sources are saved (counter-log.ts)
 *   R first count receipts checksum   receipts of the publishes of one block
 *   S number               some of the counters of sources
 */
import { crc32 } from 'node:zlib'
import type { LetterId } from '../message.ts'

const CURSOR = 0x43
const LETTER = 0x44
const BLOCK = 0x45
const MARKS = 0x4d
const COUNTERS_MARK = 0x4e
const RECEIPTS = 0x52
const COUNTERS = 0x53

/** Length of a block's key in bytes. */
export const BLOCK_KEY_BYTES = 29
const RECEIPTS_KEY_BYTES = 21

/** What the key of a block says. */
export interface BlockKey {
  /** Sequence of its first event. */
  readonly first: number
  /** Bytes of all blocks ever written before it. */
  readonly offset: number
  /** Number of its events. */
  readonly count: number
  /** Length of its value. */
  readonly bytes: number
}

/** The sequence behind a block. */
export function endOf (block: BlockKey): number {
  return block.first + block.count
}

function writeU64 (target: Buffer, value: number, at: number): void {
  target.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at)
  target.writeUInt32BE(value % 0x1_0000_0000, at + 4)
}

function readU64 (source: Buffer, at: number): number {
  return source.readUInt32BE(at) * 0x1_0000_0000 + source.readUInt32BE(at + 4)
}

function numbered (prefix: number, value: number): Buffer {
  const key = Buffer.alloc(9)
  key[0] = prefix
  writeU64(key, value, 1)
  return key
}

export function blockKey (block: BlockKey): Buffer {
  const key = Buffer.alloc(BLOCK_KEY_BYTES)
  key[0] = BLOCK
  writeU64(key, block.first, 1)
  writeU64(key, block.offset, 9)
  key.writeUInt32BE(block.count, 17)
  key.writeUInt32BE(block.bytes, 21)
  key.writeUInt32BE(crc32(key.subarray(0, 25)), 25)
  return key
}

/** Undefined for anything that is not the undamaged key of a block. */
export function parseBlockKey (key: Buffer): BlockKey | undefined {
  if (key.length !== BLOCK_KEY_BYTES || key[0] !== BLOCK) return undefined
  if (key.readUInt32BE(25) !== crc32(key.subarray(0, 25))) return undefined
  return { first: readU64(key, 1), offset: readU64(key, 9), count: key.readUInt32BE(17), bytes: key.readUInt32BE(21) }
}

/** The lowest key that a block which begins at `sequence` can have. */
export function blocksFrom (sequence: number): Buffer {
  return numbered(BLOCK, sequence)
}

/** Above every block. */
export const BLOCKS_END = Buffer.of(BLOCK + 1)

/** The sink whose dead letters have no name in their key: there was a time when it was the only one. */
const UNNAMED = 'default'

export function letterKey ({ sequence, sink }: LetterId): Buffer {
  return sink === UNNAMED ? lettersFrom(sequence) : Buffer.concat([lettersFrom(sequence), Buffer.from(sink)])
}

/** The lowest key that a dead letter of this sequence can have. */
export function lettersFrom (sequence: number): Buffer {
  return numbered(LETTER, sequence)
}

/** Which dead letter has this key. */
export function parseLetterKey (key: Buffer): LetterId {
  return { sequence: readU64(key, 1), sink: key.length === 9 ? UNNAMED : key.toString('utf8', 9) }
}

export const LETTERS = { gte: Buffer.of(LETTER), lt: Buffer.of(LETTER + 1) } as const

export function cursorKey (sink: string): Buffer {
  return Buffer.concat([Buffer.of(CURSOR), Buffer.from(sink)])
}

export const CURSORS = { gte: Buffer.of(CURSOR), lt: Buffer.of(CURSOR + 1) } as const

export const MARKS_KEY = Buffer.of(MARKS)

export const COUNTERS_MARK_KEY = Buffer.of(COUNTERS_MARK)

export function countersKey (number: number): Buffer {
  return numbered(COUNTERS, number)
}

/** The number of the counters with this key. */
export function parseCountersKey (key: Buffer): number {
  return readU64(key, 1)
}

export const COUNTERS_ALL = { gte: Buffer.of(COUNTERS), lt: Buffer.of(COUNTERS + 1) } as const

/** What the key of a block's receipts says. */
export interface ReceiptsKey {
  /** Sequence of the first event of the block. */
  readonly first: number
  /** Number of events of the block. */
  readonly count: number
  /** Number of receipts; QoS 0 has none. */
  readonly receipts: number
}

export function receiptsKey ({ first, count, receipts }: ReceiptsKey): Buffer {
  const key = Buffer.alloc(RECEIPTS_KEY_BYTES)
  key[0] = RECEIPTS
  writeU64(key, first, 1)
  key.writeUInt32BE(count, 9)
  key.writeUInt32BE(receipts, 13)
  key.writeUInt32BE(crc32(key.subarray(0, 17)), 17)
  return key
}

/** Undefined for anything that is not the undamaged key of receipts. */
export function parseReceiptsKey (key: Buffer): ReceiptsKey | undefined {
  if (key.length !== RECEIPTS_KEY_BYTES || key[0] !== RECEIPTS) return undefined
  if (key.readUInt32BE(17) !== crc32(key.subarray(0, 17))) return undefined
  return { first: readU64(key, 1), count: key.readUInt32BE(9), receipts: key.readUInt32BE(13) }
}

export const RECEIPTS_ALL = { gte: Buffer.of(RECEIPTS), lt: Buffer.of(RECEIPTS + 1) } as const

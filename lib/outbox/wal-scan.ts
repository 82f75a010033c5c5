/**
 * Reads LevelDB's write-ahead logs before LevelDB does. It drops a damaged record, and what stands behind it in the
 * same 32 KiB, without a word; here the keys of the blocks are read past the damage, so that what is missing afterwards
 * can be counted. Reads only, and believes a key only if its own checksum is right.
 *
 * Format (LevelDB doc/log_format.md): pieces of 32 KiB, in them fragments: u32 checksum, u16 length, u8 type (1 whole,
 * 2 first, 3 middle, 4 last), data. A record of one or several fragments is a batch: u64, u32 count, then `1, key,
 * value` for each put, with varint lengths. The put of a block is the first of its batch, so the beginning is enough.
 *
 * A record that the file ends in the middle of is a write that was under way when the program died: nothing in it was
 * acknowledged, so it is not missed.
 */
import { BLOCK_KEY_BYTES, blocksFrom, endOf, parseBlockKey } from './keys.ts'

const PIECE_BYTES = 32 * 1024
const HEADER_BYTES = 7
const WHOLE = 1
const MIDDLE = 3
const LAST = 4

const PUT = 1
/** Where the first key of a batch begins: behind the batch's header, the kind of operation and the key's length. */
const KEY_AT = 14
const NEEDED_BYTES = KEY_AT + BLOCK_KEY_BYTES
/** How the put of a block begins. */
const KEY_BEGIN = Buffer.concat([Buffer.of(PUT, BLOCK_KEY_BYTES), blocksFrom(0).subarray(0, 1)])

/** The sequences of the blocks in a log: from the lowest up to, not including, the highest. */
export interface WalSpan {
  readonly from: number
  readonly to: number
}

/** What one log holds; undefined where there is no block in it. */
export function scanWal (log: Buffer): WalSpan | undefined {
  let span: WalSpan | undefined
  /** The beginning of a record whose end has not been seen yet. */
  let record: Buffer | undefined
  const finish = (): void => {
    if (record !== undefined) span = widen(span, spanOf(record, KEY_AT))
    record = undefined
  }
  for (let piece = 0; piece < log.length; piece += PIECE_BYTES) {
    const end = Math.min(piece + PIECE_BYTES, log.length)
    let previous = piece
    for (let at = piece; at + HEADER_BYTES <= end;) {
      const length = log.readUInt16LE(at + 4)
      const type = log[at + 6] as number
      if (type === 0 && length === 0) break
      const dataAt = at + HEADER_BYTES
      const known = type >= WHOLE && type <= LAST
      const cut = dataAt + length > end
      // The file ends here: whatever this was, it was not written to its end.
      if (known && cut && end === log.length) break
      if (!known || cut) {
        // Something follows what was begun, so that was written to its end. The damage may be in the header before.
        finish()
        span = search(log.subarray(previous, end), span)
        break
      }
      const data = log.subarray(dataAt, dataAt + Math.min(length, NEEDED_BYTES))
      if (type === MIDDLE || type === LAST) {
        if (record !== undefined && record.length < NEEDED_BYTES) record = Buffer.concat([record, data])
      } else {
        finish()
        record = data
      }
      if (type === WHOLE || type === LAST) finish()
      previous = dataAt
      at = dataAt + length
    }
  }
  return span
}

/** Behind a damaged header nothing has its place any more: looks for keys byte by byte. Each must follow the last. */
function search (bytes: Buffer, span: WalSpan | undefined): WalSpan | undefined {
  let found = span
  for (let at = bytes.indexOf(KEY_BEGIN); at !== -1; at = bytes.indexOf(KEY_BEGIN, at + 1)) {
    const next = spanOf(bytes, at + 2)
    if (next !== undefined && (found === undefined || next.from === found.to)) found = widen(found, next)
  }
  return found
}

/** The span that holds both. */
export function widen (span: WalSpan | undefined, other: WalSpan | undefined): WalSpan | undefined {
  if (span === undefined || other === undefined) return span ?? other
  return { from: Math.min(span.from, other.from), to: Math.max(span.to, other.to) }
}

/** The block whose key begins at `keyAt`. */
function spanOf (bytes: Buffer, keyAt: number): WalSpan | undefined {
  if (bytes[keyAt - 2] !== PUT || bytes[keyAt - 1] !== BLOCK_KEY_BYTES) return undefined
  const block = parseBlockKey(bytes.subarray(keyAt, keyAt + BLOCK_KEY_BYTES))
  return block === undefined ? undefined : { from: block.first, to: endOf(block) }
}

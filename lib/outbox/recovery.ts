/**
 * What a database that has just been opened holds: where the log begins and ends, the receipts, and what is missing.
 * Looks at the ends of the log and at what was in its write-ahead logs, never at all of it: a million events waiting
 * make no difference. What is missing in between is found when it is read.
 */
import { eachEntry, eachKey, firstKeys, readValue } from '../level/scan.ts'
import { blockAt, blockAtOrBefore, blockBehind } from './blocks.ts'
import { cursorEnd, decodeCursor } from './cursor-record.ts'
import type { Database } from './database.ts'
import {
  BLOCKS_END, blocksFrom, CURSORS, endOf, LETTERS, MARKS_KEY, parseBlockKey, parseReceiptsKey,
  RECEIPTS_ALL, type ReceiptsKey
} from './keys.ts'
import { decodeDeadLetter } from './dead-letter-codec.ts'
import { decodeMarks, type LogState } from './log-state.ts'
import type { Run } from './losses.ts'
import type { Receipt } from './outbox.ts'
import { decodeReceipts } from './receipt-log.ts'

/** What is known beforehand. */
export interface Expected {
  /** Everything below was stored. */
  readonly next: number
  /** From here on every block is looked for; undefined where only the ends of the log are. */
  readonly walFirst: number | undefined
  /** True where the dead letters have to be counted anew: their number may have been lost. */
  readonly recount: boolean
}

export interface Survey {
  readonly state: Pick<LogState, 'first' | 'firstOffset' | 'next' | 'offset' | 'letters' | 'letterBytes'>
  /** Undelivered events that are not there. */
  readonly missing: readonly Run[]
  readonly receipts: readonly Receipt[]
  readonly receiptKeys: readonly ReceiptsKey[]
}

/** Surveys a database. Damage is passed over; every other failure to read is thrown. */
export async function survey (database: Database, expected: Expected): Promise<Survey> {
  const marks = decodeMarks(await readValue(database, MARKS_KEY))
  const cursors = await readCursors(database)
  const { receipts, receiptKeys } = await readReceipts(database)
  const letter = await newestLetter(database)
  const oldest = await blockBehind(database, 0)
  const newest = await blockAtOrBefore(database, Number.MAX_SAFE_INTEGER - 1)

  const lastReceipts = receiptKeys.at(-1)
  // A sequence that anything remembers is never used again: a new event with it would look delivered.
  const next = Math.max(
    1, expected.next, marks?.next ?? 1, newest === undefined ? 1 : endOf(newest), cursors.next, letter + 1,
    lastReceipts === undefined ? 1 : lastReceipts.first + lastReceipts.count
  )
  // Where the marks are gone, the oldest block tells.
  const first = Math.min(next, marks?.first ?? oldest?.first ?? next)
  const offset = Math.max(marks?.offset ?? 0, newest === undefined ? 0 : newest.offset + newest.bytes)
  const kept = oldest === undefined ? undefined : await firstKept(database, first)
  const missing = await findMissing(database, Math.max(first, cursors.lowest), next, expected.walFirst)
  // Where anything is missing, the marks may be older than the letters.
  const letters = marks === undefined || expected.recount || missing.length > 0
    ? await countLetters(database)
    : { count: marks.letters, bytes: marks.letterBytes }
  return {
    state: {
      first, next, offset, firstOffset: kept?.offset ?? offset, letters: letters.count, letterBytes: letters.bytes
    },
    missing,
    receipts,
    receiptKeys
  }
}

/** The block with which the log begins: the one that holds its first sequence, or else the next one. */
async function firstKept (database: Database, first: number) {
  return await blockAt(database, first) ?? await blockBehind(database, first)
}

/** The runs of [start, next) that no block holds: at the beginning, at the end, and from the write-ahead logs on. */
async function findMissing (
  database: Database, start: number, next: number, walFirst: number | undefined
): Promise<Run[]> {
  const missing: Run[] = []
  const miss = (from: number, to: number): void => {
    if (to > from) missing.push({ from, to })
  }
  const head = await firstKept(database, start)
  let position = Math.min(next, Math.max(start, head?.first ?? next))
  miss(start, position)

  const newest = await blockAtOrBefore(database, next)
  const from = Math.max(position, Math.min(walFirst ?? next, newest?.first ?? next))
  const before = await blockAtOrBefore(database, from)
  if (before !== undefined) position = Math.max(position, Math.min(endOf(before), next))
  await eachKey(database, { gte: blocksFrom(position), lt: BLOCKS_END }, (key) => {
    const block = parseBlockKey(key)
    if (block === undefined) return
    miss(position, block.first)
    position = Math.max(position, endOf(block))
  })
  miss(position, next)
  return missing
}

/** What the cursors of all sinks say together. */
async function readCursors (database: Database): Promise<{ lowest: number, next: number }> {
  let lowest = Infinity
  let next = 1
  await eachEntry(database, CURSORS, (_key, value) => {
    const cursor = decodeCursor(value)
    if (cursor === undefined) return
    lowest = Math.min(lowest, cursor.lowest)
    next = Math.max(next, cursorEnd(cursor))
  })
  return { lowest: lowest === Infinity ? 0 : lowest, next }
}

async function readReceipts (database: Database): Promise<{ receipts: Receipt[], receiptKeys: ReceiptsKey[] }> {
  const receipts: Receipt[] = []
  const receiptKeys: ReceiptsKey[] = []
  await eachEntry(database, RECEIPTS_ALL, (key, value) => {
    const parsed = parseReceiptsKey(key)
    if (parsed === undefined) return
    receiptKeys.push(parsed)
    for (const receipt of decodeReceipts(value)) receipts.push(receipt)
  })
  return { receipts, receiptKeys }
}

/** The highest sequence among the dead letters; 0 where there is none. */
async function newestLetter (database: Database): Promise<number> {
  const [key] = await firstKeys(database, { ...LETTERS, reverse: true }, 1)
  const value = key === undefined ? undefined : await readValue(database, key)
  return key === undefined || value === undefined ? 0 : decodeDeadLetter(value, '')?.stored.sequence ?? 0
}

async function countLetters (database: Database): Promise<{ count: number, bytes: number }> {
  let count = 0
  let bytes = 0
  await eachEntry(database, LETTERS, (_key, value) => {
    count++
    bytes += value.length
  })
  return { count, bytes }
}

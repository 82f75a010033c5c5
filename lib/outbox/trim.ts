/**
 * Forgetting the beginning of the log. Blocks go as a whole, so the block that holds the first sequence still wanted
 * stays; the deletions are written like everything else, in batches, each with the marks of how far it came.
 */
import { firstKeys } from '../level/scan.ts'
import { blockAt, blockBehind } from './blocks.ts'
import type { Write } from './committer.ts'
import type { BatchOperation, Database } from './database.ts'
import { blocksFrom, endOf, parseBlockKey } from './keys.ts'

/** Blocks that one write removes. */
const BLOCKS_AT_ONCE = 1024

/** Where the log begins when everything before a sequence has been forgotten. */
export interface TrimPoint {
  readonly first: number
  readonly firstOffset: number
}

/** @param end the state's offset: where the log begins when no block is left */
export async function findTrimPoint (database: Database, before: number, end: number): Promise<TrimPoint> {
  const holding = await blockAt(database, before)
  if (holding !== undefined) return { first: holding.first, firstOffset: holding.offset }
  const following = await blockBehind(database, before)
  return { first: before, firstOffset: following?.offset ?? end }
}

/** The next write that removes blocks from a sequence on; undefined where none is left before the point. */
export async function nextTrim (
  database: Database, from: number, point: TrimPoint
): Promise<{ write: Write, from: number } | undefined> {
  const keys = await firstKeys(database, { gte: blocksFrom(from), lt: blocksFrom(point.first) }, BLOCKS_AT_ONCE)
  const last = keys.at(-1)
  if (last === undefined) return undefined
  const operations = keys.map((key): BatchOperation => ({ type: 'del', key }))
  const block = parseBlockKey(last)
  if (keys.length < BLOCKS_AT_ONCE || block === undefined) {
    return { write: { operations, sync: false, change: point }, from: point.first }
  }
  const change = { first: endOf(block), firstOffset: block.offset + block.bytes }
  return { write: { operations, sync: false, change }, from: change.first }
}

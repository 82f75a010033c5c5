/** Finding blocks by the sequences that they hold. */
import type { Database } from './database.ts'
import { BLOCKS_END, blocksFrom, endOf, parseBlockKey, type BlockKey } from './keys.ts'
import { firstKeys } from './scan.ts'

/** The block that holds a sequence, or the one before it where none does. */
export async function blockAtOrBefore (database: Database, sequence: number): Promise<BlockKey | undefined> {
  const range = { gte: blocksFrom(0), lt: blocksFrom(sequence + 1), reverse: true }
  return parseBlockKeys(await firstKeys(database, range, 1))[0]
}

/** The block that holds a sequence. */
export async function blockAt (database: Database, sequence: number): Promise<BlockKey | undefined> {
  const block = await blockAtOrBefore(database, sequence)
  return block !== undefined && endOf(block) > sequence ? block : undefined
}

/** The blocks that begin at a sequence or behind it, the first ones up to `count`. */
export async function blocksBehind (database: Database, sequence: number, count: number): Promise<BlockKey[]> {
  return parseBlockKeys(await firstKeys(database, { gte: blocksFrom(sequence), lt: BLOCKS_END }, count))
}

/** The first block that begins at a sequence or behind it. */
export async function blockBehind (database: Database, sequence: number): Promise<BlockKey | undefined> {
  return (await blocksBehind(database, sequence, 1))[0]
}

function parseBlockKeys (keys: readonly Buffer[]): BlockKey[] {
  return keys.flatMap((key) => parseBlockKey(key) ?? [])
}

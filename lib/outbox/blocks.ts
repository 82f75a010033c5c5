/** Finding blocks by the sequences that they hold, and reading the events in them one after the other. */
import { firstKeys, readValues } from '../level/scan.ts'
import type { StoredEvent } from '../message.ts'
import { BlockReader } from './block.ts'
import type { Database } from './database.ts'
import { blockKey, BLOCKS_END, blocksFrom, endOf, parseBlockKey, type BlockKey } from './keys.ts'

/** Keys of blocks that are read at once; and about how many bytes of blocks are. */
const KEYS_AT_ONCE = 64
const BYTES_AT_ONCE = 1024 * 1024

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

/** Visits the events of [from, to) that can be read, in order. @returns how many there were */
export async function eachEvent (
  database: Database, from: number, to: number, visit: (event: StoredEvent) => void
): Promise<number> {
  let count = 0
  let start = (await blockAt(database, from))?.first ?? from
  for (;;) {
    const keys = await blocksBehind(database, start, KEYS_AT_ONCE)
    let bytes = 0
    const beyond = keys.findIndex((key, index) => (bytes += key.bytes) > BYTES_AT_ONCE && index > 0)
    const some = beyond === -1 ? keys : keys.slice(0, beyond)
    const values = await readValues(database, some.map(blockKey))
    for (const [index, key] of some.entries()) {
      const block = new BlockReader(key, values[index] ?? Buffer.alloc(0))
      block.skipTo(from)
      while (block.sequence < Math.min(block.end, to)) {
        const event = block.next()
        if (event === undefined) continue
        visit(event)
        count++
      }
    }
    const last = some.at(-1)
    if (last === undefined || endOf(last) >= to) return count
    start = endOf(last)
  }
}

function parseBlockKeys (keys: readonly Buffer[]): BlockKey[] {
  return keys.flatMap((key) => parseBlockKey(key) ?? [])
}

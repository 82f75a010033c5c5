/**
 * Reading a database that may be damaged. LevelDB passes over a damaged piece by itself, but tells of it by an error
 * with which everything is lost that the same call had read. Asked one by one, everything comes that can be read.
 */
import type { Database, Range } from './database.ts'

/** Keys, and entries with their values, that are asked for at once. */
const KEYS_AT_ONCE = 1024
const ENTRIES_AT_ONCE = 64

/** True for an error that says that stored bytes are damaged, not that reading them failed this time. */
export function isDamage (error: unknown): boolean {
  return codeOf(error) === 'LEVEL_CORRUPTION'
}

/** True for an error that says that a file of the database is not there. LevelDB has no code of its own for it. */
export function isMissingFile (error: unknown): boolean {
  return codeOf(error) === 'LEVEL_IO_ERROR' && /No such file/.test((error as Error).message)
}

/**
 * The same database, where a file that is missing and a sector that cannot be read count as damage. For use when such
 * an error has stayed for a while: it may have been the moment's, and what counts as damaged is given up.
 */
export function givingUp (database: Database): Database {
  const ask = async <T>(question: Promise<T>): Promise<T> => {
    try {
      return await question
    } catch (error) {
      const bad = codeOf(error) === 'LEVEL_IO_ERROR' && /No such file|Input\/output error/.test((error as Error).message)
      throw bad ? Object.assign(new Error((error as Error).message, { cause: error }), { code: 'LEVEL_CORRUPTION' }) : error
    }
  }
  return {
    batch: (operations, options) => database.batch(operations, options),
    get: (key) => ask(database.get(key)),
    getMany: (keys) => ask(database.getMany(keys)),
    keys: (range) => {
      const iterator = database.keys(range)
      return { nextv: (size) => ask(iterator.nextv(size)), close: () => iterator.close() }
    },
    close: () => database.close()
  }
}

function codeOf (error: unknown): unknown {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
}

/** Up to `count` keys of a range. Damage is passed over; every other error is thrown. */
export async function firstKeys (database: Database, range: Range, count: number): Promise<Buffer[]> {
  try {
    const iterator = database.keys(range)
    try {
      return await iterator.nextv(count)
    } finally {
      await iterator.close()
    }
  } catch (error) {
    if (!isDamage(error)) throw error
    return await readableKeys(database, range, count)
  }
}

async function readableKeys (database: Database, range: Range, count: number): Promise<Buffer[]> {
  const keys: Buffer[] = []
  const iterator = database.keys(range)
  try {
    while (keys.length < count) {
      const [key] = await iterator.nextv(1)
      if (key === undefined) break
      keys.push(key)
    }
  } catch (error) {
    // The error of what was passed over comes at the end of all that can be read.
    if (!isDamage(error)) throw error
  } finally {
    await iterator.close()
  }
  return keys
}

/** The values of keys, each undefined where it is not there or damaged. Every other error is thrown. */
export async function readValues (database: Database, keys: Buffer[]): Promise<Array<Buffer | undefined>> {
  try {
    return await database.getMany(keys)
  } catch (error) {
    if (!isDamage(error)) throw error
    return await Promise.all(keys.map((key) => readValue(database, key)))
  }
}

/** The value of a key; undefined where it is not there or damaged. Every other error is thrown. */
export async function readValue (database: Database, key: Buffer): Promise<Buffer | undefined> {
  try {
    return await database.get(key)
  } catch (error) {
    if (isDamage(error)) return undefined
    throw error
  }
}

/** Visits the keys of a range that can be read, upwards. */
export async function eachKey (database: Database, range: Range, visit: (key: Buffer) => void): Promise<void> {
  await eachChunk(database, range, KEYS_AT_ONCE, (keys) => {
    for (const key of keys) visit(key)
  })
}

/** Visits the entries of a range that can be read, upwards. */
export async function eachEntry (
  database: Database, range: Range, visit: (key: Buffer, value: Buffer) => void
): Promise<void> {
  await eachChunk(database, range, ENTRIES_AT_ONCE, async (keys) => {
    const values = await readValues(database, keys)
    for (const [index, key] of keys.entries()) {
      const value = values[index]
      if (value !== undefined) visit(key, value)
    }
  })
}

async function eachChunk (
  database: Database, range: Range, size: number, visit: (keys: Buffer[]) => void | Promise<void>
): Promise<void> {
  let gte = range.gte
  for (;;) {
    const keys = await firstKeys(database, { ...range, gte }, size)
    const last = keys.at(-1)
    if (last === undefined) return
    await visit(keys)
    gte = successor(last)
  }
}

/** The lowest key above this one. */
function successor (key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)])
}

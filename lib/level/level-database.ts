/** Any abstract-level database of buffers as a `Database`. */
import type { BatchOperation, Database, KeyIterator } from './database.ts'

/** What is used of abstract-level; classic-level and memory-level both have it. */
interface Level {
  batch (operations: BatchOperation[], options: object): Promise<void>
  get (key: Buffer, options: object): Promise<Buffer | undefined>
  getMany (keys: Buffer[], options: object): Promise<Array<Buffer | undefined>>
  keys (options: object): KeyIterator
  close (): Promise<void>
}

/** What is read is read once: LevelDB's cache is left to what it needs itself. */
const UNCACHED = { fillCache: false }

export function levelDatabase (level: Level): Database {
  return {
    batch: (operations, options) => level.batch(operations, options),
    get: (key) => level.get(key, UNCACHED),
    getMany: (keys) => level.getMany(keys, UNCACHED),
    keys: (range) => level.keys({ ...range, ...UNCACHED }),
    close: () => level.close()
  }
}

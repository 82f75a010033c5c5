/**
 * What the program needs of a database: an ordered map of bytes with atomic batches. LevelDB on disk and its like in
 * memory both have this shape; tests put faulty ones in between. Types only.
 *
 * Rule for whoever writes: one batch at a time. LevelDB leaves half a record in its log where a write fails, and what
 * is written behind it would be acknowledged and lost at the next recovery.
 */

export type BatchOperation =
  | { readonly type: 'put', readonly key: Buffer, readonly value: Buffer }
  | { readonly type: 'del', readonly key: Buffer }

/** A range of keys, read upwards unless `reverse`. */
export interface Range {
  readonly gte: Buffer
  readonly lt: Buffer
  readonly reverse?: boolean
}

export interface KeyIterator {
  /** Up to `size` keys; none at the end of the range. */
  nextv (size: number): Promise<Buffer[]>
  close (): Promise<void>
}

/**
 * Iterators give keys alone and values are got by their keys: an iterator of classic-level keeps the values it read
 * last until it is garbage collected, unseen by the collector, which is as much as the whole log before it runs.
 */
export interface Database {
  batch (operations: BatchOperation[], options: { readonly sync: boolean }): Promise<void>
  get (key: Buffer): Promise<Buffer | undefined>
  getMany (keys: Buffer[]): Promise<Array<Buffer | undefined>>
  keys (range: Range): KeyIterator
  close (): Promise<void>
}

export interface OpenedDatabase {
  readonly database: Database
  /** Why it had to be repaired, where it had to be. */
  readonly repaired: string | undefined
}

/**
 * Where the outbox gets its database from, and what is known of it while it is closed. LevelDB on disk and its like in
 * memory both have this shape; tests put faulty ones in between. Types only.
 */
import type { OpenedDatabase } from '../level/database.ts'

export type { BatchOperation, Database, KeyIterator, OpenedDatabase, Range } from '../level/database.ts'

/** What the files told before the database was opened. */
export interface Evidence {
  /** True where the last owner closed it in order, or there was none. */
  readonly clean: boolean
  /** All sequences below were stored, as far as the files show. */
  readonly next: number
  /** The first sequence in the write-ahead logs: what lies below is in tables and was not in danger of a torn write. */
  readonly walFirst: number | undefined
}

/** Where a database comes from, and what is known about it while it is closed. */
export interface Store {
  readonly kind: 'disk' | 'memory'
  /** The directory, for messages. */
  readonly location: string
  /** Reads the files as they are. @throws MBS_ERR_OUTBOX_DIRECTORY */
  inspect (): Promise<Evidence>
  /**
   * Opens the database. Repairs it when it is damaged, or when asked to.
   * @throws MBS_ERR_OUTBOX_DIRECTORY, _LOCKED, _CORRUPT
   */
  open (repair: boolean): Promise<OpenedDatabase>
  /** Notes, after an orderly close, that everything below `next` was stored. */
  closed (next: number): Promise<void>
}

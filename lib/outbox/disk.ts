/** The outbox on disk: what has been appended survives the process and a power cut. */
import { DiskStore } from './disk-store.ts'
import { LogOutbox, type OutboxOptions } from './log-outbox.ts'
import type { Outbox } from './outbox.ts'

export interface DiskOutboxOptions extends OutboxOptions {
  /** Made where it is not there. Nothing but the outbox may be in it. */
  readonly directory: string
}

/** Makes an outbox in a directory. It has to be opened. */
export function createDiskOutbox (options: DiskOutboxOptions): Outbox {
  return new LogOutbox(new DiskStore(options.directory), options)
}

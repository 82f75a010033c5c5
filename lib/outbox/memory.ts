/** The outbox in memory: for tests, and where a publish is acknowledged only when it has been delivered. */
import { LogOutbox, type OutboxOptions } from './log-outbox.ts'
import { MemoryStore } from './memory-store.ts'
import type { Outbox } from './outbox.ts'

/** Makes an outbox that keeps what it holds as long as the process lives. It has to be opened. */
export function createMemoryOutbox (options: OutboxOptions): Outbox {
  return new LogOutbox(new MemoryStore(), options)
}

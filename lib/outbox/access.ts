/**
 * The way of readers to the database, which may be closed and opened again under them: they wait while the disk fails,
 * begin anew where it failed in between, and end only when the outbox is closed. A sector or a file that cannot be read
 * time after time is given up at last, as if it were damaged: it must not stop what lies behind it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createError, type MbsError } from '../errors.ts'
import { givingUp } from '../level/scan.ts'
import type { Database } from './database.ts'

/** Tries until what may be gone for good is taken as gone: a quarter of a minute where the first delay is 0.5 s. */
const PATIENT_TRIES = 6

/** The time until a read that failed is tried again; doubles up to the longest. */
export interface RetryDelays {
  readonly minMs: number
  readonly maxMs: number
}

export class Access {
  readonly #delays: RetryDelays
  readonly #onError: (error: unknown) => void
  readonly #closing = new AbortController()
  #database: Database | undefined
  #wake: Array<() => void> = []

  /** @param onError told of a read that failed and is tried again */
  constructor (delays: RetryDelays, onError: (error: unknown) => void) {
    this.#delays = delays
    this.#onError = onError
  }

  /** Aborted when the outbox is closed. */
  get signal (): AbortSignal {
    return this.#closing.signal
  }

  /** The database that is open at the moment. */
  get current (): Database | undefined {
    return this.#database
  }

  open (database: Database): void {
    if (this.#closing.signal.aborted) return
    this.#database = database
    this.#wakeAll()
  }

  /** The database is being closed; readers wait for the next one. */
  suspend (): void {
    this.#database = undefined
  }

  close (): void {
    this.#database = undefined
    this.#closing.abort()
    this.#wakeAll()
  }

  /** Reads, however often it takes. @throws MBS_ERR_OUTBOX_CLOSED, and nothing else */
  async read<T> (read: (database: Database) => Promise<T>): Promise<T> {
    let delayMs = this.#delays.minMs
    for (let tries = 1; ; tries++) {
      const database = await this.#next()
      try {
        return await read(tries < PATIENT_TRIES ? database : givingUp(database))
      } catch (cause) {
        if (this.#closing.signal.aborted) throw closed(cause)
        // Where another database is open by now the reason is gone; otherwise it may pass, as too many open files do.
        if (this.#database === database) {
          this.#onError(cause)
          await this.#pause(delayMs)
          delayMs = Math.min(2 * delayMs, this.#delays.maxMs)
        }
      }
    }
  }

  async #next (): Promise<Database> {
    while (this.#database === undefined) {
      if (this.#closing.signal.aborted) throw closed(undefined)
      await new Promise<void>((resolve) => { this.#wake.push(resolve) })
    }
    return this.#database
  }

  async #pause (delayMs: number): Promise<void> {
    try {
      await sleep(delayMs, undefined, { signal: this.#closing.signal })
    } catch (cause) {
      throw closed(cause)
    }
  }

  #wakeAll (): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }
}

function closed (cause: unknown): MbsError {
  return createError('MBS_ERR_OUTBOX_CLOSED', {}, cause)
}

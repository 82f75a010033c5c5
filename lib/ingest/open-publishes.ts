/**
 * The publishes between their arrival and their outcome. Each gets its outcome once: what the outbox says, or a refusal
 * when it takes too long. They are looked through by one coarse timer; none has a timer of its own.
 */
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'
import type { RememberedReceipt } from './retransmissions.ts'

/** What became of a publish. */
export type IngestOutcome =
  /** Durable: it may be acknowledged. */
  | { readonly kind: 'stored' }
  /** It must not be acknowledged. */
  | { readonly kind: 'refused', readonly error: MbsError }

export interface OpenPublishesOptions {
  readonly timeoutMs: number
  /** Milliseconds, of a clock that never jumps. */
  readonly now: () => number
  /** Called for each that was stored in time. @param seconds since its arrival */
  readonly stored: (receipt: RememberedReceipt | undefined, seconds: number) => void
}

interface Entry {
  readonly startedAt: number
  readonly receipt: RememberedReceipt | undefined
  readonly resolve: (outcome: IngestOutcome) => void
  /** What came behind it and has nothing to wait for but its turn. */
  readonly followers: Array<(outcome: IngestOutcome) => void>
}

const STORED: IngestOutcome = Object.freeze({ kind: 'stored' })
/** The timeout is kept to within this part of it. */
const SWEEPS_PER_TIMEOUT = 16

export class OpenPublishes {
  readonly #options: OpenPublishesOptions
  /** In order of arrival: the oldest is the first to be too late. */
  readonly #entries = new Set<Entry>()
  #newest: Entry | undefined
  #sweepTimer: NodeJS.Timeout | undefined
  #waiters: Array<() => void> = []

  constructor (options: OpenPublishesOptions) {
    this.#options = options
  }

  get size (): number {
    return this.#entries.size
  }

  /** The outcome of an append that has been started. Never rejects. */
  add (append: Promise<unknown>, receipt: RememberedReceipt | undefined): Promise<IngestOutcome> {
    return new Promise((resolve) => {
      const entry: Entry = { startedAt: this.#options.now(), receipt, resolve, followers: [] }
      this.#entries.add(entry)
      this.#newest = entry
      this.#sweepTimer ??= this.#scheduleSweep()
      append.then(() => { this.#store(entry) }, (error: unknown) => { this.#refuse(entry, toMbsError(error)) })
    })
  }

  /**
   * The outcome of a publish that there is nothing to store of: answered in its turn, behind the last one that is open
   * and before whatever comes next [MQTT-4.6.0-2]. Resolved together with that one, because a promise that waited for
   * it would be late by a step, and the next answer be faster.
   */
  behind (): Promise<IngestOutcome> {
    const last = this.#lastOpen()
    if (last === undefined) return Promise.resolve(STORED)
    return new Promise((resolve) => { last.followers.push(resolve) })
  }

  #lastOpen (): Entry | undefined {
    if (this.#newest !== undefined && this.#entries.has(this.#newest)) return this.#newest
    return [...this.#entries].at(-1)
  }

  /** Resolves when none is open. */
  async settled (): Promise<void> {
    if (this.#entries.size > 0) await new Promise<void>((resolve) => { this.#waiters.push(resolve) })
  }

  #store (entry: Entry): void {
    const { now, stored } = this.#options
    if (this.#settle(entry, STORED)) stored(entry.receipt, (now() - entry.startedAt) / 1000)
  }

  #refuse (entry: Entry, error: MbsError): void {
    this.#settle(entry, { kind: 'refused', error })
  }

  /** False where it has been settled before. */
  #settle (entry: Entry, outcome: IngestOutcome): boolean {
    if (!this.#entries.delete(entry)) return false
    entry.resolve(outcome)
    for (const resolve of entry.followers) resolve(STORED)
    if (this.#entries.size === 0 && this.#waiters.length > 0) {
      const waiters = this.#waiters
      this.#waiters = []
      for (const resolve of waiters) resolve()
    }
    return true
  }

  #scheduleSweep (): NodeJS.Timeout {
    const intervalMs = Math.max(1, this.#options.timeoutMs / SWEEPS_PER_TIMEOUT)
    return setTimeout(() => { this.#sweep() }, intervalMs).unref()
  }

  #sweep (): void {
    const { timeoutMs, now } = this.#options
    const lateBefore = now() - timeoutMs
    for (const entry of this.#entries) {
      if (entry.startedAt > lateBefore) break
      this.#refuse(entry, createError('MBS_ERR_INGEST_TIMEOUT', { timeoutMs }))
    }
    this.#sweepTimer = this.#entries.size > 0 ? this.#scheduleSweep() : undefined
  }
}

/** The error of an append. */
export function toMbsError (error: unknown): MbsError {
  return isMbsError(error) ? error : createError('MBS_ERR_INGEST_APPEND', { reason: reasonOf(error) }, error)
}

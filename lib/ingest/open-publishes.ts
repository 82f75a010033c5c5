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
  readonly arrivedAt: number
  readonly receipt: RememberedReceipt | undefined
  readonly resolve: (outcome: IngestOutcome) => void
  /** What came behind it and has nothing to wait for but its turn. */
  readonly followers: Array<() => void>
  /** Until it is settled: its event is made, or that of an earlier one of its client; the outbox; the sinks. */
  awaits: 'event' | 'outbox' | 'sinks'
}

/** A publish that is not appended yet, or waits for more than its append: its time runs. */
export interface Expected {
  readonly outcome: Promise<IngestOutcome>
  /** False where it has been too late already: what would be appended now, the device sends again. */
  readonly isOpen: boolean
  /** Its append has been started. */
  start (append: Promise<unknown>): void
  /** It waits for the sinks, and nothing of other clients waits behind it. */
  await (delivered: Promise<unknown>): void
  /** There is nothing to append, or to wait for: it is answered in its turn. */
  leave (outcome: IngestOutcome): void
}

const STORED: IngestOutcome = Object.freeze({ kind: 'stored' })
/** The timeout is kept to within this part of it. */
const SWEEPS_PER_TIMEOUT = 16

export class OpenPublishes {
  readonly #options: OpenPublishesOptions
  /** Whose appends have been started, in this order. */
  readonly #entries = new Set<Entry>()
  #newest: Entry | undefined
  /** Whose events are being made, or are on their way to the sinks. */
  readonly #expected = new Set<Entry>()
  #sweepTimer: NodeJS.Timeout | undefined
  #waiters: Array<() => void> = []

  constructor (options: OpenPublishesOptions) {
    this.#options = options
  }

  get size (): number {
    return this.#entries.size + this.#expected.size
  }

  /** The outcome of an append that has been started. Never rejects. */
  add (append: Promise<unknown>, receipt: RememberedReceipt | undefined): Promise<IngestOutcome> {
    return new Promise((resolve) => { this.#start(this.#entryOf(receipt, resolve), append) })
  }

  /** A publish whose append will be started later. It is settled as the others are, no step later. */
  expect (receipt: RememberedReceipt | undefined): Expected {
    let entry!: Entry
    const outcome = new Promise<IngestOutcome>((resolve) => { entry = this.#entryOf(receipt, resolve) })
    this.#expected.add(entry)
    this.#sweepTimer ??= this.#scheduleSweep()
    const expected = this.#expected
    return {
      outcome,
      get isOpen () { return expected.has(entry) },
      start: (append) => { if (expected.delete(entry)) this.#start(entry, append) },
      await: (delivered) => {
        entry.awaits = 'sinks'
        this.#watch(entry, delivered)
      },
      leave: (outcome) => {
        const end = (): void => { this.#settle(entry, outcome) }
        const last = this.#lastOpen()
        if (last === undefined) return end()
        entry.awaits = 'outbox'
        last.followers.push(end)
      }
    }
  }

  /**
   * The outcome of a publish that there is nothing to store of: answered in its turn, behind the last one that is open
   * and before whatever comes next [MQTT-4.6.0-2]. Resolved together with that one, because a promise that waited for
   * it would be late by a step, and the next answer be faster.
   */
  behind (outcome: IngestOutcome = STORED): Promise<IngestOutcome> {
    const last = this.#lastOpen()
    if (last === undefined) return Promise.resolve(outcome)
    return new Promise((resolve) => { last.followers.push(() => { resolve(outcome) }) })
  }

  #entryOf (receipt: RememberedReceipt | undefined, resolve: Entry['resolve']): Entry {
    return { arrivedAt: this.#options.now(), receipt, resolve, followers: [], awaits: 'event' }
  }

  #start (entry: Entry, append: Promise<unknown>): void {
    entry.awaits = 'outbox'
    this.#entries.add(entry)
    this.#newest = entry
    this.#sweepTimer ??= this.#scheduleSweep()
    this.#watch(entry, append)
  }

  #watch (entry: Entry, work: Promise<unknown>): void {
    work.then(() => { this.#store(entry) }, (error: unknown) => { this.#refuse(entry, toMbsError(error)) })
  }

  #lastOpen (): Entry | undefined {
    if (this.#newest !== undefined && this.#entries.has(this.#newest)) return this.#newest
    return [...this.#entries].at(-1)
  }

  /** Resolves when none is open. */
  async settled (): Promise<void> {
    if (this.size > 0) await new Promise<void>((resolve) => { this.#waiters.push(resolve) })
  }

  #store (entry: Entry): void {
    const { now, stored } = this.#options
    if (this.#settle(entry, STORED)) stored(entry.receipt, (now() - entry.arrivedAt) / 1000)
  }

  #refuse (entry: Entry, error: MbsError): void {
    this.#settle(entry, { kind: 'refused', error })
  }

  /** False where it has been settled before. */
  #settle (entry: Entry, outcome: IngestOutcome): boolean {
    if (!this.#entries.delete(entry) && !this.#expected.delete(entry)) return false
    entry.resolve(outcome)
    for (const follow of entry.followers) follow()
    if (this.size === 0 && this.#waiters.length > 0) {
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
    // Appends are not started in the order of arrival where events take a while to be made: all are looked at.
    for (const entry of [...this.#entries, ...this.#expected]) {
      if (entry.arrivedAt > lateBefore) continue
      this.#refuse(entry, toLate(entry, timeoutMs))
    }
    this.#sweepTimer = this.size > 0 ? this.#scheduleSweep() : undefined
  }
}

function toLate ({ awaits }: Entry, timeoutMs: number): MbsError {
  switch (awaits) {
    case 'event': return createError('MBS_ERR_MAPPING_TIMEOUT', { timeoutMs })
    case 'outbox': return createError('MBS_ERR_INGEST_TIMEOUT', { timeoutMs })
    case 'sinks': {
      const reason = `no answer within limits.publishTimeout (${timeoutMs} ms)`
      return createError('MBS_ERR_INGEST_UNDELIVERED', { reason })
    }
  }
}

/** The error of an append. */
export function toMbsError (error: unknown): MbsError {
  return isMbsError(error) ? error : createError('MBS_ERR_INGEST_APPEND', { reason: reasonOf(error) }, error)
}

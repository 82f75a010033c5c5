/**
 * Counts failures under keys of one kind, and says which keys have to wait. Bounded: when there are too many keys, the
 * one unheard of for longest is forgotten. Beyond the limit a key waits for a time that doubles with each failure.
 */

/** Keys that are remembered. */
const MAX_KEYS = 20_000
/** One failure is forgiven in this time, in milliseconds. */
const FORGIVE_MS = 30_000

export interface FailureLimits {
  /** Failures that have no consequence. */
  readonly free: number
  /** The first wait, in milliseconds; doubled with each further failure. */
  readonly backoffMs: number
  readonly backoffMaxMs: number
}

interface Failures {
  readonly count: number
  /** From when on forgiving is reckoned. */
  readonly since: number
  readonly blockedUntil: number
}

const NONE: Failures = Object.freeze({ count: 0, since: 0, blockedUntil: 0 })

export class FailureCounter {
  readonly #limits: FailureLimits
  readonly #now: () => number
  /** The key unheard of for longest comes first. */
  readonly #failures = new Map<string, Failures>()
  readonly #open = new Map<string, Set<() => void>>()

  /** @param now milliseconds of a clock that is never set back */
  constructor (limits: FailureLimits, now: () => number) {
    this.#limits = limits
    this.#now = now
  }

  /** Keys that are remembered. */
  get size (): number {
    return this.#failures.size
  }

  has (key: string): boolean {
    return this.#failures.has(key)
  }

  isBlocked (key: string): boolean {
    return this.#now() < (this.#failures.get(key)?.blockedUntil ?? 0)
  }

  /** Remembers a key, without a failure. */
  remember (key: string): void {
    this.#put(key, this.#failures.get(key) ?? NONE)
  }

  /** Counts a failure. Where the key has to wait from now on, everything under way for it is dismissed. */
  fail (key: string): void {
    const now = this.#now()
    const { free, backoffMs, backoffMaxMs } = this.#limits
    const last = this.#failures.get(key) ?? NONE
    const forgiven = Math.floor((now - last.since) / FORGIVE_MS)
    const left = Math.max(0, last.count - forgiven)
    const since = left === 0 ? now : last.since + forgiven * FORGIVE_MS
    const beyond = left + 1 - free
    const blockedUntil = beyond < 0 ? 0 : now + Math.min(backoffMaxMs, backoffMs * 2 ** beyond)
    this.#put(key, { count: left + 1, since, blockedUntil: Math.max(blockedUntil, last.blockedUntil) })
    if (beyond >= 0) for (const dismiss of [...this.#open.get(key) ?? []]) dismiss()
  }

  /** Something is under way for a key. */
  opened (key: string, dismiss: () => void): void {
    const open = this.#open.get(key)
    if (open === undefined) this.#open.set(key, new Set([dismiss]))
    else open.add(dismiss)
  }

  /** It is no longer. */
  ended (key: string, dismiss: () => void): void {
    const open = this.#open.get(key)
    if (open?.delete(dismiss) === true && open.size === 0) this.#open.delete(key)
  }

  #put (key: string, failures: Failures): void {
    this.#failures.delete(key)
    this.#failures.set(key, failures)
    if (this.#failures.size <= MAX_KEYS) return
    const [oldest] = this.#failures.keys()
    this.#failures.delete(oldest as string)
  }
}

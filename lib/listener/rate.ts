/**
 * A token bucket: so many a second on average, and what is saved up in one second at once. It only counts; whoever
 * asks holds the device back, so nothing is dropped.
 *
 * It may be overdrawn, by a packet that is larger than a second's worth of bytes; the time that this costs is waited.
 */

/** What is saved up at most, in seconds. */
const BURST_SECONDS = 1
/** A wait is at least so long, in milliseconds: a few long steps instead of a timer for each packet. */
const MIN_WAIT_MS = 50

export class Rate {
  readonly #perSecond: number
  readonly #now: () => number
  #tokens: number
  #at: number

  /** @param now milliseconds of a clock that is never set back */
  constructor (perSecond: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond
    this.#now = now
    this.#tokens = Math.max(1, perSecond * BURST_SECONDS)
    this.#at = now()
  }

  /** Adds what has come since the last time. Once for many packets. */
  refill (): void {
    const now = this.#now()
    const most = Math.max(1, this.#perSecond * BURST_SECONDS)
    this.#tokens = Math.min(most, this.#tokens + (now - this.#at) / 1000 * this.#perSecond)
    this.#at = now
  }

  /** Takes one; false, and none taken, where less than one is left. */
  takeOne (): boolean {
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** Takes so many, whether or not they are there. */
  spend (count: number): void {
    this.#tokens -= count
  }

  /** True while more was spent than there was. */
  get overdrawn (): boolean {
    return this.#tokens < 0
  }

  /** Milliseconds until there are so many again, and a few more. */
  waitMs (count: number): number {
    return Math.max(MIN_WAIT_MS, Math.ceil((count - this.#tokens) / this.#perSecond * 1000))
  }
}

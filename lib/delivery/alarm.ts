/** One timer for all that is due some time: it rings for whatever comes first, and not more often than every 10 ms. */
import type { CancelTimer, Clock } from './clock.ts'

/** It rings at most this often, however many wait. */
const TICK_MS = 10

export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #cancel: CancelTimer | undefined
  #at = Infinity

  constructor (clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Rings at this time, in milliseconds of the monotonic clock, unless it is set to ring before. */
  set (at: number): void {
    if (at >= this.#at) return
    this.#cancel?.()
    this.#at = at
    this.#cancel = this.#clock.setTimer(() => {
      this.#at = Infinity
      this.#cancel = undefined
      this.#ring()
    }, Math.max(TICK_MS, Math.ceil(at - this.#clock.now())))
  }

  /** Does not ring any more, until it is set again. */
  stop (): void {
    this.#cancel?.()
  }
}

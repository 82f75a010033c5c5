/** A clock whose time passes only when everything that can happen without it has happened. */
import { setImmediate as turn } from 'node:timers/promises'
import type { CancelTimer, Clock } from '../../lib/delivery/clock.ts'

interface Timer {
  readonly at: number
  readonly run: () => void
}

export class FakeClock implements Clock {
  /** The wall clock at time 0. */
  readonly epoch = Date.UTC(2026, 0, 1)
  /** True while something is under way that does not wait for this clock, such as a call of the outbox. */
  busy: () => boolean = () => false
  #now = 0
  readonly #timers = new Set<Timer>()

  now (): number {
    return this.#now
  }

  wallNow (): number {
    return this.epoch + this.#now
  }

  setTimer (run: () => void, delayMs: number): CancelTimer {
    const timer = { at: this.#now + delayMs, run }
    this.#timers.add(timer)
    return () => { this.#timers.delete(timer) }
  }

  /** Resolves after `delayMs` of this clock. */
  wait (delayMs: number): Promise<void> {
    return new Promise((resolve) => { this.setTimer(resolve, delayMs) })
  }

  /** Lets time pass until the condition holds. Fails when it does not within `limitMs` of this clock. */
  async until (condition: () => boolean, limitMs = 3_600_000): Promise<void> {
    const limit = this.#now + limitMs
    for (;;) {
      await this.#quiet()
      if (condition()) return
      if (!this.#advance(limit)) throw new Error(`did not happen within ${limitMs} ms: ${condition.toString()}`)
    }
  }

  /** Lets so much time pass. */
  async pass (durationMs: number): Promise<void> {
    const end = this.#now + durationMs
    do await this.#quiet()
    while (this.#advance(end))
    this.#now = end
  }

  /** Until nothing happens any more without time. */
  async #quiet (): Promise<void> {
    for (let calm = 0; calm < 3; calm = this.busy() ? 0 : calm + 1) await turn()
  }

  /** Goes to the next timer and fires it; false when there is none up to `limit`. */
  #advance (limit: number): boolean {
    let next: Timer | undefined
    for (const timer of this.#timers) if (next === undefined || timer.at < next.at) next = timer
    if (next === undefined || next.at > limit) return false
    this.#now = Math.max(this.#now, next.at)
    for (const timer of [...this.#timers]) {
      if (timer.at > this.#now || !this.#timers.delete(timer)) continue
      timer.run()
    }
    return true
  }
}

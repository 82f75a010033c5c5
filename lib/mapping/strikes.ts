/**
 * Who has failed so often, one time after the other, that nobody else should wait for the next time: left alone for a
 * while, then given one more chance. Bounded. Pure but for the clock that it is given.
 */

export interface StrikesOptions {
  /** Failures without a success in between. */
  readonly limit: number
  /** How long one is left alone, in milliseconds. */
  readonly pauseMs: number
  /** How many are remembered. */
  readonly remembered: number
}

interface Standing {
  failures: number
  /** Left alone until then; in the past: no more. */
  until: number
}

export class Strikes<K> {
  readonly #options: StrikesOptions
  /** The one that failed last is the last one. */
  readonly #records = new Map<K, Standing>()

  constructor (options: StrikesOptions) {
    this.#options = options
  }

  /** True while it is left alone. */
  isOut (key: K, now: number): boolean {
    return this.#records.size > 0 && (this.#records.get(key)?.until ?? -Infinity) > now
  }

  /** @returns true where it is left alone from now on */
  failed (key: K, now: number): boolean {
    const { limit, pauseMs, remembered } = this.#options
    const record: Standing = this.#records.get(key) ?? { failures: 0, until: -Infinity }
    this.#records.delete(key)
    this.#records.set(key, record)
    if (this.#records.size > remembered) this.#records.delete(this.#records.keys().next().value as K)
    record.failures++
    if (record.failures < limit) return false
    record.until = now + pauseMs
    return true
  }

  succeeded (key: K): void {
    if (this.#records.size > 0) this.#records.delete(key)
  }
}

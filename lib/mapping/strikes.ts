/**
 * Who has taken too long so often of late that nobody else should wait for the next time: left alone for a while, and
 * for longer each time that it goes on. Strikes fade with time alone: a success in between does not take them back, or
 * who mixes good with bad would never be left alone. Bounded. Pure but for the clock that it is given.
 */

export interface StrikesOptions {
  /** So many at once, and it is left alone. */
  readonly limit: number
  /** One strike fades in so many milliseconds: who has fewer than one in this time is never left alone. */
  readonly fadeMs: number
  /** How long one is left alone at first, in milliseconds; doubles each time that it goes on, up to `maxPauseMs`. */
  readonly pauseMs: number
  readonly maxPauseMs: number
  /** How many are remembered. */
  readonly remembered: number
}

interface Standing {
  /** Strikes as of `at`, those that have faded in part as fractions. */
  strikes: number
  /** From then on they fade; in the future while it is left alone. */
  at: number
  /** How often it was left alone since it last had no strikes. */
  pauses: number
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
    return this.#records.size > 0 && (this.#records.get(key)?.at ?? -Infinity) > now
  }

  /** @returns for how many milliseconds it is left alone from now on; 0: it is not */
  failed (key: K, now: number): number {
    const { limit, fadeMs, pauseMs, maxPauseMs, remembered } = this.#options
    const known = this.#records.get(key)
    const left = known === undefined ? 0 : known.strikes - Math.max(0, now - known.at) / fadeMs
    const record: Standing = left > 0 && known !== undefined
      ? { ...known, strikes: left + 1, at: Math.max(now, known.at) }
      : { strikes: 1, at: now, pauses: 0 }
    this.#records.delete(key)
    this.#records.set(key, record)
    if (this.#records.size > remembered) this.#records.delete(this.#records.keys().next().value as K)
    // The first ones may have faded a little since; where the last one made up for that, they are as many.
    if (record.strikes <= limit - 1) return 0
    const ms = Math.min(pauseMs * 2 ** record.pauses++, maxPauseMs)
    record.at = now + ms
    // Then it has one more chance.
    record.strikes = limit - 1
    return ms
  }
}

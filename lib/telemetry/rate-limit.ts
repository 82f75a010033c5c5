/**
 * Lets one of a kind through per interval, and counts what it held back. Kinds are constants of the program, never
 * something that a device chooses: it forgets none, and must not grow.
 */
export class RateLimit {
  readonly #intervalMs: number
  readonly #now: () => number
  readonly #kinds = new Map<string, { until: number, suppressed: number }>()

  /** @param now milliseconds of a clock that is never set back, which would silence a kind for as long */
  constructor (intervalMs: number, now: () => number = () => performance.now()) {
    this.#intervalMs = intervalMs
    this.#now = now
  }

  /** False: hold it back. A number: let it through; so many were held back since the last one. */
  take (kind: string): number | false {
    const now = this.#now()
    const seen = this.#kinds.get(kind)
    if (seen !== undefined && now < seen.until) {
      seen.suppressed++
      return false
    }
    this.#kinds.set(kind, { until: now + this.#intervalMs, suppressed: 0 })
    return seen?.suppressed ?? 0
  }
}

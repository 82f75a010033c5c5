/** Values that are good for a time. Bounded: the one that was put in first makes room. */
export class ExpiringCache<V> {
  readonly #ttlMs: number
  readonly #maxEntries: number
  readonly #now: () => number
  readonly #entries = new Map<string, { readonly value: V, readonly until: number }>()

  /**
   * @param ttlMs how long a value is good for; 0 keeps nothing
   * @param now milliseconds of a clock that is never set back
   */
  constructor (ttlMs: number, maxEntries: number, now: () => number) {
    this.#ttlMs = ttlMs
    this.#maxEntries = maxEntries
    this.#now = now
  }

  get size (): number {
    return this.#entries.size
  }

  get (key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (this.#now() < entry.until) return entry.value
    this.#entries.delete(key)
    return undefined
  }

  set (key: string, value: V): void {
    if (this.#ttlMs <= 0) return
    this.#entries.delete(key)
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size < this.#maxEntries) break
      this.#entries.delete(oldest)
    }
    this.#entries.set(key, { value, until: this.#now() + this.#ttlMs })
  }

  clear (): void {
    this.#entries.clear()
  }
}

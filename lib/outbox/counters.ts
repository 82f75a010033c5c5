/**
 * How many events of each source have been numbered, for as many sources as there is room: beyond it the one whose last
 * event is oldest goes. In a chain by age, so that neither that one nor those of late have to be looked for.
 */

/** The counter of one source. */
export class Counter {
  readonly source: string
  /** The number of its last event; 0 before the first. */
  value = 0
  /** Where in the outbox that one is. */
  at = 0
  older: Counter | undefined
  newer: Counter | undefined

  constructor (source: string) {
    this.source = source
  }
}

export class Counters {
  readonly #limit: number
  readonly #bySource = new Map<string, Counter>()
  #oldest: Counter | undefined
  #newest: Counter | undefined

  constructor (limit: number) {
    this.#limit = limit
  }

  get size (): number {
    return this.#bySource.size
  }

  /** The counter of a source, which may be one that is not kept yet. */
  of (source: string): Counter {
    return this.#bySource.get(source) ?? new Counter(source)
  }

  /** Says what the last event of a source is. @returns true where another source had to go for it */
  set (counter: Counter, value: number, at: number): boolean {
    counter.value = value
    counter.at = at
    if (counter === this.#newest) return false
    const isKept = counter.newer !== undefined
    if (isKept) this.#takeOut(counter)
    else this.#bySource.set(counter.source, counter)
    counter.older = this.#newest
    if (this.#newest === undefined) this.#oldest = counter
    else this.#newest.newer = counter
    this.#newest = counter
    if (isKept || this.#bySource.size <= this.#limit) return false
    this.#forget(this.#oldest as Counter)
    return true
  }

  /** Those whose last event is at a place or behind it, the newest first. */
  * since (at: number): Generator<Counter> {
    for (let counter = this.#newest; counter !== undefined && counter.at >= at; counter = counter.older) yield counter
  }

  /** Passes over as many numbers of every source. */
  skip (numbers: number): void {
    for (const counter of this.#bySource.values()) counter.value += numbers
  }

  clear (): void {
    this.#bySource.clear()
    this.#oldest = undefined
    this.#newest = undefined
  }

  #forget (counter: Counter): void {
    this.#bySource.delete(counter.source)
    this.#takeOut(counter)
  }

  #takeOut (counter: Counter): void {
    const { older, newer } = counter
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    counter.older = undefined
    counter.newer = undefined
  }
}

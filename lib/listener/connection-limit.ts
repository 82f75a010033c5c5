/**
 * How many connections there may be over all listeners together. Listeners share one; each connection takes a place
 * before anything is read from it and gives it back when its socket has closed.
 */
export class ConnectionLimit {
  readonly max: number
  #open = 0

  /** @param max connections at a time */
  constructor (max: number) {
    this.max = max
  }

  /** Connections that hold a place. */
  get open (): number {
    return this.#open
  }

  /** Takes a place; false where none is left. */
  take (): boolean {
    if (this.#open >= this.max) return false
    this.#open++
    return true
  }

  /** Gives a place back. */
  release (): void {
    this.#open--
  }
}

/**
 * Keeps the order of each client's publishes while events are made that take a while: who comes behind one of the same
 * client waits for it, and for no one else. Where nothing takes a while, nobody comes here.
 */

/** What has become of a wait: a value, or what was thrown instead. */
export type Settled<T> = { readonly value: T } | { readonly error: unknown }

interface Turn<T> {
  settled: Settled<T> | undefined
  readonly take: (settled: Settled<T>) => void
}

export class Turns<T> {
  /** By client, in the order of arrival; none is empty. */
  readonly #lines = new Map<string, Array<Turn<T>>>()

  /** True while something of this client waits, so that what comes next has to wait as well. */
  has (client: string): boolean {
    return this.#lines.size > 0 && this.#lines.has(client)
  }

  /**
   * Calls `take` with the value when it is there and all that came before it has been taken; in the same step for
   * several of which the first was the last to come. `take` must not throw.
   */
  wait (client: string, value: T | Promise<T>, take: Turn<T>['take']): void {
    const isThere = !(value instanceof Promise)
    const turn: Turn<T> = { settled: isThere ? { value } : undefined, take }
    const line = this.#lines.get(client)
    if (line === undefined) this.#lines.set(client, [turn])
    else line.push(turn)
    if (isThere) return this.#advance(client)
    value.then(
      (settled) => { this.#settle(client, turn, { value: settled }) },
      (error: unknown) => { this.#settle(client, turn, { error }) }
    )
  }

  #settle (client: string, turn: Turn<T>, settled: Settled<T>): void {
    turn.settled = settled
    this.#advance(client)
  }

  #advance (client: string): void {
    const line = this.#lines.get(client)
    if (line === undefined) return
    for (let first = line[0]; first?.settled !== undefined; first = line[0]) {
      line.shift()
      if (line.length === 0) this.#lines.delete(client)
      first.take(first.settled)
    }
  }
}

/**
 * Lets few pieces of work run at a time, and few wait. Hashing takes threads that fsync needs: a flood of CONNECTs may
 * keep them busy only so far. Who waits, waits in a lane (an address); lanes take turns, so that one that asks
 * a thousand times delays another by one piece of work. Full, it sends away the newest of the longest lane.
 */

/** `busy`: too many wait. `aborted`: the signal was, while it waited. */
export type SlotOutcome<T> = { readonly kind: 'done', readonly value: T } | { readonly kind: 'busy' | 'aborted' }

interface Waiter {
  /** Begins the work. */
  readonly start: () => void
  readonly sendAway: (kind: 'busy' | 'aborted') => void
}

export interface HashSlotsOptions {
  /** Pieces of work at a time. */
  readonly concurrency: number
  /** How many may wait. */
  readonly waiting: number
}

export class HashSlots {
  readonly #options: HashSlotsOptions
  /** In the order in which they get their turn; none is empty. */
  readonly #lanes = new Map<string, Waiter[]>()
  #running = 0
  #waiting = 0

  constructor (options: HashSlotsOptions) {
    this.#options = options
  }

  /** Pieces of work that wait. */
  get waiting (): number {
    return this.#waiting
  }

  /** Does the work when its turn has come. Rejects where the work does. */
  async run<T> (lane: string, signal: AbortSignal, work: () => Promise<T>): Promise<SlotOutcome<T>> {
    if (signal.aborted) return { kind: 'aborted' }
    if (this.#running >= this.#options.concurrency) {
      const refusal = await this.#turn(lane, signal)
      if (refusal !== undefined) return { kind: refusal }
    } else {
      this.#running++
    }
    try {
      return { kind: 'done', value: await work() }
    } finally {
      this.#next()
    }
  }

  /** Resolves when a slot has been handed over; with why not, where it is not going to be. */
  async #turn (lane: string, signal: AbortSignal): Promise<'busy' | 'aborted' | undefined> {
    return await new Promise((resolve) => {
      const settle = (outcome: 'busy' | 'aborted' | undefined): void => {
        signal.removeEventListener('abort', aborted)
        resolve(outcome)
      }
      const waiter: Waiter = { start: () => { settle(undefined) }, sendAway: settle }
      const aborted = (): void => {
        this.#remove(lane, waiter)
        settle('aborted')
      }
      signal.addEventListener('abort', aborted)
      this.#add(lane, waiter)
      if (this.#waiting > this.#options.waiting) this.#shorten()
    })
  }

  #add (lane: string, waiter: Waiter): void {
    const waiters = this.#lanes.get(lane)
    if (waiters === undefined) this.#lanes.set(lane, [waiter])
    else waiters.push(waiter)
    this.#waiting++
  }

  #remove (lane: string, waiter: Waiter): void {
    const waiters = this.#lanes.get(lane)
    const at = waiters?.indexOf(waiter) ?? -1
    if (waiters === undefined || at === -1) return
    waiters.splice(at, 1)
    this.#waiting--
    if (waiters.length === 0) this.#lanes.delete(lane)
  }

  /** Sends away the newest of the longest lane; of lanes as long as each other, of the one whose turn is last. */
  #shorten (): void {
    let [longest, most] = ['', 0]
    for (const [lane, { length }] of this.#lanes) if (length >= most) [longest, most] = [lane, length]
    const waiter = this.#lanes.get(longest)?.at(-1)
    if (waiter === undefined) return
    this.#remove(longest, waiter)
    waiter.sendAway('busy')
  }

  /** Hands the slot to the first of the lane whose turn it is, which goes to the end of the line. */
  #next (): void {
    const [turn] = this.#lanes
    if (turn === undefined) {
      this.#running--
      return
    }
    const [lane, waiters] = turn
    const waiter = waiters.shift() as Waiter
    this.#waiting--
    this.#lanes.delete(lane)
    if (waiters.length > 0) this.#lanes.set(lane, waiters)
    waiter.start()
  }
}

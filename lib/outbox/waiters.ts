/** Those who wait for an event to become durable. Each takes its listener away again from the signal that it shares. */

interface Waiter {
  readonly sequence: number
  readonly done: () => void
}

export class Waiters {
  #waiters: Waiter[] = []

  get size (): number {
    return this.#waiters.length
  }

  wait (sequence: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const aborted = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
        resolve()
      }
      const waiter = {
        sequence,
        done: () => {
          signal.removeEventListener('abort', aborted)
          resolve()
        }
      }
      signal.addEventListener('abort', aborted, { once: true })
      this.#waiters.push(waiter)
    })
  }

  /** Everything below `next` is durable. */
  advance (next: number): void {
    if (this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = waiters.filter((waiter) => waiter.sequence >= next)
    for (const waiter of waiters) {
      if (waiter.sequence < next) waiter.done()
    }
  }
}

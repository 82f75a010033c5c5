/** A bound on how much is done at a time; whoever finds no room waits in turn, and not for ever. */
export class Slots {
  readonly #maxWaiting: number
  #free: number
  readonly #waiting = new Set<(taken: boolean) => void>()

  constructor (max: number, maxWaiting: number) {
    this.#free = max
    this.#maxWaiting = maxWaiting
  }

  /** True: a slot was taken and has to be released. False: none was free in that time, or too many wait already. */
  async take (timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false
    if (this.#free > 0) {
      this.#free--
      return true
    }
    if (this.#waiting.size >= this.#maxWaiting) return false
    return await new Promise((resolve) => {
      const settle = (taken: boolean) => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        this.#waiting.delete(settle)
        resolve(taken)
      }
      const onAbort = () => { settle(false) }
      const timer = setTimeout(settle, timeoutMs, false)
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.add(settle)
    })
  }

  /** Hands the slot to the one who waits longest. */
  release (): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free++
    else next(true)
  }
}

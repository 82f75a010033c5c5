/** The time that the self-test has, all of its steps together. */

export class Deadline {
  readonly timeoutMs: number
  readonly #endMs: number

  constructor (timeoutMs: number) {
    this.timeoutMs = timeoutMs
    this.#endMs = performance.now() + timeoutMs
  }

  /** What is left; at least a millisecond, so that it can be given to a timer. */
  get leftMs (): number {
    return Math.max(1, this.#endMs - performance.now())
  }

  get isOver (): boolean {
    return performance.now() >= this.#endMs
  }

  /** What the promise resolves with. Rejects with the error that is made when the time is up before. */
  async within<T> (promise: Promise<T>, late: () => Error): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const over = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => { reject(late()) }, this.leftMs)
    })
    try {
      return await Promise.race([promise, over])
    } finally {
      clearTimeout(timer)
    }
  }
}

/** What is done again and again, and at once when there is a reason: never twice at a time, and not without Redis. */
import type { MbsError } from '../../errors.ts'
import { toSessionsError } from './requests.ts'

interface Task {
  readonly work: () => Promise<void>
  readonly timer: NodeJS.Timeout
  running: Promise<void> | undefined
  isDue: boolean
}

export class Tasks {
  readonly #canRun: () => boolean
  readonly #failed: (error: MbsError) => void
  readonly #tasks: Task[] = []
  #isClosed = false

  constructor (canRun: () => boolean, failed: (error: MbsError) => void) {
    this.#canRun = canRun
    this.#failed = failed
  }

  /** @returns does it at once; where it is being done, once more after that */
  every (intervalMs: number, work: () => Promise<void>): () => void {
    const run = (): void => { this.#run(task) }
    const task: Task = { work, timer: setInterval(run, intervalMs).unref(), running: undefined, isDue: false }
    this.#tasks.push(task)
    return () => {
      task.isDue = true
      run()
    }
  }

  /** Resolves when nothing is being done any more. */
  async close (): Promise<void> {
    this.#isClosed = true
    for (const { timer } of this.#tasks) clearInterval(timer)
    await Promise.all(this.#tasks.map(async ({ running }) => { await running }))
  }

  #run (task: Task): void {
    if (this.#isClosed || task.running !== undefined || !this.#canRun()) return
    task.isDue = false
    task.running = task.work()
      .catch((error: unknown) => { if (!this.#isClosed) this.#failed(toSessionsError(error)) })
      .finally(() => {
        task.running = undefined
        if (task.isDue) this.#run(task)
      })
  }
}

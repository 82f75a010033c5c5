/** A store between the outbox and a real one: writes can be stopped, failed, or failed after they have been done. */
import type { BatchOperation, Database, Evidence, OpenedDatabase, Store } from '../../lib/outbox/database.ts'

export type WriteFault = 'none' | 'before' | 'after'

export class FaultyStore implements Store {
  readonly kind
  readonly location
  readonly #store: Store
  #gate: Promise<void> = Promise.resolve()
  #answerGate: Promise<void> = Promise.resolve()
  #entered: Array<() => void> = []
  #written: Array<() => void> = []
  /** Asked before each write: whether it fails, and if so before or after the bytes have been written. */
  fault: (operations: readonly BatchOperation[]) => WriteFault = () => 'none'
  /** Called before each reading call: throws what it wants to fail with, or keeps it waiting. */
  readFault: () => void | Promise<void> = () => {}
  /** Writes that have been asked for, and those asked for with an fsync. */
  batches = 0
  synced = 0
  /** The most writes that were under way at once. */
  mostAtOnce = 0
  #atOnce = 0
  /** A failure of opening, for as long as it is set. */
  openError: Error | undefined
  opened = 0
  repairs = 0

  constructor (store: Store) {
    this.#store = store
    this.kind = store.kind
    this.location = store.location
  }

  /** Stops all writes until the returned function is called. */
  stop (): () => void {
    let release = (): void => {}
    this.#gate = new Promise((resolve) => { release = resolve })
    return release
  }

  /** Writes are done, but nobody learns of it until the returned function is called. */
  stopAnswers (): () => void {
    let release = (): void => {}
    this.#answerGate = new Promise((resolve) => { release = resolve })
    return release
  }

  /** Resolves when the next write has been asked for. */
  nextWrite (): Promise<void> {
    return new Promise((resolve) => { this.#entered.push(resolve) })
  }

  /** Resolves when the next write has been done, which its caller may not know yet. */
  nextWritten (): Promise<void> {
    return new Promise((resolve) => { this.#written.push(resolve) })
  }

  inspect (): Promise<Evidence> {
    return this.#store.inspect()
  }

  async open (repair: boolean): Promise<OpenedDatabase> {
    this.opened++
    if (repair) this.repairs++
    if (this.openError !== undefined) throw this.openError
    const { database, repaired } = await this.#store.open(repair)
    return { database: this.#wrap(database), repaired }
  }

  closed (next: number): Promise<void> {
    return this.#store.closed(next)
  }

  #wrap (database: Database): Database {
    return {
      batch: async (operations, options) => {
        this.batches++
        if (options.sync) this.synced++
        this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce)
        for (const entered of this.#entered.splice(0)) entered()
        try {
          const fault = this.fault(operations)
          await this.#gate
          if (fault === 'before') throw ioError('No space left on device')
          await database.batch(operations, options)
          for (const written of this.#written.splice(0)) written()
          await this.#answerGate
          if (fault === 'after') throw ioError('Disk quota exceeded')
        } finally {
          this.#atOnce--
        }
      },
      get: async (key) => {
        await this.readFault()
        return await database.get(key)
      },
      getMany: async (keys) => {
        await this.readFault()
        return await database.getMany(keys)
      },
      keys: (range) => {
        const iterator = database.keys(range)
        return {
          nextv: async (size) => {
            await this.readFault()
            return await iterator.nextv(size)
          },
          close: () => iterator.close()
        }
      },
      close: () => database.close()
    }
  }
}

/** An error as classic-level makes it. */
export function ioError (reason: string): Error {
  return Object.assign(new Error(`IO error: 000003.log: ${reason}`), { code: 'LEVEL_IO_ERROR' })
}

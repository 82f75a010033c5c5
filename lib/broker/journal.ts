/**
 * What makes changes of the broker's state durable: a database of keys and values, written in batches with an fsync,
 * one at a time; what changes meanwhile goes with the next. The state in memory stays the truth, and is read back from
 * here at the next start.
 *
 * Invariants: changes made in one step of the event loop stand in one batch; batches are written in the order of the
 * changes, so that whoever waits for one of them has waited for all before it. After a failed write nothing is
 * promised until the database has been opened again and has taken all that was left: LevelDB would lose what follows
 * half a record.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'
import type { BatchOperation, Database, OpenedDatabase } from '../level/database.ts'
import { isDamage } from '../level/scan.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

/** Where a journal comes from. */
export interface JournalStore {
  /** The directory, for messages. */
  readonly location: string
  /**
   * Opens the database, which nobody has open. Repairs it when it is damaged, or when asked to.
   * @throws MBS_ERR_SESSIONS_DIRECTORY, _LOCKED, _CORRUPT
   */
  open (repair: boolean): Promise<OpenedDatabase>
}

export interface JournalOptions {
  readonly store: JournalStore
  /** The time until a failed disk is tried again; doubles with each try up to the longest. */
  readonly reopenMinMs: number
  readonly reopenMaxMs: number
  readonly telemetry: Pick<Telemetry, 'sessionStoreFailed' | 'sessionStoreRecovered' | 'sessionRecordsLost' | 'unexpected'>
}

interface Change {
  readonly key: Buffer
  /** Undefined: the key is deleted. */
  readonly value: Buffer | undefined
  /** Its key has never been written: deleting it makes this undone. */
  readonly fresh: boolean
}

type Changes = Map<string, Change>

interface Waiters {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: MbsError) => void
}

/** Where the mark of who has written last stands. */
const MARK = Buffer.from('\0mark')

export class Journal {
  readonly #options: JournalOptions
  readonly #abort = new AbortController()
  /** Goes with the first batch, and by it the database is known again; it tries a disk that failed before, too. */
  readonly #mark: BatchOperation & { readonly type: 'put' } = { type: 'put', key: MARK, value: randomBytes(16) }
  #isMarked = false
  #database: Database | undefined
  #changes: Changes = new Map()
  /** Who waits for the changes that are not being written yet, and for those that are. */
  #next: Waiters | undefined
  #current: Waiters | undefined
  #isRunning = false
  #running: Promise<void> = Promise.resolve()
  #failure: MbsError | undefined
  #reopening: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor (options: JournalOptions) {
    this.#options = options
  }

  /** MBS_ERR_SESSIONS_WRITE while nothing can be written, for whatever reason. */
  get failure (): MbsError | undefined {
    return this.#failure
  }

  get location (): string {
    return this.#options.store.location
  }

  /** Opens the database, to be read before anything is changed. */
  async open (): Promise<OpenedDatabase> {
    const opened = await this.#options.store.open(false)
    this.#database = opened.database
    return opened
  }

  /** @param fresh nothing was ever written with this key */
  put (key: Buffer, value: Buffer, fresh = false): void {
    const name = key.toString('latin1')
    this.#changes.set(name, { key, value, fresh: fresh || this.#changes.get(name)?.fresh === true })
    this.#run()
  }

  delete (key: Buffer): void {
    const name = key.toString('latin1')
    if (this.#changes.get(name)?.fresh === true) {
      this.#changes.delete(name)
      return
    }
    this.#changes.set(name, { key, value: undefined, fresh: false })
    this.#run()
  }

  /** Resolves when every change made so far is on disk. @throws MBS_ERR_SESSIONS_WRITE */
  async written (): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#changes.size > 0) await (this.#next ??= createWaiters()).promise
    else if (this.#isRunning) await (this.#current ??= createWaiters()).promise
  }

  /** Writes what is left, and closes the database. Idempotent; never rejects. */
  async close (): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  async #close (): Promise<void> {
    await this.#running
    this.#abort.abort()
    await this.#reopening
    try {
      await this.#database?.close()
    } catch (error) {
      this.#options.telemetry.unexpected(error, 'closing the sessions on disk')
    }
    this.#database = undefined
  }

  #run (): void {
    if (this.#isRunning || this.#failure !== undefined || this.#database === undefined) return
    this.#isRunning = true
    this.#running = this.#write(this.#database)
  }

  async #write (database: Database): Promise<void> {
    await Promise.resolve() // all that is changed in this step goes together
    while (this.#changes.size > 0) {
      const changes = this.#take()
      try {
        const operations = operationsOf(changes)
        if (!this.#isMarked) operations.unshift(this.#mark)
        await database.batch(operations, { sync: true })
        this.#isMarked = true
      } catch (cause) {
        this.#isRunning = false
        this.#putBack(changes)
        this.#fail(cause)
        return
      }
      this.#current?.resolve()
      this.#current = undefined
    }
    this.#isRunning = false
    // All that these waited for was undone meanwhile.
    this.#next?.resolve()
    this.#next = undefined
  }

  #take (): Changes {
    const changes = this.#changes
    this.#changes = new Map()
    this.#current = this.#next
    this.#next = undefined
    return changes
  }

  /** What was tried may be on disk or not. */
  #putBack (changes: Changes): void {
    for (const [name, { key, value }] of changes) {
      if (!this.#changes.has(name)) this.#changes.set(name, { key, value, fresh: false })
      else this.#changes.set(name, { ...this.#changes.get(name) as Change, fresh: false })
    }
  }

  #fail (cause: unknown): void {
    this.#failure = this.#writeError(cause)
    this.#options.telemetry.sessionStoreFailed(this.#failure)
    this.#current?.reject(this.#failure)
    this.#next?.reject(this.#failure)
    this.#current = this.#next = undefined
    this.#reopening = this.#reopen(cause)
  }

  /** Goes on until it works; when the journal is closed, it is tried a last time. */
  async #reopen (cause: unknown): Promise<void> {
    const { reopenMinMs, reopenMaxMs, telemetry } = this.#options
    const { signal } = this.#abort
    let reason = cause
    for (let delayMs = reopenMinMs; ; delayMs = Math.min(2 * delayMs, reopenMaxMs)) {
      await sleep(delayMs, undefined, { signal }).catch(() => {})
      const isLast = signal.aborted
      try {
        await this.#openAgain(isDamage(reason))
        telemetry.sessionStoreRecovered()
        this.#failure = undefined
        if (this.#changes.size > 0) this.#run()
        if (isLast) await this.#running
        return
      } catch (error) {
        reason = isMbsError(error) ? error.cause : error
        telemetry.sessionStoreFailed(isMbsError(error) ? error : this.#writeError(reason))
      }
      if (isLast) return
    }
  }

  async #openAgain (repair: boolean): Promise<void> {
    const { store, telemetry } = this.#options
    await this.#database?.close()
    this.#database = undefined
    const { database, repaired } = await store.open(repair)
    if (repaired !== undefined) telemetry.sessionRecordsLost(0, `the database was repaired (${repaired})`)
    const changes = this.#take()
    try {
      // What is written is what has changed: a directory that was made anew would lack all the rest.
      const isKnown = !this.#isMarked || repaired !== undefined || await this.#isMarkOf(database)
      if (!isKnown) throw createError('MBS_ERR_SESSIONS_REPLACED', { directory: this.location })
      await database.batch([this.#mark, ...operationsOf(changes)], { sync: true })
      this.#isMarked = true
    } catch (error) {
      this.#putBack(changes)
      await database.close().catch(() => {})
      throw error
    }
    this.#database = database
  }

  async #isMarkOf (database: Database): Promise<boolean> {
    return (await database.get(MARK))?.equals(this.#mark.value) === true
  }

  #writeError (cause: unknown): MbsError {
    return createError('MBS_ERR_SESSIONS_WRITE', { directory: this.location, reason: reasonOf(cause) }, cause)
  }
}

function operationsOf (changes: Changes): BatchOperation[] {
  return Array.from(changes.values(), ({ key, value }) => value === undefined
    ? { type: 'del', key }
    : { type: 'put', key, value })
}

function createWaiters (): Waiters {
  let resolve!: () => void
  let reject!: (error: MbsError) => void
  const promise = new Promise<void>((_resolve, _reject) => {
    resolve = _resolve
    reject = _reject
  })
  promise.catch(() => {}) // whoever waits gets it; there may be nobody left
  return { promise, resolve, reject }
}

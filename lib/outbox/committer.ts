/**
 * The way in. Appends that arrive while a write is under way, or in the same turn, become one block, written in one
 * synced batch together with their receipts and with whatever else is to be written.
 *
 * Invariants: one write at a time, none after one that failed until a database is given again (see database.ts);
 * sequences are given out in the order of the calls, when a block is formed; the state changes when a write has
 * succeeded and not before.
 */
import { createError, reasonOf, type MbsError } from '../errors.ts'
import type { Event, StoredEvent } from '../message.ts'
import { Append, AppendQueue } from './append-queue.ts'
import { asideLetter } from './aside-letter.ts'
import { BLOCK_MAX_BYTES, BLOCK_MAX_EVENTS, BLOCK_OVERHEAD_BYTES, BlockWriter } from './block.ts'
import type { BatchOperation, Database } from './database.ts'
import { encodeDeadLetter } from './dead-letter-codec.ts'
import { blockKey, letterKey, MARKS_KEY, type ReceiptsKey } from './keys.ts'
import { encodeMarks, type LogState, type StateChange } from './log-state.ts'
import type { Receipt } from './outbox.ts'
import { encodeReceipts, type ReceiptLog } from './receipt-log.ts'
import { storedBound } from './record.ts'
import type { Sequences } from './sequences.ts'

/** Something to write that is not an append: a cursor, a trim, a dead letter. */
export interface Write {
  readonly operations: readonly BatchOperation[]
  /** False where a power cut may undo it. */
  readonly sync: boolean
  readonly change?: StateChange
}

interface PendingWrite extends Write {
  readonly resolve: () => void
  readonly reject: (error: MbsError) => void
}

/** What one batch holds. */
interface Commit {
  readonly operations: BatchOperation[]
  readonly sync: boolean
  readonly appends: readonly Append[]
  readonly writes: readonly PendingWrite[]
  readonly sizes: readonly number[]
  readonly bytes: number
  readonly receipts: ReceiptsKey | undefined
  /** The dead letters that the block brings with it. */
  readonly letters: StateChange | undefined
}

const NO_BLOCK = { bytes: 0, sizes: [], receipts: undefined, letters: undefined } as const

/** Events that are set aside at once may fill so much of the outbox; otherwise one device could stop all others. */
const ASIDE_SHARE = 1 / 4

/**
 * So much of the outbox stays free of what is sure of its room: dead letters of sinks take room without waiting in the
 * queue. Nothing else comes before what is in it.
 */
const FREE_SHARE = 1 / 8

/** The events of a block that has become durable. */
export interface CommittedBlock {
  readonly first: number
  readonly events: readonly StoredEvent[]
  readonly sizes: readonly number[]
  readonly bytes: number
}

export interface CommitterOptions {
  readonly state: LogState
  readonly receipts: ReceiptLog
  /** Numbers the events of each source; undefined: nobody does. */
  readonly sequences: Sequences | undefined
  readonly maxBytes: number
  readonly holdTimeoutMs: number
  /** Where it writes to, for messages. */
  readonly location: string
  /** A block is durable; called before its appends are resolved. */
  readonly onCommitted: (block: CommittedBlock) => void
  /** A write failed; no other is tried until `resume`. */
  readonly onFailed: (error: MbsError) => void
  /** An append waits for room. */
  readonly onHeld: () => void
  /** The first of those that wait begins to. */
  readonly onFull: () => void
}

export class Committer {
  readonly #options: CommitterOptions
  readonly #state: LogState
  readonly #queue: AppendQueue
  readonly #writer = new BlockWriter()
  #database: Database | undefined
  /** Why appends are refused at the moment; undefined while they are not. */
  #refusal: (() => MbsError) | undefined
  #writes: PendingWrite[] = []
  #inFlight: readonly Append[] = []
  #inFlightBound = 0
  #running: Promise<void> | undefined
  #full = false
  #tickets = 0
  #settling: Array<{ readonly ticket: number, readonly resolve: () => void }> = []

  constructor (options: CommitterOptions) {
    this.#options = options
    this.#state = options.state
    const { maxBytes, holdTimeoutMs, onHeld } = options
    this.#queue = new AppendQueue({ maxBytes, holdTimeoutMs, onHeld, onExpired: () => { this.#expired() } })
    this.#refusal = () => createError('MBS_ERR_OUTBOX_CLOSED')
  }

  /** Appends that wait for room. */
  get held (): number {
    return this.#queue.held
  }

  /** True while appends have to wait for room. */
  get full (): boolean {
    return this.#full
  }

  /** True where an event, appended now, finds room behind all that waits; see `Outbox.hasRoomFor`. */
  hasRoomFor (event: Event): boolean {
    // An event that is set aside becomes a letter as well, and the letters have a bound of their own.
    if (this.#refusal !== undefined || this.#full || event.handling?.aside !== undefined) return false
    const { maxBytes } = this.#options
    const waiting = this.#inFlightBound + this.#queue.bound
    return this.#state.bytes + waiting + storedBound(event) <= (1 - FREE_SHARE) * maxBytes
  }

  /** Why nothing is written at the moment; undefined while it is. */
  get refusal (): MbsError | undefined {
    return this.#refusal?.()
  }

  /** Writes to this database from now on. */
  resume (database: Database): void {
    this.#database = database
    this.#refusal = undefined
    this.#full = false
  }

  append (event: Event, receipt: Receipt | undefined): Promise<number> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal())
    return new Promise((resolve, reject) => {
      this.#queue.push(new Append(event, receipt, ++this.#tickets, resolve, reject))
      // While the outbox is full only what frees room begins a write; otherwise each append would try again in vain.
      if (this.#running === undefined && !this.#full) this.#start()
    })
  }

  write (write: Write): Promise<void> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal())
    return new Promise((resolve, reject) => {
      this.#writes.push({ ...write, resolve, reject })
      if (this.#running === undefined) this.#start()
    })
  }

  /** Resolves when every append called before has been settled. */
  settled (): Promise<void> {
    const ticket = this.#tickets
    if (this.#settledTicket() >= ticket) return Promise.resolve()
    return new Promise((resolve) => { this.#settling.push({ ticket, resolve }) })
  }

  /** Writes what can be written, rejects what waits for room, and takes nothing more. */
  async close (): Promise<void> {
    this.#refusal = () => createError('MBS_ERR_OUTBOX_CLOSED')
    if (this.#full) this.#queue.rejectAll(this.#refusal)
    while (this.#running !== undefined) {
      await this.#running
      if (this.#full) this.#queue.rejectAll(this.#refusal)
    }
    this.#settled()
    this.#database = undefined
  }

  #start (): void {
    this.#running = new Promise((resolve) => {
      // At the end of the turn: what else arrives in it joins the same block.
      setImmediate(() => { void this.#run().then(resolve) })
    })
  }

  async #run (): Promise<void> {
    for (let commit = this.#next(); commit !== undefined; commit = this.#next()) {
      const database = this.#database as Database
      try {
        await database.batch(commit.operations, { sync: commit.sync })
      } catch (error) {
        this.#failed(commit, error)
        break
      }
      this.#committed(commit)
    }
    this.#running = undefined
  }

  /** Forms the next batch; undefined where nothing can be written. */
  #next (): Commit | undefined {
    if (this.#database === undefined) return undefined
    const appends = this.#takeAppends()
    const writes = this.#writes
    this.#writes = []
    if (appends.length === 0 && writes.length === 0) return undefined

    const operations: BatchOperation[] = []
    const block = appends.length > 0 ? this.#block(appends, operations) : NO_BLOCK
    const { bytes, letters } = block
    for (const write of writes) operations.push(...write.operations)
    const changes = writes.flatMap((write) => write.change ?? [])
    if (letters !== undefined) changes.push(letters)
    if (changes.length > 0) {
      operations.push({ type: 'put', key: MARKS_KEY, value: encodeMarks(this.#state, changes, appends.length, bytes) })
    }
    const trimmed = changes.reduce((most, { first = 0 }) => Math.max(most, first), 0)
    operations.push(...this.#options.sequences?.operations(trimmed, this.#state.next + appends.length) ?? [])
    const sync = appends.length > 0 || writes.some((write) => write.sync)
    return { operations, sync, appends, writes, ...block }
  }

  /** Takes as many appends as fit into one block and into the room that is left; they are in the block writer then. */
  #takeAppends (): Append[] {
    const taken: Append[] = []
    this.#inFlight = taken
    this.#inFlightBound = 0
    const room = this.#options.maxBytes - this.#state.bytes
    let fits = true
    for (let append = this.#queue.peek(); append !== undefined; append = this.#queue.peek()) {
      if (!this.#encode(append)) {
        this.#queue.shift()
        continue
      }
      fits = this.#writer.bytes <= room
      const tooMany = taken.length > 0 && (this.#writer.bytes > BLOCK_MAX_BYTES || taken.length === BLOCK_MAX_EVENTS)
      if (!fits || tooMany) {
        this.#writer.undo()
        break
      }
      this.#options.sequences?.take(this.#state.next + taken.length)
      taken.push(append)
      this.#inFlightBound += append.bound
      this.#queue.shift()
    }
    this.#noteRoom(fits)
    return taken
  }

  /** Adds an append to the block writer. One that can never be stored is rejected: it must not stop the others. */
  #encode (append: Append): boolean {
    const { maxBytes, sequences } = this.#options
    try {
      if (append.event.handling?.aside !== undefined && this.#state.letterBytes > ASIDE_SHARE * maxBytes) {
        append.reject(createError('MBS_ERR_OUTBOX_DEAD_LETTERS', { bytes: this.#state.letterBytes }))
        return false
      }
      append.stored = sequences?.give(append.event) ?? append.event
      const bytes = this.#writer.add(append.storedAt, append.stored) + BLOCK_OVERHEAD_BYTES
      if (bytes <= maxBytes) return true
      this.#writer.undo()
      append.reject(createError('MBS_ERR_OUTBOX_TOO_LARGE', { bytes, maxBytes }))
    } catch (cause) {
      append.reject(createError('MBS_ERR_OUTBOX_EVENT', { reason: reasonOf(cause) }, cause))
    }
    return false
  }

  #noteRoom (fits: boolean): void {
    if (fits) {
      this.#queue.release()
    } else {
      this.#queue.hold()
      if (!this.#full) this.#options.onFull()
    }
    this.#full = !fits
    this.#settled()
  }

  /** Those that waited longest have been rejected: what is behind them may be smaller, and fit. */
  #expired (): void {
    if (this.#queue.size === 0) this.#noteRoom(true)
    else if (this.#running === undefined) this.#start()
    this.#settled()
  }

  /** The operations of a block, pushed first: the scan of the write-ahead log looks for its key there. */
  #block (appends: readonly Append[], operations: BatchOperation[]): Pick<Commit, keyof typeof NO_BLOCK> {
    const first = this.#state.next
    const count = appends.length
    const { value, sizes } = this.#writer.finish()
    const bytes = value.length
    operations.push({ type: 'put', key: blockKey({ first, offset: this.#state.offset, count, bytes }), value })
    const letters = this.#setAside(first, appends, operations)

    const given: Receipt[] = []
    for (const { receipt } of appends) {
      if (receipt !== undefined) given.push(receipt)
    }
    if (given.length === 0) return { bytes, sizes, receipts: undefined, letters }
    const receipts = { first, count, receipts: given.length }
    operations.push(...this.#options.receipts.operations(receipts, encodeReceipts(given)))
    return { bytes, sizes, receipts, letters }
  }

  /** The operations that make those of the events dead letters which no sink is to get. */
  #setAside (first: number, appends: readonly Append[], operations: BatchOperation[]): StateChange | undefined {
    let letters = 0
    let letterBytes = 0
    for (const [index, append] of appends.entries()) {
      const aside = append.event.handling?.aside
      if (aside === undefined) continue
      const letter = asideLetter(storedEvent(first + index, append), aside)
      const value = encodeDeadLetter(letter)
      operations.push({ type: 'put', key: letterKey({ sequence: first + index, sink: letter.sink }), value })
      letters++
      letterBytes += value.length
    }
    return letters === 0 ? undefined : { letters, letterBytes }
  }

  #committed (commit: Commit): void {
    const { appends, writes, sizes, bytes, receipts, letters } = commit
    const first = this.#state.next
    this.#state.grow(appends.length, bytes)
    if (receipts !== undefined) this.#options.receipts.wrote(receipts)
    if (letters !== undefined) this.#state.apply(letters)
    this.#options.sequences?.wrote()
    for (const { change } of writes) {
      if (change !== undefined) this.#state.apply(change)
    }
    if (appends.length > 0) {
      const events = appends.map((append, index) => storedEvent(first + index, append))
      this.#options.onCommitted({ first, events, sizes, bytes })
    }
    for (const [index, append] of appends.entries()) append.resolve(first + index)
    for (const write of writes) write.resolve()
    this.#inFlight = []
    this.#inFlightBound = 0
    this.#settled()
  }

  #failed (commit: Commit, cause: unknown): void {
    const { location } = this.#options
    const error = createError('MBS_ERR_OUTBOX_WRITE', { directory: location, reason: reasonOf(cause) }, cause)
    const refusal = () => error
    // A closing outbox goes on to say that it is closed.
    this.#refusal = this.#refusal ?? refusal
    this.#database = undefined
    this.#full = false
    this.#inFlight = []
    this.#inFlightBound = 0
    for (const append of commit.appends) append.reject(error)
    for (const write of commit.writes) write.reject(error)
    this.#queue.rejectAll(refusal)
    for (const write of this.#writes) write.reject(error)
    this.#writes = []
    this.#settled()
    this.#options.onFailed(error)
  }

  /** All appends up to this one are settled. */
  #settledTicket (): number {
    const oldest = this.#inFlight[0] ?? this.#queue.peek()
    return oldest === undefined ? this.#tickets : oldest.ticket - 1
  }

  #settled (): void {
    if (this.#settling.length === 0) return
    const ticket = this.#settledTicket()
    const waiting = this.#settling
    this.#settling = waiting.filter((one) => one.ticket > ticket)
    for (const one of waiting) {
      if (one.ticket <= ticket) one.resolve()
    }
  }
}

function storedEvent (sequence: number, { storedAt, stored }: Append): StoredEvent {
  return { sequence, storedAt, event: stored }
}

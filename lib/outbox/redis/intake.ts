/**
 * The way in of a group's outbox: appends are gathered into batches, and each batch goes to the partitions of its
 * events in one round trip, as one step in each. Between `GroupOutbox.append` and the scripts; it reads nothing.
 *
 * Invariants: one batch is on its way at a time; one whose answer did not come is sent again, as it is, until there is
 * an answer, and Redis carries it out once; appends are settled in the order of the calls. What finds no room, or no
 * Redis, waits, and is rejected after its time: then nobody has been told that it is stored.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createError, reasonOf, type MbsError } from '../../errors.ts'
import type { Event } from '../../message.ts'
import { asideLetter } from '../aside-letter.ts'
import { encodeDeadLetter } from '../dead-letter-codec.ts'
import { Fifo } from '../fifo.ts'
import type { Receipt } from '../outbox.ts'
import { extensionsText, recordBound, storedBound, writeRecord } from '../record.ts'
import { partitionOf, toPlace } from './places.ts'
import { OVERHEAD_BYTES } from './scripts.ts'

/** Bounds of one batch. */
const BATCH_EVENTS = 512
const BATCH_BYTES = 4 * 1024 * 1024
/** The time until a batch is sent again; doubles up to the longest. */
const RETRY_MS = 50
const RETRY_MAX_MS = 1000
/** This part stays free where room is promised: other programs of the group take of it, too. */
const FREE_SHARE = 0.2

/** What became of one event: its sequence; below zero where it was stored before; 0: dead letters have no room. */
export interface Stored {
  readonly status: 'done' | 'full'
  readonly sequences: readonly number[]
}

export interface IntakeOptions {
  readonly partitions: number
  readonly maxBytes: number
  readonly holdTimeoutMs: number
  /** Bytes that are kept now, in all partitions. */
  readonly bytes: () => number
  /** Sends the events of one partition. Rejects where nobody knows what became of them. */
  readonly send: (partition: number, batch: number, appends: readonly Append[]) => Promise<Stored>
  /** Waits until enough replicas have what was sent, up to a time. @returns how many have it */
  readonly replicate: () => Promise<{ readonly wanted: number, readonly found: number }>
  /** Redis did not do what it was asked to. @returns the error as it is told */
  readonly onFailed: (error: unknown) => MbsError
  readonly onSent: () => void
  readonly onHeld: () => void
  readonly onFull: () => void
}

/** One call of append, until it is settled. */
export class Append {
  readonly partition: number
  readonly record: Buffer
  readonly letter: Buffer | undefined
  readonly receipt: Receipt | undefined
  readonly bound: number
  /** By the monotonic clock, in milliseconds. */
  readonly arrivedAt = performance.now()
  readonly ticket: number
  readonly resolve: (place: number) => void
  readonly reject: (error: MbsError) => void
  /** Since when it waits for room, or for Redis, by the monotonic clock; undefined while it waits for neither. */
  heldSince: number | undefined
  /** Where it is stored, or why it is not; undefined while that is open. */
  outcome: number | MbsError | undefined

  constructor (
    event: Event, receipt: Receipt | undefined, partition: number, ticket: number, resolve: (place: number) => void,
    reject: (error: MbsError) => void
  ) {
    const storedAt = Date.now()
    this.partition = partition
    this.record = recordOf(event, storedAt)
    this.letter = letterOf(event, storedAt)
    this.receipt = receipt
    this.bound = storedBound(event)
    this.ticket = ticket
    this.resolve = resolve
    this.reject = reject
  }

  /** What it takes of the outbox. */
  get bytes (): number {
    return this.record.length + OVERHEAD_BYTES + (this.letter?.length ?? 0)
  }
}

export class Intake {
  readonly #options: IntakeOptions
  /** All that are not settled, in the order of the calls. */
  readonly #open = new Fifo<Append>()
  /** Those of them that are not in a batch. */
  #waiting: Append[] = []
  #tickets = 0
  #batches = 0
  #bound = 0
  #running: Promise<void> | undefined
  #isFull = false
  #failure: MbsError | undefined
  #isClosed = false
  #timer: NodeJS.Timeout | undefined
  #settling: Array<{ readonly ticket: number, readonly resolve: () => void }> = []

  constructor (options: IntakeOptions) {
    this.#options = options
  }

  get isFull (): boolean {
    return this.#isFull
  }

  /** Why nothing is stored at the moment. */
  get failure (): MbsError | undefined {
    return this.#failure
  }

  /** Appends that wait for room. */
  get held (): number {
    return this.#isFull ? this.#waiting.length : 0
  }

  append (event: Event, receipt: Receipt | undefined): Promise<number> {
    if (this.#isClosed) return Promise.reject(createError('MBS_ERR_OUTBOX_CLOSED'))
    return new Promise((resolve, reject) => {
      const { partitions, maxBytes } = this.#options
      let append: Append
      try {
        const partition = partitionOf(event.partitionKey, partitions)
        append = new Append(event, receipt, partition, ++this.#tickets, resolve, reject)
      } catch (cause) {
        reject(createError('MBS_ERR_OUTBOX_EVENT', { reason: reasonOf(cause) }, cause))
        return
      }
      if (append.bytes > maxBytes) {
        reject(createError('MBS_ERR_OUTBOX_TOO_LARGE', { bytes: append.bytes, maxBytes }))
        return
      }
      this.#open.push(append)
      this.#waiting.push(append)
      this.#bound += append.bound
      if (this.#isFull || this.#failure !== undefined) this.#hold([append])
      if (!this.#isFull) this.#start()
    })
  }

  /** As `Outbox.hasRoomFor`. */
  hasRoomFor (event: Event): boolean {
    if (this.#isClosed || this.#isFull || this.#failure !== undefined) return false
    // An event that is set aside becomes a letter as well, and the letters have a bound of their own.
    if (event.handling?.aside !== undefined) return false
    const { bytes, maxBytes } = this.#options
    return bytes() + this.#bound + storedBound(event) <= (1 - FREE_SHARE) * maxBytes
  }

  /** There may be room, or Redis may be back. */
  kick (): void {
    if (this.#waiting.length > 0) this.#start()
  }

  /** Redis has done something else that it was asked to: what comes next is tried. */
  answered (): void {
    if (this.#running === undefined) this.#works()
  }

  settled (): Promise<void> {
    const ticket = this.#tickets
    if (this.#settledTicket() >= ticket) return Promise.resolve()
    return new Promise((resolve) => { this.#settling.push({ ticket, resolve }) })
  }

  /** Stores what can be stored, rejects what waits for room or for Redis, and takes nothing more. */
  async close (): Promise<void> {
    this.#isClosed = true
    while (this.#running !== undefined || this.#waiting.length > 0) {
      const isStuck = this.#isFull || this.#failure !== undefined
      if (isStuck) this.#rejectWaiting(createError('MBS_ERR_OUTBOX_CLOSED', {}, this.#failure))
      else this.#start()
      await this.#running
    }
    clearTimeout(this.#timer)
  }

  #start (): void {
    this.#running ??= new Promise((resolve) => {
      // At the end of the turn: what else arrives in it joins the same batch.
      setImmediate(() => {
        void this.#run().then(resolve)
      })
    })
  }

  async #run (): Promise<void> {
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      await this.#store(batch)
      this.#drain()
    }
    this.#running = undefined
  }

  /** As much of what waits as there is room for, from the front. */
  #take (): Append[] {
    const { bytes, maxBytes } = this.#options
    let total = 0
    let count = 0
    let fits = true
    for (const append of this.#waiting) {
      fits = bytes() + total + append.bytes <= maxBytes
      if (!fits || count === BATCH_EVENTS || (count > 0 && total + append.bytes > BATCH_BYTES)) break
      total += append.bytes
      count++
    }
    const batch = this.#waiting.slice(0, count)
    this.#waiting = this.#waiting.slice(count)
    this.#noteRoom(fits)
    return batch
  }

  /** Sends a batch until there is an answer. What had no room waits in front of the others again. */
  async #store (batch: readonly Append[]): Promise<void> {
    const number = ++this.#batches
    const { send, replicate, onFailed, onSent } = this.#options
    const byPartition = groupByPartition(batch)
    for (let delayMs = RETRY_MS; ; delayMs = Math.min(2 * delayMs, RETRY_MAX_MS)) {
      try {
        const answers = await Promise.all([...byPartition].map(async ([partition, appends]) => ({
          appends, ...await send(partition, number, appends)
        })))
        if (await this.#untilReplicated(batch, replicate)) {
          this.#works()
          onSent()
        }
        const left: Append[] = []
        for (const { appends, status, sequences } of answers) {
          for (const [index, append] of appends.entries()) {
            const sequence = sequences[index]
            if (sequence === undefined) left.push(append)
            else append.outcome ??= outcomeOf(append, sequence, this.#options.maxBytes)
          }
          if (status === 'full') this.#noteRoom(false)
        }
        left.sort((one, other) => one.ticket - other.ticket)
        if (left.length > 0) this.#waiting = left.concat(this.#waiting)
        return
      } catch (error) {
        this.#failure = onFailed(error)
        this.#hold(this.#open)
        // All of it has been rejected by now, or nobody can wait any longer: what is in Redis is delivered even so.
        if (this.#isClosed || batch.every(({ outcome }) => outcome !== undefined)) {
          for (const append of batch) append.outcome ??= this.#failure
          return
        }
        await sleep(delayMs)
      }
    }
  }

  async #untilReplicated (batch: readonly Append[], replicate: IntakeOptions['replicate']): Promise<boolean> {
    const startedAt = performance.now()
    for (;;) {
      const { wanted, found } = await replicate()
      if (found >= wanted) return true
      const error = createError('MBS_ERR_OUTBOX_REPLICAS', { wanted, found })
      this.#options.onFailed(error)
      if (!this.#isClosed && performance.now() - startedAt < this.#options.holdTimeoutMs) continue
      for (const append of batch) append.outcome ??= error
      return false
    }
  }

  /** Settles those in front whose outcome is known. */
  #drain (): void {
    for (let append = this.#open.peek(); append?.outcome !== undefined; append = this.#open.peek()) {
      this.#open.shift()
      this.#bound -= append.bound
      if (typeof append.outcome === 'number') append.resolve(append.outcome)
      else append.reject(append.outcome)
    }
    if (this.#settling.length === 0) return
    const ticket = this.#settledTicket()
    const done = this.#settling.filter((one) => one.ticket <= ticket)
    this.#settling = this.#settling.filter((one) => one.ticket > ticket)
    for (const { resolve } of done) resolve()
  }

  #settledTicket (): number {
    return (this.#open.peek()?.ticket ?? this.#tickets + 1) - 1
  }

  #noteRoom (fits: boolean): void {
    if (!fits && !this.#isFull) this.#options.onFull()
    this.#isFull = !fits
    if (!fits) this.#hold(this.#waiting)
    else if (this.#failure === undefined) this.#release()
  }

  #works (): void {
    if (this.#failure === undefined) return
    this.#failure = undefined
    this.#release()
  }

  /** From now on the time of these runs. */
  #hold (appends: Iterable<Append>): void {
    const now = performance.now()
    for (const append of appends) {
      if (append.heldSince !== undefined) continue
      append.heldSince = now
      this.#options.onHeld()
    }
    this.#arm()
  }

  #release (): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const append of this.#open) append.heldSince = undefined
  }

  #rejectWaiting (error: MbsError): void {
    for (const append of this.#waiting) append.outcome ??= error
    this.#waiting = []
    this.#drain()
  }

  /** One timer, for the one that has waited longest. */
  #arm (): void {
    if (this.#timer !== undefined) return
    let oldest = Infinity
    for (const { heldSince = Infinity } of this.#open) oldest = Math.min(oldest, heldSince)
    if (oldest === Infinity) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#expire()
      this.#arm()
    }, Math.max(1, oldest + this.#options.holdTimeoutMs - performance.now()))
    this.#timer.unref()
  }

  #expire (): void {
    const { holdTimeoutMs, maxBytes } = this.#options
    const before = performance.now() - holdTimeoutMs
    const error = this.#failure ?? createError('MBS_ERR_OUTBOX_FULL', { maxBytes })
    for (const append of this.#open) {
      if (append.heldSince !== undefined && append.heldSince <= before) append.outcome ??= error
    }
    this.#waiting = this.#waiting.filter(({ outcome }) => outcome === undefined)
    this.#drain()
    // What is behind them may be smaller, and fit.
    if (this.#waiting.length === 0) this.#noteRoom(true)
    else this.kick()
  }
}

function outcomeOf ({ partition }: Append, sequence: number, maxBytes: number): number | MbsError {
  if (sequence === 0) return createError('MBS_ERR_OUTBOX_DEAD_LETTERS', { bytes: Math.floor(maxBytes / 4) })
  return toPlace(partition, Math.abs(sequence))
}

function groupByPartition (batch: readonly Append[]): Map<number, Append[]> {
  const groups = new Map<number, Append[]>()
  for (const append of batch) {
    const group = groups.get(append.partition)
    if (group === undefined) groups.set(append.partition, [append])
    else group.push(append)
  }
  return groups
}

function recordOf (event: Event, storedAt: number): Buffer {
  const extensions = extensionsText(event)
  const record = Buffer.allocUnsafe(recordBound(event, extensions))
  return record.subarray(0, writeRecord(record, 0, storedAt, event, extensions))
}

/** The dead letter that an event is from the beginning. Its sequence is given by Redis. */
function letterOf (event: Event, storedAt: number): Buffer | undefined {
  const aside = event.handling?.aside
  if (aside === undefined) return undefined
  return encodeDeadLetter(asideLetter({ sequence: 0, storedAt, event }, aside))
}

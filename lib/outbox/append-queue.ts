/**
 * The appends that wait for their write, first in first out. While the outbox is full they are held; one timer, for the
 * one at the front, ends the wait of each after its time.
 */
import { performance } from 'node:perf_hooks'
import { createError, type MbsError } from '../errors.ts'
import type { Event } from '../message.ts'
import { Fifo } from './fifo.ts'
import type { Receipt } from './outbox.ts'
import { storedBound } from './record.ts'

/** One call of append, until it is settled. */
export class Append {
  readonly event: Event
  /** The event as it is stored: with a number, where it is given one. */
  stored: Event
  readonly receipt: Receipt | undefined
  readonly storedAt = Date.now()
  /** Not less than it will take of the outbox. */
  readonly bound: number
  readonly ticket: number
  readonly resolve: (sequence: number) => void
  readonly reject: (error: MbsError) => void
  /** When it began to wait for room, in milliseconds of the monotonic clock; 0 while it does not. */
  heldSince = 0

  constructor (
    event: Event, receipt: Receipt | undefined, ticket: number, resolve: (sequence: number) => void,
    reject: (error: MbsError) => void
  ) {
    this.event = event
    this.stored = event
    this.bound = storedBound(event)
    this.receipt = receipt
    this.ticket = ticket
    this.resolve = resolve
    this.reject = reject
  }
}

export interface AppendQueueOptions {
  readonly maxBytes: number
  readonly holdTimeoutMs: number
  /** An append begins to wait for room. */
  readonly onHeld: () => void
  /** Appends have been rejected because they waited too long. */
  readonly onExpired: () => void
}

export class AppendQueue {
  readonly #options: AppendQueueOptions
  readonly #appends = new Fifo<Append>()
  #bound = 0
  #holding = false
  #timer: NodeJS.Timeout | undefined

  constructor (options: AppendQueueOptions) {
    this.#options = options
  }

  get size (): number {
    return this.#appends.size
  }

  /** Appends that wait for room. */
  get held (): number {
    return this.#holding ? this.#appends.size : 0
  }

  /** Not less than all of them will take of the outbox. */
  get bound (): number {
    return this.#bound
  }

  push (append: Append): void {
    this.#bound += append.bound
    if (this.#holding) this.#mark(append, performance.now())
    this.#appends.push(append)
  }

  peek (): Append | undefined {
    return this.#appends.peek()
  }

  shift (): Append | undefined {
    const append = this.#appends.shift()
    this.#bound -= append?.bound ?? 0
    return append
  }

  /** There is no room for the one at the front: all wait from now on. */
  hold (): void {
    if (!this.#holding) {
      this.#holding = true
      const now = performance.now()
      for (const append of this.#appends) this.#mark(append, now)
    }
    this.#arm()
  }

  /** There is room again. Those that are still here have been held all the same, and are if need be once more. */
  release (): void {
    this.#holding = false
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Rejects all of them. */
  rejectAll (error: () => MbsError): void {
    this.release()
    for (let front = this.shift(); front !== undefined; front = this.shift()) front.reject(error())
  }

  #mark (append: Append, now: number): void {
    // One that was held before keeps its time: room for a few must not make the others wait for ever.
    if (append.heldSince !== 0) return
    append.heldSince = now
    this.#options.onHeld()
  }

  #arm (): void {
    const front = this.#appends.peek()
    if (this.#timer !== undefined || front === undefined) return
    const dueMs = front.heldSince + this.#options.holdTimeoutMs - performance.now()
    this.#timer = setTimeout(() => { this.#expire() }, Math.max(1, Math.ceil(dueMs)))
  }

  #expire (): void {
    this.#timer = undefined
    const { maxBytes, holdTimeoutMs, onExpired } = this.#options
    const since = performance.now() - holdTimeoutMs
    for (;;) {
      const front = this.#appends.peek()
      if (front === undefined || front.heldSince > since) break
      this.shift()
      front.reject(createError('MBS_ERR_OUTBOX_FULL', { maxBytes }))
    }
    this.#arm()
    onExpired()
  }
}

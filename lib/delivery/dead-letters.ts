/**
 * Keeps what the sink will never take: durably in the outbox first, then, where there is a dead-letter sink, forwarded
 * to it in order. It never touches the cursor; the dispatcher lets the cursor pass an event only after `keep`.
 *
 * Invariant: a dead letter that has not been forwarded is never deleted.
 */
import type { DeadLetter, Event, LetterId, StoredEvent } from '../message.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Outcome, Sink } from '../sink/sink.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { describe, send } from './attempt.ts'
import { backoffMs, type Backoff } from './backoff.ts'
import { classify, retryAfterMs } from './classify.ts'
import { sleep, type Clock } from './clock.ts'

/** The outbox failed: wait so long before asking again. */
const RETRY_MS = 1000
/** A page of the search for dead letters that a previous run left behind. */
const PAGE = { events: 256, bytes: 4 * 1024 * 1024 }
/** 768 bytes are 1024 characters of base64, which is where Knative cuts knativeerrordata. */
const DATA_BYTES = 768

export interface DeadLettersOptions {
  readonly outbox: Outbox
  /** The sink whose dead letters these are. */
  readonly of: string
  /** Where they are forwarded to. */
  readonly sink: Sink | undefined
  readonly backoff: Backoff
  readonly retryAfterMaxMs: number
  /** How many forwarded dead letters stay in the outbox. */
  readonly keep: number
  readonly telemetry: Telemetry
  readonly clock: Clock
  readonly random: () => number
  /** Ends the work between attempts. */
  readonly signal: AbortSignal
  /** Ends an attempt under way. */
  readonly abort: AbortSignal
}

/** Why an event became a dead letter. */
export interface Undeliverable {
  readonly stored: StoredEvent
  readonly reason: DeadLetter['reason']
  readonly attempts: number
  readonly destination: string
  readonly outcome: Outcome
}

export class DeadLetters {
  readonly #options: DeadLettersOptions
  /** Sequences of dead letters to forward, in order; everything before `#next` is done with. */
  #pending: number[] = []
  #next = 0
  /** Sequences of forwarded ones, oldest first. */
  readonly #forwarded = new Set<number>()
  #wake: (() => void) | undefined

  constructor (options: DeadLettersOptions) {
    this.#options = options
  }

  /**
   * Makes the event durable as dead letter, however often that takes.
   * @returns false when the signal ended it before that: then the event must not be passed
   */
  async keep (undeliverable: Undeliverable): Promise<boolean> {
    const { outbox, telemetry, clock, signal, of } = this.#options
    const letter = deadLetter(of, undeliverable, clock.wallNow())
    for (;;) {
      try {
        await outbox.putDeadLetter(letter)
        break
      } catch (error) {
        telemetry.unexpected(error, 'keep a dead letter')
        if (signal.aborted) return false
        await sleep(clock, RETRY_MS, signal)
      }
    }
    this.kept(letter.stored.sequence)
    return true
  }

  /** The outbox has kept this one; it is forwarded in its turn. */
  kept (sequence: number): void {
    // It may have been one before, and forwarded, when a crash came before the cursor was saved.
    this.#forwarded.delete(sequence)
    if (this.#options.sink === undefined) return
    this.#pending.push(sequence)
    this.#wake?.()
  }

  /** Forwards dead letters, those of earlier runs first, until the signal is aborted. Never rejects. */
  async run (): Promise<void> {
    const { signal, sink } = this.#options
    if (sink === undefined) return
    await this.#search()
    while (!signal.aborted) {
      const sequence = this.#pending[this.#next]
      if (sequence === undefined) {
        this.#pending = []
        this.#next = 0
        await this.#untilWoken()
        continue
      }
      if (!await this.#forward(sink, sequence)) continue
      this.#next++
      await this.#deleteForwarded()
    }
  }

  /** Stops waiting, so that `run` sees the aborted signal. */
  stop (): void {
    this.#wake?.()
  }

  /** Finds what an earlier run kept and did not forward. Reads in pages and remembers numbers only. */
  async #search (): Promise<void> {
    const { outbox, of } = this.#options
    const found: number[] = []
    for (let from = 0; ;) {
      const page = await this.#persist(() => outbox.readDeadLetters(from, PAGE))
      if (page === undefined || page.length === 0) break
      // What was kept since run() was called is in #pending already, and comes after the older ones.
      const known = new Set(this.#pending)
      for (const letter of page) {
        const { sequence } = letter.stored
        from = sequence + 1
        if (letter.sink !== of || known.has(sequence)) continue
        if (letter.forwardedAt === undefined) found.push(sequence)
        else this.#forwarded.add(sequence)
      }
    }
    this.#pending = found.concat(this.#pending)
    await this.#deleteForwarded()
  }

  /** @returns true when there is nothing more to do for this one */
  async #forward (sink: Sink, sequence: number): Promise<boolean> {
    const { outbox, telemetry, clock, random, signal, abort, backoff, of } = this.#options
    const page = await this.#persist(() => outbox.readDeadLetters(sequence, { events: 1, bytes: 1 }))
    const letter = page?.find((one) => one.stored.sequence === sequence && one.sink === of)
    if (letter === undefined) return page !== undefined
    const event = forwardedEvent(letter)
    for (let retry = 0; !signal.aborted; retry++) {
      const outcome = await send(sink, event, abort, telemetry)
      const verdict = classify(outcome)
      if (verdict === 'delivered') {
        telemetry.deadLetterForwarded(sink.name)
        await this.#persist(() => outbox.putDeadLetter({ ...letter, forwardedAt: clock.wallNow() }))
        this.#forwarded.add(sequence)
        return true
      }
      if (verdict === 'aborted') return false
      telemetry.deadLetterFailed(sink.name, { destination: sink.destination, reason: describe(outcome) })
      // Kept, and tried again by the next run: its operator may have changed what the dead-letter sink takes.
      if (verdict === 'refused') return true
      const wait = backoffMs(backoff, retry, random())
      await sleep(clock, Math.max(wait, retryAfterMs(outcome, this.#options.retryAfterMaxMs)), signal)
    }
    return false
  }

  async #deleteForwarded (): Promise<void> {
    const { outbox, keep, of } = this.#options
    const oldest: LetterId[] = []
    for (const sequence of this.#forwarded) {
      if (this.#forwarded.size <= keep) break
      this.#forwarded.delete(sequence)
      oldest.push({ sequence, sink: of })
    }
    if (oldest.length > 0) await this.#persist(() => outbox.deleteDeadLetters(oldest))
  }

  /** Asks the outbox until it answers; undefined when the signal ended it before. */
  async #persist<T> (call: () => Promise<T>): Promise<T | undefined> {
    const { telemetry, clock, signal } = this.#options
    for (;;) {
      try {
        return await call()
      } catch (error) {
        if (signal.aborted) return undefined
        telemetry.unexpected(error, 'dead letters')
        await sleep(clock, RETRY_MS, signal)
      }
    }
  }

  #untilWoken (): Promise<void> {
    if (this.#options.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        resolve()
      }
    })
  }
}

/** The event as the dead-letter sink gets it: with Knative's three attributes, otherwise as it was. */
export function forwardedEvent (letter: DeadLetter): Event {
  const { event } = letter.stored
  const data = letter.data.subarray(0, DATA_BYTES).toString('base64')
  const extensions = {
    ...event.extensions,
    knativeerrordest: letter.destination,
    knativeerrorcode: letter.code,
    // An attribute is not empty [CE 3.1]; an answer's body may be.
    ...(data === '' ? {} : { knativeerrordata: data })
  }
  return { ...event, extensions }
}

function deadLetter (of: string, undeliverable: Undeliverable, diedAt: number): DeadLetter {
  const { stored, reason, attempts, destination, outcome } = undeliverable
  const data = outcome.kind === 'answer' ? outcome.body : Buffer.from(describe(outcome))
  return {
    stored,
    sink: of,
    reason,
    attempts,
    code: outcome.kind === 'answer' ? outcome.status : 500,
    destination,
    data: data.subarray(0, DATA_BYTES),
    diedAt
  }
}

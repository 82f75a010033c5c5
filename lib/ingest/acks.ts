/**
 * Publishes that are not answered when their event is stored, because their rule says so: `delivered` ones wait for
 * the sinks as well, `received` ones do not even wait for the disk. Beside the publish path, which answers.
 *
 * Invariant: what is answered before it is stored is bounded, waited for at the end, and counted as lost where it
 * fails.
 */
import { createError } from '../errors.ts'
import type { Event } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { toMbsError } from './open-publishes.ts'
import type { RememberedReceipt } from './retransmissions.ts'

/** What may be acknowledged before it is stored; in bytes, of the events as they are reckoned here. */
const MAX_EARLY_BYTES = 8 * 1024 * 1024
const OVERHEAD_BYTES = 512
/** For so many events publishes wait until they are delivered, over all clients. */
const MAX_UNDELIVERED = 65_536

export interface AcksOptions {
  /** Starts the append of an event. */
  readonly store: (event: Event, receipt: RememberedReceipt) => Promise<number>
  /** False where the outbox may have to refuse an event: then it is not answered before it is stored. */
  readonly hasRoomFor: (event: Event) => boolean
  /** Resolves when every sink is done with a stored event. */
  readonly settled: (sequence: number) => Promise<void>
  readonly telemetry: Pick<Telemetry, 'publishStored' | 'publishLost'>
  /** Milliseconds, of a clock that never jumps. */
  readonly now: () => number
  /** The constant below unless a test brings its own. */
  readonly maxUndelivered?: number
}

export class Acks {
  readonly #options: AcksOptions
  /** Events whose publishes wait until they are delivered, by their ids. */
  readonly #undelivered = new Map<string, Promise<void>>()
  /** End the waiting of each of them. */
  readonly #giveUps = new Set<() => void>()
  #givenUp = false
  /** Appends whose publishes have been answered already, and what they hold. */
  readonly #early = new Set<Promise<void>>()
  #earlyBytes = 0

  constructor (options: AcksOptions) {
    this.#options = options
  }

  /** Publishes that are answered and not stored. */
  get early (): number {
    return this.#early.size
  }

  /**
   * Stores an event; resolves when every sink is done with it. A retransmission waits for the event of the first time,
   * and is not stored. Rejects as the append does, with MBS_ERR_INGEST_UNDELIVERED where too many wait already, and
   * with MBS_ERR_INGEST_CLOSING when it is given up.
   */
  delivered (event: Event, receipt: RememberedReceipt): Promise<void> {
    const { eventId } = receipt
    const underway = this.#undelivered.get(eventId)
    if (underway !== undefined) return underway
    const { store, maxUndelivered = MAX_UNDELIVERED } = this.#options
    if (this.#undelivered.size >= maxUndelivered) {
      // Not stored either: its device sends it again, and each time it would be stored once more.
      const reason = `${maxUndelivered} publishes wait for them already`
      return Promise.reject(createError('MBS_ERR_INGEST_UNDELIVERED', { reason }))
    }
    const delivered = store(event, receipt).then((sequence) => this.#untilSettled(sequence))
    this.#undelivered.set(eventId, delivered)
    const forget = (): void => { this.#undelivered.delete(eventId) }
    delivered.then(forget, forget)
    return delivered
  }

  /** Stores an event. Undefined: its publish is answered now; otherwise when this resolves. */
  received (event: Event, receipt: RememberedReceipt): Promise<number> | undefined {
    const { store, hasRoomFor, telemetry, now } = this.#options
    const bytes = OVERHEAD_BYTES + event.data.length
    // Asked before it waits there itself.
    const isEarly = this.#earlyBytes + bytes <= MAX_EARLY_BYTES && hasRoomFor(event)
    const stored = store(event, receipt)
    if (!isEarly) return stored
    const startedAt = now()
    this.#earlyBytes += bytes
    const settled = stored.then(
      () => { telemetry.publishStored((now() - startedAt) / 1000) },
      (error: unknown) => { telemetry.publishLost(toMbsError(error), { client: receipt.clientId }) }
    ).then(() => {
      this.#earlyBytes -= bytes
      this.#early.delete(settled)
    })
    this.#early.add(settled)
    return undefined
  }

  /** Waits for no delivery any more: it may take days, and devices send again what was not answered. */
  giveUp (): void {
    this.#givenUp = true
    for (const giveUp of this.#giveUps) giveUp()
    this.#giveUps.clear()
  }

  /** Resolves when everything that was answered is stored, or lost. */
  async settled (): Promise<void> {
    await Promise.all(this.#early)
  }

  #untilSettled (sequence: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => { reject(createError('MBS_ERR_INGEST_CLOSING')) }
      if (this.#givenUp) return giveUp()
      this.#giveUps.add(giveUp)
      void this.#options.settled(sequence).then(() => {
        this.#giveUps.delete(giveUp)
        resolve()
      })
    })
  }
}

/**
 * THE publish path: map -> append -> outcome. What a rule leaves out is answered and not appended. Who reads one file
 * of this program reads this one.
 *
 * Invariants: `stored` is said after the event is durable, and never before; appends are started in the order of the
 * calls, so that the events of a device are stored in the order in which it sent them; every call has an outcome within
 * a bound. It never throws and never rejects: the broker's hook cannot bear either.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createError, reasonOf, type MbsError } from './errors.ts'
import { EventIds } from './ingest/event-ids.ts'
import { OpenPublishes, type IngestOutcome } from './ingest/open-publishes.ts'
import { Retransmissions, type RememberedReceipt } from './ingest/retransmissions.ts'
import type { Event, Publish } from './message.ts'
import type { Outbox, Receipt } from './outbox/outbox.ts'
import type { Telemetry } from './telemetry/telemetry.ts'

export type { IngestOutcome }

export interface IngestOptions {
  /** Makes the event of a publish, or says why it has none. @param id the event's id */
  readonly map: (publish: Publish, id: string) => Event | LeftOut
  readonly outbox: Pick<Outbox, 'append'>
  /** What opening the outbox found, oldest first. */
  readonly receipts: readonly Receipt[]
  /** How many publishes are remembered, to recognize retransmissions. */
  readonly receiptLimit: number
  /** Longest time for one append. */
  readonly publishTimeoutMs: number
  /** Time before a will is tried again at first; doubles up to `publishTimeoutMs`. */
  readonly willRetryMs: number
  /** Most wills that wait to be tried again. */
  readonly maxWaitingWills: number
  readonly telemetry: Telemetry
  /** Milliseconds, of a clock that never jumps. */
  readonly now: () => number
}

export interface Ingest {
  /** Stores the event of a publish. Never rejects. */
  publish (publish: Publish): Promise<IngestOutcome>
  /** Publishes between their arrival and their outcome. */
  readonly open: number
  /** From now on nothing is tried twice. Resolves when every open publish is settled. */
  quiesce (): Promise<void>
  /** As `quiesce`; publishes that come later are refused with MBS_ERR_INGEST_CLOSING. Idempotent. */
  close (): Promise<void>
}

/** Makes the publish path. */
export function createIngest (options: IngestOptions): Ingest {
  return new PublishPath(options)
}

/** Why a publish becomes no event: a rule drops its topic, its filter keeps it out, or it wants a CloudEvent. */
export type LeftOut = 'drop' | 'filter' | 'invalid'

class PublishPath implements Ingest {
  readonly #options: IngestOptions
  readonly #open: OpenPublishes
  readonly #ids = new EventIds()
  readonly #retransmissions: Retransmissions
  /** Aborted when nothing is to be tried again. */
  readonly #quiet = new AbortController()
  readonly #wills = new Set<Promise<IngestOutcome>>()
  #waitingWills = 0
  #closed = false

  constructor (options: IngestOptions) {
    const { publishTimeoutMs, now, telemetry, receipts, receiptLimit } = options
    this.#options = options
    this.#retransmissions = new Retransmissions({ limit: receiptLimit, receipts, ids: this.#ids })
    this.#open = new OpenPublishes({
      timeoutMs: publishTimeoutMs,
      now,
      stored: (receipt, seconds) => {
        telemetry.publishStored(seconds)
        if (receipt !== undefined) this.#retransmissions.answered(receipt)
      }
    })
  }

  get open (): number {
    return this.#open.size + this.#waitingWills
  }

  publish (publish: Publish): Promise<IngestOutcome> {
    if (this.#closed) return Promise.resolve(refused(createError('MBS_ERR_INGEST_CLOSING')))
    this.#options.telemetry.publishReceived(publish.qos)
    try {
      // Only QoS 1 and 2 have a packet identifier, and are sent again.
      const receipt = publish.messageId === undefined
        ? undefined
        : this.#retransmissions.receiptOf(publish, publish.messageId)
      const event = this.#options.map(publish, receipt?.eventId ?? this.#ids.textOf(this.#ids.next()))
      if (typeof event === 'string') return this.#leaveOut(event)
      return publish.will ? this.#keep(this.#untilStored(event)) : this.#append(event, receipt)
    } catch (error) {
      return Promise.resolve(refused(createError('MBS_ERR_INGEST_MAPPING', { reason: reasonOf(error) }, error)))
    }
  }

  async quiesce (): Promise<void> {
    this.#quiet.abort()
    await Promise.all(this.#wills)
    await this.#open.settled()
  }

  async close (): Promise<void> {
    await this.quiesce()
    this.#closed = true
  }

  #append (event: Event, receipt: RememberedReceipt | undefined): Promise<IngestOutcome> {
    try {
      return this.#open.add(this.#options.outbox.append(event, receipt), receipt)
    } catch (error) {
      return this.#open.add(Promise.reject(error), receipt)
    }
  }

  #leaveOut (reason: LeftOut): Promise<IngestOutcome> {
    this.#options.telemetry.publishLeftOut(reason)
    return this.#open.behind()
  }

  #keep (will: Promise<IngestOutcome>): Promise<IngestOutcome> {
    this.#wills.add(will)
    void will.then(() => { this.#wills.delete(will) })
    return will
  }

  /** A will is tried until it is stored: its device is gone and cannot send it again. */
  async #untilStored (event: Event): Promise<IngestOutcome> {
    const { publishTimeoutMs, willRetryMs, maxWaitingWills } = this.#options
    const { signal } = this.#quiet
    for (let delayMs = willRetryMs; ; delayMs = Math.min(delayMs * 2, publishTimeoutMs)) {
      const outcome = await this.#append(event, undefined)
      if (outcome.kind === 'stored' || !outcome.error.retryable || this.#waitingWills >= maxWaitingWills) return outcome
      this.#waitingWills++
      await sleep(delayMs, undefined, { signal, ref: false }).catch(() => {})
      this.#waitingWills--
      if (signal.aborted) return refused(createError('MBS_ERR_INGEST_CLOSING', {}, outcome.error))
    }
  }
}

function refused (error: MbsError): IngestOutcome {
  return { kind: 'refused', error }
}

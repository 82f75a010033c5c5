/**
 * THE publish path: map -> append -> outcome. What a rule leaves out is answered and not appended. Who reads one file
 * of this program reads this one.
 *
 * Invariants: `stored` is said after the event is durable, and never before, unless its rule says `ack: received`;
 * appends are started in the order of the calls, so that the events of a device are stored in the order in which it
 * sent them; every call has an outcome within a bound. It never throws and never rejects: the broker's hook cannot bear
 * either.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createError, reasonOf, type MbsError } from './errors.ts'
import { AnswerOrder } from './ingest/answer-order.ts'
import { EventIds } from './ingest/event-ids.ts'
import { OpenPublishes, toMbsError, type IngestOutcome } from './ingest/open-publishes.ts'
import { Retransmissions, type RememberedReceipt } from './ingest/retransmissions.ts'
import type { Aside, Event, Publish } from './message.ts'
import type { Outbox, Receipt } from './outbox/outbox.ts'
import type { Telemetry } from './telemetry/telemetry.ts'

export type { IngestOutcome }

export interface IngestOptions {
  /** Makes the event of a publish, or says why it has none. @param id the event's id */
  readonly map: (publish: Publish, id: string) => Event | LeftOut
  readonly outbox: Pick<Outbox, 'append'>
  /** False while the outbox is full or fails: nothing is answered before it is stored then. */
  readonly isReady: () => boolean
  /** Resolves when every sink is done with a stored event. */
  readonly settled: (sequence: number) => Promise<void>
  /** Told of events that are stored and set aside. */
  readonly setAside: (sequence: number, reason: Aside['reason']) => void
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

/** What may be acknowledged before it is stored; in bytes, of the events as they are reckoned here. */
const MAX_EARLY_BYTES = 8 * 1024 * 1024
const EARLY_OVERHEAD_BYTES = 512
/** So many events are known for which publishes wait until they are delivered. */
const MAX_UNDELIVERED = 65_536

class PublishPath implements Ingest {
  readonly #options: IngestOptions
  readonly #open: OpenPublishes
  /** Those that wait for more than their append: nothing of another client waits behind them. */
  readonly #awaiting: OpenPublishes
  readonly #order = new AnswerOrder<IngestOutcome>()
  readonly #ids = new EventIds()
  readonly #retransmissions: Retransmissions
  /** Aborted when nothing is to be tried again. */
  readonly #quiet = new AbortController()
  readonly #wills = new Set<Promise<IngestOutcome>>()
  #waitingWills = 0
  /** Events whose publishes wait until they are delivered, by their ids. */
  readonly #undelivered = new Map<string, Promise<void>>()
  /** End the waiting of each of them. */
  readonly #giveUps = new Set<() => void>()
  /** Appends whose publishes have been answered already, and what they hold. */
  readonly #early = new Set<Promise<void>>()
  #earlyBytes = 0
  #closed = false

  constructor (options: IngestOptions) {
    const { publishTimeoutMs, now, telemetry, receipts, receiptLimit } = options
    this.#options = options
    this.#retransmissions = new Retransmissions({ limit: receiptLimit, receipts, ids: this.#ids })
    const open = {
      timeoutMs: publishTimeoutMs,
      now,
      stored: (receipt: RememberedReceipt | undefined, seconds: number) => {
        telemetry.publishStored(seconds)
        if (receipt !== undefined) this.#retransmissions.answered(receipt)
      }
    }
    this.#open = new OpenPublishes(open)
    this.#awaiting = new OpenPublishes(open)
  }

  get open (): number {
    return this.#open.size + this.#awaiting.size + this.#early.size + this.#waitingWills
  }

  publish (publish: Publish): Promise<IngestOutcome> {
    const outcome = this.#publish(publish)
    // Wills have no answer.
    return publish.will || !this.#order.has(publish.client.id) ? outcome : this.#order.after(publish.client.id, outcome)
  }

  #publish (publish: Publish): Promise<IngestOutcome> {
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
    // Its device sends it again; delivery may take days.
    for (const giveUp of this.#giveUps) giveUp()
    this.#giveUps.clear()
    await Promise.all(this.#wills)
    await this.#open.settled()
    await this.#awaiting.settled()
    await Promise.all(this.#early)
  }

  async close (): Promise<void> {
    await this.quiesce()
    this.#closed = true
  }

  /** Stores an event; its publish is answered when its rule says so. */
  #append (event: Event, receipt: RememberedReceipt | undefined): Promise<IngestOutcome> {
    // Without a receipt, nobody waits for an answer.
    const ack = receipt === undefined ? undefined : event.handling?.ack
    switch (ack) {
      case undefined: return this.#open.add(this.#store(event, receipt), receipt)
      case 'delivered': return this.#delivered(event, receipt as RememberedReceipt)
      case 'received': return this.#received(event, receipt as RememberedReceipt)
    }
  }

  #store (event: Event, receipt: RememberedReceipt | undefined): Promise<number> {
    try {
      const stored = this.#options.outbox.append(event, receipt)
      const { aside } = event.handling ?? {}
      if (aside === undefined) return stored
      return stored.then((sequence) => {
        this.#options.setAside(sequence, aside.reason)
        return sequence
      })
    } catch (error) {
      return Promise.reject(toMbsError(error))
    }
  }

  /** Answered when every sink is done with it. A retransmission waits for the event of the first time. */
  #delivered (event: Event, receipt: RememberedReceipt): Promise<IngestOutcome> {
    const { eventId, clientId } = receipt
    let delivered = this.#undelivered.get(eventId)
    if (delivered === undefined) {
      delivered = this.#store(event, receipt).then((sequence) => this.#untilDelivered(sequence))
      if (this.#undelivered.size < MAX_UNDELIVERED) this.#undelivered.set(eventId, delivered)
      const forget = (): void => { this.#undelivered.delete(eventId) }
      delivered.then(forget, forget)
    }
    const outcome = this.#awaiting.add(delivered, receipt)
    return this.#order.has(clientId) ? outcome : this.#order.after(clientId, outcome)
  }

  #untilDelivered (sequence: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => { reject(createError('MBS_ERR_INGEST_CLOSING')) }
      if (this.#quiet.signal.aborted) return giveUp()
      this.#giveUps.add(giveUp)
      void this.#options.settled(sequence).then(() => {
        this.#giveUps.delete(giveUp)
        resolve()
      })
    })
  }

  /** Answered at once, while little waits and the outbox takes it; otherwise when it is stored. */
  #received (event: Event, receipt: RememberedReceipt): Promise<IngestOutcome> {
    const { isReady, telemetry, now } = this.#options
    const bytes = EARLY_OVERHEAD_BYTES + event.data.length
    const stored = this.#store(event, receipt)
    if (!isReady() || this.#earlyBytes + bytes > MAX_EARLY_BYTES) return this.#open.add(stored, receipt)
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
    this.#retransmissions.answered(receipt)
    return this.#open.behind()
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

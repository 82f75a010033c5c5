/**
 * THE publish path: map -> append -> outcome. What a rule leaves out is answered and not appended. Where an event
 * takes a while to be made, what its client publishes next waits behind it. Who reads one file of this program reads
 * this one.
 *
 * Invariants: `stored` is said after the event is durable, and never before, unless its rule says `ack: received`;
 * appends are started in the order of each client's calls, so that the events of a device are stored in the order in
 * which it sent them, and its answers keep that order; every call has an outcome within a bound. It never throws and
 * never rejects: the broker's hook cannot bear either.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createError, isMbsError, reasonOf, type MbsError } from './errors.ts'
import { Acks } from './ingest/acks.ts'
import { AnswerOrder } from './ingest/answer-order.ts'
import { EventIds } from './ingest/event-ids.ts'
import { OpenPublishes, toMbsError, type Expected, type IngestOutcome } from './ingest/open-publishes.ts'
import { Retransmissions, type RememberedReceipt } from './ingest/retransmissions.ts'
import { Turns, type Settled } from './ingest/turns.ts'
import type { Event, Handling, Publish } from './message.ts'
import type { Outbox, Receipt } from './outbox/outbox.ts'
import type { Telemetry } from './telemetry/telemetry.ts'

export type { IngestOutcome }

export interface IngestOptions {
  /** Makes the event of a publish, or says why it has none, or why it is refused. @param id the event's id */
  readonly map: (publish: Publish, id: string) => Mapped | Promise<Mapped>
  readonly outbox: Pick<Outbox, 'append' | 'hasRoomFor'>
  /** Resolves when every sink is done with a stored event. */
  readonly settled: (sequence: number) => Promise<void>
  /** Told of events that are stored and set aside. */
  readonly setAside: (sequence: number, event: Event) => void
  /** What opening the outbox found, oldest first. */
  readonly receipts: readonly Receipt[]
  /** How many publishes are remembered, to recognize retransmissions. */
  readonly receiptLimit: number
  /** Longest time from the arrival of a publish to its outcome. */
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
  /** Runs something at once, or when what a client has published before has got its place in the outbox. */
  inTurn (clientId: string, run: () => void): void
  /** From now on nothing is tried twice. Resolves when every open publish is settled. */
  quiesce (): Promise<void>
  /** As `quiesce`; publishes that come later are refused with MBS_ERR_INGEST_CLOSING. Idempotent. */
  close (): Promise<void>
}

/** Makes the publish path. */
export function createIngest (options: IngestOptions): Ingest {
  return new PublishPath(options)
}

/**
 * Why a publish becomes no event: a rule drops its topic, its filter keeps it out, or it wants a CloudEvent, or data
 * that fits a schema.
 */
export type LeftOut = 'drop' | 'filter' | 'invalid' | 'schema'

type Mapped = Event | LeftOut | MbsError

const STORED: IngestOutcome = Object.freeze({ kind: 'stored' })

class PublishPath implements Ingest {
  readonly #options: IngestOptions
  readonly #open: OpenPublishes
  readonly #order = new AnswerOrder<IngestOutcome>()
  readonly #acks: Acks
  readonly #ids = new EventIds()
  readonly #retransmissions: Retransmissions
  readonly #turns = new Turns<Mapped>()
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
    const { outbox, settled } = options
    const store = (event: Event, receipt: RememberedReceipt): Promise<number> => this.#store(event, receipt)
    const hasRoomFor = (event: Event): boolean => outbox.hasRoomFor(event)
    this.#acks = new Acks({ store, hasRoomFor, settled, telemetry, now })
  }

  get open (): number {
    return this.#open.size + this.#acks.early + this.#waitingWills
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
      const eventId = receipt?.eventId ?? publish.eventId ?? this.#ids.textOf(this.#ids.next())
      const mapped = this.#options.map(publish, eventId)
      if (mapped instanceof Promise || this.#turns.has(publish.client.id)) {
        return publish.will ? this.#keep(this.#willInTurn(publish, mapped)) : this.#inTurn(publish, mapped, receipt)
      }
      if (typeof mapped === 'string') return this.#leaveOut(mapped)
      if (isMbsError(mapped)) return this.#open.behind(refused(mapped))
      return publish.will ? this.#keep(this.#untilStored(mapped)) : this.#append(mapped, receipt)
    } catch (error) {
      return Promise.resolve(refused(toMappingError(error)))
    }
  }

  inTurn (clientId: string, run: () => void): void {
    if (this.#turns.has(clientId)) this.#turns.wait(clientId, 'drop', run)
    else run()
  }

  async quiesce (): Promise<void> {
    this.#quiet.abort()
    this.#acks.giveUp()
    await Promise.all(this.#wills)
    await this.#open.settled()
    await this.#acks.settled()
  }

  async close (): Promise<void> {
    await this.quiesce()
    this.#closed = true
  }

  /** Stores an event; its publish is answered when its rule says so. */
  #append (event: Event, receipt: RememberedReceipt | undefined): Promise<IngestOutcome> {
    switch (ackOf(event, receipt)) {
      case undefined: return this.#open.add(this.#store(event, receipt), receipt)
      case 'delivered': {
        const { clientId } = receipt as RememberedReceipt
        const expected = this.#open.expect(receipt)
        this.#appendExpected(event, receipt, expected)
        const { outcome } = expected
        return this.#order.has(clientId) ? outcome : this.#order.after(clientId, outcome)
      }
      case 'received': {
        const stored = this.#acks.received(event, receipt as RememberedReceipt)
        if (stored !== undefined) return this.#open.add(stored, receipt)
        this.#retransmissions.answered(receipt as RememberedReceipt)
        return this.#open.behind()
      }
    }
  }

  /** The same for an event that took a while to be made. */
  #appendExpected (event: Event, receipt: RememberedReceipt | undefined, expected: Expected): void {
    switch (ackOf(event, receipt)) {
      case undefined: return expected.start(this.#store(event, receipt))
      case 'delivered': return expected.await(this.#acks.delivered(event, receipt as RememberedReceipt))
      case 'received': {
        const stored = this.#acks.received(event, receipt as RememberedReceipt)
        if (stored !== undefined) return expected.start(stored)
        this.#retransmissions.answered(receipt as RememberedReceipt)
        return expected.leave(STORED)
      }
    }
  }

  #store (event: Event, receipt: RememberedReceipt | undefined): Promise<number> {
    try {
      const stored = this.#options.outbox.append(event, receipt)
      if (event.handling?.aside === undefined) return stored
      return stored.then((sequence) => {
        this.#options.setAside(sequence, event)
        return sequence
      })
    } catch (error) {
      return Promise.reject(toMbsError(error))
    }
  }

  /** The outcome of a publish whose event, or that of an earlier publish of its client, is not there yet. */
  #inTurn (
    publish: Publish, mapped: Mapped | Promise<Mapped>, receipt: RememberedReceipt | undefined
  ): Promise<IngestOutcome> {
    const expected = this.#open.expect(receipt)
    this.#turns.wait(publish.client.id, mapped, (settled) => {
      if (!expected.isOpen) return
      const made = valueOf(settled)
      if (isMbsError(made)) {
        expected.leave(refused(made))
      } else if (typeof made === 'string') {
        this.#options.telemetry.publishLeftOut(made)
        expected.leave(STORED)
      } else {
        this.#appendExpected(made, receipt, expected)
      }
    })
    return this.#order.after(publish.client.id, expected.outcome)
  }

  #willInTurn (publish: Publish, mapped: Mapped | Promise<Mapped>): Promise<IngestOutcome> {
    this.#waitingWills++
    return new Promise((resolve) => {
      // Appended in its turn, not after it: what comes behind is appended in the same step.
      this.#turns.wait(publish.client.id, mapped, (settled) => {
        this.#waitingWills--
        const made = valueOf(settled)
        if (typeof made === 'string') resolve(this.#leaveOut(made))
        else resolve(isMbsError(made) ? refused(made) : this.#untilStored(made))
      })
    })
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

/** When the publish of an event is answered. Without a receipt, nobody waits for an answer. */
function ackOf ({ handling }: Event, receipt: RememberedReceipt | undefined): Handling['ack'] {
  return receipt === undefined ? undefined : handling?.ack
}

function valueOf (settled: Settled<Mapped>): Mapped {
  return 'value' in settled ? settled.value : toMappingError(settled.error)
}

function toMappingError (error: unknown): MbsError {
  return isMbsError(error) ? error : createError('MBS_ERR_INGEST_MAPPING', { reason: reasonOf(error) }, error)
}

function refused (error: MbsError): IngestOutcome {
  return { kind: 'refused', error }
}

/**
 * Stores what happens to sessions as events, where that is asked for. Nobody waits for it: an event that the outbox
 * does not take is lost, counted and logged, and its session goes on.
 *
 * Invariants: appends are started at once, or behind the publishes of the client whose events are still being made, and
 * in the order of the calls, so that these events keep their place among those of publishes; what waits takes bounded
 * memory; never throws.
 */
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'
import type { Event, LifecycleChange } from '../message.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { EventIds } from './event-ids.ts'

type Kind = LifecycleChange['kind']

export interface LifecycleEventsOptions {
  /** What becomes an event; the rest is not looked at. */
  readonly kinds: readonly Kind[]
  /** Makes the event. @param mark `id`, `sequence` and time of it */
  readonly map: (change: LifecycleChange, mark: { id: string, sequence: string, at: number }) => Event
  readonly outbox: Pick<Outbox, 'append'>
  /** Runs something at once, or when what a client has published before has got its place in the outbox. */
  readonly inTurn: (clientId: string, run: () => void) => void
  /** Bytes that may wait for the outbox, with what each event takes beside its data. */
  readonly maxWaitingBytes: number
  readonly telemetry: Telemetry
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

/** What an event takes in memory beside its data, in bytes, at most about. */
const OVERHEAD_BYTES = 2048
/** As many digits as microseconds since the epoch have until the year 2286. */
const SEQUENCE_DIGITS = 16

export class LifecycleEvents {
  readonly #options: LifecycleEventsOptions
  readonly #kinds: ReadonlySet<Kind>
  readonly #now: () => number
  readonly #ids = new EventIds()
  #sequence = 0
  #waitingBytes = 0
  #open = 0
  #waiters: Array<() => void> = []

  constructor (options: LifecycleEventsOptions) {
    this.#options = options
    this.#kinds = new Set(options.kinds)
    this.#now = options.now ?? Date.now
  }

  /** Stores the event of something that has just happened. */
  readonly tell = (change: LifecycleChange): void => {
    if (!this.#kinds.has(change.kind)) return
    const { map, inTurn, maxWaitingBytes } = this.#options
    try {
      const at = this.#now()
      const event = map(change, { id: this.#ids.textOf(this.#ids.next()), sequence: this.#nextSequence(at), at })
      const bytes = event.data.length + OVERHEAD_BYTES
      if (this.#waitingBytes + bytes > maxWaitingBytes) {
        throw createError('MBS_ERR_INGEST_LIFECYCLE', { maxBytes: maxWaitingBytes })
      }
      this.#open++
      this.#waitingBytes += bytes
      inTurn(change.session.client.id, () => { void this.#append(change, event).then(() => { this.#settle(bytes) }) })
    } catch (error) {
      this.#lost(change, error)
    }
  }

  async #append (change: LifecycleChange, event: Event): Promise<void> {
    try {
      await this.#options.outbox.append(event)
      this.#options.telemetry.lifecycleStored(change.kind)
    } catch (error) {
      this.#lost(change, error)
    }
  }

  /** Resolves when nothing waits. */
  async settled (): Promise<void> {
    if (this.#open > 0) await new Promise<void>((resolve) => { this.#waiters.push(resolve) })
  }

  /**
   * Microseconds since the epoch, as far as the clock tells, and always more than the last one: in order within a
   * connection, over reconnects, and over restarts without anything being kept.
   */
  #nextSequence (at: number): string {
    this.#sequence = Math.max(this.#sequence + 1, at * 1000)
    return String(this.#sequence).padStart(SEQUENCE_DIGITS, '0')
  }

  #lost ({ kind, session }: LifecycleChange, error: unknown): void {
    const { client: { id: clientId, username }, listener, address } = session
    const fields = { listener, address, clientId, ...(username !== undefined && { username }) }
    this.#options.telemetry.lifecycleLost(kind, toMbsError(error), fields)
  }

  #settle (bytes: number): void {
    this.#waitingBytes -= bytes
    this.#open--
    if (this.#open > 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }
}

function toMbsError (error: unknown): MbsError {
  return isMbsError(error) ? error : createError('MBS_ERR_INGEST_APPEND', { reason: reasonOf(error) }, error)
}

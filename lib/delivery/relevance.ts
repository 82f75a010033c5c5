/**
 * Which events a sink is to get, now and still: those that its filter lets through, that have not expired, and that no
 * newer event of their supersede key has made irrelevant. Between the log and the lanes, and asked again before each
 * attempt. It sends nothing and moves no cursor.
 */
import type { Event, StoredEvent } from '../message.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Clock } from './clock.ts'
import { Newest } from './newest.ts'

export interface RelevanceOptions {
  /** The name of the sink. */
  readonly sink: string
  /** The filter of the sink; without one, it takes everything. */
  /** The names of all sinks. */
  readonly known: ReadonlySet<string>
  readonly filter: ((event: Event) => boolean) | undefined
  /** True where events may have a supersede key. */
  readonly supersede: boolean
  /** True where an event that stands for several says so [CE sampledrate]. */
  readonly sampledrate: boolean
  /** True for what the sink has taken already. */
  readonly isDone: (sequence: number) => boolean
  readonly outbox: Pick<Outbox, 'read' | 'waitFor' | 'stats'>
  readonly telemetry: Pick<Telemetry, 'eventNotDelivered' | 'unexpected'>
  readonly clock: Clock
  readonly signal: AbortSignal
}

export class Relevance {
  readonly #options: RelevanceOptions
  readonly #newest: Newest | undefined

  constructor (options: RelevanceOptions) {
    const { outbox, telemetry, clock, signal, supersede, isDone } = options
    this.#options = options
    if (!supersede) return
    const accepts = (stored: StoredEvent): boolean =>
      !isDone(stored.sequence) && this.#isAddressed(stored) && this.#passes(stored)
    this.#newest = new Newest({ outbox, accepts, telemetry, clock, signal })
  }

  /** Begins to look ahead from this sequence on; resolves when it knows what the log holds now. Never rejects. */
  async start (from: number): Promise<void> {
    await this.#newest?.start(from)
  }

  async stopped (): Promise<void> {
    await this.#newest?.stopped()
  }

  /** Whether the sink is to get this event; counts it where not. */
  isWanted (stored: StoredEvent): boolean {
    if (!this.#isAddressed(stored)) return false
    if (this.#passes(stored)) return !this.isObsolete(stored)
    this.#options.telemetry.eventNotDelivered(this.#options.sink, 'filter')
    return false
  }

  /** Whether it has expired, or been superseded, since it was wanted; counts it where it has. */
  isObsolete (stored: StoredEvent): boolean {
    const { handling } = stored.event
    if (handling === undefined) return false
    const { telemetry, clock, sink } = this.#options
    if (this.#newest?.supersedes(stored) === true) {
      telemetry.eventNotDelivered(sink, 'superseded')
      this.#newest.leaveOut(stored)
      return true
    }
    if (handling.expiresAt === undefined || handling.expiresAt > clock.wallNow()) return false
    telemetry.eventNotDelivered(sink, 'expired')
    this.#newest?.done(stored)
    return true
  }

  /** The event as it is sent: it says for how many it stands, where that is more than one. */
  outgoing (stored: StoredEvent): Event {
    const { event } = stored
    if (event.handling?.supersede === undefined || !this.#options.sampledrate) return event
    const sampledrate = this.#newest?.rate(stored) ?? 1
    return sampledrate === 1 ? event : { ...event, extensions: { ...event.extensions, sampledrate } }
  }

  /** The sink, or the dead letters, have it. */
  done (stored: StoredEvent): void {
    this.#newest?.done(stored)
  }

  /**
   * Not set aside from the beginning, and meant for this sink where it is meant for one. What is meant for a sink that
   * there is no more goes to all, as a dead letter of such a sink does when it is put back: it is not to vanish.
   */
  #isAddressed ({ event: { handling } }: StoredEvent): boolean {
    if (handling === undefined) return true
    const { sink, known } = this.#options
    const { aside, only } = handling
    return aside === undefined && (only === undefined || only === sink || !known.has(only))
  }

  #passes ({ event }: StoredEvent): boolean {
    return this.#options.filter?.(event) ?? true
  }
}

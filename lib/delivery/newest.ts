/**
 * Which event is the newest of each supersede key, so that older ones are not delivered any more. It goes ahead of the
 * loader through the log, to its end, and follows it from then on; of an event it keeps the key and the sequence only.
 *
 * Invariant: an event counts as superseded only by one behind it that the same sink is to get.
 */
import type { StoredEvent } from '../message.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { sleep, type Clock } from './clock.ts'

/** The outbox failed to read: wait so long before asking again. */
const RETRY_MS = 1000
const PAGE = { events: 1024, bytes: 4 * 1024 * 1024 } as const
/** Keys that are remembered. What has another one is delivered, whatever comes behind it. */
const MAX_KEYS = 1_000_000
/** The largest Integer of CloudEvents [CE 3.1]: devices bring numbers of their own, and they are summed. */
const MAX_RATE = 2 ** 31 - 1

export interface NewestOptions {
  readonly outbox: Pick<Outbox, 'read' | 'waitFor' | 'stats'>
  /** False for an event that the sink never gets. */
  readonly accepts: (stored: StoredEvent) => boolean
  readonly telemetry: Pick<Telemetry, 'unexpected'>
  readonly clock: Clock
  /** Ends the reading. */
  readonly signal: AbortSignal
  /** A bound of its own for tests. */
  readonly maxKeys?: number
}

interface Key {
  /** The newest event that has it. */
  sequence: number
  /** Older ones that were left out because of it, and what they stood for. */
  leftOut: number
}

export class Newest {
  readonly #options: NewestOptions
  readonly #keys = new Map<string, Key>()
  #running: Promise<void> = Promise.resolve()

  constructor (options: NewestOptions) {
    this.#options = options
  }

  /** Keys that are remembered at the moment. */
  get size (): number {
    return this.#keys.size
  }

  /** Reads the log from here on; resolves when it has come to what is its end now. Never rejects. */
  async start (from: number): Promise<void> {
    const { outbox } = this.#options
    const end = outbox.stats().nextSequence
    await new Promise<void>((resolve) => { this.#running = this.#run(from, end, resolve) })
  }

  /** Resolves when it has stopped reading, after the signal was aborted. */
  async stopped (): Promise<void> {
    await this.#running
  }

  /** Whether a newer event of its key makes this one irrelevant. */
  supersedes (stored: StoredEvent): boolean {
    const key = this.#keyOf(stored)
    return key !== undefined && key.sequence > stored.sequence
  }

  /** This one is left out because of a newer one, which stands for it as well from now on. */
  leaveOut (stored: StoredEvent): void {
    const key = this.#keyOf(stored)
    if (key !== undefined) key.leftOut += rateOf(stored)
  }

  /** How many events this one stands for, itself among them [CE sampledrate]; an Integer. */
  rate (stored: StoredEvent): number {
    return Math.min(rateOf(stored) + (this.#keyOf(stored)?.leftOut ?? 0), MAX_RATE)
  }

  /** The sink is done with this one. */
  done (stored: StoredEvent): void {
    const name = stored.event.handling?.supersede
    const key = this.#keyOf(stored)
    if (name === undefined || key === undefined) return
    if (key.sequence <= stored.sequence) this.#keys.delete(name)
    else key.leftOut = 0
  }

  #keyOf ({ event: { handling } }: StoredEvent): Key | undefined {
    return handling?.supersede === undefined ? undefined : this.#keys.get(handling.supersede)
  }

  async #run (from: number, end: number, onCaughtUp: () => void): Promise<void> {
    const { outbox, signal, telemetry, clock } = this.#options
    let position = from
    while (!signal.aborted) {
      if (position >= end) onCaughtUp()
      try {
        const page = await outbox.read(position, PAGE)
        for (const stored of page.events) this.#note(stored)
        if (page.next === position && page.events.length === 0) await outbox.waitFor(position, signal)
        position = page.next
      } catch (error) {
        if (signal.aborted) break
        telemetry.unexpected(error, 'read the outbox')
        await sleep(clock, RETRY_MS, signal)
      }
    }
    onCaughtUp()
  }

  #note (stored: StoredEvent): void {
    const name = stored.event.handling?.supersede
    if (name === undefined || !this.#options.accepts(stored)) return
    const key = this.#keys.get(name)
    const { sequence } = stored
    const { maxKeys = MAX_KEYS } = this.#options
    if (key !== undefined) key.sequence = Math.max(key.sequence, sequence)
    else if (this.#keys.size < maxKeys) this.#keys.set(name, { sequence, leftOut: 0 })
  }
}

/** What an event stands for that was sampled before it came here. */
function rateOf ({ event }: StoredEvent): number {
  const rate = event.extensions['sampledrate']
  return typeof rate === 'number' && rate > 0 ? rate : 1
}

/**
 * Brings events from the outbox into the lanes: forward through the log, page by page, and by sequence number for
 * lanes that kept only the numbers. It reads only what delivery has room for, so that memory stays flat however much
 * waits. It sends nothing and decides nothing about an event.
 */
import type { StoredEvent } from '../message.ts'
import type { Outbox, Page } from '../outbox/outbox.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Checkpoint } from './checkpoint.ts'
import { sleep, type Clock } from './clock.ts'
import type { Lanes } from './lanes.ts'
import type { DeliveryLimits } from './options.ts'

/** The outbox failed to read: wait so long before asking again. */
const RETRY_MS = 1000
/** Sequences that are fetched by number at a time. */
const FETCH_EVENTS = 1024
/** The log said more than once that there is more, and then there was nothing: do not ask in a tight circle. */
const EMPTY_PAGES = 3
const EMPTY_PAGE_MS = 20

export interface LoaderOptions {
  readonly outbox: Outbox
  readonly lanes: Lanes
  readonly checkpoint: Checkpoint
  readonly limits: DeliveryLimits
  readonly telemetry: Telemetry
  readonly clock: Clock
  /** Ends loading when it is aborted. */
  readonly signal: AbortSignal
  /** False for an event that is none of this sink's, now or any more: it is passed over. */
  readonly isWanted: (stored: StoredEvent) => boolean
  /** True while the sink takes nothing: then only so much is read as it takes to probe it. */
  readonly isDown: () => boolean
  /** Called when there is something new to send. */
  readonly onLoaded: () => void
}

export class Loader {
  readonly #options: LoaderOptions
  #position = 0
  #wake: (() => void) | undefined
  #fetching = false

  constructor (options: LoaderOptions) {
    this.#options = options
  }

  /** Reads the log from the cursor on until the signal is aborted. Never rejects. */
  async run (): Promise<void> {
    const { outbox, signal, telemetry, clock, lanes, limits, checkpoint } = this.#options
    this.#position = checkpoint.cursor.lowest
    let emptyPages = 0
    while (!signal.aborted) {
      if (!this.#wantsEvents()) {
        await this.#untilWoken()
        continue
      }
      try {
        const page = await outbox.read(this.#position, {
          events: Math.max(1, (this.#options.isDown() ? limits.downEvents : limits.loadedEvents) - lanes.loadedEvents),
          bytes: Math.max(1, limits.loadedBytes - lanes.loadedBytes)
        })
        if (signal.aborted) return
        if (page.events.length > 0 || page.next > this.#position) {
          emptyPages = 0
          this.#take(page)
          this.#options.onLoaded()
        } else {
          if (++emptyPages > EMPTY_PAGES) await sleep(clock, EMPTY_PAGE_MS, signal)
          await outbox.waitFor(this.#position, signal)
        }
      } catch (error) {
        if (signal.aborted) return
        telemetry.unexpected(error, 'read the outbox')
        await sleep(clock, RETRY_MS, signal)
      }
    }
  }

  /** Something has changed: there may be room, or lanes may want events. Cheap; called after every attempt. */
  wake (): void {
    if (this.#wake !== undefined && this.#wantsEvents()) this.#wake()
    if (this.#options.lanes.hungry > 0 && !this.#fetching) void this.#fetch()
  }

  /** Stops waiting, so that `run` sees the aborted signal. */
  stop (): void {
    this.#wake?.()
  }

  /**
   * Reads one event; undefined when it cannot be read or is not wanted any more. Waits while the outbox fails;
   * undefined on abort.
   */
  async one (sequence: number): Promise<StoredEvent | undefined> {
    const { outbox, signal, telemetry, clock, isWanted } = this.#options
    while (!signal.aborted) {
      try {
        const [stored] = await outbox.readMany([sequence])
        return stored !== undefined && isWanted(stored) ? stored : undefined
      } catch (error) {
        if (signal.aborted) return undefined
        telemetry.unexpected(error, 'read the outbox')
        await sleep(clock, RETRY_MS, signal)
      }
    }
    return undefined
  }

  #wantsEvents (): boolean {
    const { lanes, limits, checkpoint, isDown } = this.#options
    if (this.#position - checkpoint.cursor.lowest >= limits.lookAhead) return false
    if (isDown()) return lanes.untried === 0 && lanes.loadedEvents < limits.downEvents
    // Half empty before it is filled again, so that pages are large; events in large pages cost less.
    return lanes.loadedEvents * 2 < limits.loadedEvents && lanes.loadedBytes * 2 < limits.loadedBytes &&
      lanes.failing.size < limits.failingLanes
  }

  #take (page: Page): void {
    const { lanes, limits, checkpoint, isWanted } = this.#options
    const { cursor } = checkpoint
    // In front of everything a gap costs nothing, however wide it is; a log in Redis has such.
    if (this.#position === cursor.lowest) checkpoint.passedRange(this.#position, page.events[0]?.sequence ?? page.next)
    this.#position = Math.max(this.#position, cursor.lowest)
    const end = cursor.lowest + limits.lookAhead
    for (const stored of page.events) {
      if (stored.sequence >= end) break
      // Trimmed or damaged events leave gaps; the cursor must pass them, or it would wait for them for ever.
      checkpoint.passedRange(this.#position, stored.sequence)
      if (!cursor.has(stored.sequence)) {
        if (isWanted(stored)) lanes.add(stored)
        else checkpoint.passed(stored.sequence)
      }
      this.#position = stored.sequence + 1
    }
    const next = Math.min(page.next, end)
    checkpoint.passedRange(this.#position, next)
    this.#position = Math.max(this.#position, next)
  }

  /** Serves the lanes that want events by number, until none does. */
  async #fetch (): Promise<void> {
    const { outbox, lanes, checkpoint, signal, telemetry, clock, isWanted, onLoaded } = this.#options
    this.#fetching = true
    while (lanes.hungry > 0 && !signal.aborted) {
      const requests = lanes.requests(FETCH_EVENTS)
      const sequences = requests.flatMap((request) => request.sequences).sort((a, b) => a - b)
      if (sequences.length === 0) continue
      try {
        const events = new Map<number, StoredEvent>()
        for (const stored of await outbox.readMany(sequences)) {
          if (isWanted(stored)) events.set(stored.sequence, stored)
        }
        for (const gone of lanes.fill(requests, events)) checkpoint.passed(gone)
        if (!signal.aborted) onLoaded()
      } catch (error) {
        lanes.retryRequests(requests)
        if (signal.aborted) break
        telemetry.unexpected(error, 'read the outbox')
        await sleep(clock, RETRY_MS, signal)
      }
    }
    this.#fetching = false
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

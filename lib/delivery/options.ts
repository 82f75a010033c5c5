/** What the dispatcher is made of and told. Durations and counts come complete from the configuration. */
import type { Event } from '../message.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Sink } from '../sink/sink.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Backoff } from './backoff.ts'
import type { Clock } from './clock.ts'

export interface DispatcherOptions {
  /** Open already. The dispatcher does not close it, nor the sinks. */
  readonly outbox: Outbox
  readonly sink: Sink
  /** Which events the sink is to get; without one, all. */
  readonly filter?: (event: Event) => boolean
  /** The names of all sinks that events may be meant for alone (`handling.only`); without them, that of this one. */
  readonly known?: ReadonlySet<string>
  /** True where events may have a supersede key, and where those that stand for several say so. */
  readonly supersede?: boolean
  readonly sampledrate?: boolean
  /** Told where the saved cursor stands; without it, the log is trimmed up to there. */
  readonly saved?: (lowest: number) => Promise<void>
  /** Told of every event that the sink is done with, one way or another. */
  readonly onPassed?: (from: number, to: number) => void
  /** Takes what the sink never will; without one, dead letters stay in the outbox. */
  readonly deadLetterSink?: Sink
  /** Attempts at a time. */
  readonly concurrency: number
  /** How often an event is tried again that fails while others succeed (Knative's `retry`). */
  readonly retry: number
  readonly backoffPolicy: Backoff['policy']
  readonly backoffDelayMs: number
  readonly backoffMaxMs: number
  /** The longest Retry-After that is honored; 0 ignores it. */
  readonly retryAfterMaxMs: number
  /** How often the cursor is saved while events are delivered. */
  readonly checkpointMs: number
  /** How many dead letters are kept after the dead-letter sink took them. */
  readonly deadLetterKeep: number
  readonly telemetry: Telemetry
  /** The clock of the machine unless a test brings its own. */
  readonly clock?: Clock
  /** Math.random unless a test brings its own. */
  readonly random?: () => number
  /** The bounds of memory; the constant below unless a test brings its own. */
  readonly limits?: DeliveryLimits
}

/** How much of the log delivery holds in memory. No setting: nobody could choose better without reading this code. */
export interface DeliveryLimits {
  /** Events loaded at a time, all lanes together, and their bytes. Reading stops at the first bound reached. */
  readonly loadedEvents: number
  readonly loadedBytes: number
  /**
   * Events loaded of one lane, when there are many; of those behind them only the sequence numbers are kept. Few lanes
   * may share a quarter of `loadedEvents`.
   */
  readonly laneEvents: number
  /** Bytes of one lane that are fetched again at a time. */
  readonly laneBytes: number
  /** Events loaded while the sink is down: enough to find lanes to probe with, no more. */
  readonly downEvents: number
  /** Lanes that wait for their retry; where there are more, reading on would only find more of them. */
  readonly failingLanes: number
  /** How far beyond the lowest undelivered event the log is read, in sequence numbers. */
  readonly lookAhead: number
}

export const deliveryLimits: DeliveryLimits = {
  loadedEvents: 4096,
  loadedBytes: 16 * 1024 * 1024,
  laneEvents: 64,
  laneBytes: 1024 * 1024,
  downEvents: 256,
  failingLanes: 16_384,
  lookAhead: 1_000_000
}

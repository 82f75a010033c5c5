/** What every part of telemetry stands on: log, metrics, and the rule that what repeats is logged once a minute. */
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { createLogger, type LogOptions } from './logger.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { RateLimit } from './rate-limit.ts'

/** Repeated messages of one kind are logged once in this time, in milliseconds, with the number left out. */
const REPEAT_MS = 60_000

/** Who a log line is about. */
export interface ConnectionFields {
  readonly listener?: string
  readonly address?: string
  readonly clientId?: string
  /** The name that was proven. */
  readonly username?: string
}

export class TelemetryBase {
  readonly log: Logger
  protected readonly metrics: Metrics
  readonly #limit = new RateLimit(REPEAT_MS)

  constructor (options: LogOptions) {
    this.log = createLogger(options)
    this.metrics = createMetrics()
  }

  /** What /metrics serves. */
  get registry (): Registry {
    return this.metrics.registry
  }

  /** Logs unless the same kind was logged a moment ago; then the next one says how many were left out. */
  protected repeated (kind: string, write: (suppressed: number | undefined) => void): void {
    const suppressed = this.#limit.take(kind)
    if (suppressed !== false) write(suppressed === 0 ? undefined : suppressed)
  }
}

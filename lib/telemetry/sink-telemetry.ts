/** What happens to the credentials of a sink: the part of telemetry that sinks call. */
import type { MbsError } from '../errors.ts'
import { AccessTelemetry } from './access-telemetry.ts'

/** Why there was no token; a label of a metric, so the list is closed. */
export type TokenFailure = 'timeout' | 'network' | 'too-large' | 'status' | 'answer'

export class SinkTelemetry extends AccessTelemetry {
  /** A token was given for a sink. @param fields.lifetimeMs how long it is good for */
  sinkTokenFetched (sink: string, fields: { url: string, lifetimeMs: number }): void {
    this.metrics.sinkTokens.labels(sink, 'token').inc()
    this.log.debug({ sink, ...fields }, 'the sink has a new token')
  }

  /** There was no token for a sink: its events wait, unless the one before is still good. */
  sinkTokenFailed (sink: string, error: MbsError, why: TokenFailure): void {
    this.metrics.sinkTokens.labels(sink, why).inc()
    this.repeated(`${error.code} ${sink} ${why}`, (suppressed) => {
      this.log.warn({ sink, code: error.code, why, help: error.help, suppressed }, error.message)
    })
  }

  /** A sink does not accept the credentials it was sent. */
  sinkUnauthorized (sink: string, fields: { destination: string }): void {
    this.metrics.sinkUnauthorized.labels(sink).inc()
    this.repeated(`unauthorized ${sink}`, (suppressed) => {
      this.log.error({ sink, ...fields, suppressed }, 'the sink does not accept the credentials (401): events wait until it does')
    })
  }
}

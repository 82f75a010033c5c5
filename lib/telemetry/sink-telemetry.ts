/** What happens to the credentials and the batches of a sink: the part of telemetry that sinks call. */
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

  /** A batch was taken, failed in a way that may pass, or was refused and is sent again as single events. */
  sinkBatch (sink: string, outcome: 'taken' | 'failed' | 'split'): void {
    this.metrics.sinkBatches.labels(sink, outcome).inc()
  }

  /** A sink takes no batches: for a while it gets single events. */
  sinkBatchesRefused (sink: string, fields: { status: number, pauseMs: number }): void {
    this.metrics.sinkBatchPauses.labels(sink).inc()
    this.log.warn({ sink, ...fields }, 'the sink takes no batches: it is sent single events for a while')
  }

  /** A sink does not accept the credentials it was sent. */
  sinkUnauthorized (sink: string, fields: { destination: string }): void {
    this.metrics.sinkUnauthorized.labels(sink).inc()
    this.repeated(`unauthorized ${sink}`, (suppressed) => {
      this.log.error({ sink, ...fields, suppressed }, 'the sink does not accept the credentials (401): events wait until it does')
    })
  }

  /** A file among the trust bundles that a platform brings cannot be used. */
  caFileLeftOut (fields: { file: string, reason: string }): void {
    this.repeated(`ca file ${fields.file}`, (suppressed) => {
      this.log.warn({ ...fields, suppressed }, 'the certificates of a trust bundle are not used')
    })
  }
}

/** What happens to traces on their way out: the part of telemetry that tracing calls. */
import type { MbsError } from '../errors.ts'
import { SinkTelemetry } from './sink-telemetry.ts'

/** Why spans were not sent; a label of a metric, so the list is closed. */
export type SpanLoss = 'queue' | 'network' | 'refused' | 'shutdown'

export class TracingTelemetry extends SinkTelemetry {
  tracingStarted (fields: { endpoint: string, samplingRate: number, serviceName: string }): void {
    this.log.info(fields, 'tracing')
  }

  /** The receiver has taken spans. */
  spansSent (count: number): void {
    this.metrics.spansSent += count
  }

  /** Spans are lost: there was no room for them, or they could not be sent. Nothing else is concerned. */
  spansDropped (reason: SpanLoss, count: number): void {
    this.metrics.spansDropped[reason] += count
    this.repeated(`spans dropped ${reason}`, (suppressed) => {
      this.log.warn({ reason, count, suppressed }, 'spans were dropped')
    })
  }

  /** The receiver did not take spans. Where it may pass, they are tried again. */
  spansFailed (error: MbsError): void {
    this.repeated(error.code, (suppressed) => {
      this.log.warn({ code: error.code, help: error.help, suppressed }, error.message)
    })
  }
}

/** What happens to sessions on disk: the part of telemetry that their journal calls. */
import { createError, type MbsError } from '../errors.ts'
import { RedisTelemetry } from './redis-telemetry.ts'

export class SessionTelemetry extends RedisTelemetry {
  /** What was kept for clients has been read back. @param fields.tookMs from opening the directory on */
  sessionStoreOpened (
    fields: { directory: string, sessions: number, queuedMessages: number, retainedMessages: number, tookMs: number }
  ): void {
    this.log.info(fields, 'sessions are there again')
  }

  /** Records cannot be read: of sessions, of what waits for them, of retained messages. Events are not concerned. */
  sessionRecordsLost (count: number, reason: string): void {
    this.metrics.sessionRecordsLost.inc(count)
    const { code, help, message } = createError('MBS_ERR_SESSIONS_DAMAGED', { count, reason })
    this.log.error({ code, count, reason, help }, message)
  }

  /** Sessions cannot be written: what would have to be on disk is refused from now on. */
  sessionStoreFailed (error: MbsError): void {
    this.metrics.sessionStoreFailures.inc()
    this.repeated(error.code, (suppressed) => {
      this.log.error({ code: error.code, err: error, help: error.help, suppressed }, error.message)
    })
  }

  sessionStoreRecovered (): void {
    this.log.info('sessions are written again')
  }
}

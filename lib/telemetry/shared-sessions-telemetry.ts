/** What happens to sessions in Redis: the part of telemetry that the broker calls where pods share them. */
import type { MbsError } from '../errors.ts'
import { SessionTelemetry } from './session-telemetry.ts'

export class SharedSessionsTelemetry extends SessionTelemetry {
  /** Redis did not answer for a session, or for a message between pods. Told once a minute, not for each device. */
  sharedSessionsFailed (error: MbsError): void {
    this.repeated(`shared sessions ${error.code}`, (suppressed) => {
      this.log.warn({ code: error.code, help: error.help, suppressed }, error.message)
    })
  }
}

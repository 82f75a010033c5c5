/** Where a log goes whose lines a test reads. */
import type { DestinationStream } from 'pino'
import type { LogOptions } from '../../lib/telemetry/logger.ts'
import { Telemetry } from '../../lib/telemetry/telemetry.ts'

/** One line of the JSON log. */
export type LogLine = Readonly<Record<string, unknown>>

/** A log stream that keeps what was written. */
export class LogLines implements DestinationStream {
  text = ''

  write (chunk: string): void {
    this.text += chunk
  }

  /** The lines as the objects they hold. Throws where one is not JSON. */
  get objects (): LogLine[] {
    return this.text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as LogLine)
  }

  /** The lines that carry this text. */
  of (msg: string): LogLine[] {
    return this.objects.filter((line) => line['msg'] === msg)
  }
}

/** A telemetry with its JSON log in memory. */
export function createTestTelemetry (level: LogOptions['level'] = 'debug') {
  const lines = new LogLines()
  return { lines, telemetry: new Telemetry({ level, format: 'json', stream: lines }) }
}

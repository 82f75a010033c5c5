/** The log: pino, JSON by line, or readable where a person looks at a terminal. */
import { pino, type DestinationStream, type Logger } from 'pino'
import pretty from 'pino-pretty'

export interface LogOptions {
  readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
  /** `auto`: `pretty` where the stream is a terminal, else `json`. */
  readonly format: 'auto' | 'json' | 'pretty'
  /** Where lines go; standard error unless given, so that standard output is left to the events. */
  readonly stream?: DestinationStream
}

export function createLogger (options: LogOptions): Logger {
  const level = options.level
  const terminal = options.stream === undefined && process.stderr.isTTY
  if (options.format === 'pretty' || (options.format === 'auto' && terminal)) {
    const destination = options.stream ?? 2
    const readable = pretty({ destination, sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' })
    return pino({ level, base: null }, readable)
  }
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    options.stream ?? pino.destination({ dest: 2, sync: true })
  )
}

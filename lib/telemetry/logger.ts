/**
 * The log: pino, JSON by line, or readable where a person looks at a terminal. Written synchronously, so that the last
 * line before a crash is there. An error is logged by its words and its stack alone: what else hangs on it (a packet, a
 * request) could hold a payload.
 */
import { pino, type DestinationStream, type Logger } from 'pino'
import { prettyFactory } from 'pino-pretty'

/** Causes of causes that are logged; a chain that is longer is cut. */
const MAX_CAUSES = 4

export interface LogOptions {
  readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
  /** `auto`: `pretty` where the stream is a terminal, else `json`. */
  readonly format: 'auto' | 'json' | 'pretty'
  /** Where lines go; standard error unless given, so that standard output is left to the events. */
  readonly stream?: DestinationStream
}

/** Makes the logger: one line per message, the level as a word, the time in ISO 8601. */
export function createLogger (options: LogOptions): Logger {
  const terminal = options.stream === undefined && process.stderr.isTTY
  const stream = options.stream ?? pino.destination({ dest: 2, sync: true })
  const base = { level: options.level, base: null, serializers: { err: (error: unknown) => describeError(error, 0) } }
  if (options.format === 'pretty' || (options.format === 'auto' && terminal)) return pino(base, readable(stream, terminal))
  const formatters = { level: (label: string) => ({ level: label }) }
  return pino({ ...base, timestamp: pino.stdTimeFunctions.isoTime, formatters }, stream)
}

/** Makes lines readable on their way to a stream. Not pino-pretty's own stream: that one is not synchronous. */
function readable (stream: DestinationStream, terminal: boolean): DestinationStream {
  const prettify = prettyFactory({
    translateTime: 'SYS:HH:MM:ss.l',
    // hasColors knows NO_COLOR and its like; left alone, pino-pretty would look at standard output.
    colorize: terminal && process.stderr.hasColors()
  })
  return { write: (line) => { stream.write(prettify(line)) } }
}

/** What a log line says of an error. */
interface ErrorFields {
  readonly type: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
  readonly cause?: ErrorFields
}

function describeError (error: unknown, depth: number): ErrorFields {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) }
  const { code } = error as NodeJS.ErrnoException
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' && { code }),
    ...(error.stack !== undefined && { stack: error.stack }),
    ...(error.cause !== undefined && depth < MAX_CAUSES && { cause: describeError(error.cause, depth + 1) })
  }
}

/**
 * The contract of a sink: one attempt at a time, told by its outcome. A sink neither retries nor remembers; delivery
 * does. It never throws: whatever happens is an outcome.
 */
import type { Event } from '../message.ts'
import type { ReloadKind } from '../telemetry/access-telemetry.ts'

/** What became of one attempt to send one event. */
export type Outcome =
  /** The sink answered. */
  | SinkAnswer
  /** No answer: refused, reset, timed out, TLS failure. `code` is the error's code, such as ECONNREFUSED. */
  | { readonly kind: 'network', readonly code: string, readonly reason: string, readonly timedOut: boolean }
  /** It was not sent, because an event before it was not taken; counts as nothing. */
  | { readonly kind: 'untried' }
  /** Given up because the program is closing; counts as nothing. */
  | { readonly kind: 'aborted' }

export interface SinkAnswer {
  readonly kind: 'answer'
  readonly status: number
  /** Its Retry-After, on any status that had one. */
  readonly retryAfterMs?: number
  readonly body: Buffer
  /** It does not accept the credentials it was sent, which may be renewed: this says nothing of the event. */
  readonly unauthorized?: true
}

/** One request of a sink in a trace. */
export interface AttemptSpan {
  /** Headers that tell the receiver where it stands in the trace: names, in lower case, and values in turn. */
  readonly headers: readonly string[]
  /** The request has ended. Once. */
  end (outcome: Outcome): void
}

/** Makes the spans of the requests of one sink. */
export interface AttemptTracer {
  /** Begins that of a request. @param of the event in it, or all of a batch */
  begin (of: Event | readonly Event[]): AttemptSpan
}

/** Makes the tracer of a sink. @param destination the sink's, with nothing secret in it */
export type CreateAttemptTracer = (sink: string, destination: string) => AttemptTracer

/** Files that belong together and that a sink reads: before its first event, and again when they change. */
export interface SinkFiles {
  readonly kind: ReloadKind
  /** Names them in the log and in errors. */
  readonly what: string
  readonly files: readonly string[]
  /** Reads all of them and puts them in force, or rejects and leaves in force what was. */
  readonly reload: () => Promise<void>
}

export interface Sink {
  /** Names the sink's cursor and its metrics. */
  readonly name: string
  /** Where it sends to, for logs and for `knativeerrordest`; nothing secret. */
  readonly destination: string
  /** What has to be read before anything is sent. Absent where there is nothing. */
  readonly files?: readonly SinkFiles[]
  /** Sends one event once, in a request of its own. @param signal ends the attempt early, with outcome `aborted` */
  send (event: Event, signal: AbortSignal): Promise<Outcome>
  /**
   * Sends events of one partition key, in order, together with those of other calls where that fits. An event is sent
   * only after those before it were taken, or in one request with them. Absent where the sink sends one at a time.
   * @param signal ends the attempts early, with outcome `aborted`
   * @returns the outcomes, in the order of the events; an attempt is bounded in time, and a call may take several
   */
  sendAll? (events: readonly Event[], signal: AbortSignal): Promise<readonly Outcome[]>
  /** Present with `sendAll`: how many events, and bytes of them, go into one request at most. */
  readonly batch?: { readonly count: number, readonly bytes: number }
  /**
   * Trusts these PEM certificates, beside those that node trusts, from its next connection on. Absent where a sink has
   * no connections.
   * @throws MBS_ERR_SINK_CA; then it trusts what it did
   */
  trust? (ca: readonly string[]): void
  /** Ends its connections. Idempotent. */
  close (): Promise<void>
}

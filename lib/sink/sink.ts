/**
 * The contract of a sink: one attempt at a time, told by its outcome. A sink neither retries nor remembers; delivery
 * does. It never throws: whatever happens is an outcome.
 */
import type { Event } from '../message.ts'

/** What became of one attempt to send one event. */
export type Outcome =
  /** The sink answered. `retryAfterMs` is its Retry-After in milliseconds, on any status that had one. */
  | { readonly kind: 'answer', readonly status: number, readonly retryAfterMs?: number, readonly body: Buffer }
  /** No answer: refused, reset, timed out, TLS failure. `code` is the error's code, such as ECONNREFUSED. */
  | { readonly kind: 'network', readonly code: string, readonly reason: string, readonly timedOut: boolean }
  /** It was not sent, because an event before it was not taken; counts as nothing. */
  | { readonly kind: 'untried' }
  /** Given up because the program is closing; counts as nothing. */
  | { readonly kind: 'aborted' }

export interface Sink {
  /** Names the sink's cursor and its metrics. */
  readonly name: string
  /** Where it sends to, for logs and for `knativeerrordest`; nothing secret. */
  readonly destination: string
  /** Sends one event once. @param signal ends the attempt early, with outcome `aborted` */
  send (event: Event, signal: AbortSignal): Promise<Outcome>
  /** How many events one request can hold, and their bytes; absent where each event has its own. */
  readonly batch?: { readonly count: number, readonly bytes: number }
  /**
   * Sends several events of one partition key in their order, in one request with those of other calls where it can.
   * Present where `batch` is. @returns their outcomes in the same order; behind the first that is not taken, `untried`
   */
  sendAll? (events: readonly Event[], signal: AbortSignal): Promise<readonly Outcome[]>
  /**
   * Trusts these PEM certificates, beside those that node trusts, from its next connection on. Absent where a sink has
   * no connections.
   * @throws MBS_ERR_SINK_CA; then it trusts what it did
   */
  trust? (ca: readonly string[]): void
  /** Ends its connections. Idempotent. */
  close (): Promise<void>
}

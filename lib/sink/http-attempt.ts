/**
 * One POST and what becomes of it, as undici's handler. Invariant: it settles once, and once a status line has arrived
 * its outcome is that answer, however the response goes on: the sink has decided. Keeps no reference to a read buffer.
 *
 * The handler has undici 7's older callbacks, which are called without a wrapper: with the newer ones an event costs
 * over a microsecond more (a controller, and an object of all response headers).
 */
import type { Dispatcher } from 'undici'
import { reasonOf } from '../errors.ts'
import type { HttpConnection } from './http-connections.ts'
import { parseRetryAfter } from './retry-after.ts'
import type { Outcome } from './sink.ts'

/** So much of a response body is kept: what becomes 1024 characters of base64 in `knativeerrordata`. */
const KEPT_BODY_BYTES = 768

/** A response body that is longer closes its connection. */
const MAX_BODY_BYTES = 64 * 1024

const NO_BODY = Buffer.alloc(0)

/** Whether the connection can be used again: only when the response has come to its end. */
export type AfterUse = 'release' | 'discard'

/** What the attempt tells the sink, once. */
export type OnSettled = (attempt: HttpAttempt, outcome: Outcome, afterUse: AfterUse) => void

export class HttpAttempt implements Dispatcher.DispatchHandler {
  readonly request: Dispatcher.DispatchOptions
  readonly signal: AbortSignal
  /** On the clock of performance.now(). */
  readonly deadline: number
  readonly resolve: (outcome: Outcome) => void
  /** Absent while it waits for one. */
  connection: HttpConnection | undefined = undefined
  readonly #onSettled: OnSettled
  #settled = false
  #status = 0
  #retryAfterMs: number | undefined = undefined
  #body = NO_BODY
  #bodyBytes = 0

  constructor (
    request: Dispatcher.DispatchOptions, signal: AbortSignal, deadline: number,
    resolve: (outcome: Outcome) => void, onSettled: OnSettled
  ) {
    this.request = request
    this.signal = signal
    this.deadline = deadline
    this.resolve = resolve
    this.#onSettled = onSettled
  }

  /** The signal fired, or the sink is closing. */
  abort (): void {
    this.#giveUp({ kind: 'aborted' })
  }

  /** The deadline has passed. */
  expire (timeoutMs: number): void {
    const reason = `no answer within ${timeoutMs} ms`
    this.#giveUp({ kind: 'network', code: 'ETIMEDOUT', reason, timedOut: true })
  }

  // ---- called by undici ----------------------------------------------------------------------------------------

  onConnect (): void {}

  /** Also called for 1xx, which is no answer yet. */
  onHeaders (status: number, headers: Buffer[]): boolean {
    if (status < 200) return true
    this.#status = status
    if (status >= 300) this.#retryAfterMs = retryAfterOf(headers)
    return true
  }

  onData (chunk: Buffer): boolean {
    if (this.#body.length < KEPT_BODY_BYTES) {
      this.#body = Buffer.concat([this.#body, chunk.subarray(0, KEPT_BODY_BYTES - this.#body.length)])
    }
    this.#bodyBytes += chunk.length
    if (this.#bodyBytes > MAX_BODY_BYTES) this.#settle(this.#answer(), 'discard')
    return true
  }

  onComplete (): void {
    this.#settle(this.#answer(), 'release')
  }

  /** A client of undici is not used again: after a certificate for another name it would never send anything. */
  onError (error: Error): void {
    this.#giveUp(networkOutcome(error))
  }

  // --------------------------------------------------------------------------------------------------------------

  #giveUp (outcome: Outcome): void {
    this.#settle(this.#status > 0 ? this.#answer() : outcome, 'discard')
  }

  #answer (): Outcome {
    const answer = { kind: 'answer', status: this.#status, body: this.#body } as const
    return this.#retryAfterMs === undefined ? answer : { ...answer, retryAfterMs: this.#retryAfterMs }
  }

  #settle (outcome: Outcome, afterUse: AfterUse): void {
    if (this.#settled) return
    this.#settled = true
    this.#onSettled(this, outcome, afterUse)
  }
}

/** @param headers names and values in turn, as they came */
function retryAfterOf (headers: Buffer[]): number | undefined {
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as Buffer
    if (name.length !== 11 || name.toString('latin1').toLowerCase() !== 'retry-after') continue
    return parseRetryAfter((headers[at + 1] as Buffer).toString('latin1'), Date.now())
  }
  return undefined
}

/** What an error of a socket, of TLS or of undici comes to. */
export function networkOutcome (error: unknown): Outcome {
  const code = codeOf(error)
  const timedOut = code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT'
  return { kind: 'network', code, reason: messageOf(error), timedOut }
}

/** Errors of undici's parser have no code, only a name. */
function codeOf (error: unknown): string {
  if (!(error instanceof Error)) return 'ERR_UNKNOWN'
  const code = (error as NodeJS.ErrnoException).code
  return typeof code === 'string' ? code : error.name
}

/** Where a name has several addresses, node says what went wrong at each. */
function messageOf (error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(reasonOf).join('; ')
  return reasonOf(error)
}

/**
 * Tokens from a token endpoint: the client credentials grant [RFC 6749 4.4]. Between the HTTP sink and that service.
 *
 * Invariants: at most one request is under way, whoever waits for a token waits for that one, and no longer than
 * `timeoutMs`; the endpoint is asked at most once in `PAUSE_MS` while it gives none, and at most once in `REFETCH_MS`
 * however often the sink refuses what it gave. A token that is still good is used while the next one is asked for, and
 * as long as there is none.
 */
import { fetchBounded } from '../bounded-fetch.ts'
import { createError } from '../errors.ts'
import type { TokenFailure } from '../telemetry/sink-telemetry.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Authorization } from './authorization.ts'
import { parseClientSecret, readSecret } from './secret-text.ts'
import type { Outcome } from './sink.ts'
import { readTokenAnswer } from './token-answer.ts'

export interface OAuth2Settings {
  readonly tokenUrl: string
  readonly clientId: string
  readonly clientSecretFile: string
  readonly scopes?: readonly string[]
  readonly audience?: string
}

export interface ClientCredentialsOptions {
  /** The name of the sink. */
  readonly sink: string
  readonly settings: OAuth2Settings
  /** For one request, at most. */
  readonly timeoutMs: number
  readonly telemetry: Telemetry
  /** Milliseconds of a clock that is never set back. */
  readonly now?: () => number
}

/** No token endpoint that is up takes longer; events wait for it. */
const TIMEOUT_MS = 10_000
/** Most bytes of its answer. */
export const MAX_TOKEN_ANSWER_BYTES = 64 * 1024
/** From a failure to the next request. */
const PAUSE_MS = 1000
/** From a token that the sink refused back to when it was asked for, at least: the fault may not be the token's. */
const REFETCH_MS = 5000
/** A token is renewed so long before it ends, or when a quarter of its life is left. */
const RENEW_MS = 60_000
/** It is used until so long before it ends, or a tenth of its life: requests take time, and clocks differ. */
const LEEWAY_MS = 5000

interface Token {
  readonly value: string
  readonly askedAt: number
  readonly renewAt: number
  readonly endsAt: number
}

export class ClientCredentials implements Authorization {
  readonly files: readonly string[]
  readonly #options: ClientCredentialsOptions
  readonly #now: () => number
  readonly #closing = new AbortController()
  /** The URL without its query. */
  readonly #shown: string
  #secret = ''
  #token: Token | undefined
  #fetching: Promise<string | Outcome> | undefined
  #failure: { readonly at: number, readonly outcome: Outcome } | undefined

  constructor (options: ClientCredentialsOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.files = [options.settings.clientSecretFile]
    const { origin, pathname } = new URL(options.settings.tokenUrl)
    this.#shown = origin + pathname
  }

  /** A token that was given for the secret before stays: it is good for as long as it was. */
  async reload (): Promise<void> {
    this.#secret = await readSecret(this.#options.settings.clientSecretFile, parseClientSecret)
    this.#failure = undefined
  }

  value (): string | Promise<string | Outcome> {
    const now = this.#now()
    const token = this.#token
    if (token !== undefined && now < token.endsAt) {
      if (now >= token.renewAt && this.#failedLately(now) === undefined) void this.#fetch()
      return token.value
    }
    const failure = this.#failedLately(now)
    return failure === undefined ? this.#fetch() : Promise.resolve(failure)
  }

  refused (value: string): void {
    const token = this.#token
    // Others may have been sent with the same one and be answered only now, when there is a new one.
    if (token === undefined || token.value !== value || this.#now() - token.askedAt < REFETCH_MS) return
    this.#token = undefined
  }

  close (): void {
    this.#closing.abort()
  }

  #failedLately (now: number): Outcome | undefined {
    return this.#failure !== undefined && now - this.#failure.at < PAUSE_MS ? this.#failure.outcome : undefined
  }

  #fetch (): Promise<string | Outcome> {
    this.#fetching ??= this.#ask().finally(() => { this.#fetching = undefined })
    return this.#fetching
  }

  async #ask (): Promise<string | Outcome> {
    const { settings: { tokenUrl, clientId, scopes, audience }, timeoutMs, telemetry, sink } = this.#options
    const askedAt = this.#now()
    const body = new URLSearchParams({ grant_type: 'client_credentials' })
    if (scopes !== undefined) body.set('scope', scopes.join(' '))
    if (audience !== undefined) body.set('audience', audience)
    const headers = {
      authorization: `Basic ${Buffer.from(`${formEncode(clientId)}:${formEncode(this.#secret)}`).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json'
    }
    const bounds = { timeoutMs: Math.min(timeoutMs, TIMEOUT_MS), maxBytes: MAX_TOKEN_ANSWER_BYTES }
    const request = { method: 'POST', headers, body: body.toString() } as const
    const outcome = await fetchBounded(tokenUrl, request, bounds, this.#closing.signal)
    if (outcome.kind === 'failed') {
      return outcome.why === 'aborted' ? { kind: 'aborted' } : this.#failed(outcome.why, outcome.reason)
    }
    const answer = readTokenAnswer(outcome.status, outcome.body)
    if (answer.kind !== 'token') return this.#failed(answer.kind, answer.reason)

    const { lifetimeMs } = answer
    const token = {
      value: `Bearer ${answer.token}`,
      askedAt,
      renewAt: askedAt + lifetimeMs - Math.min(RENEW_MS, lifetimeMs / 4),
      endsAt: askedAt + lifetimeMs - Math.min(LEEWAY_MS, lifetimeMs / 10)
    }
    this.#failure = undefined
    this.#token = token
    telemetry.sinkTokenFetched(sink, { url: this.#shown, lifetimeMs })
    return token.value
  }

  #failed (why: TokenFailure, reason: string): Outcome {
    const { telemetry, sink } = this.#options
    const error = createError('MBS_ERR_SINK_TOKEN', { url: this.#shown, reason })
    telemetry.sinkTokenFailed(sink, error, why)
    const outcome: Outcome = { kind: 'network', code: error.code, reason: error.message, timedOut: why === 'timeout' }
    this.#failure = { at: this.#now(), outcome }
    return outcome
  }
}

/** As in a form, which is how credentials stand in `Basic` here [RFC 6749 2.3.1]. */
function formEncode (text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1)
}

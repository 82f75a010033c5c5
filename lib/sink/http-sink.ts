/**
 * Sends events to an HTTP sink: HTTP/1.1 with keep-alive, one request at a time per connection, no redirects. Between
 * delivery and the network. It decides nothing: what the answer means, and whether to try again, is delivery's.
 *
 * Invariants: every send resolves, at the latest `timeoutMs` after it began, and its request is then either answered or
 * given up for good: nothing is sent after the outcome is known. Nothing is sent without the credentials that the
 * settings ask for.
 */
import type { Dispatcher } from 'undici'
import { encode, type ContentMode, type HttpMessage } from '../cloudevent/encode.ts'
import type { Event } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { AuthSettings } from './authorization.ts'
import { Credentials } from './credentials.ts'
import { HttpAttempt, networkOutcome, type AfterUse } from './http-attempt.ts'
import { HttpConnections } from './http-connections.ts'
import type { HeaderSettings } from './request-headers.ts'
import { createTrust, readClientCertificate, type ClientCertificate } from './sink-tls.ts'
import { parseSinkUrl } from './sink-url.ts'
import type { AttemptSpan, AttemptTracer, CreateAttemptTracer, Outcome, Sink, SinkFiles } from './sink.ts'

export interface HttpSinkOptions {
  /** Names the sink's cursor and its metrics. */
  readonly name: string
  /** Where events are POSTed: http or https, without credentials. */
  readonly url: string
  readonly contentMode: ContentMode
  /** For a whole attempt: from `send`, over the connection, until the response has ended. */
  readonly timeoutMs: number
  /** At most so many connections, which is how many attempts can be under way; further ones wait. */
  readonly connections: number
  /** How long a connection is kept without a request. Below the 10 s after which Knative's ingress closes it. */
  readonly keepAliveMs: number
  /** Connections are replaced when they are this old, so that new pods behind an address get their share. */
  readonly socketMaxAgeMs: number
  /** PEM certificates trusted beside those that node trusts. */
  readonly ca: readonly string[]
  /** The header User-Agent. */
  readonly userAgent: string
  /** The header Kn-Namespace, which Knative's sources send where they know their namespace. */
  readonly kNamespace?: string
  /** Further headers. */
  readonly headers?: HeaderSettings | undefined
  /** What the header Authorization is made of. */
  readonly auth?: AuthSettings | undefined
  /** The paths of the certificate that the sink is shown, and of its key. */
  readonly clientCertificate?: ClientCertificate | undefined
  /** Makes spans of its requests; without it, there are none. */
  readonly attempts?: CreateAttemptTracer | undefined
  readonly telemetry: Telemetry
}

const TRACE_HEADER = /^trace(?:parent|state)$/i
const ABORTED: Outcome = { kind: 'aborted' }
const NOT_READ: Outcome = { kind: 'network', code: 'NOT_READ', reason: 'the files of the sink were not read', timedOut: false }

/**
 * Makes a sink over HTTP. Nothing is connected before the first event; its `files` have to be read before it.
 * @throws MBS_ERR_SINK_URL, MBS_ERR_SINK_CA
 */
export function createHttpSink (options: HttpSinkOptions): HttpSink {
  return new HttpSink(options)
}

export class HttpSink implements Sink {
  readonly name: string
  readonly destination: string
  readonly files: readonly SinkFiles[]
  readonly #path: string
  readonly #contentMode: ContentMode
  readonly #timeoutMs: number
  readonly #credentials: Credentials
  /** PEM texts, both. */
  #ca: readonly string[]
  #certificate: ClientCertificate | 'unread' | undefined
  readonly #connections: HttpConnections
  readonly #tracer: AttemptTracer | undefined
  /** False where the settings have headers of their own that say where a request stands in a trace. */
  readonly #tellsTrace: boolean
  /** Attempts that are not settled, in the order of their deadlines. */
  readonly #active = new Set<HttpAttempt>()
  /** Those of them that wait for a connection, the oldest first. */
  readonly #waiting: HttpAttempt[] = []
  readonly #watched = new WeakSet<AbortSignal>()
  #deadlineTimer: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined

  constructor (options: HttpSinkOptions) {
    const { origin, path, shown } = parseSinkUrl(options.url)
    const { connections, timeoutMs, keepAliveMs, socketMaxAgeMs } = options
    this.name = options.name
    this.destination = shown
    this.#path = path
    this.#contentMode = options.contentMode
    this.#timeoutMs = timeoutMs
    const { name: sink, headers = {}, auth = {}, userAgent, kNamespace, clientCertificate, telemetry } = options
    const own = { 'user-agent': userAgent, ...(kNamespace !== undefined && { 'kn-namespace': kNamespace }) }
    this.#credentials = new Credentials({ sink, destination: shown, own, headers, auth, timeoutMs, telemetry })
    this.#tracer = options.attempts?.(sink, shown)
    this.#tellsTrace = !Object.keys(headers).some((header) => TRACE_HEADER.test(header))
    const tlsFiles = clientCertificate === undefined ? [] : [this.#tlsFiles(clientCertificate)]
    this.files = [...this.#credentials.files, ...tlsFiles]
    this.#certificate = clientCertificate === undefined ? undefined : 'unread'
    this.#ca = options.ca
    const trust = createTrust(options.ca)
    this.#connections = new HttpConnections({ origin, connections, timeoutMs, keepAliveMs, socketMaxAgeMs, trust })
  }

  async send (event: Event, signal: AbortSignal): Promise<Outcome> {
    return await this.#try(() => encode(event, this.#contentMode), event, signal)
  }

  /**
   * Sends a message as it is, with the headers of the sink, which are added to it. Never rejects.
   * @param events what is in it
   */
  async post (message: HttpMessage, events: readonly Event[], signal: AbortSignal): Promise<Outcome> {
    return await this.#try(() => message, events, signal)
  }

  trust (ca: readonly string[]): void {
    const certificate = this.#certificate === 'unread' ? undefined : this.#certificate
    this.#connections.trust(createTrust(ca, certificate))
    this.#ca = ca
  }

  async close (): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  async #try (encoded: () => HttpMessage, of: Event | readonly Event[], signal: AbortSignal): Promise<Outcome> {
    if (this.#closing !== undefined || signal.aborted) return ABORTED
    const span = this.#tracer?.begin(of)
    let outcome: Outcome
    try {
      outcome = await this.#post(encoded(), span, signal)
    } catch (error) {
      outcome = networkOutcome(error)
    }
    span?.end(outcome)
    return outcome
  }

  async #post ({ headers, body }: HttpMessage, span: AttemptSpan | undefined, signal: AbortSignal): Promise<Outcome> {
    const deadline = performance.now() + this.#timeoutMs
    const own = this.#credentials.headers
    if (own === undefined || this.#certificate === 'unread') return NOT_READ
    for (const text of own) headers.push(text)
    if (span !== undefined && this.#tellsTrace) for (const text of span.headers) headers.push(text)
    let authorization = this.#credentials.authorization(signal)
    if (authorization !== undefined) {
      if (typeof authorization !== 'string') {
        const given = await authorization
        if (this.#closing !== undefined || signal.aborted) return ABORTED
        if (typeof given !== 'string') return given
        authorization = given
      }
      headers.push('authorization', authorization)
    }
    this.#watch(signal)
    const outcome = await this.#attempt({ method: 'POST', path: this.#path, headers, body }, signal, deadline)
    return this.#credentials.judge(outcome, authorization)
  }

  #tlsFiles (files: ClientCertificate): SinkFiles {
    return {
      kind: 'sink-tls',
      what: `client certificate of the sink ${this.name}`,
      files: [files.cert, files.key],
      reload: async () => {
        const certificate = await readClientCertificate(files)
        this.#connections.trust(createTrust(this.#ca, certificate))
        this.#certificate = certificate
      }
    }
  }

  #attempt (request: Dispatcher.DispatchOptions, signal: AbortSignal, deadline: number): Promise<Outcome> {
    return new Promise((resolve) => {
      const attempt = new HttpAttempt(request, signal, deadline, resolve, this.#settled)
      this.#active.add(attempt)
      if (this.#deadlineTimer === undefined) this.#armDeadline(Math.max(1, deadline - performance.now()))
      this.#waiting.push(attempt)
      this.#dispatch()
    })
  }

  /** Sends what waits, as far as there are connections. */
  readonly #dispatch = (): void => {
    while (this.#waiting.length > 0) {
      const connection = this.#connections.take()
      if (connection === undefined) return
      const attempt = this.#waiting.shift() as HttpAttempt
      attempt.connection = connection
      connection.dispatch(attempt.request, attempt)
    }
  }

  readonly #settled = (attempt: HttpAttempt, outcome: Outcome, afterUse: AfterUse): void => {
    this.#active.delete(attempt)
    if (attempt.connection === undefined) {
      this.#waiting.splice(this.#waiting.indexOf(attempt), 1)
    } else {
      this.#connections[afterUse](attempt.connection)
    }
    attempt.resolve(outcome)
    // Not at once: others may be about to settle in the same turn, and undici is still busy with the connection.
    if (this.#waiting.length > 0) queueMicrotask(this.#dispatch)
  }

  /** One listener per signal, not per event: delivery hands in the same one every time. */
  #watch (signal: AbortSignal): void {
    if (this.#watched.has(signal)) return
    this.#watched.add(signal)
    signal.addEventListener('abort', () => { this.#abortAll(signal) }, { once: true })
  }

  /** @param signal whose attempts; undefined: all */
  #abortAll (signal?: AbortSignal): void {
    for (const attempt of this.#active) {
      if (signal === undefined || attempt.signal === signal) attempt.abort()
    }
  }

  /** One timer for all attempts: it looks at the oldest, and then waits for the oldest of those that are left. */
  #armDeadline (delayMs: number): void {
    this.#deadlineTimer = setTimeout(() => {
      this.#deadlineTimer = undefined
      const now = performance.now()
      for (const attempt of this.#active) {
        if (attempt.deadline > now) break
        attempt.expire(this.#timeoutMs)
      }
      const [oldest] = this.#active
      if (oldest !== undefined) this.#armDeadline(Math.max(1, Math.ceil(oldest.deadline - now)))
    }, delayMs).unref()
  }

  async #close (): Promise<void> {
    clearTimeout(this.#deadlineTimer)
    this.#credentials.close()
    this.#abortAll()
    await this.#connections.close()
  }
}

/**
 * Sends events to an HTTP sink: HTTP/1.1 with keep-alive, one request at a time per connection, no redirects. Between
 * delivery and the network. It decides nothing: what the answer means, and whether to try again, is delivery's.
 *
 * Invariant: every send resolves, at the latest `timeoutMs` after it began, and its request is then either answered or
 * given up for good: nothing is sent after the outcome is known.
 */
import type { Dispatcher } from 'undici'
import { encode, type ContentMode } from '../cloudevent/encode.ts'
import type { Event } from '../message.ts'
import { HttpAttempt, networkOutcome, type AfterUse } from './http-attempt.ts'
import { HttpConnections } from './http-connections.ts'
import { createTrust } from './sink-tls.ts'
import { parseSinkUrl } from './sink-url.ts'
import type { Outcome, Sink } from './sink.ts'

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
}

/**
 * Makes a sink over HTTP. Nothing is connected before the first event.
 * @throws MBS_ERR_SINK_URL, MBS_ERR_SINK_CA
 */
export function createHttpSink (options: HttpSinkOptions): Sink {
  return new HttpSink(options)
}

class HttpSink implements Sink {
  readonly name: string
  readonly destination: string
  readonly #path: string
  readonly #contentMode: ContentMode
  readonly #timeoutMs: number
  readonly #ownHeaders: string[]
  readonly #connections: HttpConnections
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
    this.#ownHeaders = ['user-agent', options.userAgent]
    if (options.kNamespace !== undefined) this.#ownHeaders.push('kn-namespace', options.kNamespace)
    const trust = createTrust(options.ca)
    this.#connections = new HttpConnections({ origin, connections, timeoutMs, keepAliveMs, socketMaxAgeMs, trust })
  }

  async send (event: Event, signal: AbortSignal): Promise<Outcome> {
    if (this.#closing !== undefined || signal.aborted) return { kind: 'aborted' }
    try {
      const { headers, body } = encode(event, this.#contentMode)
      for (const text of this.#ownHeaders) headers.push(text)
      this.#watch(signal)
      return await this.#attempt({ method: 'POST', path: this.#path, headers, body }, signal)
    } catch (error) {
      return networkOutcome(error)
    }
  }

  trust (ca: readonly string[]): void {
    this.#connections.trust(createTrust(ca))
  }

  async close (): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  #attempt (request: Dispatcher.DispatchOptions, signal: AbortSignal): Promise<Outcome> {
    return new Promise((resolve) => {
      const deadline = performance.now() + this.#timeoutMs
      const attempt = new HttpAttempt(request, signal, deadline, resolve, this.#settled)
      this.#active.add(attempt)
      if (this.#deadlineTimer === undefined) this.#armDeadline(this.#timeoutMs)
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
    this.#abortAll()
    await this.#connections.close()
  }
}

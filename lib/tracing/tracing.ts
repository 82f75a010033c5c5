/**
 * Traces by OpenTelemetry, around the publish path and beside the sinks: source.ts puts its functions around those that
 * it hands on. Made only where traces are asked for; OpenTelemetry itself is loaded by `start` and by nothing else.
 *
 * Invariants: nothing waits for a trace, and nothing fails because of one; the context of a publish travels with its
 * event through the outbox, so that an attempt belongs to its publish whenever it happens.
 */
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'
import type { Event, Publish } from '../message.ts'
import type { AttemptSpan, AttemptTracer } from '../sink/sink.ts'
import type { ReloadKind } from '../telemetry/access-telemetry.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { ExportHeaders, type HeaderSettings } from './export-headers.ts'
import type { PublishSpan, Spans } from './spans.ts'

export interface TracingOptions {
  /** Where to POST the spans; without a path, `/v1/traces`. */
  readonly endpoint: string
  /** The share of traces that are recorded, of those that begin here. */
  readonly samplingRate: number
  readonly headers: HeaderSettings
  readonly serviceName: string
  /** For one request, and for all that are left in `close`. */
  readonly timeoutMs: number
  /** Names this program among others of the same service. */
  readonly instance: string
  /** Of Kubernetes. */
  readonly namespace: string | undefined
  /** True where events carry the extension `traceparent`. */
  readonly extension: boolean
  readonly telemetry: Telemetry
}

/** What becomes of a publish, before it is stored. */
type Mapped<L extends string> = Event | L | MbsError
type Mapper<L extends string> = (publish: Publish, id: string) => Mapped<L> | Promise<Mapped<L>>

/** What became of a publish. */
type Outcome = { readonly kind: 'stored' } | { readonly kind: 'refused', readonly error: MbsError }

/** The path that spans are POSTed to where an endpoint has none. */
const TRACES_PATH = '/v1/traces'
/** Of a request that began before tracing did, or after it: there is none. */
const NO_SPAN: AttemptSpan = { headers: [], end: () => {} }

export class Tracing {
  readonly #options: TracingOptions
  readonly #headers: ExportHeaders
  /** Of publishes that have no outcome yet. */
  readonly #open = new WeakMap<Publish, PublishSpan>()
  #spans: Spans | undefined

  constructor (options: TracingOptions) {
    this.#options = options
    this.#headers = new ExportHeaders(options.headers)
  }

  /** The files with headers, for who has them read again. */
  get files () {
    const { files } = this.#headers
    const kind: ReloadKind = 'tracing'
    return { kind, what: 'header files of tracing', files, reload: async () => { await this.#headers.reload() } }
  }

  /** Loads OpenTelemetry. @throws MBS_ERR_TRACING_HEADERS */
  async start (): Promise<void> {
    await this.#headers.reload()
    const { samplingRate, serviceName, telemetry } = this.#options
    const endpoint = endpointOf(this.#options.endpoint)
    const { Spans } = await import('./spans.ts')
    this.#spans = new Spans({ ...this.#options, endpoint: endpoint.href, headers: () => this.#headers.values })
    telemetry.tracingStarted({ endpoint: endpoint.origin + endpoint.pathname, samplingRate, serviceName })
  }

  /** Sends what is left, for `timeoutMs` at most. Idempotent; never rejects. */
  async close (): Promise<void> {
    const spans = this.#spans
    this.#spans = undefined
    await spans?.close()
  }

  /** A mapper whose events belong to the spans of their publishes. */
  mapper<L extends string> (map: Mapper<L>): Mapper<L> {
    const traced = (publish: Publish, mapped: Mapped<L>): Mapped<L> => {
      return typeof mapped === 'string' || isMbsError(mapped) ? mapped : this.#traced(publish, mapped)
    }
    return (publish, id) => {
      const mapped = map(publish, id)
      return mapped instanceof Promise ? mapped.then((made) => traced(publish, made)) : traced(publish, mapped)
    }
  }

  /** The publish path, which ends the span of each publish with its outcome. */
  publisher<O extends Outcome> (publish: (publish: Publish) => Promise<O>): (publish: Publish) => Promise<O> {
    return (publishing) => {
      const outcome = publish(publishing)
      void outcome.then((ended) => { this.#ended(publishing, ended) })
      return outcome
    }
  }

  /** Makes the spans of the requests of one sink. */
  readonly attempts = (sink: string, destination: string): AttemptTracer => {
    const url = new URL(destination)
    return {
      begin: (of) => this.#safely(() => this.#spans?.attempt({ sink, destination, url }, of)) ?? NO_SPAN
    }
  }

  #traced (publish: Publish, event: Event): Event {
    const span = this.#safely(() => this.#spans?.publish(publish, event))
    if (span === undefined) return event
    this.#open.set(publish, span)
    const { trace } = span
    const { extensions, handling } = event
    // Of an event that has made its way already, the extension says where that began [CE distributed tracing].
    const own = this.#options.extension && extensions['traceparent'] === undefined
    return { ...event, ...(own && { extensions: { ...extensions, ...trace } }), handling: { ...handling, trace } }
  }

  #ended (publish: Publish, outcome: Outcome): void {
    this.#safely(() => {
      const span = this.#open.get(publish)
      if (span !== undefined) span.end(outcome)
      else if (outcome.kind === 'refused') this.#spans?.publish(publish, undefined).end(outcome)
    })
  }

  #safely<T> (work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      this.#options.telemetry.unexpected(error, 'tracing')
      return undefined
    }
  }
}

/** @throws MBS_ERR_TRACING_EXPORT */
function endpointOf (text: string): URL {
  try {
    const url = new URL(text)
    if (url.pathname === '/') url.pathname = TRACES_PATH
    return url
  } catch (error) {
    throw createError('MBS_ERR_TRACING_EXPORT', { url: 'tracing.endpoint', reason: reasonOf(error) }, error)
  }
}

/**
 * Spans, by the conventions of OpenTelemetry for messaging, HTTP and CloudEvents (semantic conventions 1.37; messaging
 * and CloudEvents are still in development there). Loaded by tracing.ts where traces are asked for.
 *
 * A publish is a CONSUMER span: the program processes what a device has sent. Each request to a sink is a CLIENT span.
 * Nothing of a payload is in a span; texts that devices choose are cut.
 */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api'
import type { Attributes, Context, Span, SpanContext, Tracer } from '@opentelemetry/api'
import { parseTraceParent, TraceState } from '@opentelemetry/core'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { ParentBasedSampler, TracerProvider, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace'
import type { MbsError } from '../errors.ts'
import type { Event, Publish, TraceContext } from '../message.ts'
import type { AttemptSpan, Outcome } from '../sink/sink.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { VERSION } from '../version.ts'
import { LinkedSampler } from './linked-sampler.ts'
import { SpanExporter } from './span-exporter.ts'
import { SpanQueue } from './span-queue.ts'

export interface SpansOptions {
  /** Complete, with its path. */
  readonly endpoint: string
  readonly samplingRate: number
  readonly headers: () => Readonly<Record<string, string>>
  readonly serviceName: string
  readonly timeoutMs: number
  readonly instance: string
  readonly namespace: string | undefined
  readonly telemetry: Telemetry
}

export interface PublishSpan {
  /** Where it stands in its trace, recorded or not. */
  readonly trace: TraceContext
  /** The publish has its outcome. Once. */
  end (outcome: { readonly kind: 'stored' } | { readonly kind: 'refused', readonly error: MbsError }): void
}

/** What is the same for all requests of a sink. */
export interface AttemptTarget {
  readonly sink: string
  /** Without a query. */
  readonly destination: string
  readonly url: URL
}

/** Topics and client identifiers may be long, and thousands of spans may wait. */
const MAX_TEXT = 1024
const SCOPE = 'mqtt-broker-source'

export class Spans {
  readonly #queue: SpanQueue
  readonly #tracer: Tracer

  constructor (options: SpansOptions) {
    const { endpoint, samplingRate, headers, serviceName, timeoutMs, instance, namespace, telemetry } = options
    const exporter = new SpanExporter({ endpoint, headers, timeoutMs })
    this.#queue = new SpanQueue({ send: (spans, signal) => exporter.send(spans, signal), timeoutMs, telemetry })
    const provider = new TracerProvider({
      resource: resourceFromAttributes({
        'service.name': serviceName,
        'service.version': VERSION,
        'service.instance.id': instance,
        ...(namespace !== undefined && { 'k8s.namespace.name': namespace })
      }),
      sampler: new ParentBasedSampler({ root: new LinkedSampler(new TraceIdRatioBasedSampler(samplingRate)) }),
      spanLimits: { attributeValueLengthLimit: MAX_TEXT },
      spanProcessors: [this.#queue]
    })
    this.#tracer = provider.getTracer(SCOPE, VERSION)
  }

  /** Begins the span of a publish, at its arrival. @param event undefined: there is none, because it is refused */
  publish (publish: Publish, event: Event | undefined): PublishSpan {
    const attributes: Attributes = {
      'messaging.system': 'mqtt',
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'process',
      'messaging.destination.name': publish.topic,
      'messaging.client.id': publish.client.id,
      'messaging.message.body.size': publish.payload.length,
      'mqtt.qos': publish.qos,
      ...(publish.will && { 'mqtt.will': true }),
      ...(event !== undefined && eventAttributes(event))
    }
    const parent = event === undefined ? undefined : contextOf(event)
    const span = this.#tracer.startSpan(
      'publish', { kind: SpanKind.CONSUMER, startTime: publish.receivedAt, attributes }, under(parent)
    )
    return {
      trace: traceOf(span),
      end: (outcome) => {
        if (outcome.kind === 'refused') fail(span, outcome.error.code, outcome.error.message)
        // The clock that told its beginning.
        span.end(Math.max(publish.receivedAt, Date.now()))
      }
    }
  }

  /** Begins the span of a request. That of several events belongs to none of their traces, and has links to all. */
  attempt ({ sink, destination, url }: AttemptTarget, of: Event | readonly Event[]): AttemptSpan {
    const events = Array.isArray(of) ? of as readonly Event[] : [of as Event]
    const [first] = events
    const contexts = events.map(contextOf).filter((context) => context !== undefined)
    const alone = events.length === 1
    const attributes: Attributes = {
      'http.request.method': 'POST',
      'url.full': destination,
      'server.address': url.hostname.replace(/^\[(.*)\]$/, '$1'),
      'server.port': Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
      'mqtt_broker_source.sink': sink,
      ...(alone && first !== undefined ? eventAttributes(first) : { 'messaging.batch.message_count': events.length })
    }
    const links = alone ? [] : contexts.map((context) => ({ context }))
    const parent = alone ? contexts[0] : undefined
    const span = this.#tracer.startSpan(`deliver ${sink}`, { kind: SpanKind.CLIENT, attributes, links }, under(parent))
    const { traceparent, tracestate } = traceOf(span)
    return {
      headers: ['traceparent', traceparent, ...(tracestate === undefined ? [] : ['tracestate', tracestate])],
      end: (outcome) => {
        conclude(span, outcome)
        span.end()
      }
    }
  }

  async close (): Promise<void> {
    await this.#queue.shutdown()
  }
}

function eventAttributes ({ id, source, type, subject }: Event): Attributes {
  return {
    'cloudevents.event_id': id,
    'cloudevents.event_source': source,
    'cloudevents.event_spec_version': '1.0',
    'cloudevents.event_type': type,
    ...(subject !== undefined && { 'cloudevents.event_subject': subject })
  }
}

/** What an event belongs to: the span of its publish, or else what its own extension says. */
function contextOf ({ handling, extensions }: Event): SpanContext | undefined {
  const { traceparent, tracestate } = handling?.trace ?? extensions
  const context = typeof traceparent === 'string' ? parseTraceParent(traceparent) : null
  if (context === null) return undefined
  return {
    ...context,
    isRemote: true,
    ...(typeof tracestate === 'string' && { traceState: new TraceState(tracestate) })
  }
}

function under (parent: SpanContext | undefined): Context {
  return parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent)
}

function traceOf (span: Span): TraceContext {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext()
  const traceparent = `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`
  const tracestate = traceState?.serialize() ?? ''
  return tracestate === '' ? { traceparent } : { traceparent, tracestate }
}

function conclude (span: Span, outcome: Outcome): void {
  switch (outcome.kind) {
    case 'answer': {
      const { status } = outcome
      span.setAttribute('http.response.status_code', status)
      if (status < 200 || status > 299) fail(span, String(status), `status ${status}`)
      return
    }
    case 'network': return fail(span, outcome.timedOut ? 'timeout' : outcome.code, outcome.reason)
    case 'untried':
    case 'aborted': return fail(span, outcome.kind, 'given up at shutdown')
  }
}

function fail (span: Span, type: string, message: string): void {
  span.setAttribute('error.type', type)
  span.setStatus({ code: SpanStatusCode.ERROR, message: message.slice(0, MAX_TEXT) })
}

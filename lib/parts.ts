/**
 * The parts of a source as its settings ask for them: mapping, sinks, the transport of a listener. Used by source.ts,
 * which puts them together, and by maintenance.ts. Nothing is opened here.
 */
import { separateFamilies } from './config/addresses.ts'
import type { Config, ListenerConfig } from './config/schema.ts'
import { classify } from './delivery/classify.ts'
import { LifecycleEvents, type LifecycleEventsOptions } from './ingest/lifecycle-events.ts'
import { compileRules } from './mapping/event-rules.ts'
import { createLifecycleMapper } from './mapping/lifecycle-event.ts'
import { createMapper, type Mapper } from './mapping/mapper.ts'
import { createTransformer, type TransformerOptions } from './mapping/transformer.ts'
import type { Intake } from './outbox/outbox.ts'
import { createBatchSink } from './sink/batch-sink.ts'
import { createHttpSink, type HttpSink } from './sink/http-sink.ts'
import type { CreateAttemptTracer, Sink } from './sink/sink.ts'
import type { Telemetry } from './telemetry/telemetry.ts'
import { Tracing } from './tracing/tracing.ts'
import { VERSION } from './version.ts'

/** The names of the sinks: of their cursors on disk, and labels of their metrics. */
export const SINK_NAME = 'default'
export const DEAD_LETTER_SINK_NAME = 'dead-letters'

/** The header User-Agent of every request. */
export const USER_AGENT = `mqtt-broker-source/${VERSION}`

/** Life-cycle events that wait while the outbox holds take no more: thousands of them. */
const MAX_WAITING_LIFECYCLE_BYTES = 16 * 1024 * 1024

/** What nobody has to choose about transforms: they grow with the packets that may come. */
const TRANSFORMS = {
  /** A result may be so many times as large as a packet. */
  resultFactor: 4,
  /** Memory for the values of one evaluation: this, and so many times the largest packet. */
  memoryBytes: 64 * 1024 * 1024,
  memoryFactor: 16
} as const

/** Makes events of publishes. */
export interface EventMapper {
  readonly map: Mapper
  /** Ends what makes them beside this process. Idempotent. */
  close (): Promise<void>
}

/**
 * What publishes become, as a configuration says. Reads the files that its rules name.
 * @throws MBS_ERR_MAPPING_RULE, MBS_ERR_MAPPING_SCHEMA
 */
export function createEventMapper (
  { name, events: { rules, presets, overrides, extensions, transformTimeout }, limits: { packetBytes } }: Config,
  telemetry: TransformerOptions['telemetry'], tracing?: Tracing
): EventMapper {
  const compiled = compileRules(rules, presets)
  const transformer = createTransformer({
    timeoutMs: transformTimeout,
    resultBytes: packetBytes * TRANSFORMS.resultFactor,
    memoryBytes: TRANSFORMS.memoryBytes + packetBytes * TRANSFORMS.memoryFactor,
    telemetry,
    now: () => performance.now()
  })
  const some = compiled.size > 0 && { rules: compiled, transformer }
  // Where there are traces, they begin with the span of the publish.
  const switches = { ...extensions, beginTraces: tracing === undefined }
  const map = createMapper({ name, overrides: overrides.extensions, extensions: switches, ...some })
  return { map: tracing?.mapper(map) ?? map, close: () => transformer.close() }
}

/** Traces, as a configuration asks for them; undefined where it does not. */
export function createTracing (
  { name, namespace, tracing, events }: Config, telemetry: Telemetry
): Tracing | undefined {
  const { enabled, endpoint, samplingRate, headers, serviceName, timeout } = tracing
  if (!enabled || endpoint === undefined) return undefined
  return new Tracing({
    endpoint,
    samplingRate,
    headers,
    serviceName,
    timeoutMs: timeout,
    instance: name,
    namespace,
    extension: events.extensions.traceparent,
    telemetry
  })
}

/** What stores the life of clients as events; undefined where a configuration does not ask for it. */
export function createLifecycle (
  { name, events: { lifecycle, overrides, extensions } }: Config, outbox: Intake,
  inTurn: LifecycleEventsOptions['inTurn'], telemetry: Telemetry
): LifecycleEvents | undefined {
  if (lifecycle === undefined) return undefined
  const { events: kinds, source } = lifecycle
  const map = createLifecycleMapper({ name, overrides: overrides.extensions, sequence: !extensions.sequence, source })
  return new LifecycleEvents({ kinds, map, outbox, inTurn, maxWaitingBytes: MAX_WAITING_LIFECYCLE_BYTES, telemetry })
}

/** Where and how a listener listens. */
export function transportOf (listener: ListenerConfig, all: readonly ListenerConfig[]) {
  const { protocol, host, port, socket, socketMode, tls, path, origins, proxyProtocol } = listener
  return {
    protocol,
    host,
    port,
    ipv6Only: all.some((other) => other.port === port && separateFamilies(listener, other)),
    unixSocket: socket === undefined
      ? undefined
      : { path: socket, ...(socketMode !== undefined && { mode: Number.parseInt(socketMode, 8) }) },
    tls,
    webSocket: path === undefined ? undefined : { path, origins: origins ?? [] },
    proxyProtocol
  }
}

/** Where a sink is, and what it is told about who sends. */
type Target = Pick<Config['sink'], 'headers' | 'auth' | 'tls'> & { readonly url: string, readonly ca: readonly string[] }

type SinkSettings = Config['sink'] | Config['sinks'][number]

/** What is the same for all sinks. */
export interface SinkSurroundings {
  readonly telemetry: Telemetry
  /** Of Kubernetes, where it is known. */
  readonly namespace: string | undefined
  /** Makes spans of requests, where there are traces. */
  readonly attempts: CreateAttemptTracer | undefined
}

/** Where events go. @throws MBS_ERR_SINK_URL, MBS_ERR_SINK_CA */
export function eventSink (
  name: string, target: Target, settings: SinkSettings, connections: number, around: SinkSurroundings
): Sink {
  const http = httpSink(name, target, settings, connections, around)
  if (settings.contentMode !== 'batch') return http
  const { count, bytes, wait } = settings.batch
  return createBatchSink(http, { count, bytes, waitMs: wait, judge: classify, telemetry: around.telemetry })
}

/** Takes one event at a time. @throws MBS_ERR_SINK_URL, MBS_ERR_SINK_CA */
export function httpSink (
  name: string, target: Target, settings: SinkSettings, connections: number, around: SinkSurroundings
): HttpSink {
  const { telemetry, namespace, attempts } = around
  const { url, ca, headers, auth, tls } = target
  return createHttpSink({
    name,
    url,
    ca,
    headers,
    auth,
    clientCertificate: tls,
    connections,
    // Batches are for the sink that takes them: what goes alone, and to the dead-letter sink, is sent as usual.
    contentMode: settings.contentMode === 'batch' ? 'auto' : settings.contentMode,
    timeoutMs: settings.timeout,
    keepAliveMs: settings.keepAlive,
    socketMaxAgeMs: settings.socketMaxAge,
    userAgent: USER_AGENT,
    ...(namespace !== undefined && { kNamespace: namespace }),
    attempts,
    telemetry
  })
}

/**
 * The sinks of a configuration, each with what belongs to it: its dead-letter sink, its filter, how it is delivered to.
 * Used by source.ts, and by maintenance.ts for their names. Nothing is opened here.
 */
import type { Config } from './config/schema.ts'
import type { SinkDelivery } from './delivery/deliveries.ts'
import { eventFilter } from './mapping/event-filter.ts'
import type { Event } from './message.ts'
import { DEAD_LETTER_SINK_NAME, eventSink, httpSink, SINK_NAME, type SinkSurroundings } from './parts.ts'
import { CaSource } from './sink/ca-source.ts'
import { createDisplaySink } from './sink/display-sink.ts'
import type { CreateAttemptTracer, Sink } from './sink/sink.ts'
import type { Telemetry } from './telemetry/telemetry.ts'

type SinkSettings = Config['sinks'][number]
type DeadLetterSettings = NonNullable<Config['delivery']['deadLetterSink']>

/** A sink, or a dead-letter sink, and where the CA certificates come from that it trusts; none where it needs none. */
export interface Target {
  readonly sink: Sink
  readonly ca?: CaSource
}

export interface SinkParts {
  /** Where events are delivered to. */
  readonly deliveries: readonly SinkDelivery[]
  /** The names of sinks that are to get events and whose address is not known yet. */
  readonly awaited: readonly string[]
  /** What dead letters of no sink go through. */
  readonly mapping: Omit<SinkDelivery, 'sink'>
  /** All of them, and their dead-letter sinks, each once. */
  readonly targets: readonly Target[]
}

/**
 * The names of all sinks that are to get events; of their cursors on disk, and labels of their metrics. The one of the
 * section `sink` comes first.
 */
export function sinkNames ({ sink, sinks }: Config): readonly string[] {
  return [...(sink.kind === 'none' ? [] : [SINK_NAME]), ...sinks.map(({ name }) => name)]
}

/** @throws MBS_ERR_SINK_URL, MBS_ERR_SINK_CA */
export function createSinks (config: Config, telemetry: Telemetry, attempts?: CreateAttemptTracer): SinkParts {
  const around = { telemetry, namespace: config.namespace, attempts }
  const { sink, sinks, delivery } = config
  const lettersOf = (name: string, settings: DeadLetterSettings | undefined): Target | undefined =>
    settings && deadLetterTarget(name, settings, config, around)
  const deadLetters = lettersOf(DEAD_LETTER_SINK_NAME, delivery.deadLetterSink)
  const mapping = deliveryOf(config, {}, deadLetters?.sink)
  const targets: Target[] = deadLetters === undefined ? [] : [deadLetters]
  const deliveries: SinkDelivery[] = []
  const awaited: string[] = []

  const own = sink.kind === 'none' ? undefined : targetOf(SINK_NAME, sink, delivery.concurrency, config, around)
  if (own !== undefined) {
    targets.push(own)
    deliveries.push({ ...mapping, sink: own.sink, ...filterOf(sink) })
  } else if (sink.kind !== 'none') {
    awaited.push(SINK_NAME)
  }
  for (const settings of sinks) {
    const { name, delivery: more = {} } = settings
    const target = targetOf(name, settings, more.concurrency ?? delivery.concurrency, config, around)
    if (target === undefined) continue // the configuration allows no named sink without an address
    const letters = lettersOf(`${name}-dead-letters`, more.deadLetterSink)
    targets.push(target, ...(letters === undefined ? [] : [letters]))
    const deadLetterSink = letters?.sink ?? deadLetters?.sink
    deliveries.push({ ...deliveryOf(config, more, deadLetterSink), sink: target.sink, ...filterOf(settings) })
  }
  return { deliveries, awaited, mapping, targets }
}

/** Undefined: its address is not known yet. */
function targetOf (
  name: string, settings: Config['sink'] | SinkSettings, connections: number, config: Config, around: SinkSurroundings
): Target | undefined {
  const { kind, url } = settings
  if (kind === 'display') return { sink: createDisplaySink({ name, stream: process.stdout }) }
  if (url === undefined) return undefined
  const ca = caSource(settings, config, around.telemetry)
  return { sink: eventSink(name, { ...settings, url, ca: ca.read() }, settings, connections, around), ca }
}

/** One connection: dead letters are few and sent one after the other. */
function deadLetterTarget (
  name: string, settings: DeadLetterSettings, config: Config, around: SinkSurroundings
): Target {
  const ca = caSource(settings, config, around.telemetry)
  return { sink: httpSink(name, { ...settings, ca: ca.read() }, config.sink, 1, around), ca }
}

function caSource (
  { ca, caText }: { readonly ca?: string, readonly caText?: string }, { knative }: Config, telemetry: Telemetry
): CaSource {
  const texts = caText === undefined ? [] : [caText]
  return new CaSource({ file: ca, directory: knative.caDirectory, texts }, telemetry)
}

/** How a sink is delivered to: as `delivery` says where it says nothing itself. */
function deliveryOf (
  { delivery, events }: Config, more: NonNullable<SinkSettings['delivery']>, deadLetterSink: Sink | undefined
): Omit<SinkDelivery, 'sink'> {
  const { concurrency, retry, backoffPolicy, backoffDelay, backoffMax, retryAfterMax } = { ...delivery, ...more }
  return {
    ...(deadLetterSink === undefined ? {} : { deadLetterSink }),
    concurrency,
    retry,
    backoffPolicy,
    backoffDelayMs: backoffDelay,
    backoffMaxMs: backoffMax,
    retryAfterMaxMs: retryAfterMax,
    checkpointMs: delivery.checkpoint,
    deadLetterKeep: delivery.deadLetterKeep,
    supersede: events.rules.some(({ supersede }) => supersede !== undefined),
    sampledrate: events.extensions.sampledrate
  }
}

function filterOf ({ filter }: { readonly filter?: readonly unknown[] }): { filter?: (event: Event) => boolean } {
  return filter === undefined ? {} : { filter: eventFilter(filter) }
}

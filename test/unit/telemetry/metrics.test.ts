import { test } from 'tap'
import { createMetrics } from '../../../lib/telemetry/metrics.ts'
import type { Gauges } from '../../../lib/telemetry/telemetry.ts'
import { parseMetrics, sampleOf } from '../../support/prometheus.ts'

const PREFIX = 'mqtt_broker_source_'
const HISTOGRAM_COUNTS = ['store_seconds', 'publish_to_delivered_seconds']

const gauges: Gauges = {
  outbox: () => ({
    status: 'ready', events: 5, bytes: 1000, maxBytes: 4000, nextSequence: 9, deadLetters: 2, held: 3
  }),
  delivery: () => deliveryOf(() => Date.now() - 60_000),
  openPublishes: () => 7,
  inflightBytes: () => 8,
  broker: () => ({
    persistentSessions: 11,
    queuedMessages: 12,
    queuedBytes: 13,
    retainedMessages: 14,
    retainedBytes: 15,
    subscriptionBytes: 16
  })
}

function deliveryOf (oldestStoredAt: () => number | undefined) {
  return new Map([['a', { waiting: 4, inFlight: 1, oldestStoredAt: oldestStoredAt() }]])
}

async function read (metrics: ReturnType<typeof createMetrics>) {
  return parseMetrics(await metrics.registry.metrics())
}

test('every metric has HELP, TYPE and a name of its own, before anything has happened', async (t) => {
  const families = await read(createMetrics())
  t.ok(families.size > 30)
  for (const [name, { help, type }] of families) {
    t.match(type, /^(counter|gauge|histogram)$/, name)
    t.not(help, '', name)
  }
})

test('our metrics carry the prefix, counters end in _total, times are in seconds, sizes in bytes', async (t) => {
  const families = await read(createMetrics())
  const foreign = [...families.keys()].filter((name) => !/^(mqtt_broker_source|process|nodejs)_/.test(name))
  t.strictSame(foreign, [])
  for (const [name, { type }] of families) {
    if (!name.startsWith(PREFIX)) continue
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    if (type === 'histogram') t.match(name, /_seconds$/)
    t.notMatch(name, /_(ms|millis|kb|size|duration|age)(_|$)/, name)
  }
})

test('the buckets of a histogram ascend and end with the count', async (t) => {
  const metrics = createMetrics()
  for (const value of [0, 0.003, 40, 1e6]) {
    metrics.storeSeconds.observe(value)
    metrics.deliverySeconds.observe(value)
  }
  const families = await read(metrics)
  for (const name of HISTOGRAM_COUNTS) {
    const { samples } = families.get(PREFIX + name)!
    const buckets = [...samples].filter(([key]) => key.includes('_bucket')).map(([, value]) => value)
    t.strictSame(buckets, buckets.toSorted((a, b) => a - b), name)
    t.equal(buckets.at(-1), 4, name)
    t.equal(samples.get(`${PREFIX}${name}_count`), 4, name)
  }
})

test('what is counted on the hot path is read, not added again, at every scrape', async (t) => {
  const metrics = createMetrics()
  metrics.publishes[1] += 3
  metrics.stored += 2
  metrics.duplicates++
  metrics.held++
  metrics.lost++
  metrics.storeFailures++
  metrics.attempts('default').delivered += 2
  metrics.attempts('default').network++
  await read(metrics)
  metrics.stored++
  const families = await read(metrics)
  const value = (name: string) => sampleOf(families, PREFIX + name)
  t.equal(value('publishes_total{qos="0"}'), 0)
  t.equal(value('publishes_total{qos="1"}'), 3)
  t.equal(value('publishes_total{qos="2"}'), 0)
  t.equal(value('stored_total'), 3)
  t.equal(value('duplicates_total'), 1)
  t.equal(value('held_total'), 1)
  t.equal(value('lost_events_total'), 1)
  t.equal(value('store_failures_total'), 1)
  t.equal(value('delivery_attempts_total{sink="default",outcome="delivered"}'), 2)
  t.equal(value('delivery_attempts_total{sink="default",outcome="network"}'), 1)
  t.equal(value('delivery_attempts_total{sink="default",outcome="retry"}'), 0)
  t.equal(value('delivery_attempts_total{sink="default",outcome="refused"}'), 0)
})

test('gauges tell how outbox and delivery are when they are asked', async (t) => {
  const metrics = createMetrics()
  t.equal(sampleOf(await read(metrics), `${PREFIX}outbox_ready`), 0, 'not ready before there is an outbox')
  metrics.gauges = gauges
  const families = await read(metrics)
  const value = (name: string) => sampleOf(families, PREFIX + name)
  t.equal(value('outbox_events'), 5)
  t.equal(value('outbox_bytes'), 1000)
  t.equal(value('outbox_max_bytes'), 4000)
  t.equal(value('outbox_dead_letters'), 2)
  t.equal(value('outbox_ready'), 1)
  t.equal(value('publishes_held'), 3)
  t.equal(value('publishes_open'), 7)
  t.equal(value('delivery_waiting{sink="a"}'), 4)
  t.equal(value('delivery_in_flight{sink="a"}'), 1)
  const age = value('delivery_oldest_seconds{sink="a"}')!
  t.ok(age >= 60 && age < 120, `${age} s`)
})

test('a full or failed outbox is not ready; nothing waiting, or a clock set back, is an age of 0', async (t) => {
  const metrics = createMetrics()
  for (const status of ['full', 'failed', 'closed'] as const) {
    metrics.gauges = { ...gauges, outbox: () => ({ ...gauges.outbox(), status }) }
    t.equal(sampleOf(await read(metrics), `${PREFIX}outbox_ready`), 0, status)
  }
  metrics.gauges = { ...gauges, delivery: () => deliveryOf(() => undefined) }
  t.equal(sampleOf(await read(metrics), `${PREFIX}delivery_oldest_seconds{sink="a"}`), 0)
  metrics.gauges = { ...gauges, delivery: () => deliveryOf(() => Date.now() + 60_000) }
  t.equal(sampleOf(await read(metrics), `${PREFIX}delivery_oldest_seconds{sink="a"}`), 0)
})

test('two programs in one process count apart', async (t) => {
  const first = createMetrics()
  const second = createMetrics()
  first.stored++
  t.equal(sampleOf(await read(first), `${PREFIX}stored_total`), 1)
  t.equal(sampleOf(await read(second), `${PREFIX}stored_total`), 0)
})

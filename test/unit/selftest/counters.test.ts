import { test } from 'tap'
import { progressOf, readCounts, type Counts } from '../../../lib/selftest/counters.ts'
import { createMetrics } from '../../../lib/telemetry/metrics.ts'

const up = new Map([['default', 'up']])

/** A text of /metrics with these samples. */
function counts (samples: Readonly<Record<string, number>>): Counts {
  return readCounts(Object.entries(samples).map(([name, value]) => `mqtt_broker_source_${name} ${value}`).join('\n'))
}

const delivered = (sink = 'default') => `delivery_attempts_total{sink="${sink}",outcome="delivered"}`
const waiting = (sink = 'default') => `delivery_waiting{sink="${sink}"}`

test('reads what the registry of this program writes, by the names that it has', async (t) => {
  const metrics = createMetrics()
  metrics.stored = 7
  metrics.leftOut.filter = 2
  Object.assign(metrics.attempts('plant-b'), { delivered: 4, network: 3, retry: 2 })
  metrics.notDelivered('plant-b').expired = 1
  t.same(readCounts(await metrics.registry.metrics()), {
    stored: 7, leftOut: 2, setAside: 0, sinks: new Map([['plant-b', { taken: 4, failed: 5, passedOver: 1, waiting: 0, deadLettered: 0 }]])
  })
})

test('every metric that is read is one of this program', async (t) => {
  const names = createMetrics().registry.getMetricsAsArray().map(({ name }) => name)
  for (const name of ['stored_total', 'lifecycle_events_total', 'publishes_left_out_total', 'dead_lettered_total', 'delivery_waiting',
    'delivery_attempts_total', 'events_not_delivered_total']) t.ok(names.includes(`mqtt_broker_source_${name}`), name)
})

test('other metrics, comments and what is no sample count for nothing', async (t) => {
  t.same(readCounts('# HELP mqtt_broker_source_stored_total x\nother_stored_total 5\n<html>\n'),
    { stored: 0, leftOut: 0, setAside: 0, sinks: new Map() })
})

test('an event has gone on once nothing waits any more and something was taken since', async (t) => {
  const before = counts({ stored_total: 5, [delivered()]: 5 })
  const acknowledged = counts({ stored_total: 6, [delivered()]: 5, [waiting()]: 1 })
  t.match(progressOf(before, acknowledged, acknowledged, up), { kind: 'pending', reason: 'default is up, 1 event(s) wait for it' })
  const now = counts({ stored_total: 6, [delivered()]: 6, [waiting()]: 0 })
  t.same(progressOf(before, acknowledged, now, up), { kind: 'done', told: 'default took it' })
})

test('where there is always something waiting, as many have to go on as were there', async (t) => {
  const before = counts({ stored_total: 10, [delivered()]: 5, [waiting()]: 5 })
  const acknowledged = counts({ stored_total: 12, [delivered()]: 6, [waiting()]: 6 })
  const at = (taken: number) =>
    progressOf(before, acknowledged, counts({ stored_total: 40, [delivered()]: taken, [waiting()]: 9 }), up).kind
  t.equal(at(11), 'pending')
  t.equal(at(12), 'done')
})

test('events of sessions are among what was stored: the one of this session is not taken for the publish', async (t) => {
  const before = counts({ stored_total: 1, [waiting()]: 3 })
  const acknowledged = counts({ stored_total: 2, 'lifecycle_events_total{event="connected"}': 1, [waiting()]: 5 })
  const at = (taken: number) =>
    progressOf(before, acknowledged, counts({ stored_total: 2, [delivered()]: taken, [waiting()]: 5 - taken }), up).kind
  t.equal(at(4), 'pending')
  t.equal(at(5), 'done')
})

test('without an address of the sink it waits, which is no failure', async (t) => {
  const before = counts({})
  const now = counts({ stored_total: 1, [waiting()]: 1 })
  t.same(progressOf(before, now, now, new Map([['default', 'none']])),
    { kind: 'done', told: 'it waits in the outbox: default has no address yet' })
})

test('every sink has to have it, each in its way', async (t) => {
  const health = new Map([['a', 'up'], ['b', 'up'], ['c', 'none']])
  const before = counts({})
  const now = (b: string) => counts({ stored_total: 1, [delivered('a')]: 1, [b]: 1 })
  t.match(progressOf(before, now('x'), now('x'), health), { kind: 'pending', reason: /^b is up/ })
  t.same(progressOf(before, now('x'), now('events_not_delivered_total{sink="b",reason="filter"}'), health),
    { kind: 'done', told: 'a took it; b is not to get it: filtered, expired or superseded; it waits in the outbox: c has no address yet' })
})

test('a dead letter is a failure, of a sink and of the rule of the topic', async (t) => {
  const before = counts({ 'dead_lettered_total{sink="default",reason="answer"}': 1 })
  const refused = counts({ stored_total: 1, 'dead_lettered_total{sink="default",reason="answer"}': 2 })
  t.match(progressOf(before, refused, refused, up), { kind: 'failed', reason: /default refused it/ })
  const aside = counts({ stored_total: 1, 'dead_lettered_total{sink="mapping",reason="schema"}': 1 })
  t.match(progressOf(before, aside, aside, up), { kind: 'failed', reason: /the rule of its topic/ })
})

test('attempts that failed are told while it is waited for', async (t) => {
  const now = counts({ stored_total: 1, [waiting()]: 1, 'delivery_attempts_total{sink="default",outcome="network"}': 2 })
  t.match(progressOf(counts({}), now, now, new Map([['default', 'down']])),
    { kind: 'pending', reason: 'default is down, 1 event(s) wait for it, 2 attempt(s) failed' })
})

test('what a rule makes no event of is said, and what no counter knows is waited for', async (t) => {
  const before = counts({ 'publishes_left_out_total{reason="drop"}': 3 })
  const dropped = counts({ 'publishes_left_out_total{reason="drop"}': 4 })
  t.match(progressOf(before, dropped, dropped, up), { kind: 'done', told: /^no event: the rule/ })
  t.match(progressOf(before, before, before, up), { kind: 'pending', reason: /stored_total/ })
  t.match(progressOf(before, counts({ stored_total: 1 }), counts({ stored_total: 1 }), new Map()), { kind: 'pending', reason: /no sink/ })
})

import t, { test, type Test } from 'tap'
import { Deliveries, type DeliveriesOptions } from '../../../lib/delivery/deliveries.ts'
import { SharedTrim } from '../../../lib/delivery/shared-trim.ts'
import type { Event } from '../../../lib/message.ts'
import { FakeClock } from '../../support/delivery-clock.ts'
import { createEvent, createWatchedOutbox } from '../../support/delivery-rig.ts'
import { answer, ScriptedSink, unreachable } from '../../support/delivery-sink.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

t.jobs = 1

const SETTINGS = {
  concurrency: 8,
  retry: 3,
  backoffPolicy: 'exponential',
  backoffDelayMs: 200,
  backoffMaxMs: 30_000,
  retryAfterMaxMs: 300_000,
  checkpointMs: 1000,
  deadLetterKeep: 1000
} as const

/** Two sinks, `a` and `b`, behind one outbox. */
async function create (t: Test, options: Partial<DeliveriesOptions> & { readonly clock?: FakeClock } = {}) {
  const watched = await createWatchedOutbox(t)
  const { outbox } = watched
  const { clock = new FakeClock() } = options
  clock.busy = () => watched.pending() > 0
  const a = new ScriptedSink(clock, () => 202, { name: 'a' })
  const b = new ScriptedSink(clock, () => 202, { name: 'b' })
  const { telemetry } = createTestTelemetry('silent')
  const deliveries = new Deliveries({
    outbox, sinks: [{ ...SETTINGS, sink: a }, { ...SETTINGS, sink: b }], awaited: [], telemetry, ...options, clock
  })
  t.teardown(async () => {
    const closing = deliveries.close(0)
    await clock.pass(5000)
    await closing
  })
  const append = async (key: string, id: string, more: Partial<Event> = {}) =>
    await outbox.append({ ...createEvent(key, id), ...more })
  const drained = async () => {
    await clock.until(() => [...deliveries.stats().values()].every(({ waiting }) => waiting === 0))
  }
  return { ...watched, a, b, append, clock, deliveries, drained, telemetry }
}

void test('every sink gets every event, in its order', async (t) => {
  const { a, b, append, deliveries, drained } = await create(t)
  for (let i = 0; i < 50; i++) await append(`k${i % 3}`, `k${i % 3}-${i}`)
  await deliveries.start()
  await drained()
  for (const sink of [a, b]) {
    t.equal(new Set(sink.taken).size, 50)
    t.same(sink.takenOf('k1').map((id) => Number(id.slice(3))), Array.from({ length: 17 }, (_, i) => 3 * i + 1))
  }
})

void test('an event for one sink goes to that one, and to all where there is none of that name', async (t) => {
  const { a, b, append, clock, deliveries } = await create(t, { awaited: ['later'] })
  await append('k', 'k-0', { handling: { only: 'a' } })
  await append('k', 'k-1', { handling: { only: 'gone' } })
  await append('k', 'k-2', { handling: { only: 'later' } })
  await append('k', 'k-3')
  await deliveries.start()
  await clock.until(() => a.taken.length >= 3 && b.taken.length >= 2)
  t.same([a.taken, b.taken], [['k-0', 'k-1', 'k-3'], ['k-1', 'k-3']])
})

void test('a sink that is down holds back its own cursor only, and the log keeps what it needs', async (t) => {
  const { a, b, append, clock, deliveries, drained, outbox } = await create(t)
  let down = true
  b.script = () => down ? unreachable : 202
  await deliveries.start()
  for (let i = 0; i < 500; i++) await append('k', `k-${i}`)
  await clock.pass(60_000)
  t.equal(a.taken.length, 500)
  t.equal(b.taken.length, 0)
  t.same([...deliveries.states()], [['a', 'up'], ['b', 'down']])
  t.match(deliveries.stats().get('a'), { waiting: 0 })
  t.match(deliveries.stats().get('b'), { waiting: 500 })
  t.equal(outbox.stats().events, 500, 'nothing is trimmed')
  down = false
  await drained()
  t.same(b.taken, a.taken)
  await append('k', 'k-500')
  await clock.pass(5000)
  t.ok(outbox.stats().events < 500, `${outbox.stats().events} are kept`)
})

void test('each goes on where it was, also when one of them is new', async (t) => {
  const { a, b, append, clock, deliveries, drained, outbox, telemetry } = await create(t)
  await deliveries.start()
  await append('k', 'k-0')
  await drained()
  await deliveries.close(0)
  await append('k', 'k-1')
  const c = new ScriptedSink(clock, () => 202, { name: 'c' })
  const next = new Deliveries({
    outbox, sinks: [a, b, c].map((sink) => ({ ...SETTINGS, sink })), awaited: [], telemetry, clock
  })
  await next.start()
  await clock.until(() => [...next.stats().values()].every(({ waiting }) => waiting === 0))
  t.same([a.taken, b.taken, c.taken.at(-1)], [['k-0', 'k-1'], ['k-0', 'k-1'], 'k-1'])
  await next.close(0)
})

void test('an event is settled when the last of the sinks is done with it: taken, left out, or set aside', async (t) => {
  const { a, b, append, clock, deliveries } = await create(t)
  a.script = (event) => event.id === 'k-1' ? answer(400) : 202
  let down = true
  b.script = () => down ? 503 : 202
  await deliveries.start()
  const settled: string[] = []
  const wait = async (id: string) => {
    await deliveries.settled(await append('k', id))
    settled.push(id)
  }
  const waits = [wait('k-0'), wait('k-1')]
  await clock.pass(10_000)
  t.same(a.taken, ['k-0'])
  t.same(settled, [], 'one of them has it, the other one not')
  down = false
  await clock.until(() => settled.length === 2)
  await Promise.all(waits)
  await deliveries.settled(1)
  t.pass('and what is settled already is so at once')
})

void test('nothing is settled while a sink is awaited, and all is kept for it', async (t) => {
  const { append, clock, deliveries, outbox } = await create(t, { awaited: ['later'] })
  await deliveries.start()
  let settled = false
  void append('k', 'k-0').then((sequence) => deliveries.settled(sequence)).then(() => { settled = true })
  for (let i = 1; i < 100; i++) await append('k', `k-${i}`)
  await clock.pass(30_000)
  t.notOk(settled)
  t.equal(outbox.stats().events, 100)
  t.match(deliveries.stats().get('later'), { waiting: 100, inFlight: 0 })
  t.equal(deliveries.states().get('later'), 'none')
})

void test('each sink has its own dead letters and sends them to its own dead-letter sink', async (t) => {
  const clock = new FakeClock()
  const deadA = new ScriptedSink(clock, () => 202, { name: 'dead-a' })
  const deadB = new ScriptedSink(clock, () => 202, { name: 'dead-b' })
  const a = new ScriptedSink(clock, () => answer(400, undefined, 'not a'), { name: 'a' })
  const b = new ScriptedSink(clock, (event) => event.id === 'k-1' ? answer(422) : 202, { name: 'b' })
  const { append, deliveries, outbox } = await create(t, {
    clock,
    sinks: [{ ...SETTINGS, sink: a, deadLetterSink: deadA }, { ...SETTINGS, sink: b, deadLetterSink: deadB }]
  })
  await deliveries.start()
  for (let i = 0; i < 3; i++) await append('k', `k-${i}`)
  await clock.until(() => deadA.taken.length === 3 && deadB.taken.length === 1)
  t.same([deadA.taken, deadB.taken], [['k-0', 'k-1', 'k-2'], ['k-1']])
  t.same(deadB.events[0]?.extensions['knativeerrordest'], b.destination)
  const letters = await outbox.readDeadLetters(1, { events: 100, bytes: 1e9 })
  t.same(letters.map(({ sink, stored }) => `${sink} ${stored.event.id}`), ['a k-0', 'a k-1', 'b k-1', 'a k-2'])
})

void test('events that were set aside are forwarded, also those of an earlier run', async (t) => {
  const clock = new FakeClock()
  const dead = new ScriptedSink(clock, () => 202, { name: 'dead' })
  const mappingDeadLetters = { ...SETTINGS, deadLetterSink: dead }
  const { a, append, deliveries } = await create(t, { clock, mappingDeadLetters })
  const handling = { aside: { reason: 'missing', detail: 'no field' } } as const
  await append('k', 'k-0', { handling })
  await deliveries.start()
  deliveries.setAside(await append('k', 'k-1', { handling }), { ...createEvent('k', 'k-1'), handling })
  await append('k', 'k-2')
  await clock.until(() => dead.taken.length === 2 && a.taken.length === 1)
  t.same([dead.taken, a.taken], [['k-0', 'k-1'], ['k-2']])
  t.match(dead.events[1]?.extensions, {
    knativeerrordest: 'mapping', knativeerrorcode: 422, knativeerrordata: Buffer.from('no field').toString('base64')
  })
})

void test('the log is trimmed up to the last of the cursors, each time it moves', async (t) => {
  const trims: number[] = []
  let failing = false
  const trim = new SharedTrim({
    async trim (before) {
      if (failing) throw new Error('disk')
      trims.push(before)
    }
  }, ['a', 'b'])
  await trim.saved('a', 10)
  t.same(trims, [], 'the other one has saved nothing')
  await trim.saved('b', 4)
  await trim.saved('b', 4)
  await trim.saved('a', 20)
  t.same(trims, [4])
  failing = true
  await t.rejects(trim.saved('b', 12))
  failing = false
  await trim.saved('a', 21)
  t.same(trims, [4, 12], 'what failed is made up for')
})

import { test } from 'tap'
import { forwardedEvent } from '../../../lib/delivery/dead-letters.ts'
import type { DeadLetter } from '../../../lib/message.ts'
import { FakeClock } from '../../support/delivery-clock.ts'
import { createEvent, createRig, createWatchedOutbox } from '../../support/delivery-rig.ts'
import { answer, ScriptedSink, unreachable } from '../../support/delivery-sink.ts'

/** A rig whose sink refuses the events of the key `bad`, with a dead-letter sink. */
async function createDeadRig (t: Parameters<typeof createRig>[0], options: Parameters<typeof createRig>[1] = {}) {
  const clock = options.clock ?? new FakeClock()
  const deadLetterSink = new ScriptedSink(clock, () => 202, { name: 'dead' })
  const rig = await createRig(t, { ...options, clock, deadLetterSink })
  rig.sink.script = (event) => event.partitionKey === 'bad' ? answer(422, undefined, 'not this') : 202
  return { ...rig, deadLetterSink }
}

const letterOf = (more: Partial<DeadLetter> = {}): DeadLetter => ({
  stored: { sequence: 1, storedAt: 0, event: createEvent('a', 'a-0') },
  sink: 'default',
  reason: 'answer',
  attempts: 1,
  code: 400,
  destination: 'http://sink.test/',
  data: Buffer.from('why'),
  diedAt: 0,
  ...more
})

void test('the forwarded event is the event with the three attributes of Knative', async (t) => {
  const { extensions, ...rest } = forwardedEvent(letterOf())
  const { extensions: own, ...event } = createEvent('a', 'a-0')
  t.same(rest, event)
  t.same(extensions, {
    ...own,
    knativeerrordest: 'http://sink.test/',
    knativeerrorcode: 400,
    knativeerrordata: Buffer.from('why').toString('base64')
  })
})

void test('knativeerrordata is base64 of at most 1024 characters, and left out where there is nothing', async (t) => {
  const long = forwardedEvent(letterOf({ data: Buffer.alloc(5000, 7) }))
  t.equal(String(long.extensions['knativeerrordata']).length, 1024)
  t.notOk('knativeerrordata' in forwardedEvent(letterOf({ data: Buffer.alloc(0) })).extensions)
})

void test('dead letters are forwarded in order, and marked', async (t) => {
  const { append, clock, deadLetterSink, deadLetters, dispatcher, drained, sink } = await createDeadRig(t)
  const ids = await append('bad', 5)
  await dispatcher.start()
  await drained()
  await clock.until(() => deadLetterSink.taken.length === 5)
  await clock.pass(100)
  t.same(deadLetterSink.taken, ids)
  t.match(deadLetterSink.events[0]?.extensions, { knativeerrordest: sink.destination, knativeerrorcode: 422 })
  const letters = await deadLetters()
  t.equal(letters.length, 5, 'and stay on disk')
  t.ok(letters.every(({ forwardedAt = 0, diedAt }) => forwardedAt >= diedAt && forwardedAt > clock.epoch))
})

void test('a network failure is code 500 with its reason', async (t) => {
  const { append, clock, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 1 })
  sink.script = (event) => event.partitionKey === 'bad' ? unreachable : 202
  await dispatcher.start()
  await append('bad')
  for (let i = 0; i < 50; i++) {
    await append('good')
    await clock.pass(100)
  }
  await drained()
  const [letter] = await deadLetters()
  t.match(letter, { reason: 'attempts', code: 500 })
  t.equal(letter?.data.toString(), unreachable.kind === 'network' ? unreachable.reason : '')
})

void test('a dead-letter sink that is down is tried for ever, in order, with its own backoff', async (t) => {
  const { append, clock, deadLetterSink, deadLetters, dispatcher, drained, lines } = await createDeadRig(t)
  let up = false
  deadLetterSink.script = () => up ? 202 : answer(503, 1000)
  const ids = await append('bad', 3)
  await append('good', 3)
  await dispatcher.start()
  await drained(10_000)
  await clock.pass(86_400_000)
  t.same(new Set(deadLetterSink.attempts.map(({ id }) => id)), new Set([ids[0]]))
  t.ok(deadLetterSink.attempts.length > 2000)
  const first = deadLetterSink.attempts.slice(0, 2)
  t.ok((first[1]?.startedAt ?? 0) - (first[0]?.endedAt ?? 0) >= 1000, 'Retry-After is heard')
  t.ok((await deadLetters()).every(({ forwardedAt }) => forwardedAt === undefined))
  t.ok(lines.of('the dead-letter sink did not take a dead letter; it stays on disk').length > 0)
  up = true
  await clock.until(() => deadLetterSink.taken.length === 3)
  t.same(deadLetterSink.taken, ids)
})

void test('what the dead-letter sink refuses stays, and is offered again after a restart', async (t) => {
  const outbox = await createWatchedOutbox(t)
  const first = await createDeadRig(t, { outbox })
  first.deadLetterSink.script = (event) => event.id === 'bad-1' ? 400 : 202
  await first.append('bad', 3)
  await first.dispatcher.start()
  await first.clock.until(() => first.deadLetterSink.attempts.length === 3)
  await first.clock.pass(3_600_000)
  t.equal(first.deadLetterSink.attempts.length, 3, 'once')
  t.same((await first.deadLetters()).map(({ forwardedAt }) => forwardedAt === undefined), [false, true, false])
  await first.dispatcher.close(0)

  const second = await createDeadRig(t, { outbox })
  await second.dispatcher.start()
  await second.clock.until(() => second.deadLetterSink.taken.length > 0)
  await second.clock.pass(60_000)
  t.same(second.deadLetterSink.taken, ['bad-1'])
})

void test('forwarded ones beyond deadLetterKeep are deleted, oldest first; others never', async (t) => {
  const outbox = await createWatchedOutbox(t)
  const rig = await createDeadRig(t, { outbox, deadLetterKeep: 2 })
  const { append, clock, deadLetterSink, deadLetters, dispatcher } = rig
  deadLetterSink.script = (event) => event.id === 'bad-0' ? 400 : 202
  await append('bad', 6)
  await dispatcher.start()
  await clock.until(() => deadLetterSink.attempts.length === 6)
  await clock.pass(1000)
  t.same((await deadLetters()).map(({ stored }) => stored.event.id), ['bad-0', 'bad-4', 'bad-5'])
  await dispatcher.close(0)

  const stricter = await createDeadRig(t, { outbox, deadLetterKeep: 0 })
  stricter.deadLetterSink.script = () => 503
  await stricter.dispatcher.start()
  await stricter.clock.pass(1000)
  t.same((await stricter.deadLetters()).map(({ stored }) => stored.event.id), ['bad-0'], 'also those of earlier runs')
})

void test('an event that died twice because of a crash is not deleted before it is forwarded again', async (t) => {
  const outbox = await createWatchedOutbox(t)
  const first = await createDeadRig(t, { outbox, checkpointMs: 1e9 })
  await first.append('bad', 2)
  await first.dispatcher.start()
  await first.clock.until(() => first.deadLetterSink.taken.length === 2)
  await first.clock.pass(100)

  // The process is gone before it saved its cursor: both events are sent, refused and kept again.
  const second = await createDeadRig(t, { outbox, deadLetterKeep: 2 })
  second.deadLetterSink.script = (event) => event.id === 'bad-0' ? 400 : 202
  await second.append('bad', 2)
  await second.dispatcher.start()
  await second.clock.until(() => second.deadLetterSink.attempts.length === 4)
  await second.clock.pass(1000)
  t.same((await second.deadLetters()).map(({ stored, forwardedAt }) => [stored.event.id, forwardedAt !== undefined]),
    [['bad-0', false], ['bad-2', true], ['bad-3', true]])
})

void test('without a dead-letter sink they are kept, however many', async (t) => {
  const { append, clock, deadLetters, dispatcher, drained, sink } = await createRig(t, { deadLetterKeep: 1 })
  sink.script = () => 400
  await append('bad', 5)
  await dispatcher.start()
  await drained()
  await clock.pass(10_000)
  t.equal((await deadLetters()).length, 5)
})

void test('closing ends the forwarding, also in the middle of a wait or of an attempt', async (t) => {
  const waiting = await createDeadRig(t)
  waiting.deadLetterSink.script = () => 503
  await waiting.append('bad')
  await waiting.dispatcher.start()
  await waiting.clock.until(() => waiting.deadLetterSink.attempts.length > 5)
  await waiting.dispatcher.close(0)

  const busy = await createDeadRig(t)
  busy.deadLetterSink.latencyMs = 1e9
  await busy.append('bad')
  await busy.dispatcher.start()
  await busy.clock.until(() => busy.deadLetterSink.inFlight === 1)
  await busy.dispatcher.close(0)
  t.equal(busy.deadLetterSink.inFlight, 0)
  t.same((await busy.deadLetters()).map(({ forwardedAt }) => forwardedAt), [undefined])
})

void test('an outbox that fails does not end the forwarding', async (t) => {
  const { append, clock, deadLetterSink, deadLetters, dispatcher, outbox } = await createDeadRig(t)
  outbox.failing.add('readDeadLetters')
  await append('bad')
  await dispatcher.start()
  await clock.pass(5000)
  t.same(deadLetterSink.attempts, [])
  outbox.failing.clear()
  await clock.until(() => deadLetterSink.taken.length === 1)
  await clock.pass(100)
  t.ok((await deadLetters())[0]?.forwardedAt)
})

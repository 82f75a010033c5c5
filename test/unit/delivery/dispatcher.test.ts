import t, { test } from 'tap'
import { FakeClock } from '../../support/delivery-clock.ts'
import { createRig, createWatchedOutbox } from '../../support/delivery-rig.ts'
import { answer, BatchingSink, ScriptedSink, unreachable } from '../../support/delivery-sink.ts'
import { seededRandom } from '../../support/random.ts'

t.jobs = 1

const DAY_MS = 86_400_000

void test('delivers what is stored, each key in its order, keys at the same time', async (t) => {
  const { append, dispatcher, drained, sink } = await createRig(t)
  const ids = [...await append('a', 50), ...await append('b', 50), ...await append('c', 1)]
  await dispatcher.start()
  await drained()
  t.same(new Set(sink.taken), new Set(ids))
  t.equal(sink.taken.length, ids.length, 'nothing twice')
  for (const key of ['a', 'b', 'c']) t.same(sink.takenOf(key), ids.filter((id) => id.startsWith(key)))
  t.same(sink.overlapped, [], 'one attempt at a time within a key')
  t.equal(sink.mostInFlight, 3)
})

void test('delivers what is stored while it runs', async (t) => {
  const { append, clock, dispatcher, drained, sink } = await createRig(t)
  await dispatcher.start()
  await clock.pass(5000)
  const [id] = await append('a')
  await drained()
  t.same(sink.taken, [id])
  t.ok((sink.attempts[0]?.endedAt ?? 0) - 5000 < 20, 'at once')
})

void test('never has more attempts under way than its concurrency', async (t) => {
  const { append, dispatcher, drained, sink } = await createRig(t, { concurrency: 4 })
  for (let i = 0; i < 20; i++) await append(`k${i}`, 3)
  await dispatcher.start()
  await drained()
  t.equal(sink.mostInFlight, 4)
})

void test('a refused event is a dead letter at once, and its lane goes on', async (t) => {
  const { append, deadLetters, dispatcher, drained, sink } = await createRig(t)
  sink.script = (event) => event.id === 'a-1' ? answer(400, undefined, 'no such thing') : 202
  await append('a', 3)
  await dispatcher.start()
  await drained()
  t.same(sink.taken, ['a-0', 'a-2'])
  const [letter, ...more] = await deadLetters()
  t.same(more, [])
  t.match(letter, { reason: 'answer', attempts: 1, code: 400, destination: sink.destination, stored: { sequence: 2 } })
  t.equal(letter?.data.toString(), 'no such thing')
  t.equal(letter?.forwardedAt, undefined)
})

void test('a poison event among healthy ones is set aside after retry + 1 attempts', async (t) => {
  const { append, clock, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 4 })
  sink.script = (event) => event.id === 'bad-0' ? 503 : 202
  await append('good0')
  await dispatcher.start()
  await drained()
  await append('bad', 2)
  for (let i = 0; i < 200; i++) {
    await append(`good${i % 5}`)
    await clock.pass(100)
  }
  await drained()
  t.match(await deadLetters(), [{ reason: 'attempts', attempts: 5, code: 503, stored: { event: { id: 'bad-0' } } }])
  t.equal((await deadLetters()).length, 1)
  t.ok(sink.taken.includes('bad-1'), 'the lane goes on')
  t.equal(sink.taken.length, 202)
  const waits = sink.of('bad-0').map((attempt, i, all) => attempt.startedAt - (all[i - 1]?.endedAt ?? 0)).slice(1)
  for (const [n, wait] of waits.entries()) {
    t.ok(wait >= 0.8 * 200 * 2 ** n && wait <= 200 * 2 ** n + 120, `retry ${n} after ${wait} ms`)
  }
  t.equal(dispatcher.state, 'up')
})

void test('no event is set aside for a single failure, whatever retry says: an outage may have begun', async (t) => {
  const { append, clock, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 0 })
  sink.script = (event, attempt) => event.id === 'once-0' && attempt === 1 ? 503 : event.id === 'bad-0' ? 503 : 202
  await append('good')
  await dispatcher.start()
  await drained()
  await append('once')
  await append('bad')
  for (let i = 0; i < 30; i++) {
    await append('good')
    await clock.pass(100)
  }
  t.match(await deadLetters(), [{ attempts: 2, stored: { event: { id: 'bad-0' } } }])
  t.ok(sink.taken.includes('once-0'))
})

void test('two poison lanes are both set aside with one healthy device that sends now and then', async (t) => {
  const { append, clock, deadLetters, dispatcher, drained, sink } = await createRig(t)
  sink.script = (event) => event.id === 'bad-0' || event.id === 'worse-0' ? 503 : 202
  await append('bad')
  await append('worse')
  await dispatcher.start()
  for (let i = 0; i < 60; i++) {
    await append('good')
    await clock.pass(60_000)
  }
  t.same((await deadLetters()).map((letter) => [letter.stored.event.id, letter.reason]),
    [['bad-0', 'attempts'], ['worse-0', 'attempts']])
  t.equal(sink.takenOf('good').length, 60)
  await drained()
  const latency = sink.attempts.filter(({ key }) => key === 'good').map(({ startedAt }) => startedAt % 60_000)
  t.ok(Math.max(...latency) < 500, 'the healthy device never waited for the others')
})

void test('a sink that is down for two days costs no event its attempts', async (t) => {
  const { append, clock, deadLetters, dispatcher, drained, lines, sink } =
    await createRig(t, { retry: 2, checkpointMs: 60_000 })
  sink.script = () => clock.now() < 2 * DAY_MS ? unreachable : 202
  await dispatcher.start()
  const ids: string[] = []
  for (let i = 0; i < 100; i++) ids.push(...await append(`k${i % 40}`))
  await clock.pass(DAY_MS)
  t.equal(dispatcher.state, 'down')
  for (let i = 0; i < 100; i++) ids.push(...await append(`k${i % 40}`))
  await clock.until(() => dispatcher.state === 'up', 2 * DAY_MS)
  await drained()
  t.same(await deadLetters(), [])
  t.same([...sink.taken].sort(), ids.sort())
  for (let i = 0; i < 40; i++) t.same(sink.takenOf(`k${i}`), ids.filter((id) => id.startsWith(`k${i}-`)).sort(byNumber))
  t.ok(sink.attempts.length < 2 * 2 * DAY_MS / 24_000 + 500, 'a probe, and at most one comparison, per capped backoff')
  t.equal(lines.of('the sink takes nothing: probing it with one event at a time, nothing is lost').length, 1)
  t.equal(lines.of('the sink takes events again').length, 1)
})

void test('while down it sends one event at a time, and returns to full concurrency by doubling', async (t) => {
  const { append, clock, dispatcher, drained, sink } = await createRig(t, { concurrency: 16 })
  let up = false
  sink.script = () => up ? 202 : 503
  for (let i = 0; i < 64; i++) await append(`k${i}`, 5)
  await dispatcher.start()
  await clock.until(() => dispatcher.state === 'down')
  await clock.until(() => sink.inFlight === 0)
  sink.mostInFlight = 0
  await clock.pass(120_000)
  t.equal(sink.mostInFlight, 1, 'one probe at a time')
  const before = sink.attempts.length
  up = true
  sink.latencyMs = 100
  await drained()
  const seen = new Map<number, number>()
  for (const { startedAt } of sink.attempts.slice(before)) seen.set(startedAt, (seen.get(startedAt) ?? 0) + 1)
  t.ok((seen.values().next().value ?? 0) === 1, 'first one')
  const rounds = [...seen.values()].slice(1, 4)
  for (const [i, started] of rounds.entries()) t.ok(started <= 2 ** (i + 1), `round ${i}: ${started}`)
  t.ok(Math.max(...seen.values()) > 8, 'in the end many')
})

void test('the longer of backoff and Retry-After is waited for on 429 and 503', async (t) => {
  const { append, dispatcher, drained, sink } = await createRig(t, { retryAfterMaxMs: 60_000 })
  const answers = [answer(429, 5000), answer(503, 7000), answer(500, 9000), answer(429, 1e9), answer(202)]
  sink.script = (_, attempt) => answers[attempt - 1] ?? 202
  await append('a')
  await dispatcher.start()
  await drained()
  const waits = sink.attempts.map((attempt, i) => attempt.startedAt - (sink.attempts[i - 1]?.endedAt ?? 0)).slice(1)
  t.equal(waits.length, 4)
  const [first = 0, second = 0, third = 0, fourth = 0] = waits
  t.ok(first >= 5000 && first < 5100, `429: ${first}`)
  t.ok(second >= 7000 && second < 7100, `503: ${second}`)
  t.ok(third < 1000, `not on 500: ${third}`)
  t.ok(fourth >= 60_000 && fourth < 60_100, `capped: ${fourth}`)
})

void test('a poison event alone, with others behind it in its lane, is set aside by comparison', async (t) => {
  const { append, deadLetters, dispatcher, drained, sink } = await createRig(t)
  sink.script = (event) => event.id === 'a-0' ? 503 : 202
  await append('a', 5)
  await dispatcher.start()
  await drained()
  const [letter] = await deadLetters()
  t.match(letter, { reason: 'attempts', code: 503, stored: { event: { id: 'a-0' } } })
  t.same(sink.taken, ['a-1', 'a-2', 'a-3', 'a-4'])
  t.ok((letter?.attempts ?? 0) >= 11, `after ${letter?.attempts} attempts`)
  const end = sink.attempts.map(({ id }) => id).lastIndexOf('a-0') + 1
  t.same(sink.attempts.slice(end - 7, end).map(({ id, status }) => `${id} ${status}`), [
    'a-0 503', 'a-1 202', 'a-0 503', 'a-2 202', 'a-0 503', 'a-3 202', 'a-0 503'
  ], 'it fails once more after each of three that were taken')
  t.ok((sink.attempts[end - 1]?.endedAt ?? 0) - (sink.attempts[end - 7]?.startedAt ?? 0) < 100, 'at once')
})

void test('several poison events in a row at the head of the only lane are set aside', async (t) => {
  const { append, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 3 })
  sink.script = (event) => ['a-0', 'a-1', 'a-2'].includes(event.id) ? 503 : 202
  const [, , , ...healthy] = await append('a', 12)
  await dispatcher.start()
  await drained()
  t.same((await deadLetters()).map((letter) => letter.stored.event.id), ['a-0', 'a-1', 'a-2'])
  t.same(sink.taken, healthy, 'the others in their order')
})

void test('a run of poison events is set aside together, so that two events behind it are enough', async (t) => {
  const { append, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 3 })
  sink.script = (event) => ['a-0', 'a-1', 'a-2'].includes(event.id) ? 503 : 202
  await append('a', 5)
  await dispatcher.start()
  await drained()
  const letters = await deadLetters()
  t.same(letters.map((letter) => letter.stored.event.id), ['a-0', 'a-1', 'a-2'])
  t.same(letters.map(({ reason }) => reason), ['attempts', 'attempts', 'attempts'])
  t.same(sink.taken, ['a-3', 'a-4'])
  for (const { stored: { event: { id } }, attempts } of letters) {
    t.equal(attempts, sink.of(id).length, `${id}: all its attempts are told`)
  }
  const end = sink.attempts.findIndex(({ id, status }) => id === 'a-3' && status === 202)
  t.same(sink.attempts.slice(end).map(({ id, status }) => `${id} ${status}`), [
    'a-3 202', 'a-0 503', 'a-1 503', 'a-2 503', 'a-4 202', 'a-0 503', 'a-1 503', 'a-2 503'
  ], 'each fails again after each that was taken')
  t.same(sink.overlapped, [])
})

void test('an event of such a run that the sink takes after all is no dead letter', async (t) => {
  const { append, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 3 })
  sink.script = (event, attempt) => event.id === 'a-0' || (event.id === 'a-1' && attempt === 1) ? 503 : 202
  await append('a', 5)
  await dispatcher.start()
  await drained()
  t.same((await deadLetters()).map((letter) => letter.stored.event.id), ['a-0'])
  t.same(sink.taken, ['a-2', 'a-1', 'a-3', 'a-4'])
})

void test('an event of such a run that the sink refuses for good is a dead letter for that', async (t) => {
  const { append, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 3 })
  sink.script = (event, attempt) => event.id === 'a-0' ? 503 : event.id === 'a-1' ? (attempt === 1 ? 503 : 400) : 202
  await append('a', 4)
  await dispatcher.start()
  await drained()
  t.match(await deadLetters(), [
    { stored: { event: { id: 'a-0' } }, reason: 'attempts' }, { stored: { event: { id: 'a-1' } }, reason: 'answer', code: 400 }
  ])
})

void test('a run of a hundred poison events is crossed, and the events behind it arrive', async (t) => {
  const { append, clock, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 3 })
  sink.script = (event) => Number(event.id.slice(2)) < 100 ? 503 : 202
  await append('a', 140)
  await dispatcher.start()
  await clock.until(() => sink.taken.length > 0, DAY_MS)
  t.ok(clock.now() < 1_800_000, `the first of them after ${Math.round(clock.now() / 1000)} s`)
  await drained(DAY_MS)
  t.equal((await deadLetters()).length, 100)
  t.equal(new Set(sink.taken).size, 40)
})

void test('one event behind a poison event is enough to set it aside', async (t) => {
  const { append, deadLetters, dispatcher, drained, sink } = await createRig(t)
  sink.script = (event) => event.id === 'a-0' ? unreachable : 202
  await append('a', 2)
  await dispatcher.start()
  await drained()
  t.match(await deadLetters(), [{ reason: 'attempts', code: 500, stored: { event: { id: 'a-0' } } }])
  t.same(sink.taken, ['a-1'])
})

void test('an event behind a head that is refused in a comparison is a dead letter, and the head stays', async (t) => {
  const { append, clock, deadLetters, dispatcher, sink } = await createRig(t, { retry: 2 })
  sink.script = (event) => event.id === 'a-0' ? 503 : 400
  await append('a', 2)
  await dispatcher.start()
  await clock.pass(DAY_MS)
  t.match(await deadLetters(), [{ reason: 'answer', code: 400, attempts: 1, stored: { event: { id: 'a-1' } } }])
  t.equal((await deadLetters()).length, 1, 'a refusal proves nothing against the head')
  t.equal(dispatcher.stats().waiting, 1)
})

void test('a poison event with nothing behind it stays, and the next event of another key is taken at once', async (t) => {
  const { append, clock, deadLetters, dispatcher, sink } = await createRig(t)
  sink.script = (event) => event.partitionKey === 'bad' ? 503 : 202
  await append('bad')
  await dispatcher.start()
  await clock.pass(DAY_MS)
  t.same(await deadLetters(), [])
  t.equal(dispatcher.stats().waiting, 1)
  const before = clock.now()
  await append('good')
  await clock.until(() => sink.taken.length === 1)
  t.ok(clock.now() - before < 50)
  await clock.pass(50)
  t.equal(sink.of('bad-0').at(-1)?.startedAt, sink.of('good-0')[0]?.endedAt, 'and the failure is held against it')
})

void test('a comparison that fails too is an outage: nothing counts', async (t) => {
  const { append, clock, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 1 })
  let up = false
  sink.script = () => up ? 202 : 503
  const ids = await append('a', 3)
  await dispatcher.start()
  await clock.pass(DAY_MS / 4)
  t.ok(sink.of('a-1').length > 10, 'compared often')
  t.same(await deadLetters(), [])
  up = true
  await drained()
  t.same(await deadLetters(), [])
  t.same(sink.taken, ids, 'in order: heads find out first that the sink is back')
})

void test('a fleet of poison heads does not keep the reader from the healthy events behind them', async (t) => {
  const limits = {
    loadedEvents: 64, loadedBytes: 1e6, laneEvents: 4, laneBytes: 1e5, downEvents: 8, failingLanes: 100, lookAhead: 1e4
  }
  const { append, clock, deadLetters, dispatcher, sink } = await createRig(t, { retry: 3, limits })
  sink.script = (event) => event.partitionKey.startsWith('bad') ? 503 : 202
  for (let i = 0; i < 300; i++) await append(`bad${i}`)
  await append('good', 50)
  await dispatcher.start()
  await clock.until(() => sink.taken.length === 50, DAY_MS)
  for (let i = 0; i < 200; i++) {
    await append('good')
    await clock.pass(10_000)
  }
  t.equal((await deadLetters()).length, 300)
})

void test('a fleet in which every device begins with a poison event is freed by comparisons', async (t) => {
  const { append, deadLetters, dispatcher, drained, sink } = await createRig(t, { retry: 2, checkpointMs: 60_000 })
  sink.script = (event) => event.id.endsWith('-0') ? 503 : 202
  for (let i = 0; i < 200; i++) await append(`k${i}`, 4)
  await dispatcher.start()
  await drained(DAY_MS)
  t.equal((await deadLetters()).length, 200)
  t.equal(sink.taken.length, 600)
})

void test('close lets attempts finish within the grace, and starts none', async (t) => {
  const { append, clock, dispatcher, sink } = await createRig(t)
  sink.latencyMs = 1000
  await append('a', 2)
  await dispatcher.start()
  await clock.until(() => sink.inFlight === 1)
  const closing = dispatcher.close(5000)
  t.equal(dispatcher.close(1), closing, 'closing twice is closing once')
  let closed = false
  void closing.then(() => { closed = true })
  await clock.until(() => closed)
  t.same(sink.taken, ['a-0'])
  t.ok(clock.now() < 1100)
})

void test('close gives up attempts after the grace; they are sent again after the next start', async (t) => {
  const rig = await createRig(t)
  rig.sink.latencyMs = 1e9
  await rig.append('a', 2)
  await rig.dispatcher.start()
  await rig.clock.until(() => rig.sink.inFlight === 1)
  const begun = rig.clock.now()
  let closed = false
  void rig.dispatcher.close(5000).then(() => { closed = true })
  await rig.clock.until(() => closed)
  t.equal(rig.clock.now() - begun, 5000)
  t.equal(rig.sink.inFlight, 0)
  t.same(await rig.deadLetters(), [])

  const again = await createRig(t, { outbox: rig.outbox })
  await again.dispatcher.start()
  await again.drained()
  t.same(again.sink.taken, ['a-0', 'a-1'])
})

void test('close saves the cursor, but does not pass an event that could not be kept as dead letter', async (t) => {
  const outbox = await createWatchedOutbox(t)
  const { append, clock, dispatcher, sink } = await createRig(t, { outbox, checkpointMs: 1e9 })
  sink.script = (event) => event.id === 'a-1' ? 400 : 202
  outbox.failing.add('putDeadLetter')
  await append('a', 2)
  await dispatcher.start()
  await clock.until(() => sink.attempts.length === 2)
  const closing = dispatcher.close(100)
  await clock.pass(5000)
  await closing
  t.equal((await outbox.outbox.loadCursor(sink.name))?.lowest, 2)
})

void test('close before start, start after close and a second start do nothing', async (t) => {
  const { append, clock, dispatcher, sink } = await createRig(t)
  await append('a')
  await dispatcher.close(10)
  await dispatcher.start()
  await clock.pass(1000)
  t.same(sink.attempts, [])
  const other = await createRig(t)
  await other.append('a')
  t.equal(other.dispatcher.start(), other.dispatcher.start())
  await other.drained()
  t.same(other.sink.taken, ['a-0'])
})

void test('after a crash only what was sent since the last checkpoint is sent again', async (t) => {
  const outbox = await createWatchedOutbox(t)
  const first = await createRig(t, { outbox, checkpointMs: 1000 })
  // The head of one lane is blocked, so that everything else is delivered beyond it.
  first.sink.script = (event) => event.id === 'blocked-0' ? unreachable : 202
  await first.append('blocked', 3)
  for (let i = 0; i < 300; i++) await first.append(`k${i % 7}`)
  await first.dispatcher.start()
  await first.clock.pass(1500)
  t.equal(first.sink.taken.length, 300)
  const atCheckpoint = new Set(first.sink.taken)
  await first.append('late', 5)
  await first.clock.pass(200)
  t.equal(first.sink.taken.length, 305, 'delivered, not yet saved')

  // No close: the process is gone. A new one finds what was saved.
  const second = await createRig(t, { outbox, clock: new FakeClock() })
  await second.dispatcher.start()
  await second.drained()
  t.same(second.sink.taken.filter((id) => atCheckpoint.has(id)), [], 'nothing from before the checkpoint')
  t.same(second.sink.takenOf('blocked'), ['blocked-0', 'blocked-1', 'blocked-2'])
  t.same(second.sink.takenOf('late').length, 5, 'at least once')
})

void test('the log is trimmed behind the cursor and not before it', async (t) => {
  const { append, clock, dispatcher, outbox, sink } = await createRig(t)
  sink.script = (event) => event.id === 'a-3' ? 503 : 202
  for (let i = 0; i < 6; i++) await append('a')
  await dispatcher.start()
  await clock.pass(2000)
  const page = await outbox.outbox.read(1, { events: 10, bytes: 1e6 })
  t.ok(page.events.some(({ event }) => event.id === 'a-3'))
  t.equal((await outbox.outbox.loadCursor(sink.name))?.lowest, 4)
  t.ok(outbox.calls.includes('trim'))
})

void test('a hundred thousand events behind a blocked head are kept as numbers while other lanes flow', async (t) => {
  const { append, clock, dispatcher, drained, outbox, sink } = await createRig(t, { checkpointMs: 10_000 })
  let blocked = true
  sink.latencyMs = 1
  sink.script = (event) => blocked && event.id === 'hot-0' ? unreachable : 202
  const hot: string[] = []
  for (let i = 0; i < 10; i++) {
    hot.push(...await append('hot', 10_000))
    for (let j = 0; j < 50; j++) await append(`k${j}`)
  }
  await dispatcher.start()
  await clock.until(() => sink.taken.length === 500, 60_000)
  t.same(sink.takenOf('hot'), [])
  t.equal(dispatcher.stats().waiting, 100_000)
  blocked = false
  await drained()
  t.same(sink.takenOf('hot'), hot, 'and come in their order')
  t.equal(sink.taken.length, 100_500)
  t.ok(outbox.calls.filter((call) => call === 'readMany').length < 1000, 'fetched in batches')
})

void test('reading goes no further than the look-ahead beyond the lowest undelivered event', async (t) => {
  const limits = {
    loadedEvents: 50, loadedBytes: 1e6, laneEvents: 4, laneBytes: 1e6, downEvents: 10, failingLanes: 100, lookAhead: 200
  }
  const { append, clock, dispatcher, drained, sink } = await createRig(t, { limits, retry: 1000 })
  let blocked = true
  sink.script = (event) => blocked && event.id === 'hot-0' ? 503 : 202
  await append('hot')
  for (let i = 0; i < 100; i++) for (let j = 0; j < 5; j++) await append(`k${j}`)
  await dispatcher.start()
  await clock.pass(5000)
  t.equal(sink.taken.length, 199)
  blocked = false
  await drained()
  t.equal(sink.taken.length, 501)
})

void test('an outbox that fails is asked again, and nothing is lost', async (t) => {
  const { append, clock, deadLetters, dispatcher, drained, lines, outbox, sink } = await createRig(t)
  sink.script = (event) => event.id === 'a-1' ? 400 : 202
  outbox.failing.add('read').add('readMany').add('saveCursor').add('trim').add('putDeadLetter')
  await append('a', 200)
  await dispatcher.start()
  await clock.pass(5000)
  t.same(sink.attempts, [])
  outbox.failing.delete('read')
  await clock.pass(5000)
  t.same(sink.taken, ['a-0'], 'a-1 is not passed before it is kept')
  outbox.failing.delete('putDeadLetter')
  await clock.pass(5000)
  outbox.failing.clear()
  await drained()
  t.equal(sink.taken.length, 199)
  t.same((await deadLetters()).map(({ stored }) => stored.event.id), ['a-1'])
  await clock.pass(1000)
  t.equal((await outbox.outbox.loadCursor(sink.name))?.lowest, 201)
  t.ok(lines.of('unexpected failure: read the outbox').length > 0)
})

void test('a head that cannot be read any more is passed, also as a probe or behind one', async (t) => {
  const watched = await createWatchedOutbox(t)
  const { outbox } = watched
  const damaged = new Set<number>()
  const readMany: typeof outbox.readMany = async (sequences) =>
    (await outbox.readMany(sequences)).filter(({ sequence }) => !damaged.has(sequence))
  const partly = Object.create(outbox, { readMany: { value: readMany } }) as typeof outbox
  const { append, clock, deadLetters, dispatcher, drained, sink } =
    await createRig(t, { outbox: { ...watched, outbox: partly }, retry: 1 })
  let up = false
  sink.script = () => up ? 202 : unreachable
  await append('a', 3)
  await append('b', 3)
  await dispatcher.start()
  await clock.until(() => dispatcher.state === 'down')
  damaged.add(1)
  damaged.add(5)
  await clock.pass(3_600_000)
  up = true
  await drained()
  t.same(new Set(sink.taken), new Set(['a-1', 'a-2', 'b-0', 'b-2']))
  t.same(await deadLetters(), [])
})

void test('a sink that throws, or gives up unasked, is tried again', async (t) => {
  const clock = new FakeClock()
  const sink = new ScriptedSink(clock)
  const { append, dispatcher, drained } = await createRig(t, { clock, sink })
  sink.script = (_, attempt) => {
    if (attempt === 1) throw new Error('broken')
    return attempt === 2 ? { kind: 'aborted' } : 202
  }
  await append('a')
  await dispatcher.start()
  await drained()
  t.same(sink.taken, ['a-0'])
})

void test('tells what waits, what is under way and how old the oldest is', async (t) => {
  const { append, clock, dispatcher, drained, sink } = await createRig(t)
  sink.latencyMs = 100
  sink.script = (event, attempt) => event.id === 'a-0' && attempt === 1 ? 503 : 202
  t.equal(dispatcher.oldestStoredAt(), undefined)
  const before = Date.now()
  await append('a', 2)
  await append('b')
  await dispatcher.start()
  await clock.until(() => sink.inFlight === 2)
  t.same(dispatcher.stats(), { waiting: 3, inFlight: 2 })
  await clock.until(() => sink.attempts.length >= 2)
  t.same(dispatcher.stats(), { waiting: 2, inFlight: 0 })
  const oldest = dispatcher.oldestStoredAt() ?? 0
  t.ok(oldest >= before && oldest <= Date.now())
  await drained()
  t.equal(dispatcher.oldestStoredAt(), undefined)
  t.same(dispatcher.stats(), { waiting: 0, inFlight: 0 })
})

function byNumber (a: string, b: string): number {
  return Number(a.split('-')[1]) - Number(b.split('-')[1])
}

void test('a sink that takes batches gets several events of a key at a time, in order, each once', async (t) => {
  const clock = new FakeClock()
  const sink = new BatchingSink(clock)
  const { append, drained, dispatcher } = await createRig(t, { clock, sink })
  const ids = [...await append('a', 95), ...await append('b', 3)]
  await dispatcher.start()
  await drained()
  t.equal(sink.taken.length, ids.length)
  for (const key of ['a', 'b']) t.same(sink.takenOf(key), ids.filter((id) => id.startsWith(key)))
  t.ok(sink.runs.length <= 12 && Math.max(...sink.runs) === 10, String(sink.runs))
  t.same(sink.overlapped, [])
})

void test('of several events sent together those before the first failure are delivered, it is tried again, no other moves', async (t) => {
  const clock = new FakeClock()
  const sink = new BatchingSink(clock)
  const { append, deadLetters, drained, dispatcher } = await createRig(t, { clock, sink })
  sink.script = (event, attempt) => event.id === 'a-4' && attempt === 1 ? 503 : event.id === 'a-7' ? answer(400) : 202
  const ids = await append('a', 12)
  await append('b', 1)
  await dispatcher.start()
  await drained()
  t.same(sink.takenOf('a'), ids.filter((id) => id !== 'a-7'))
  t.equal(sink.of('a-4').length, 2)
  t.equal(sink.taken.length, 12, 'nothing twice')
  t.same((await deadLetters()).map(({ stored }) => stored.event.id), ['a-7'])
})

void test('random failures with batches: order within a key, every event once taken or a dead letter', async (t) => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = seededRandom(seed)
    const clock = new FakeClock()
    const sink = new BatchingSink(clock)
    const { append, deadLetters, drained, dispatcher } = await createRig(t, { clock, sink, retry: 100, concurrency: 3 })
    let down = false
    sink.script = () => {
      const die = random()
      return down ? unreachable : die < 0.05 ? 503 : die < 0.07 ? answer(422) : 202
    }
    await dispatcher.start()
    for (let round = 0; round < 20; round++) {
      await append(`k${Math.floor(random() * 6)}`, 1 + Math.floor(random() * 30))
      // Between probes only: what follows an event that failed may overtake it where the outage ends just then.
      if (random() < 0.2) down = !down
      if (random() < 0.5) await clock.pass(Math.floor(random() * 2000))
    }
    down = false
    await drained(100_000_000)
    const dead = (await deadLetters()).map(({ stored }) => stored.event.id)
    t.equal(new Set([...sink.taken, ...dead]).size, sink.taken.length + dead.length, `seed ${seed}`)
    for (let key = 0; key < 6; key++) {
      const order = sink.takenOf(`k${key}`).map((id) => Number(id.split('-')[1]))
      t.same(order, [...order].sort((a, b) => a - b), `seed ${seed} key ${key}`)
    }
    t.same(sink.overlapped, [], `seed ${seed}`)
  }
})

void test('what has failed in a batch is sent alone: a poison event costs its neighbors no attempts', async (t) => {
  const clock = new FakeClock()
  const sink = new BatchingSink(clock)
  const { append, deadLetters, drained, dispatcher } = await createRig(t, { clock, sink, retry: 3 })
  let batches = 0
  const isPoison = (event: { readonly id: string }) => event.id === 'bad-0'
  // As a sink does that stores a batch whole or not at all.
  sink.sendAll = async (events, signal) => {
    const together = batches++ < 9 ? 503 : 202
    if (together === 503) return events.map(() => answer(503))
    return await BatchingSink.prototype.sendAll.call(sink, events, signal)
  }
  sink.script = (event) => isPoison(event) ? 503 : 202
  await append('bad', 1)
  for (let key = 0; key < 8; key++) await append(`good${key}`, 20)
  await dispatcher.start()
  for (let round = 0; round < 60; round++) {
    await append(`good${round % 8}`, 1)
    await clock.pass(1000)
  }
  await drained()
  t.same((await deadLetters()).map(({ stored }) => stored.event.id), ['bad-0'])
  t.equal(sink.taken.length, 220)
})

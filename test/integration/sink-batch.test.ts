/** Several events in one request: what goes together, and what follows when a sink does not take it. */
import { connectAsync } from 'mqtt'
import { test } from 'tap'
import { decode } from '../../lib/cloudevent/decode.ts'
import { encodeJson } from '../../lib/cloudevent/encode.ts'
import { createSource } from '../../lib/index.ts'
import type { Event } from '../../lib/message.ts'
import { PAUSE_MS } from '../../lib/sink/batch-sink.ts'
import { event } from '../support/http-sink-events.ts'
import { batchSink, noAbort } from '../support/http-sink-client.ts'
import { startHttpSink, type HttpSink, type ReceivedRequest } from '../support/http-sink.ts'
import { createTestTelemetry } from '../support/log-lines.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'

/** Events with these ids. */
const events = (...ids: string[]): Event[] => ids.map((id) => event({ id }))
const numbered = (key: string, count: number): Event[] => events(...Array.from({ length: count }, (_, at) => `${key}${at}`))

/** The requests, each as its mode and the ids in it. */
const seen = ({ requests }: HttpSink) => requests.map((request) => `${request.mode}: ${idsIn(request).join(' ')}`)
const idsIn = (request: ReceivedRequest) => request.events().map(({ id }) => id)

const statuses = (outcomes: ReadonlyArray<{ kind: string, status?: number }>) =>
  outcomes.map(({ kind, status }) => status ?? kind)

/** Answers by the ids of a request: 400 where one is bad. */
const refusing = (...bad: string[]) => (request: ReceivedRequest) =>
  ({ status: idsIn(request).some((id) => bad.includes(id)) ? 400 : 202 })

test('calls that come within the wait go into one request, in their order, and each has its outcomes', async (t) => {
  const server = await startHttpSink(t)
  const sink = batchSink(t, server.url, { waitMs: 50 })
  t.same(sink.batch, { count: 10, bytes: 100_000 })
  const begin = performance.now()
  const outcomes = await sink.sendAll(events('a', 'b'), noAbort())
  t.ok(performance.now() - begin >= 49, 'it waited for more')
  t.same(outcomes, Array(2).fill({ kind: 'answer', status: 202, body: Buffer.alloc(0) }))
  const { signal } = new AbortController()
  const [first, second, third] = await Promise.all([
    sink.sendAll(events('1', '2'), signal), sink.sendAll(events('3'), signal), sink.sendAll(events('4', '5', '6'), signal)
  ])
  t.same([first.length, second.length, third.length], [2, 1, 3])
  t.same(seen(server), ['batch: a b', 'batch: 1 2 3 4 5 6'])
  const [request] = server.requests
  t.equal(request?.header('content-type'), 'application/cloudevents-batch+json; charset=utf-8')
  t.equal(request?.header('content-length'), String(request?.body.length))
  t.same(decode(request!.rawHeaders, request!.body), events('a', 'b').map(({ partitionKey: _, ...rest }) => rest))
  t.same(await sink.sendAll([], noAbort()), [])
})

test('an event that is sent by itself goes into no batch and waits for none', async (t) => {
  const server = await startHttpSink(t)
  const sink = batchSink(t, server.url, { waitMs: 60_000 })
  const { signal } = new AbortController()
  const waiting = sink.sendAll(events('1', '2'), signal)
  t.match(await sink.send(event({ id: '3' }), signal), { kind: 'answer', status: 202 })
  t.same(seen(server).length, 1)
  await sink.close()
  t.same(statuses(await waiting), ['aborted', 'aborted'])
})

test('nothing waits once enough is there, by number or by size', async (t) => {
  const server = await startHttpSink(t)
  const size = encodeJson(event({ id: '1' })).length
  const { signal } = new AbortController()
  const full = batchSink(t, server.url, { count: 3, waitMs: 60_000 })
  await Promise.all([full.sendAll(events('1', '2'), signal), full.sendAll(events('3'), signal)])
  // Brackets and commas count: three would be one byte too many.
  const large = batchSink(t, server.url, { bytes: 3 * size + 3, waitMs: 60_000 })
  const [sent, waiting] = [large.sendAll(events('4', '5'), signal), large.sendAll(events('6', '7'), signal)]
  t.same(statuses(await sent), [202, 202])
  t.same(seen(server), ['batch: 1 2 3', 'batch: 4 5'])
  await large.close()
  t.same(statuses(await waiting), ['aborted', 'aborted'])
  const exact = batchSink(t, server.url, { bytes: 3 * size + 4, waitMs: 60_000 })
  await Promise.all([exact.sendAll(events('1', '2'), signal), exact.sendAll(events('3'), signal)])
  t.equal(server.requests.at(-1)?.body.length, 3 * size + 4)
})

test('a call that fits into no batch is sent in several, one after the other', async (t) => {
  const server = await startHttpSink(t)
  const sink = batchSink(t, server.url, { count: 4, waitMs: 0 })
  const outcomes = await sink.sendAll(numbered('e', 10), noAbort())
  t.same(statuses(outcomes), Array(10).fill(202))
  t.same(seen(server), ['batch: e0 e1 e2 e3', 'batch: e4 e5 e6 e7', 'batch: e8 e9'])
  server.script({}, { status: 503 })
  t.same(statuses(await sink.sendAll(numbered('f', 10), noAbort())), [
    202, 202, 202, 202, 503, 503, 503, 503, 'untried', 'untried'
  ])
  t.equal(server.requests.length, 5, 'nothing is sent behind what was not taken')
})

test('an event that is larger than a batch may be goes alone, in its turn', async (t) => {
  const server = await startHttpSink(t)
  const sink = batchSink(t, server.url, { bytes: 1024, waitMs: 0 })
  const large = event({ id: 'large', data: Buffer.from(JSON.stringify('x'.repeat(2000))) })
  await sink.sendAll([...events('1'), large, ...events('2', '3')], noAbort())
  t.same(seen(server), ['batch: 1', 'binary: large', 'batch: 2 3'])
  server.script({}, { status: 413 })
  t.same(statuses(await sink.sendAll([...events('4'), large, ...events('5')], noAbort())), [202, 413, 'untried'])
})

test('what may pass holds for all events of a batch', async (t) => {
  const server = await startHttpSink(t)
  const sink = batchSink(t, server.url, { waitMs: 5 })
  const { signal } = new AbortController()
  for (const status of [404, 408, 429, 500, 503]) {
    server.script({ status, headers: { 'retry-after': '7' } })
    const outcomes = await Promise.all([sink.sendAll(events('1', '2'), signal), sink.sendAll(events('3'), signal)])
    for (const outcome of outcomes.flat()) t.match(outcome, { kind: 'answer', status, retryAfterMs: 7000 })
  }
  server.script({ instead: 'drop' })
  for (const outcome of await sink.sendAll(events('1', '2'), signal)) t.match(outcome, { kind: 'network' })
  t.equal(server.requests.length, 6)
})

test('a batch that is refused is sent again as single events, each call as far as it is taken', async (t) => {
  const server = await startHttpSink(t)
  const sink = batchSink(t, server.url, { waitMs: 5, count: 100 })
  server.answer = refusing('b2', 'c1')
  const { signal } = new AbortController()
  const outcomes = await Promise.all(['a', 'b', 'c'].map(async (key) => await sink.sendAll(numbered(key, 4), signal)))
  t.same(outcomes.map(statuses), [[202, 202, 202, 202], [202, 202, 400, 'untried'], [202, 400, 'untried', 'untried']])
  t.same(seen(server)[0], 'batch: a0 a1 a2 a3 b0 b1 b2 b3 c0 c1 c2 c3')
  const singles = seen(server).slice(1)
  t.ok(singles.every((line) => line.startsWith('binary: ')))
  for (const [key, count] of [['a', 4], ['b', 3], ['c', 2]] as const) {
    t.same(singles.filter((line) => line.includes(key + '0') || line.startsWith(`binary: ${key}`)),
      Array.from({ length: count }, (_, at) => `binary: ${key}${at}`), 'one after the other')
  }
})

test('every final refusal falls back to single events, also of a batch of one: it may be the batch that is refused', async (t) => {
  const server = await startHttpSink(t)
  for (const status of [400, 403, 405, 410, 413, 415, 301]) {
    const sink = batchSink(t, server.url, { waitMs: 0 })
    server.requests.length = 0
    server.answer = (request) => ({ status: request.mode === 'batch' ? status : 202 })
    t.same(statuses(await sink.sendAll(events('1', '2'), noAbort())), [202, 202], String(status))
    t.same(seen(server), ['batch: 1 2', 'binary: 1', 'binary: 2'])
    server.requests.length = 0
    t.same(statuses(await batchSink(t, server.url, { waitMs: 0 }).sendAll(events('1'), noAbort())), [202], String(status))
    t.same(seen(server), ['batch: 1', 'binary: 1'])
  }
})

test('a sink that answers 415 gets single events for a while, and is told of once', async (t) => {
  const server = await startHttpSink(t)
  const { lines, telemetry } = createTestTelemetry()
  let now = 0
  const sink = batchSink(t, server.url, { waitMs: 0, telemetry, now: () => now })
  server.answer = (request) => ({ status: request.mode === 'batch' ? 415 : 202 })
  const { signal } = new AbortController()
  await Promise.all([sink.sendAll(events('1', '2'), signal), sink.sendAll(events('3'), signal)])
  now = PAUSE_MS - 1
  t.same(statuses(await sink.sendAll(events('4', '5'), signal)), [202, 202])
  t.equal(server.requests.filter(({ mode }) => mode === 'batch').length, 2)
  t.match(lines.of('the sink takes no batches: it is sent single events for a while'), [{ level: 'warn', status: 415, pauseMs: PAUSE_MS }])
  now = PAUSE_MS
  server.answer = {}
  await sink.sendAll(events('6', '7'), signal)
  t.equal(seen(server).at(-1), 'batch: 6 7', 'then it is asked again')
  const metrics = parseMetrics(await telemetry.registry.metrics())
  for (const [key, value] of [['sink_batches_total{sink="default",outcome="split"}', 2], ['sink_batches_total{sink="default",outcome="taken"}', 1], ['sink_batch_pauses_total{sink="default"}', 1]] as const) {
    t.equal(sampleOf(metrics, `mqtt_broker_source_${key}`), value, key)
  }
})

test('so does one that refuses several batches in a row whose events it all takes; a bad event does not count', async (t) => {
  const server = await startHttpSink(t)
  const { lines, telemetry } = createTestTelemetry()
  const sink = batchSink(t, server.url, { waitMs: 0, telemetry })
  const paused = () => lines.objects.length
  const batchesRefused = (request: ReceivedRequest) => ({ status: request.mode === 'batch' ? 400 : 202 })
  server.answer = refusing('bad')
  for (let at = 0; at < 5; at++) await sink.sendAll(events('1', 'bad', '2'), noAbort())
  t.equal(paused(), 0)
  server.answer = batchesRefused
  for (let at = 0; at < 2; at++) await sink.sendAll(events('1', '2'), noAbort())
  server.answer = {}
  await sink.sendAll(events('1', '2'), noAbort())
  server.answer = batchesRefused
  for (let at = 0; at < 2; at++) await sink.sendAll(events('1', '2'), noAbort())
  t.equal(paused(), 0, 'a batch that was taken begins the count anew')
  await sink.sendAll(events('1', '2'), noAbort())
  t.equal(paused(), 1)
  server.requests.length = 0
  await sink.sendAll(events('1', '2'), noAbort())
  t.same(seen(server), ['binary: 1', 'binary: 2'])
})

test('an abort ends what waits and what is under way, of its signal alone', async (t) => {
  const server = await startHttpSink(t)
  server.answer = { instead: 'never' }
  const sink = batchSink(t, server.url, { count: 2, waitMs: 60_000 })
  const [abort, other] = [new AbortController(), new AbortController()]
  const underWay = sink.sendAll(events('1', '2'), abort.signal)
  const waiting = sink.sendAll(events('3'), abort.signal)
  await server.waitFor(1)
  abort.abort()
  t.same([await underWay, await waiting].map(statuses), [['aborted', 'aborted'], ['aborted']])
  t.same(await sink.sendAll(events('5'), abort.signal), [{ kind: 'aborted' }])
  server.answer = {}
  const { signal: third } = new AbortController()
  const calls = ([['6', other.signal], ['7', third], ['8', third]] as const).map(([id, signal]) => sink.sendAll(events(id), signal))
  t.same((await Promise.all(calls)).map(statuses), [[202], [202], [202]])
  t.same(seen(server), ['batch: 1 2', 'batch: 6', 'batch: 7 8'], 'signals are not mixed')
})

test('closing ends what waits and what is under way; afterwards nothing is sent', async (t) => {
  const server = await startHttpSink(t)
  server.answer = { instead: 'never' }
  const sink = batchSink(t, server.url, { count: 2, waitMs: 60_000 })
  const { signal } = new AbortController()
  const calls = [sink.sendAll(events('1', '2'), signal), sink.sendAll(events('3'), signal)]
  await server.waitFor(1)
  await Promise.all([sink.close(), sink.close()])
  t.same((await Promise.all(calls)).map(statuses), [['aborted', 'aborted'], ['aborted']])
  t.same(await sink.send(event(), signal), { kind: 'aborted' })
  t.equal(server.requests.length, 1)
})

test('a 401 to the credentials of a batch holds for all of its events, and none is sent alone', async (t) => {
  const server = await startHttpSink(t)
  server.answer = { status: 401 }
  const sink = batchSink(t, server.url, { waitMs: 0, headers: { authorization: 'Custom a' } })
  t.match(await sink.sendAll(events('1', '2'), noAbort()), [{ status: 401, unauthorized: true }, { status: 401, unauthorized: true }])
  t.equal(server.requests.length, 1)
})

test('a whole source sends batches where the settings say so; its dead-letter sink gets single events', async (t) => {
  const [server, dead] = [await startHttpSink(t), await startHttpSink(t)]
  server.answer = (request) => ({ status: request.events().some(({ subject }) => subject === 'bad') ? 400 : 202 })
  const source = createSource({
    env: {},
    settings: {
      listeners: [{ port: 0 }],
      outbox: { store: 'memory' },
      http: { port: 0 },
      sink: { url: server.url, contentMode: 'batch', batch: { count: 5, wait: 'PT0.02S' } },
      delivery: { deadLetterSink: { url: dead.url } },
      log: { level: 'silent' }
    }
  })
  t.teardown(() => source.close())
  await source.start()
  const url = `mqtt://${source.addresses.listeners[0]!.address}`
  const clients = await Promise.all(Array.from({ length: 8 }, (_, at) => connectAsync(url, { clientId: `c${at}` })))
  await Promise.all(clients.map((client) => client.publishAsync('good', '1', { qos: 1 })))
  await clients[0]!.publishAsync('bad', '2', { qos: 1 })
  await dead.waitFor(1)
  t.equal(dead.requests[0]?.mode, 'binary')
  t.equal(dead.events()[0]?.subject, 'bad')
  const batches = server.requests.filter(({ mode }) => mode === 'batch').map((request) => request.events().length)
  t.ok(batches.some((count) => count > 1), batches.join())
  t.ok(batches.every((count) => count <= 5), batches.join())
  await Promise.all(clients.map((client) => client.endAsync()))
})

test('an event on which the sink always fails costs those beside it in a batch no attempts', async (t) => {
  const server = await startHttpSink(t)
  server.answer = (request) => ({ status: request.events().some(({ subject }) => subject === 'bad') ? 503 : 202 })
  const source = createSource({
    env: {},
    settings: {
      listeners: [{ port: 0 }],
      outbox: { store: 'memory' },
      http: { port: 0 },
      sink: { url: server.url, contentMode: 'batch', batch: { count: 100, wait: 'PT0.1S' } },
      // Retries that come together: beside the bad one, all the others would fail again and again.
      delivery: { retry: 1, backoffDelay: 'PT0.01S', backoffMax: 'PT0.01S', checkpoint: 'PT0.01S' },
      log: { level: 'silent' }
    }
  })
  t.teardown(() => source.close())
  await source.start()
  const url = `mqtt://${source.addresses.listeners[0]!.address}`
  const clients = await Promise.all(Array.from({ length: 8 }, (_, at) => connectAsync(url, { clientId: `c${at}` })))
  const topics = clients.map((_, at) => at === 0 ? 'bad' : `good/${at}`)
  await Promise.all(clients.map((client, at) => client.publishAsync(topics[at] as string, '1', { qos: 1 })))
  const metrics = async () =>
    parseMetrics(await (await fetch(`http://${source.addresses.http}/metrics`)).text())
  const dead = async () => sampleOf(await metrics(), 'mqtt_broker_source_dead_lettered_total{sink="default",reason="attempts"}')
  for (let round = 0; await dead() === undefined; round++) {
    await clients[1]!.publishAsync(`more/${round}`, '1', { qos: 1 })
  }
  const batches = server.requests.filter(({ mode }) => mode === 'batch').map((request) => request.events().map(({ subject }) => subject))
  t.ok(batches.some((subjects) => subjects.includes('bad') && subjects.length > 1), 'it was in a batch with others')
  t.equal(await dead(), 1, 'the bad one')
  const taken = server.requests.filter((request) => request.events().every(({ subject }) => subject !== 'bad'))
  const subjects = taken.flatMap((request) => request.events().map(({ subject }) => subject))
  for (const topic of topics.slice(1)) t.ok(subjects.includes(topic), topic)
  await Promise.all(clients.map((client) => client.endAsync()))
})

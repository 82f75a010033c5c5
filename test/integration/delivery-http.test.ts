/** Delivery with its real neighbors: the outbox on disk and the sink over HTTP. */
import { test, type Test } from 'tap'
import { Dispatcher } from '../../lib/delivery/dispatcher.ts'
import type { DispatcherOptions } from '../../lib/delivery/options.ts'
import { createDiskOutbox } from '../../lib/outbox/disk.ts'
import type { Outbox } from '../../lib/outbox/outbox.ts'
import { createEvent } from '../support/delivery-rig.ts'
import { startHttpSink, type HttpSink } from '../support/http-sink.ts'
import { httpSink } from '../support/http-sink-client.ts'
import { createTestTelemetry } from '../support/log-lines.ts'

async function openOutbox (t: Test, directory: string): Promise<Outbox> {
  const { telemetry } = createTestTelemetry('silent')
  const outbox = createDiskOutbox({
    directory,
    maxBytes: 2 ** 30,
    holdTimeoutMs: 10_000,
    receiptLimit: 0,
    tailCacheBytes: 1024 * 1024,
    reopenMinMs: 10,
    reopenMaxMs: 100,
    telemetry
  })
  await outbox.open()
  t.teardown(() => outbox.close())
  return outbox
}

function createDispatcher (t: Test, parts: Pick<DispatcherOptions, 'outbox' | 'sink'> & Partial<DispatcherOptions>) {
  const { telemetry } = createTestTelemetry('silent')
  const dispatcher = new Dispatcher({
    concurrency: 32,
    retry: 3,
    backoffPolicy: 'exponential',
    backoffDelayMs: 5,
    backoffMaxMs: 50,
    retryAfterMaxMs: 50,
    checkpointMs: 20,
    deadLetterKeep: 100,
    telemetry,
    ...parts
  })
  t.teardown(() => dispatcher.close(0))
  return dispatcher
}

const store = (outbox: Outbox, key: string, from: number, to: number) =>
  Promise.all(Array.from({ length: to - from }, (_, i) => outbox.append(createEvent(key, `${key}-${from + i}`))))

const idsOf = (key: string, from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${key}-${from + i}`)

/** The ids of a key in the order of their arrival, duplicates left out. */
const arrived = (server: HttpSink, key: string) =>
  [...new Set(server.requests.map((request) => String(request.header('ce-id'))))].filter((id) => id.startsWith(`${key}-`))

async function drained (dispatcher: Dispatcher): Promise<void> {
  while (dispatcher.stats().waiting > 0) await new Promise((resolve) => { setTimeout(resolve, 2) })
}

void test('thousands of events of many devices arrive once each, in order', async (t) => {
  const server = await startHttpSink(t)
  const outbox = await openOutbox(t, t.testdir())
  const dispatcher = createDispatcher(t, { outbox, sink: httpSink(t, server.url, { connections: 32 }) })
  await dispatcher.start()
  for (let i = 0; i < 10; i++) for (let key = 0; key < 20; key++) await store(outbox, `k${key}`, i * 20, i * 20 + 20)
  await drained(dispatcher)
  t.equal(server.requests.length, 4000)
  for (let key = 0; key < 20; key++) t.same(arrived(server, `k${key}`), idsOf(`k${key}`, 0, 200))
})

void test('a server that refuses connections, breaks them, throttles and fails loses nothing', async (t) => {
  const server = await startHttpSink(t)
  const outbox = await openOutbox(t, t.testdir())
  const dispatcher = createDispatcher(t, { outbox, sink: httpSink(t, server.url, { connections: 32 }), retry: 10 })
  let n = 0
  server.answer = () => {
    switch (n++ % 25) {
      case 3: return { instead: 'drop' }
      case 7: return { status: 429, headers: { 'retry-after': '1' } }
      case 11: return { status: 503, headers: { 'retry-after': 'Thu, 01 Jan 1970 00:00:00 GMT' } }
      case 15: return { status: 404 }
      default: return { status: 202 }
    }
  }
  await dispatcher.start()
  for (let key = 0; key < 10; key++) await store(outbox, `k${key}`, 0, 50)
  await server.waitFor(200)
  await server.stop()
  for (let key = 0; key < 10; key++) await store(outbox, `k${key}`, 50, 60)
  while (dispatcher.state !== 'down') await new Promise((resolve) => { setTimeout(resolve, 2) })
  await server.start()
  await drained(dispatcher)
  for (let key = 0; key < 10; key++) t.same(arrived(server, `k${key}`), idsOf(`k${key}`, 0, 60))
  t.same(await outbox.readDeadLetters(0, { events: 1, bytes: 1e6 }), [])
})

void test('what the sink refuses goes to the dead-letter sink as Knative says', async (t) => {
  const server = await startHttpSink(t)
  const dead = await startHttpSink(t)
  const outbox = await openOutbox(t, t.testdir())
  const dispatcher = createDispatcher(t, {
    outbox, sink: httpSink(t, server.url, { connections: 32 }), deadLetterSink: httpSink(t, dead.url, { name: 'dead' })
  })
  const reason = 'no device of this name '.repeat(100)
  server.answer = (request) => request.header('ce-id') === 'a-1' ? { status: 422, body: reason } : {}
  await dispatcher.start()
  await store(outbox, 'a', 0, 3)
  await dead.waitFor(1)
  await drained(dispatcher)
  t.same(arrived(server, 'a'), ['a-0', 'a-1', 'a-2'])
  t.equal(server.requests.length, 3)
  const [event] = dead.events()
  t.match(event, { id: 'a-1', source: '/test/a', partitionkey: 'a', knativeerrordest: server.url })
  t.equal(String(event?.['knativeerrorcode']), '422')
  const data = String(event?.['knativeerrordata'])
  t.equal(data.length, 1024)
  t.ok(reason.startsWith(Buffer.from(data, 'base64').toString()))
})

void test('a restart goes on where it stopped, with nothing twice', async (t) => {
  const server = await startHttpSink(t)
  const directory = t.testdir()
  const first = await openOutbox(t, directory)
  const before = createDispatcher(t, { outbox: first, sink: httpSink(t, server.url), retry: 1000 })
  server.answer = (request) => request.header('ce-id') === 'stuck-0' ? { status: 503 } : {}
  await store(first, 'stuck', 0, 2)
  await store(first, 'a', 0, 500)
  await before.start()
  while (before.stats().waiting > 2) await new Promise((resolve) => { setTimeout(resolve, 2) })
  await before.close(5000)
  await first.close()

  const requests = server.requests.length
  server.answer = {}
  const second = await openOutbox(t, directory)
  const after = createDispatcher(t, { outbox: second, sink: httpSink(t, server.url) })
  await store(second, 'a', 500, 510)
  await after.start()
  await drained(after)
  const ids = server.requests.slice(requests).map((request) => String(request.header('ce-id')))
  t.same(ids.sort(), [...idsOf('a', 500, 510), 'stuck-0', 'stuck-1'].sort())
})

import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'tap'
import { event } from '../support/http-sink-events.ts'
import { httpSink, noAbort } from '../support/http-sink-client.ts'
import { startHttpSink } from '../support/http-sink.ts'

const wait = async (ms: number) => { await new Promise((resolve) => { setTimeout(resolve, ms) }) }

function latch () {
  let resolve = () => {}
  const promise = new Promise<void>((_resolve) => { resolve = _resolve })
  return { promise, resolve }
}

/** Looks until it holds; the test's own timeout is the bound. */
async function until (condition: () => Promise<boolean>): Promise<void> {
  while (!await condition()) await wait(5)
}

test('one request at a time per connection, and no more connections than allowed', async (t) => {
  const server = await startHttpSink(t)
  const gate = latch()
  server.answer = { after: gate.promise }
  const sink = httpSink(t, server.url, { connections: 3 })
  const outcomes = Array.from({ length: 7 }, async (_, at) => await sink.send(event({ id: String(at) }), noAbort()))
  await server.waitFor(3)
  await wait(20)
  t.equal(server.requests.length, 3, 'the others wait')
  gate.resolve()
  for (const outcome of await Promise.all(outcomes)) t.match(outcome, { status: 202 })
  t.equal(server.connections, 3)
  t.same(server.events().map(({ id }) => id).sort(), ['0', '1', '2', '3', '4', '5', '6'])
})

test('connections are kept and used again, the one used last first', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  for (let i = 0; i < 10; i++) await sink.send(event(), noAbort())
  t.equal(server.connections, 1)
  t.equal(server.requests[9]?.header('connection'), 'keep-alive')
})

test('a connection without requests is closed after the keep-alive time', async (t) => {
  const server = await startHttpSink(t, { keepAliveMs: 60_000 })
  server.answer = { headers: { 'keep-alive': 'timeout=600' } }
  const sink = httpSink(t, server.url, { keepAliveMs: 100 })
  await sink.send(event(), noAbort())
  t.equal(await server.openConnections(), 1)
  await until(async () => await server.openConnections() === 0)
  t.match(await sink.send(event(), noAbort()), { status: 202 })
  t.equal(server.connections, 2)
})

test('a hint of the server to close earlier is obeyed before the server does', async (t) => {
  const server = await startHttpSink(t, { keepAliveMs: 60_000 })
  server.answer = { headers: { 'keep-alive': 'timeout=1' } }
  const sink = httpSink(t, server.url)
  await sink.send(event(), noAbort())
  await until(async () => await server.openConnections() === 0)
  t.match(await sink.send(event(), noAbort()), { status: 202 })
})

test('a server that closes after each answer is served', async (t) => {
  const server = await startHttpSink(t)
  server.answer = { headers: { connection: 'close' } }
  const sink = httpSink(t, server.url)
  for (let i = 0; i < 5; i++) t.match(await sink.send(event(), noAbort()), { status: 202 })
  t.equal(server.connections, 5)
})

test('a connection that the server closed while it was idle is replaced without a failure', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  await sink.send(event(), noAbort())
  server.closeIdle()
  await until(async () => await server.openConnections() === 0)
  await wait(20) // the client has seen it, too
  t.match(await sink.send(event(), noAbort()), { status: 202 })
  t.equal(server.connections, 2)
})

test('a connection that the server closes just as a request arrives is a network outcome', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  await sink.send(event(), noAbort())
  server.script({ instead: 'drop' })
  t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'UND_ERR_SOCKET' })
  t.match(await sink.send(event(), noAbort()), { status: 202 })
})

test('an old connection is replaced between two requests, and never while one is under way', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url, { socketMaxAgeMs: 100, connections: 1 })
  await sink.send(event(), noAbort())
  const gate = latch()
  server.script({ after: gate.promise })
  const running = sink.send(event(), noAbort())
  await server.waitFor(2)
  await wait(120)
  const waiting = sink.send(event(), noAbort())
  gate.resolve()
  t.match(await running, { status: 202 })
  t.match(await waiting, { status: 202 })
  t.same(server.requests.map(({ connection }) => connection), [0, 0, 1])
})

test('all connections being old at once holds up no event', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url, { socketMaxAgeMs: 50, connections: 4 })
  await Promise.all([1, 2, 3, 4].map(async () => await sink.send(event(), noAbort())))
  await wait(80)
  for (let i = 0; i < 6; i++) t.match(await sink.send(event(), noAbort()), { status: 202 })
  t.ok(server.connections > 4)
})

test('a connection that is not established in time is given up, and leaves nothing open', async (t) => {
  const sockets: Socket[] = []
  const server = createServer((socket) => { // accepts and says nothing: the TLS handshake never ends
    socket.on('error', () => {}).resume()
    sockets.push(socket)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`

  const sink = httpSink(t, url, { timeoutMs: 100 })
  t.match(await sink.send(event(), noAbort()), { kind: 'network', timedOut: true })
  await until(() => Promise.resolve(sockets.length === 1 && sockets[0]?.destroyed === true))

  const patient = httpSink(t, url)
  const outcome = patient.send(event(), noAbort())
  await until(() => Promise.resolve(sockets.length === 2))
  const begin = performance.now()
  await patient.close()
  t.same(await outcome, { kind: 'aborted' })
  await until(() => Promise.resolve(sockets[1]?.destroyed === true))
  t.ok(performance.now() - begin < 8000, 'not only when the attempt to connect ends by itself, after 10 s')
})

test('thousands of events over flapping connections each have one outcome', async (t) => {
  const server = await startHttpSink(t)
  server.answer = (_, index) => {
    if (index % 17 === 0) return { instead: 'drop' }
    return index % 13 === 0 ? { status: 500, headers: { connection: 'close' }, body: Buffer.alloc(70_000) } : {}
  }
  const sink = httpSink(t, server.url, { connections: 8, socketMaxAgeMs: 20, keepAliveMs: 10 })
  const counts = new Map<string, number>()
  await Promise.all(Array.from({ length: 16 }, async () => {
    for (let i = 0; i < 75; i++) {
      const outcome = await sink.send(event(), noAbort())
      const kind = outcome.kind === 'answer' ? String(outcome.status) : outcome.kind
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
    }
  }))
  const expected = Array.from({ length: server.requests.length }, (_, at) => at % 17 === 0 ? 'drop' : at % 13 === 0 ? '500' : '202')
  t.equal(counts.get('202'), expected.filter((kind) => kind === '202').length, 'no answer was lost or made up')
  t.equal(counts.get('500'), expected.filter((kind) => kind === '500').length)
  t.equal([...counts.values()].reduce((sum, count) => sum + count), 1200)
})

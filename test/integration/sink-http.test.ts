import { getEventListeners } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type Test } from 'tap'
import { event } from '../support/http-sink-events.ts'
import { httpSink, noAbort } from '../support/http-sink-client.ts'
import { startHttpSink } from '../support/http-sink.ts'

/** A server that does with a socket whatever a test likes. */
async function rawServer (t: Test, handle: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    handle(socket)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

test('an event is POSTed to the exact path and query', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, `${server.url}default/my-broker?a=b%20c`, { kNamespace: 'team-a' })
  t.equal(sink.destination, `${server.url}default/my-broker`, 'without its query')
  t.same(await sink.send(event(), noAbort()), { kind: 'answer', status: 202, body: Buffer.alloc(0) })
  const [request] = server.requests
  t.match(request, { method: 'POST', path: '/default/my-broker?a=b%20c', mode: 'binary' })
  t.equal(request?.header('user-agent'), 'mqtt-broker-source/test')
  t.equal(request?.header('kn-namespace'), 'team-a')
  t.equal(request?.header('content-length'), '11')
  t.equal(request?.header('prefer'), undefined, 'a pure sender asks for no reply')
  t.equal(request?.header('transfer-encoding'), undefined)
  t.match(request?.event(), { id: '01', subject: 'sensors/temperature' })
})

test('an empty payload has Content-Length 0', async (t) => {
  const server = await startHttpSink(t)
  await httpSink(t, server.url).send(event({ data: Buffer.alloc(0) }), noAbort())
  t.equal(server.requests[0]?.header('content-length'), '0')
})

test('every status is an answer, and redirects are not followed', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  for (const status of [200, 201, 204, 301, 307, 308, 400, 401, 404, 410, 413, 429, 500, 503, 599]) {
    server.script({ status, headers: { location: '/elsewhere' }, body: status === 204 ? '' : 'why' })
    t.match(await sink.send(event(), noAbort()), { kind: 'answer', status, body: Buffer.from(status === 204 ? '' : 'why') })
  }
  t.equal(server.requests.length, 15)
})

test('Retry-After is told in milliseconds, on any status that is no success', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  server.script({ status: 503, headers: { 'Retry-After': '7' } })
  t.match(await sink.send(event(), noAbort()), { retryAfterMs: 7000 })
  server.script({ status: 429, headers: { 'retry-after': new Date(Date.now() + 60_000).toUTCString() } })
  const outcome = await sink.send(event(), noAbort())
  t.ok(outcome.kind === 'answer' && (outcome.retryAfterMs ?? 0) > 50_000 && (outcome.retryAfterMs ?? 0) <= 60_000)
  server.script({ status: 503, headers: { 'retry-after': 'soon' } }, { status: 503 })
  for (let i = 0; i < 2; i++) t.notOk('retryAfterMs' in await sink.send(event(), noAbort()))
})

test('an informational response is not taken for the answer', async (t) => {
  const server = await startHttpSink(t)
  server.script({ earlyHints: true, status: 503 })
  t.match(await httpSink(t, server.url).send(event(), noAbort()), { kind: 'answer', status: 503 })
  const url = await rawServer(t, (socket) => {
    socket.once('data', () => { socket.end('HTTP/1.1 103 Early Hints\r\nretry-after: 1\r\n\r\n') })
  })
  t.match(await httpSink(t, url).send(event(), noAbort()), { kind: 'network' }, 'nothing came after it')
})

test('the first 768 bytes of a response are kept, the rest is drained and the connection used again', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  const body = Buffer.from('0123456789'.repeat(6000))
  server.answer = { status: 500, body }
  for (let i = 0; i < 3; i++) t.same(await sink.send(event(), noAbort()), { kind: 'answer', status: 500, body: body.subarray(0, 768) })
  t.equal(server.connections, 1)
})

test('a response of more than 64 KiB closes its connection and is an answer all the same', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  server.script({ status: 400, body: Buffer.alloc(10 * 1024 * 1024, 'x') })
  t.same(await sink.send(event(), noAbort()), { kind: 'answer', status: 400, body: Buffer.alloc(768, 'x') })
  t.match(await sink.send(event(), noAbort()), { status: 202 })
  t.equal(server.connections, 2)
})

test('a response that breaks off after its status is that answer', async (t) => {
  const url = await rawServer(t, (socket) => {
    socket.once('data', () => { socket.end('HTTP/1.1 202 Accepted\r\ncontent-length: 10\r\n\r\nabc') })
  })
  t.same(await httpSink(t, url).send(event(), noAbort()), { kind: 'answer', status: 202, body: Buffer.from('abc') })
})

test('no answer is an outcome with the code and the reason', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  server.script({ instead: 'drop' }, { instead: 'reset' })
  t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'UND_ERR_SOCKET', timedOut: false })
  t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'ECONNRESET', timedOut: false })
  await server.stop()
  t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'ECONNREFUSED', reason: /ECONNREFUSED/, timedOut: false })
  await server.start()
  t.match(await sink.send(event(), noAbort()), { kind: 'answer', status: 202 })
})

test('what is no HTTP is an outcome', async (t) => {
  const url = await rawServer(t, (socket) => { socket.end('220 mail.example.com ESMTP\r\n') })
  t.match(await httpSink(t, url).send(event(), noAbort()), { kind: 'network', code: /^HTTPParserError$|^HPE_/, timedOut: false })
})

test('a host that has no address is an outcome', async (t) => {
  t.match(await httpSink(t, 'http://sink.invalid/').send(event(), noAbort()), { kind: 'network', code: /^(ENOTFOUND|EAI_AGAIN)$/ })
})

test('many fail at once on a connection that is refused, and each has its outcome', async (t) => {
  const server = await startHttpSink(t)
  await server.stop()
  const sink = httpSink(t, server.url, { connections: 2 })
  const outcomes = await Promise.all(Array.from({ length: 50 }, async () => await sink.send(event(), noAbort())))
  for (const outcome of outcomes) t.match(outcome, { kind: 'network', code: 'ECONNREFUSED' })
})

test('the timeout bounds the whole attempt: no answer, and a response that trickles', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url, { timeoutMs: 100 })
  server.script({ instead: 'never' })
  t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'ETIMEDOUT', reason: /100 ms/, timedOut: true })
  t.match(await sink.send(event(), noAbort()), { kind: 'answer', status: 202 }, 'another connection is used')

  const trickling = await rawServer(t, (socket) => {
    socket.once('data', () => { socket.write('HTTP/1.1 503 Busy\r\ncontent-length: 10\r\n\r\nab') })
  })
  const outcome = await httpSink(t, trickling, { timeoutMs: 100 }).send(event(), noAbort())
  t.same(outcome, { kind: 'answer', status: 503, body: Buffer.from('ab') }, 'the status has been told')
})

test('the timeout of each attempt counts from its own beginning', async (t) => {
  const server = await startHttpSink(t)
  server.answer = { instead: 'never' }
  const sink = httpSink(t, server.url, { timeoutMs: 150 })
  const took = async () => {
    const begin = performance.now()
    t.match(await sink.send(event(), noAbort()), { timedOut: true })
    return performance.now() - begin
  }
  const first = took()
  await new Promise((resolve) => { setTimeout(resolve, 75) })
  for (const ms of await Promise.all([first, took()])) t.ok(ms >= 149, `${ms} ms`)
})

test('an abort ends the attempts of its signal, and no others', async (t) => {
  const server = await startHttpSink(t)
  server.answer = { instead: 'never' }
  const sink = httpSink(t, server.url)
  const abort = new AbortController()
  const aborted = [1, 2].map(async () => await sink.send(event(), abort.signal))
  const other = new AbortController()
  const kept = sink.send(event(), other.signal)
  await server.waitFor(3)
  abort.abort()
  for (const outcome of await Promise.all(aborted)) t.same(outcome, { kind: 'aborted' })
  t.same(await sink.send(event(), abort.signal), { kind: 'aborted' }, 'not even begun')
  t.equal(await Promise.race([kept, Promise.resolve('pending')]), 'pending')
  other.abort()
  t.same(await kept, { kind: 'aborted' })
  t.equal(server.requests.length, 3)
})

test('an aborted attempt that still waits for a connection is never sent', async (t) => {
  const server = await startHttpSink(t)
  server.answer = { instead: 'never' }
  const sink = httpSink(t, server.url, { connections: 1 })
  const abort = new AbortController()
  const outcomes = [1, 2, 3].map(async (id) => await sink.send(event({ id: String(id) }), abort.signal))
  await server.waitFor(1)
  abort.abort()
  for (const outcome of await Promise.all(outcomes)) t.same(outcome, { kind: 'aborted' })
  server.answer = {}
  t.match(await sink.send(event({ id: '4' }), noAbort()), { status: 202 })
  t.same(server.events().map(({ id }) => id), ['1', '4'])
})

test('a signal that serves for many events has one listener', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  const { signal } = new AbortController()
  for (let i = 0; i < 20; i++) await sink.send(event(), signal)
  t.equal(getEventListeners(signal, 'abort').length, 1)
})

test('closing aborts what is under way and what waits; afterwards nothing is sent', async (t) => {
  const server = await startHttpSink(t)
  server.answer = { instead: 'never' }
  const sink = httpSink(t, server.url, { connections: 2 })
  const outcomes = [1, 2, 3, 4].map(async () => await sink.send(event(), noAbort()))
  await server.waitFor(2)
  await Promise.all([sink.close(), sink.close()])
  for (const outcome of await Promise.all(outcomes)) t.same(outcome, { kind: 'aborted' })
  t.same(await sink.send(event(), noAbort()), { kind: 'aborted' })
  t.equal(server.requests.length, 2)
})

test('an address that cannot be used is refused when the sink is made', async (t) => {
  t.throws(() => httpSink(t, 'ftp://host/'), { code: 'MBS_ERR_SINK_URL' })
  t.throws(() => httpSink(t, 'https://host/', { ca: ['no certificate'] }), { code: 'MBS_ERR_SINK_CA' })
})

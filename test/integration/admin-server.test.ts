import { Agent, request, type IncomingHttpHeaders } from 'node:http'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import { test, type Test } from 'tap'
import { createAdminServer, HTTP_LIMITS, type HttpLimits } from '../../lib/admin/admin-server.ts'
import { TestHealthState } from '../support/health-state.ts'
import { createTestTelemetry } from '../support/log-lines.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

async function start (t: Test, limits: Partial<HttpLimits> = {}) {
  const state = new TestHealthState()
  const { telemetry, lines } = createTestTelemetry()
  const server = createAdminServer({ host: '127.0.0.1', port: 0, telemetry, state }, { ...HTTP_LIMITS, ...limits })
  t.teardown(() => server.close())
  const address = await server.start()
  const port = Number(address.split(':').at(-1))
  const call = (path: string, method = 'GET', agent: Agent | false = false): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = request({ port, host: '127.0.0.1', path, method, agent }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
        response.on('end', () => { resolve({ status: response.statusCode!, headers: response.headers, text }) })
      })
      sent.on('error', reject).end()
    })
  return { server, state, telemetry, lines, address, port, call }
}

/** Opens a socket, sends something and gives what came back before the server closed it. */
async function raw (t: Test, port: number, bytes: string): Promise<string> {
  const socket = open(t, port)
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  socket.write(bytes)
  await once(socket, 'close')
  return text
}

function open (t: Test, port: number): Socket {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  return socket
}

function json (answer: Answer): Record<string, unknown> {
  return JSON.parse(answer.text) as Record<string, unknown>
}

test('each probe answers by its status code and says why in JSON', async (t) => {
  const { state, call } = await start(t)
  const statuses = async () => {
    const answers = await Promise.all(['/livez', '/readyz', '/startupz'].map((path) => call(path)))
    for (const answer of answers) {
      t.match(answer.headers['content-type'], /^application\/json/)
      t.equal(json(answer)['status'], answer.status === 200 ? 'ok' : 'unavailable')
      t.equal('reason' in json(answer), answer.status !== 200)
      t.type(json(answer)['checks'], Object)
    }
    return answers.map(({ status }) => status)
  }
  t.strictSame(await statuses(), [200, 200, 200], 'able to store')
  state.sinkHealth = 'none'
  t.strictSame(await statuses(), [200, 200, 200], 'no sink')
  state.setOutbox('full')
  t.strictSame(await statuses(), [200, 503, 200], 'full')
  state.setOutbox('failed')
  t.strictSame(await statuses(), [200, 503, 200], 'failed')
  state.setOutbox('ready')
  state.isDraining = true
  t.strictSame(await statuses(), [200, 503, 200], 'shutting down')
  state.isDraining = false
  state.isStarted = false
  t.strictSame(await statuses(), [200, 503, 503], 'starting')
})

test('/readyz tells a person how outbox and sink are, with or without a query', async (t) => {
  const { state, call } = await start(t)
  for (const path of ['/readyz', '/readyz?verbose']) {
    t.strictSame(json(await call(path)), {
      status: 'ok',
      checks: { started: true, draining: false, outbox: state.stats, sinks: { default: state.sinkHealth } }
    })
  }
})

test('a probe is never cached', async (t) => {
  const { call } = await start(t)
  for (const path of ['/livez', '/readyz', '/startupz', '/metrics']) {
    t.equal((await call(path)).headers['cache-control'], 'no-store')
  }
})

test('/metrics serves the registry in the text format of Prometheus', async (t) => {
  const { telemetry, call } = await start(t)
  telemetry.publishReceived(1)
  const answer = await call('/metrics')
  t.equal(answer.status, 200)
  t.match(answer.headers['content-type'], 'text/plain; version=0.0.4')
  t.equal(sampleOf(parseMetrics(answer.text), 'mqtt_broker_source_publishes_total{qos="1"}'), 1)
})

test('/ lists the endpoints, and each that it lists is there', async (t) => {
  const { call } = await start(t)
  const { endpoints } = json(await call('/')) as { endpoints: Record<string, string> }
  t.strictSame(Object.keys(endpoints), ['/', '/livez', '/readyz', '/startupz', '/metrics'])
  for (const path of Object.keys(endpoints)) t.equal((await call(path)).status, 200, path)
})

test('HEAD answers as GET does, without a body', async (t) => {
  const { state, call } = await start(t)
  for (const path of ['/', '/livez', '/readyz', '/startupz', '/metrics']) {
    const answer = await call(path, 'HEAD')
    t.equal(answer.status, 200, path)
    t.equal(answer.text, '')
  }
  state.setOutbox('full')
  t.equal((await call('/readyz', 'HEAD')).status, 503)
})

test('what is not there is 404, and the answer says where to look', async (t) => {
  const { call } = await start(t)
  for (const method of ['GET', 'HEAD', 'POST']) {
    const answer = await call('/nothing?SECRET', method)
    t.equal(answer.status, 404, method)
    if (method === 'HEAD') continue
    t.match(json(answer), { status: 'error', reason: /GET \// })
    t.notMatch(answer.text, 'SECRET', 'what was sent is not sent back')
  }
})

test('another method is 405 and names the ones there are', async (t) => {
  const { call } = await start(t)
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const answer = await call('/readyz?verbose', method)
    t.equal(answer.status, 405, method)
    t.equal(answer.headers.allow, 'GET, HEAD')
    t.match(json(answer), { status: 'error', reason: /GET and HEAD/ })
  }
})

test('a path that cannot be decoded is 400', async (t) => {
  const { call } = await start(t)
  const answer = await call('/%zz')
  t.equal(answer.status, 400)
  t.match(json(answer), { status: 'error', reason: /path/ })
})

test('a body is refused unread, and the connection closed', async (t) => {
  const { port } = await start(t)
  const length = 'POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n{'
  t.match(await raw(t, port, length), /^HTTP\/1\.1 405 .*connection: close/is)
  const chunked = 'GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n'
  t.match(await raw(t, port, chunked), /^HTTP\/1\.1 200 .*connection: close/is)
})

test('what is not HTTP is 400, headers too large are 431, both as JSON', async (t) => {
  const { port, call } = await start(t)
  const mqtt = '\u0010\u0017\u0000\u0004MQTT\u0004\u0002\u0000<\u0000\u000babcdefghijk'
  t.match(await raw(t, port, mqtt), /^HTTP\/1\.1 400 .*connection: close.*"status":"error"/is)
  const large = `GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(HTTP_LIMITS.maxHeaderBytes)}\r\n\r\n`
  t.match(await raw(t, port, large), /^HTTP\/1\.1 431 .*connection: close.*"status":"error"/is)
  t.equal((await call('/livez')).status, 200, 'others are served')
})

test('a client that does not close after its answer does not keep the server open', async (t) => {
  const { server, port } = await start(t)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.resume().write('not HTTP\r\n\r\n')
  await once(socket, 'end')
  await server.close()
  t.equal(socket.writable, true, 'the client has not closed')
})

test('a request that is never finished is ended in time, as is a connection that says nothing', async (t) => {
  const { port, call } = await start(t, { requestTimeoutMs: 50, checkIntervalMs: 10 })
  t.match(await raw(t, port, 'GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: '), /^HTTP\/1\.1 408 .*"status":"error"/s)
  t.match(await raw(t, port, ''), /^(HTTP\/1\.1 408 .*)?$/s)
  t.equal((await call('/livez')).status, 200, 'others are served')
})

test('a connection that is kept alive and not used is closed', async (t) => {
  const { port } = await start(t, { keepAliveTimeoutMs: 20 })
  t.match(await raw(t, port, 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 200 .*connection: keep-alive/is)
})

test('connections beyond the limit are closed, the ones within are served', async (t) => {
  const { port } = await start(t, { maxConnections: 1 })
  const first = open(t, port)
  await once(first, 'connect')
  t.equal(await raw(t, port, ''), '', 'the second is closed')
  first.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  const [data] = await once(first, 'data') as [Buffer]
  t.match(data.toString(), /^HTTP\/1\.1 200/)
})

test('a connection is kept alive, until the shutdown begins', async (t) => {
  const { state, call } = await start(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => { agent.destroy() })
  t.equal((await call('/readyz', 'GET', agent)).headers.connection, 'keep-alive')
  state.isDraining = true
  t.equal((await call('/readyz', 'GET', agent)).headers.connection, 'close')
})

test('close ends idle, silent and half-done connections at once', async (t) => {
  const { server, port, call } = await start(t)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => { agent.destroy() })
  await call('/livez', 'GET', agent)
  const silent = open(t, port)
  const halfDone = open(t, port)
  await Promise.all([once(silent, 'connect'), once(halfDone, 'connect')])
  halfDone.write('GET /livez HTTP/1.1\r\nX-Slow: ')
  await call('/livez')
  const closed = [once(silent, 'close'), once(halfDone, 'close')]
  await server.close()
  await Promise.all(closed)
  await t.rejects(call('/livez'), { code: 'ECONNREFUSED' })
})

test('start and close are idempotent; what has been closed never listens again', async (t) => {
  const { server, address } = await start(t)
  t.equal(await server.start(), address)
  await Promise.all([server.close(), server.close()])
  await server.close()
  await t.rejects(server.start(), { code: 'MBS_ERR_SOURCE_CLOSED' })

  const { telemetry } = createTestTelemetry()
  const unused = createAdminServer({ host: '127.0.0.1', port: 0, telemetry, state: new TestHealthState() })
  await unused.close()
  await t.rejects(unused.start(), { code: 'MBS_ERR_SOURCE_CLOSED' })
})

test('a close while it starts waits for the start, and closes what that opened', async (t) => {
  const { telemetry } = createTestTelemetry()
  const server = createAdminServer({ host: '127.0.0.1', port: 0, telemetry, state: new TestHealthState() })
  const starting = server.start()
  await server.close()
  const port = Number((await starting).split(':').at(-1))
  const socket = connect(port, '127.0.0.1')
  await t.rejects(once(socket, 'connect'), { code: 'ECONNREFUSED' })
})

test('a port that is taken is MBS_ERR_HTTP_BIND, which names the address and the reason', async (t) => {
  const other = createServer()
  t.teardown(() => { other.close() })
  await once(other.listen(0, '127.0.0.1'), 'listening')
  const { port } = other.address() as AddressInfo
  const { telemetry } = createTestTelemetry()
  const server = createAdminServer({ host: '127.0.0.1', port, telemetry, state: new TestHealthState() })
  await t.rejects(server.start(), {
    code: 'MBS_ERR_HTTP_BIND',
    message: new RegExp(`127\\.0\\.0\\.1:${port}: .*EADDRINUSE`),
    cause: { code: 'EADDRINUSE' }
  })
  await server.close()
})

test('an IPv6 address is told in brackets', async (t) => {
  const { telemetry } = createTestTelemetry()
  const server = createAdminServer({ host: '::1', port: 0, telemetry, state: new TestHealthState() })
  t.teardown(() => server.close())
  t.match(await server.start(), /^\[::1\]:\d+$/)
})

test('a failure inside is 500 without its words, and the log has them', async (t) => {
  const { state, lines, call } = await start(t)
  state.outbox = () => { throw new Error('SECRET') }
  const answer = await call('/readyz?chosen')
  t.equal(answer.status, 500)
  t.match(json(answer), { status: 'error', reason: /log/ })
  t.notMatch(answer.text, 'SECRET')
  t.match(lines.of('unexpected failure: HTTP /readyz'), [{ level: 'error', err: { message: 'SECRET' } }])
  t.equal((await call('/livez')).status, 200, 'the others still answer')
})

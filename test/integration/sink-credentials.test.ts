/** What a sink is told about who sends: headers, tokens and passwords from files, client certificates. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import type { HttpSinkOptions } from '../../lib/sink/http-sink.ts'
import type { Sink } from '../../lib/sink/sink.ts'
import { createCertificates } from '../support/certs.ts'
import { event } from '../support/http-sink-events.ts'
import { httpSink, noAbort } from '../support/http-sink-client.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { createTestTelemetry } from '../support/log-lines.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'

async function readAll ({ files = [] }: Sink): Promise<void> {
  for (const { reload } of files) await reload()
}

/** A sink whose files were read, as the program does before its first event. */
async function readySink (t: Test, url: string, options: Partial<HttpSinkOptions>): Promise<Sink> {
  const sink = httpSink(t, url, options)
  await readAll(sink)
  return sink
}

test('headers go with every event, in every mode, and may replace User-Agent', async (t) => {
  const server = await startHttpSink(t)
  const directory = t.testdir({ key: ' secret key \n' })
  const headers = { 'X-Site': 'north 1', 'x-key': { file: join(directory, 'key') }, 'User-Agent': 'mine' }
  const sink = await readySink(t, server.url, { headers, kNamespace: 'team-a' })
  for (const subject of ['plain', 'not plain']) await sink.send(event({ subject }), noAbort())
  t.same(server.requests.map(({ mode }) => mode), ['binary', 'structured'])
  for (const request of server.requests) {
    t.equal(request.header('x-site'), 'north 1')
    t.equal(request.header('x-key'), 'secret key')
    t.equal(request.header('user-agent'), 'mine', 'once')
    t.equal(request.header('kn-namespace'), 'team-a')
    t.equal(request.header('authorization'), undefined)
    t.equal(request.event().id, '01')
  }
})

test('nothing is sent before the files were read', async (t) => {
  const server = await startHttpSink(t)
  const directory = t.testdir({ token: 'abc' })
  const file = join(directory, 'token')
  const sink = httpSink(t, server.url, { headers: { a: { file } }, auth: { bearer: { file } } })
  t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'NOT_READ' })
  await sink.files?.[0]?.reload()
  t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'NOT_READ' }, 'one of two is not enough')
  await sink.files?.[1]?.reload()
  t.match(await sink.send(event(), noAbort()), { status: 202 })
  t.equal(server.requests.length, 1)
})

test('a bearer token and a password are sent as they are in their files', async (t) => {
  const server = await startHttpSink(t)
  const directory = t.testdir({ token: 'abc.def\n', password: 'pass wörd:\n' })
  const bearer = await readySink(t, server.url, { auth: { bearer: { file: join(directory, 'token') } } })
  const basic = await readySink(t, server.url, { auth: { basic: { username: 'gw', passwordFile: join(directory, 'password') } } })
  for (const sink of [bearer, basic]) await sink.send(event(), noAbort())
  t.same(server.requests.map((request) => request.header('authorization')),
    ['Bearer abc.def', `Basic ${Buffer.from('gw:pass wörd:').toString('base64')}`])
})

test('what cannot be read leaves in force what was, all files of the headers together', async (t) => {
  const server = await startHttpSink(t)
  const directory = t.testdir({ a: 'a1', b: 'b1', token: 'token1' })
  const [a, b, token] = ['a', 'b', 'token'].map((name) => join(directory, name)) as [string, string, string]
  const headers = { a: { file: a }, b: { file: b } }
  const sink = await readySink(t, server.url, { headers, auth: { bearer: { file: token } } })
  const seen = async () => {
    await sink.send(event(), noAbort())
    return ['a', 'b', 'authorization'].map((name) => server.requests.at(-1)?.header(name))
  }
  writeFileSync(a, 'a2')
  rmSync(b)
  writeFileSync(token, 'hunter2 hunter2')
  for (const { reload, files } of sink.files ?? []) {
    const error = await reload().then(() => undefined, (reason: unknown) => reason as Error)
    t.match(error, { code: 'MBS_ERR_SINK_CREDENTIALS', message: files.at(-1)! })
    t.notMatch(error?.message, 'hunter2')
  }
  t.same(await seen(), ['a1', 'b1', 'Bearer token1'])
  writeFileSync(b, 'b2')
  writeFileSync(token, 'token2')
  await readAll(sink)
  t.same(await seen(), ['a2', 'b2', 'Bearer token2'])
})

test('a 401 to credentials is no fault of the event, and has the files read again', async (t) => {
  const server = await startHttpSink(t)
  const file = join(t.testdir({ token: 'old' }), 'token')
  const { lines, telemetry } = createTestTelemetry()
  server.answer = (request) => ({ status: request.header('authorization') === 'Bearer new' ? 202 : 401, body: 'why' })
  const sink = await readySink(t, server.url, { auth: { bearer: { file } }, telemetry })
  writeFileSync(file, 'new')
  t.same(await sink.send(event(), noAbort()), { kind: 'answer', status: 401, body: Buffer.from('why'), unauthorized: true })
  while (!('status' in await sink.send(event(), noAbort())) || server.requests.at(-1)?.header('authorization') !== 'Bearer new');
  writeFileSync(file, 'newest')
  server.answer = { status: 401 }
  await sink.send(event(), noAbort())
  await new Promise(setImmediate)
  await sink.send(event(), noAbort())
  t.equal(server.requests.at(-1)?.header('authorization'), 'Bearer new', 'not more often than once in some seconds')
  t.equal(lines.of('the sink does not accept the credentials (401): events wait until it does').length, 1)
  const refusals = server.requests.filter((request) => request.header('authorization') === 'Bearer old').length + 2
  t.equal(sampleOf(parseMetrics(await telemetry.registry.metrics()), 'mqtt_broker_source_sink_unauthorized_total{sink="default"}'), refusals)
})

test('a 401 is that of the event where nothing says who sends, and 403 always', async (t) => {
  const server = await startHttpSink(t)
  const file = join(t.testdir({ token: 'abc' }), 'token')
  server.answer = { status: 401 }
  for (const headers of [{}, { 'x-site': 'a' }]) {
    t.notOk('unauthorized' in await httpSink(t, server.url, { headers }).send(event(), noAbort()))
  }
  for (const headers of [{ 'x-key': { file } }, { Authorization: 'a' }]) {
    const sink = await readySink(t, server.url, { headers })
    t.match(await sink.send(event(), noAbort()), { status: 401, unauthorized: true })
  }
  server.answer = { status: 403 }
  const sink = await readySink(t, server.url, { auth: { bearer: { file } } })
  t.notOk('unauthorized' in await sink.send(event(), noAbort()))
})

test('a redirect gets no credentials', async (t) => {
  const [server, other] = [await startHttpSink(t), await startHttpSink(t)]
  const file = join(t.testdir({ token: 'abc' }), 'token')
  server.answer = { status: 307, headers: { location: other.url } }
  const sink = await readySink(t, server.url, { auth: { bearer: { file } } })
  t.match(await sink.send(event(), noAbort()), { status: 307 })
  t.equal(other.requests.length, 0)
})

// ---- client certificates -----------------------------------------------------------------------------------------

test('a sink that asks for a client certificate is shown it; a new pair holds from the next connection on', async (t) => {
  const certificates = createCertificates(t.testdir())
  certificates.issue('renewed', 'ca')
  const ca = certificates.read('ca.crt')
  const tls = { key: certificates.read('server.key'), cert: certificates.read('server.crt'), ca, requestCert: true }
  const server = await startHttpSink(t, { tls })
  const use = (name: string) => ({ cert: certificates.write('cert', certificates.read(`${name}.crt`)), key: certificates.write('key', certificates.read(`${name}.key`)) })
  const clientCertificate = use('client')
  const sink = httpSink(t, server.url, { ca: [ca], clientCertificate, connections: 1 })
  t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'NOT_READ' })
  /** The sink may learn only by sending that the server has closed the connection. */
  const overNewConnection = async () => {
    const { connections } = server
    server.closeIdle()
    while (server.connections === connections) await sink.send(event(), noAbort())
  }
  const [files] = sink.files ?? []
  t.match(files, { kind: 'sink-tls', files: [clientCertificate.cert, clientCertificate.key] })
  await files?.reload()
  t.match(await sink.send(event(), noAbort()), { status: 202 })

  certificates.write('cert', certificates.read('renewed.crt'))
  await t.rejects(files!.reload(), { code: 'MBS_ERR_SINK_TLS' }, 'half a pair')
  await overNewConnection()
  use('renewed')
  await files?.reload()
  t.match(await sink.send(event(), noAbort()), { status: 202 }, 'over the connection that is there')
  await overNewConnection()
  t.same(server.requests.map(({ peer }) => peer), ['client', 'client', 'client', 'renewed'], 'a broken pair leaves what was')
  sink.trust?.([ca])
  await overNewConnection()
  t.equal(server.requests.at(-1)?.peer, 'renewed', 'new CAs leave the certificate as it is')
})

test('without a certificate, or with one of another authority, nothing is taken, and it is a network outcome', async (t) => {
  const certificates = createCertificates(t.testdir())
  const ca = certificates.read('ca.crt')
  const tls = { key: certificates.read('server.key'), cert: certificates.read('server.crt'), ca, requestCert: true }
  const server = await startHttpSink(t, { tls })
  t.match(await httpSink(t, server.url, { ca: [ca] }).send(event(), noAbort()), { kind: 'network' })
  const clientCertificate = { cert: certificates.file('stranger.crt'), key: certificates.file('stranger.key') }
  t.match(await (await readySink(t, server.url, { ca: [ca], clientCertificate })).send(event(), noAbort()), { kind: 'network' })
  t.equal(server.requests.length, 0)
})

/** Tokens for a sink from a real token endpoint that answers as a test tells it to. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { ClientCredentials, MAX_TOKEN_ANSWER_BYTES, type OAuth2Settings } from '../../lib/sink/client-credentials.ts'
import type { HttpSinkOptions } from '../../lib/sink/http-sink.ts'
import type { Sink } from '../../lib/sink/sink.ts'
import type { Telemetry } from '../../lib/telemetry/telemetry.ts'
import { drip, flood, json, startAskedService, type AskedService } from '../support/asked-service.ts'
import { event } from '../support/http-sink-events.ts'
import { httpSink, noAbort } from '../support/http-sink-client.ts'
import { startHttpSink, type HttpSink } from '../support/http-sink.ts'
import { createTestTelemetry } from '../support/log-lines.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'

const SECRET = 'hunter2+ %'

/** Gives token1, token2… */
function tokens (expiresIn: number | undefined = 3600): AskedService['answer'] {
  let count = 0
  return (response, question, index) => {
    json({ access_token: `token${++count}`, token_type: 'Bearer', expires_in: expiresIn })(response, question, index)
  }
}

interface Rig {
  readonly server: HttpSink
  readonly issuer: AskedService
  readonly sink: Sink
  readonly secretFile: string
}

type RigOptions = Partial<HttpSinkOptions> & { readonly settings?: Partial<OAuth2Settings> }

async function startRig (t: Test, { settings, ...rest }: RigOptions = {}): Promise<Rig> {
  const [server, issuer] = [await startHttpSink(t), await startAskedService(t)]
  const secretFile = join(t.testdir({ secret: SECRET }), 'secret')
  const oauth2 = { tokenUrl: `${issuer.url}token?key=hunter2`, clientId: 'gw:1', clientSecretFile: secretFile, ...settings }
  const sink = httpSink(t, server.url, { auth: { oauth2 }, ...rest })
  for (const { reload } of sink.files ?? []) await reload()
  return { server, issuer, sink, secretFile }
}

/** The source of tokens alone, on a clock that the test moves. */
async function startCredentials (t: Test, telemetry: Telemetry) {
  const issuer = await startAskedService(t)
  issuer.answer = tokens()
  const clock = { now: 0 }
  const credentials = new ClientCredentials({
    sink: 'default',
    settings: { tokenUrl: issuer.url, clientId: 'a', clientSecretFile: join(t.testdir({ secret: 'abc' }), 'secret') },
    timeoutMs: 10_000,
    telemetry,
    now: () => clock.now
  })
  await credentials.reload()
  return { credentials, issuer, clock }
}

const sentWith = (server: HttpSink) => server.requests.map((request) => request.header('authorization'))

test('a token is asked for once, by the client credentials grant, and sent with every event [RFC 6749 4.4]', async (t) => {
  const { server, issuer, sink } = await startRig(t, { settings: { scopes: ['a', 'b:c'], audience: 'https://events/ x' } })
  issuer.answer = tokens()
  const outcomes = await Promise.all(Array.from({ length: 20 }, async () => await sink.send(event(), noAbort())))
  for (const outcome of outcomes) t.match(outcome, { status: 202 })
  t.match(await sink.send(event(), noAbort()), { status: 202 })
  t.equal(issuer.questions.length, 1, 'whoever waits waits for the same one')
  t.same(new Set(sentWith(server)), new Set(['Bearer token1']))
  const [{ method, headers, body }] = issuer.questions as [AskedService['questions'][0]]
  t.match({ method, headers }, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' } })
  t.equal(body, 'grant_type=client_credentials&scope=a+b%3Ac&audience=https%3A%2F%2Fevents%2F+x')
  t.equal(headers.authorization, `Basic ${Buffer.from('gw%3A1:hunter2%2B+%25').toString('base64')}`)
})

test('a token endpoint that gives none is an attempt that failed, whatever it does, and is asked again', async (t) => {
  const { lines, telemetry } = createTestTelemetry()
  const { server, issuer, sink } = await startRig(t, { telemetry, timeoutMs: 150 })
  const sent = { bytes: 0 }
  const bad: Array<[why: string, answer: AskedService['answer']]> = [
    ['status', (response) => { response.writeHead(500).end('hunter2') }],
    ['status', json({ error: 'invalid_client', error_description: 'hunter2' }, 401)],
    ['status', (response) => { response.writeHead(307, { location: '/elsewhere' }).end() }],
    ['answer', (response) => { response.writeHead(200).end('hunter2') }],
    ['answer', json({ access_token: 'hunter2', token_type: 'Bearer', expires_in: 0 })],
    ['too-large', flood(sent)],
    ['timeout', drip],
    ['timeout', () => {}],
    ['network', (response) => { response.destroy() }]
  ]
  for (const [why, answer] of bad) {
    const before = issuer.questions.length
    issuer.answer = answer
    const begin = performance.now()
    // It is not asked for a second after a failure: the outcome is the same meanwhile.
    while (issuer.questions.length === before) {
      const outcome = await sink.send(event(), noAbort())
      t.match(outcome, { kind: 'network', code: 'MBS_ERR_SINK_TOKEN', reason: /^The token endpoint http:\/\/127\.0\.0\.1:\d+\/token gave no token: / })
      t.notMatch(JSON.stringify(outcome), 'hunter2')
      if (issuer.questions.length > before) t.equal(outcome.kind === 'network' && outcome.timedOut, why === 'timeout')
      await new Promise((resolve) => { setTimeout(resolve, 20) })
    }
    t.ok(performance.now() - begin < 5000)
  }
  t.ok(sent.bytes < 50 * MAX_TOKEN_ANSWER_BYTES + 16 * 1024 ** 2, `${sent.bytes} bytes were taken`)
  t.equal(server.requests.length, 0, 'nothing is sent without a token')
  const metrics = parseMetrics(await telemetry.registry.metrics())
  for (const why of new Set(bad.map(([why]) => why))) {
    const count = bad.filter((one) => one[0] === why).length
    t.equal(sampleOf(metrics, `mqtt_broker_source_sink_token_requests_total{sink="default",outcome="${why}"}`), count, why)
  }
  t.match(lines.objects, [{ level: 'warn', code: 'MBS_ERR_SINK_TOKEN', why: 'status', sink: 'default', help: String }])
  t.notMatch(lines.text, 'hunter2')

  issuer.answer = tokens()
  while ((await sink.send(event(), noAbort())).kind !== 'answer') await new Promise((resolve) => { setTimeout(resolve, 20) })
  t.same(sentWith(server), ['Bearer token1'])
})

test('an endpoint that fails is asked once a second at most, however many events want a token', async (t) => {
  const { issuer, sink } = await startRig(t)
  const begin = performance.now()
  let sends = 0
  while (performance.now() - begin < 300) {
    const { kind } = await sink.send(event(), noAbort())
    if (kind !== 'network') t.fail(kind)
    sends++
  }
  t.ok(sends > 10)
  t.equal(issuer.questions.length, 1)
})

test('a 401 of the sink makes the next attempt ask for a new token, not more often than once in some seconds', async (t) => {
  const { credentials, issuer, clock } = await startCredentials(t, createTestTelemetry().telemetry)
  t.equal(await credentials.value(), 'Bearer token1')
  credentials.refused('Bearer token1')
  t.equal(credentials.value(), 'Bearer token1', 'it is a new one')
  clock.now += 5000
  credentials.refused('Bearer other')
  t.equal(credentials.value(), 'Bearer token1', 'another one was refused')
  credentials.refused('Bearer token1')
  const [first, second] = [credentials.value(), credentials.value()]
  t.same(await Promise.all([first, second]), ['Bearer token2', 'Bearer token2'])
  credentials.refused('Bearer token1')
  credentials.refused('Bearer token2')
  t.equal(credentials.value(), 'Bearer token2')
  t.equal(issuer.questions.length, 2)
})

test('a token is renewed before it ends, without anyone waiting, and used to its end when that fails', async (t) => {
  const { lines, telemetry } = createTestTelemetry()
  const { credentials, issuer, clock } = await startCredentials(t, telemetry)
  const failed = async (count: number) => {
    while (lines.objects.filter(({ level }) => level === 'warn').length < count) await new Promise(setImmediate)
  }
  const good = issuer.answer
  await credentials.value()
  clock.now = 3_539_000
  t.equal(credentials.value(), 'Bearer token1')
  t.equal(issuer.questions.length, 1)
  clock.now = 3_541_000
  issuer.answer = (response) => { response.writeHead(503).end() }
  t.equal(credentials.value(), 'Bearer token1', 'at once')
  await failed(1)
  t.equal(credentials.value(), 'Bearer token1')
  t.equal(issuer.questions.length, 2, 'it is left alone for a second after its failure')
  clock.now = 3_594_000
  issuer.answer = (response) => { response.writeHead(200).end() }
  t.equal(credentials.value(), 'Bearer token1', 'as long as it is good')
  await failed(2)
  clock.now = 3_594_999 + 1
  issuer.answer = good
  t.equal(await credentials.value(), 'Bearer token2', 'the first would end on the way')
})

test('the wait for a token is part of the attempt: it is bounded by its time, and ends with abort and close', async (t) => {
  const { server, issuer, sink } = await startRig(t, { timeoutMs: 60_000 })
  issuer.answer = () => {}
  const abort = new AbortController()
  const [aborted, kept] = [sink.send(event(), abort.signal), sink.send(event(), noAbort())]
  await issuer.asked(1)
  abort.abort()
  t.same(await aborted, { kind: 'aborted' })
  t.equal(await Promise.race([kept, new Promise((resolve) => { setImmediate(resolve, 'pending') })]), 'pending')
  await sink.close()
  t.same(await kept, { kind: 'aborted' })
  t.equal(server.requests.length, 0)
})

test('what is left of the time is for the request', async (t) => {
  const { server, issuer, sink } = await startRig(t, { timeoutMs: 400 })
  const answer = tokens()
  issuer.answer = (...args) => { setTimeout(() => { answer(...args) }, 250) }
  server.answer = { instead: 'never' }
  const begin = performance.now()
  t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'ETIMEDOUT', timedOut: true })
  const took = performance.now() - begin
  t.ok(took >= 399 && took < 600, `${took} ms`)
})

test('a new client secret is used from the next request for a token on', async (t) => {
  const { server, issuer, sink, secretFile } = await startRig(t)
  issuer.answer = tokens(1)
  await sink.send(event(), noAbort())
  writeFileSync(secretFile, 'next')
  await sink.files?.[0]?.reload()
  while (issuer.questions.length < 2) await sink.send(event(), noAbort())
  const secrets = issuer.questions.map(({ headers }) => Buffer.from(headers.authorization!.slice(6), 'base64').toString())
  t.same(secrets.slice(0, 2), ['gw%3A1:hunter2%2B+%25', 'gw%3A1:next'])
  t.equal(sentWith(server)[0], 'Bearer token1')
})

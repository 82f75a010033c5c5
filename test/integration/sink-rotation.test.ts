/** A whole source whose sink wants to know who sends: what it is told changes while events flow, and none is lost. */
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync, type MqttClient } from 'mqtt'
import { test, type Test } from 'tap'
import { createSource, type Source } from '../../lib/index.ts'
import { json, startAskedService } from '../support/asked-service.ts'
import { createCertificates } from '../support/certs.ts'
import { startHttpSink, type HttpSink } from '../support/http-sink.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'

interface Running {
  readonly source: Source
  readonly client: MqttClient
  metric (key: string): Promise<number | undefined>
  metricIs (key: string, value: number): Promise<void>
}

async function start (t: Test, sink: object, more: object = {}): Promise<Running> {
  const source = createSource({
    env: {},
    settings: {
      listeners: [{ port: 0 }],
      outbox: { store: 'memory' },
      http: { port: 0 },
      sink,
      // With fewer retries an event from behind a head that fails alone is tried in its place: decision 0006.
      delivery: { backoffDelay: 'PT0.01S', backoffMax: 'PT0.05S', retry: 1000 },
      reload: { every: 'PT0.02S' },
      log: { level: 'silent' },
      ...more
    }
  })
  t.teardown(() => source.close())
  await source.start()
  const client = await connectAsync(`mqtt://${source.addresses.listeners[0]!.address}`, { reconnectPeriod: 0 })
  t.teardown(() => client.endAsync(true))
  const metric = async (key: string) => {
    const answer = await fetch(`http://${source.addresses.http}/metrics`)
    return sampleOf(parseMetrics(await answer.text()), `mqtt_broker_source_${key}`)
  }
  const metricIs = async (key: string, value: number) => {
    while (await metric(key) !== value) await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
  return { source, client, metric, metricIs }
}

/** The payloads that were taken, in the order in which they were. */
const takenBy = (sink: HttpSink, taken: ReadonlySet<number>) =>
  sink.requests.flatMap((request, at) => taken.has(at) ? [Number(request.body.toString())] : [])

test('a token file that is replaced while events flow: none is a dead letter, each arrives once and in order', async (t) => {
  const directory = t.testdir({ token: 'token0' })
  const file = join(directory, 'token')
  let valid = 'token0'
  const taken = new Set<number>()
  const sink = await startHttpSink(t)
  sink.answer = (request, at) => {
    const ok = request.header('authorization') === `Bearer ${valid}` && request.header('x-token') === valid
    if (ok) taken.add(at)
    return { status: ok ? 202 : 401 }
  }
  const target = { url: sink.url, auth: { bearer: { file } }, headers: { 'x-token': { file } } }
  const { client, metric, metricIs } = await start(t, target)
  const count = 150
  for (let at = 0; at < count; at++) {
    const rotates = at % 50 === 25
    // The sink is ahead: what is in the file is refused for a while, the event below for certain.
    if (rotates) valid = `token${at}`
    const before = sink.requests.length
    await client.publishAsync('a', String(at), { qos: 1 })
    if (!rotates) continue
    while (sink.requests.length < before + 3) await new Promise(setImmediate)
    writeFileSync(`${file}.new`, valid)
    renameSync(`${file}.new`, file)
  }
  await metricIs('delivery_waiting{sink="default"}', 0)
  t.same(takenBy(sink, taken), Array.from({ length: count }, (_, at) => at))
  t.equal(await metric('outbox_dead_letters'), 0)
  t.ok((await metric('sink_unauthorized_total{sink="default"}') ?? 0) >= 3)
  t.ok((await metric('reloads_total{what="sink-auth",result="ok"}') ?? 0) >= 3)
})

test('while the token endpoint is down events wait, and none is a dead letter', async (t) => {
  const [sink, issuer] = [await startHttpSink(t), await startAskedService(t)]
  const clientSecretFile = join(t.testdir({ secret: 'abc' }), 'secret')
  const oauth2 = { tokenUrl: issuer.url, clientId: 'gw', clientSecretFile }
  const { client, metric, metricIs } = await start(t, { url: sink.url, auth: { oauth2 } })
  for (let at = 0; at < 20; at++) await client.publishAsync('a', String(at), { qos: 1 })
  await metricIs('sink_up{sink="default"}', 0)
  await issuer.asked(2)
  t.equal(sink.requests.length, 0)
  t.equal(await metric('outbox_dead_letters'), 0)
  issuer.answer = json({ access_token: 'abc', token_type: 'Bearer', expires_in: 3600 })
  await sink.waitFor(20)
  t.same(sink.requests.map(({ body }) => Number(body.toString())), Array.from({ length: 20 }, (_, at) => at))
})

test('the dead-letter sink is told its own credentials', async (t) => {
  const [sink, dead] = [await startHttpSink(t), await startHttpSink(t)]
  const file = join(t.testdir({ token: 'for-dead-letters' }), 'token')
  sink.answer = { status: 400 }
  const deadLetterSink = { url: dead.url, auth: { bearer: { file } }, headers: { 'x-site': 'north' } }
  const { client } = await start(t, { url: sink.url, headers: { 'x-only': 'sink' } }, { delivery: { deadLetterSink } })
  await client.publishAsync('a', '1', { qos: 1 })
  await dead.waitFor(1)
  const of = (server: HttpSink) => ['authorization', 'x-site', 'x-only'].map((name) => server.requests[0]?.header(name))
  t.same(of(dead), ['Bearer for-dead-letters', 'north', undefined])
  t.same(of(sink), [undefined, undefined, 'sink'])
})

test('a client certificate that is renewed while events flow, and a broken one in between', async (t) => {
  const certificates = createCertificates(mkdtempSync(join(tmpdir(), 'mqtt-broker-source-')))
  certificates.issue('renewed', 'ca')
  const directory = t.testdir()
  const [cert, key] = [join(directory, 'tls.crt'), join(directory, 'tls.key')]
  const use = (name: string) => {
    writeFileSync(key, certificates.read(`${name}.key`))
    writeFileSync(cert, certificates.read(`${name}.crt`))
  }
  use('client')
  const tls = { key: certificates.read('server.key'), cert: certificates.read('server.crt'), ca: certificates.read('ca.crt'), requestCert: true }
  const sink = await startHttpSink(t, { tls })
  const target = { url: sink.url, ca: certificates.file('ca.crt'), tls: { cert, key } }
  const { client, metricIs, metric } = await start(t, target)
  let sent = 0
  const publish = async (count: number) => {
    for (let at = 0; at < count; at++) await client.publishAsync('a', String(sent++), { qos: 1 })
  }
  await publish(10)
  writeFileSync(cert, 'no certificate')
  await metricIs('reloads_total{what="sink-tls",result="failed"}', 1)
  await publish(10)
  await sink.waitFor(20)
  use('renewed')
  await metricIs('reloads_total{what="sink-tls",result="ok"}', 1)
  sink.closeIdle()
  await publish(10)
  await metricIs('delivery_waiting{sink="default"}', 0)
  const arrived = new Map(sink.requests.map((request) => [Number(request.body.toString()), request.peer]))
  t.same([...arrived.keys()], Array.from({ length: 30 }, (_, at) => at))
  t.same([...arrived.values()].slice(0, 20), Array(20).fill('client'))
  t.equal(arrived.get(29), 'renewed')
  t.equal(await metric('outbox_dead_letters'), 0)
})

test('a source does not start without what its sink has to be told', async (t) => {
  const directory = t.testdir({ empty: '' })
  const bearer = { file: join(directory, 'missing') }
  const url = 'https://127.0.0.1:1/'
  await t.rejects(start(t, { url, auth: { bearer } }), { code: 'MBS_ERR_SINK_CREDENTIALS', exitCode: 78 })
  const tls = { cert: join(directory, 'empty'), key: join(directory, 'empty') }
  await t.rejects(start(t, { url, tls }), { code: 'MBS_ERR_SINK_TLS', exitCode: 78 })
})

/** Life-cycle events from the configuration to the sink, with the built program; the SDK reads what arrives. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import mqtt from 'mqtt'
import { test } from 'tap'
import { startHttpSink, type HttpSink } from '../support/http-sink.ts'
import { startProgram } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { ecKeys, inSeconds, pemOf, sign } from '../support/tokens.ts'

const PREFIX = 'dev.mqttbrokersource.client.'

interface Arrived {
  readonly kind: string
  readonly data: Readonly<Record<string, unknown>>
  readonly sequence: string
}

/** The life-cycle events of a client in the order in which they arrived, each valid to the SDK. */
function lifecycleAt (sink: HttpSink, clientId: string): Arrived[] {
  return sink.requests.flatMap((request) => {
    const { type, subject, ...attributes } = request.event()
    if (!type.startsWith(PREFIX) || subject !== clientId) return []
    const data = JSON.parse(request.payload().toString()) as Record<string, unknown>
    return [{ kind: type.slice(PREFIX.length), data, sequence: String(attributes['sequence']) }]
  })
}

const kindsOf = (arrived: readonly Arrived[]) => {
  return arrived.map(({ kind, data }) => data['reason'] === undefined ? kind : `${kind} ${String(data['reason'])}`)
}

function configWith (more: object, events: object = {}) {
  return {
    name: 'gw', listeners: [{ port: 0 }], http: { port: 0 }, log: { format: 'json' }, events: { lifecycle: {}, ...events }, ...more
  }
}

test('clients come and go: the sink hears of it in order, with overrides and without rules', async (t) => {
  const sink = await startHttpSink(t)
  const rules = [{ topic: '#', type: 'com.example.reading', source: '/readings' }]
  const lifecycle = { source: '/d/{clientid}' }
  const config = configWith({ dataDir: `${t.testdir()}/data`, sink: { url: sink.url } }, { rules, lifecycle })
  const program = await startProgram(t, config, { env: { K_CE_OVERRIDES: '{"extensions":{"site":"north"}}' } })
  const client = await mqtt.connectAsync({
    host: '127.0.0.1', port: program.port('mqtt'), clientId: 'pump 7', keepalive: 33, reconnectPeriod: 0
  })
  await client.subscribeAsync({ a: { qos: 1 }, $bad: { qos: 0 } }).catch(() => {})
  await client.publishAsync('b', '1', { qos: 1 })
  await client.unsubscribeAsync('a')
  await client.endAsync()
  await sink.waitFor(5)
  t.same(sink.requests.map((request) => request.event().type.replace(PREFIX, '')), [
    'connected', 'subscribed', 'com.example.reading', 'unsubscribed', 'disconnected'
  ])
  for (const request of sink.requests) {
    const event = request.event()
    t.equal(event['site'], 'north')
    t.equal(event['partitionkey'], 'pump 7')
    t.equal(event.source, event.type === 'com.example.reading' ? '/readings' : '/d/pump%207')
  }
  const arrived = lifecycleAt(sink, 'pump 7')
  t.match(arrived.map(({ data }) => data), [
    { clientId: 'pump 7', keepAliveSeconds: 33, authMethod: 'anonymous' },
    { subscriptions: [{ filter: 'a', qos: 1 }] },
    { filters: ['a'] },
    { reason: 'clean', messagesReceived: 1 }
  ])
  const metrics = parseMetrics(await (await fetch(`http://${program.address('http')}/metrics`)).text())
  t.equal(sampleOf(metrics, 'mqtt_broker_source_lifecycle_events_total{event="connected"}'), 1)
  t.equal(await program.stop(), 0)
})

test('SIGTERM: every client gets server-shutdown, stored before the program ends, in order over restarts', async (t) => {
  const dataDir = `${t.testdir()}/data`
  const spooling = await startProgram(t, configWith({ dataDir, sink: { kind: 'http' } }))
  const clients = await Promise.all(Array.from({ length: 10 }, (_, at) => {
    return RawMqtt.open(spooling.port('mqtt'), { clientId: `d${at}` })
  }))
  clients[9]!.send({ cmd: 'disconnect' })
  await clients[9]!.closed
  t.equal(await spooling.stop(), 0)
  await Promise.all(clients.map((client) => client.closed))

  const sink = await startHttpSink(t)
  const program = await startProgram(t, configWith({ dataDir, sink: { url: sink.url } }))
  await RawMqtt.open(program.port('mqtt'), { clientId: 'd0' })
  await sink.waitFor(21)
  for (let at = 1; at < 9; at++) t.same(kindsOf(lifecycleAt(sink, `d${at}`)), ['connected', 'disconnected server-shutdown'])
  t.same(kindsOf(lifecycleAt(sink, 'd9')), ['connected', 'disconnected clean'])
  // Delivered while it is being stopped, too.
  t.equal(await program.stop(), 0)
  const own = lifecycleAt(sink, 'd0')
  t.same(kindsOf(own), ['connected', 'disconnected server-shutdown', 'connected', 'disconnected server-shutdown'])
  const sequences = own.map(({ sequence }) => sequence)
  t.same(sequences, [...new Set(sequences)].sort())
})

test('SIGKILL leaves a client without disconnected, and nothing invents one', async (t) => {
  const sink = await startHttpSink(t)
  const config = configWith({ dataDir: `${t.testdir()}/data`, sink: { url: sink.url } })
  const killed = await startProgram(t, config)
  await RawMqtt.open(killed.port('mqtt'), { clientId: 'd' })
  await sink.waitFor(1)
  await killed.kill()
  const again = await startProgram(t, config)
  const device = await RawMqtt.open(again.port('mqtt'), { clientId: 'd' })
  device.send({ cmd: 'disconnect' })
  await sink.waitFor(3)
  // Its cursor may not have been saved: what was delivered before comes again, under the same id.
  const ids = new Set<string>()
  const seen = sink.requests.map((request) => request.event()).filter(({ id }) => !ids.has(id) && ids.add(id))
  while (seen.length < 3) {
    await sink.waitFor(sink.requests.length + 1)
    seen.push(...sink.requests.map((request) => request.event()).filter(({ id }) => !ids.has(id) && ids.add(id)))
  }
  t.same(seen.map(({ type }) => type.replace(PREFIX, '')), ['connected', 'connected', 'disconnected'])
  t.equal(await again.stop(), 0)
})

test('a token that expires: kicked, with the name that it proved', async (t) => {
  const directory = t.testdir()
  const keys = ecKeys()
  writeFileSync(join(directory, 'key.pem'), pemOf(keys))
  const sink = await startHttpSink(t)
  const program = await startProgram(t, configWith({
    dataDir: join(directory, 'data'),
    listeners: [{ port: 0, anonymous: false }],
    access: { jwt: { publicKey: join(directory, 'key.pem'), audience: 'mqtt', clockSkew: 'PT0S' } },
    sink: { url: sink.url }
  }))
  const token = await sign(keys, { alg: 'ES256' }, { sub: 'pump-7', aud: 'mqtt', exp: inSeconds(3) })
  const device = await RawMqtt.open(program.port('mqtt'), { clientId: 'c', username: 'pump-7', password: Buffer.from(token) })
  await device.closed
  await sink.waitFor(2)
  t.match(lifecycleAt(sink, 'c').map(({ data }) => data), [
    { username: 'pump-7', authMethod: 'jwt' },
    { username: 'pump-7', reason: 'kicked', code: 'MBS_ERR_ACCESS_EXPIRED' }
  ])
  t.equal(await program.stop(), 0)
})

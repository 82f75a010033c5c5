/** When a publish is acknowledged and what a newer event makes irrelevant, as rules say, with the built program. */
import t, { test, type Test } from 'tap'
import { startHttpSink, type ReceivedRequest } from '../support/http-sink.ts'
import { startProgram } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'

t.jobs = 1

const rules = [
  { topic: 'delivered/#', ack: 'delivered' },
  { topic: 'received/#', ack: 'received' },
  { topic: 'state/{key}', supersede: '{key}', partitionKey: '{key}' }
]

async function start (t: Test, dataDir: string, sink: string, more: object = {}) {
  return await startProgram(t, {
    dataDir,
    listeners: [{ port: 0 }],
    http: { port: 0 },
    sink: { url: sink },
    delivery: { backoffDelay: 'PT0.02S', backoffMax: 'PT0.1S' },
    events: { rules },
    log: { format: 'json' },
    ...more
  })
}

/** Sends publishes at QoS 1 with packet identifiers from 1 on. */
function send (device: RawMqtt, publishes: ReadonlyArray<readonly [topic: string, payload: string]>): void {
  device.write(Buffer.concat(publishes.map(([topic, payload], at) => {
    return publishBytes({ topic, payload, qos: 1, messageId: at + 1 })
  })))
}

/** What `promise` has become after the time that the program takes to answer many times over. */
async function afterAWhile (promise: Promise<unknown>): Promise<'pending' | 'settled'> {
  return await Promise.race([
    promise.then(() => 'settled' as const), new Promise<'pending'>((resolve) => { setTimeout(resolve, 500, 'pending') })
  ])
}

const bodyOf = (request: ReceivedRequest) => request.body.toString()

test('ack: delivered is a PUBACK after the 2xx of the sink, and others behind it wait for their turn', async (t) => {
  const sink = await startHttpSink(t)
  let up = false
  sink.answer = () => ({ status: up ? 202 : 503 })
  const program = await start(t, `${t.testdir()}/data`, sink.url)
  const device = await RawMqtt.open(program.port('mqtt'), { clientId: 'c' })
  send(device, [['delivered/a', 'one'], ['plain', 'two']])
  await sink.waitFor(2)
  const puback = device.next('puback')
  t.equal(await afterAWhile(puback), 'pending')
  up = true
  t.equal((await puback).messageId, 1)
  t.equal((await device.next('puback')).messageId, 2, '[MQTT-4.6.0-2]')
  await sink.waitFor(4)
  device.abort()
  t.equal(await program.stop(), 0)
})

test('ack: delivered is answered as well when the sink refuses: the event is kept as dead letter', async (t) => {
  const sink = await startHttpSink(t)
  sink.answer = () => ({ status: 400 })
  const program = await start(t, `${t.testdir()}/data`, sink.url)
  const device = await RawMqtt.open(program.port('mqtt'), { clientId: 'c' })
  send(device, [['delivered/a', 'one']])
  t.equal((await device.next('puback')).messageId, 1)
  const metrics = parseMetrics(await (await fetch(`http://${program.address('http')}/metrics`)).text())
  t.equal(sampleOf(metrics, 'mqtt_broker_source_outbox_dead_letters'), 1)
  device.abort()
  t.equal(await program.stop(), 0)
})

test('a killed program has no PUBACK of what was not delivered, and delivers what it had stored', async (t) => {
  const dataDir = `${t.testdir()}/data`
  const down = await startHttpSink(t)
  down.answer = () => ({ status: 503 })
  const first = await start(t, dataDir, down.url)
  const device = await RawMqtt.open(first.port('mqtt'), { clientId: 'c' })
  send(device, [['delivered/a', 'one']])
  await down.waitFor(1)
  const answered = device.next('puback').catch(() => 'closed')
  await first.kill()
  t.equal(await answered, 'closed')
  const sink = await startHttpSink(t)
  const second = await start(t, dataDir, sink.url)
  const again = await RawMqtt.open(second.port('mqtt'), { clientId: 'c' })
  again.write(publishBytes({ topic: 'delivered/a', payload: 'one', qos: 1, messageId: 1, dup: true }))
  t.equal((await again.next('puback')).messageId, 1)
  await sink.waitFor(2)
  t.same(sink.requests.map(bodyOf), ['one', 'one'])
  t.equal(new Set(sink.requests.map((request) => request.header('ce-id'))).size, 1, 'and both can be told as one')
  again.abort()
  t.equal(await second.stop(), 0)
})

test('ack: received is answered, and its events reach the sink', async (t) => {
  const sink = await startHttpSink(t)
  const program = await start(t, `${t.testdir()}/data`, sink.url)
  const device = await RawMqtt.open(program.port('mqtt'), { clientId: 'c' })
  send(device, Array.from({ length: 50 }, (_, at) => [at % 2 === 0 ? 'received/a' : 'plain', String(at)] as const))
  for (let messageId = 1; messageId <= 50; messageId++) t.equal((await device.next('puback')).messageId, messageId)
  await sink.waitFor(50)
  t.same(sink.requests.map(bodyOf), Array.from({ length: 50 }, (_, at) => String(at)))
  device.abort()
  t.equal(await program.stop(), 0)
})

test('of a backlog with superseded events the newest of each key arrive, also after a crash', async (t) => {
  const dataDir = `${t.testdir()}/data`
  const down = await startHttpSink(t)
  down.answer = () => ({ status: 503 })
  const first = await start(t, dataDir, down.url)
  const device = await RawMqtt.open(first.port('mqtt'), { clientId: 'c' })
  const count = 1000
  for (let from = 0; from < count; from += 50) {
    send(device, Array.from({ length: 50 }, (_, at) => [`state/k${(from + at) % 10}`, String(from + at)] as const))
    for (let at = 0; at < 50; at++) await device.next('puback')
  }
  await first.kill()

  const sink = await startHttpSink(t)
  const second = await start(t, dataDir, sink.url)
  await sink.waitFor(10)
  t.equal(await second.stop(), 0)
  t.same(sink.requests.map(bodyOf).sort(), Array.from({ length: 10 }, (_, at) => String(count - 10 + at)))
  const rates = sink.requests.map((request) => Number(request.header('ce-sampledrate')))
  const sum = rates.reduce((total, rate) => total + rate, 0)
  t.ok(sum > 10 && sum <= count, `they stand for ${sum}: what the first one had passed over already is not among them`)
})

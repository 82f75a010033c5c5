/** Several sinks behind one outbox, with the built program. */
import t, { test } from 'tap'
import { startHttpSink, type ReceivedRequest } from '../support/http-sink.ts'
import { startProgram } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'

t.jobs = 1

const bodyOf = (request: ReceivedRequest) => request.body.toString()

/** Publishes these payloads to `a/TOPIC` and waits for all PUBACKs. */
async function publish (device: RawMqtt, topics: readonly string[]): Promise<void> {
  device.write(Buffer.concat(topics.map((topic, at) => {
    return publishBytes({ topic: `a/${topic}`, payload: `{"v":${at}}`, qos: 1, messageId: at + 1 })
  })))
  for (let at = 0; at < topics.length; at++) await device.next('puback')
}

test('each sink gets what its filter lets through, with its own headers, and one that is down holds up no other', async (t) => {
  const [main, archive, alarms] = [await startHttpSink(t), await startHttpSink(t), await startHttpSink(t)]
  let up = false
  archive.answer = () => ({ status: up ? 202 : 503 })
  const config = {
    dataDir: `${t.testdir()}/data`,
    listeners: [{ port: 0 }],
    http: { port: 0 },
    sink: { url: main.url },
    sinks: [
      { name: 'archive', url: archive.url, contentMode: 'structured', delivery: { backoffDelay: 'PT0.01S', backoffMax: 'PT0.1S' } },
      {
        name: 'alarms',
        url: alarms.url,
        headers: { 'X-Site': 'north' },
        filter: [{ suffix: { subject: '/alarm' } }, { greaterThan: { 'data.v': 3 } }]
      }
    ],
    log: { format: 'json' }
  }
  const first = await startProgram(t, config)
  const device = await RawMqtt.open(first.port('mqtt'), { clientId: 'c' })
  await publish(device, ['x', 'alarm', 'x', 'x', 'alarm', 'x'])
  await main.waitFor(6)
  await alarms.waitFor(1)
  t.same(main.requests.map(bodyOf), [0, 1, 2, 3, 4, 5].map((v) => `{"v":${v}}`))
  t.same(alarms.requests.map((request) => [bodyOf(request), request.header('x-site')]), [['{"v":4}', 'north']])
  t.equal(main.requests[0]?.header('x-site'), undefined)
  const metrics = parseMetrics(await (await fetch(`http://${first.address('http')}/metrics`)).text())
  const value = (name: string) => sampleOf(metrics, `mqtt_broker_source_${name}`)
  t.equal(value('delivery_waiting{sink="archive"}'), 6)
  t.equal(value('delivery_waiting{sink="alarms"}'), 0)
  t.equal(value('events_not_delivered_total{sink="alarms",reason="filter"}'), 5)
  const ready = await (await fetch(`http://${first.address('http')}/readyz`)).json() as { checks: { sinks: object } }
  t.same(Object.keys(ready.checks.sinks), ['default', 'archive', 'alarms'])
  device.abort()
  await first.kill()

  up = true
  const before = { archive: archive.requests.length, main: main.requests.length }
  const second = await startProgram(t, config)
  await archive.waitFor(before.archive + 6)
  const late = archive.requests.slice(before.archive)
  t.same(late.map((request) => (request.event().data as { v: number }).v), [0, 1, 2, 3, 4, 5])
  t.ok(late.every(({ mode }) => mode === 'structured'))
  t.equal(await second.stop(), 0)
  t.ok(main.requests.length - before.main <= 6, 'the others have had theirs, but for what was not written down yet')
})

test('with named sinks only, nobody else gets events, and dead letters say whose they are', async (t) => {
  const [one, two] = [await startHttpSink(t), await startHttpSink(t)]
  two.answer = (request) => ({ status: bodyOf(request) === '{"v":1}' ? 422 : 202 })
  const program = await startProgram(t, {
    dataDir: `${t.testdir()}/data`,
    listeners: [{ port: 0 }],
    http: { port: 0 },
    sinks: [{ name: 'one', url: one.url }, { name: 'two', url: two.url }],
    log: { format: 'json' }
  })
  const device = await RawMqtt.open(program.port('mqtt'), { clientId: 'c' })
  await publish(device, ['x', 'x', 'x'])
  await one.waitFor(3)
  await two.waitFor(3)
  const metrics = parseMetrics(await (await fetch(`http://${program.address('http')}/metrics`)).text())
  t.equal(sampleOf(metrics, 'mqtt_broker_source_dead_lettered_total{sink="two",reason="answer"}'), 1)
  t.equal(sampleOf(metrics, 'mqtt_broker_source_dead_lettered_total{sink="one",reason="answer"}'), undefined)
  t.equal(program.stdout, '', 'no display sink')
  device.abort()
  t.equal(await program.stop(), 0)
})

import { test } from 'tap'
import { percentile, startHonestDevice } from '../support/honest-device.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

test('a subscriber that takes nothing is closed, and devices whose messages it does not get do not wait', async (t) => {
  const { logged, outbox, port } = await startBroker(t, { gate: { drainTimeoutMs: 3000 } })
  const honest = startHonestDevice(t, { port, perSecond: 100, topic: 'honest/a' })
  await until(() => outbox.stored.length > 10)
  const frozen = await RawMqtt.open(port, { clientId: 'frozen' })
  frozen.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'flood/#', qos: 0 }] })
  await frozen.next('suback')
  frozen.socket.pause()
  // More of them than there may be messages under way at a time in Aedes' own setting, each with all that it may have.
  const payload = Buffer.alloc(16 * 1024)
  const greedy = await Promise.all(Array.from({ length: 20 }, async (_, index) => {
    return await RawMqtt.open(port, { clientId: `greedy-${index}` })
  }))
  for (const device of greedy) {
    for (let messageId = 1; messageId <= 100; messageId++) device.publish({ topic: 'flood/a', payload, qos: 1, messageId })
  }
  t.match(await logged('MBS_ERR_GATE_SLOW_READER'), [{ clientId: 'frozen' }])
  const { latenciesMs, sent, problem } = await honest.stop()
  const p99 = percentile(latenciesMs, 0.99)
  t.comment(`PUBACK of the honest device: median ${percentile(latenciesMs, 0.5).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, of ${sent}`)
  t.equal(problem, undefined)
  t.equal(latenciesMs.length, sent)
  t.ok(sent > 100, 'it published all the time')
  t.ok(p99 < 1500, 'far from the time that the subscriber has')
  frozen.socket.destroy()
  for (const device of greedy) device.abort()
})

test('it holds nobody up: at QoS 0 it goes without, which is counted', async (t) => {
  const { logged, outbox, telemetry, port } = await startBroker(t, {
    gate: { inflightPerClient: 4, unreadBytes: 256 * 1024, drainTimeoutMs: 5000 }
  })
  const [frozen, reading] = await Promise.all(['frozen', 'reading'].map(async (clientId) => {
    const client = await RawMqtt.open(port, { clientId })
    // The publisher's QoS does not matter, only what was asked for.
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
    await client.next('suback')
    return client
  })) as [RawMqtt, RawMqtt]
  frozen.socket.pause()
  const device = await RawMqtt.open(port)
  const payload = Buffer.alloc(100_000)
  for (let messageId = 1; messageId <= 150; messageId++) {
    device.publish({ payload, qos: 1, messageId })
    await device.next('puback')
    await reading.next('publish')
  }
  t.equal(outbox.stored.length, 150)
  const metrics = parseMetrics(await telemetry.registry.metrics())
  const dropped = sampleOf(metrics, 'mqtt_broker_source_deliveries_dropped_total') ?? 0
  t.ok(dropped > 0 && dropped < 150, `${dropped} of 150 were not sent to it`)
  frozen.socket.resume()
  await until(() => frozen.received.length === 150 - dropped)
  device.publish({ payload: 'later', qos: 1, messageId: 1 })
  await device.next('puback')
  await until(() => frozen.received.length === 151 - dropped)
  t.equal(String((frozen.received.at(-1) as { payload?: Buffer }).payload), 'later', 'and gets what comes when it reads again')
  frozen.socket.pause()
  for (let messageId = 1; messageId <= 100; messageId++) device.publish({ payload, qos: 1, messageId })
  t.match(await logged('MBS_ERR_GATE_SLOW_READER'), [{ clientId: 'frozen' }])
  for (const client of [frozen, reading, device]) client.abort()
})

test('at QoS 1 its connection is closed, and a persistent session loses nothing', async (t) => {
  const { logged, outbox, port } = await startBroker(t, {
    gate: { inflightPerClient: 4, unreadBytes: 256 * 1024 },
    broker: { queuedBytes: 64 * 1024 * 1024, queuedBytesTotal: 64 * 1024 * 1024 }
  })
  const frozen = await RawMqtt.open(port, { clientId: 'frozen', clean: false })
  frozen.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] })
  await frozen.next('suback')
  frozen.socket.pause()
  const device = await RawMqtt.open(port)
  const payload = Buffer.alloc(100_000)
  for (let messageId = 1; messageId <= 150; messageId++) {
    device.publish({ topic: `t/${messageId}`, payload, qos: 1, messageId })
    await device.next('puback')
  }
  t.equal(outbox.stored.length, 150)
  t.match(await logged('MBS_ERR_GATE_SLOW_READER'), [{ clientId: 'frozen', msg: /unreadBytes/ }])
  frozen.socket.destroy()

  // It comes back, reads slowly, and gets everything: what waits is sent as it is taken.
  const back = await RawMqtt.open(port, { clientId: 'frozen', clean: false })
  const topics = new Set<string>()
  for (let count = 0; topics.size < 150; count++) {
    const { topic, messageId } = await back.next('publish')
    topics.add(topic)
    back.send({ cmd: 'puback', messageId: messageId as number })
    if (count % 20 === 0) {
      back.socket.pause()
      await new Promise((resolve) => setTimeout(resolve, 20))
      back.socket.resume()
    }
  }
  t.same([...topics].sort(), Array.from({ length: 150 }, (_, index) => `t/${index + 1}`).sort())
  back.abort()
  device.abort()
})

test('a slow reader gets all that is retained, and one SUBSCRIBE is answered after the other', async (t) => {
  const { port } = await startBroker(t, {
    gate: { unreadBytes: 256 * 1024 }, broker: { retainedBytes: 64 * 1024 * 1024 }
  })
  const device = await RawMqtt.open(port)
  const payload = Buffer.alloc(100_000)
  for (let messageId = 1; messageId <= 150; messageId++) {
    device.publish({ topic: `t/${messageId}`, payload, qos: 1, messageId, retain: true })
    await device.next('puback')
  }
  const reader = await RawMqtt.open(port, { clientId: 'reader' })
  reader.socket.pause()
  for (const messageId of [1, 2]) reader.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: 't/#', qos: 0 }] })
  await new Promise((resolve) => setTimeout(resolve, 300))
  reader.socket.resume()
  await until(() => reader.received.filter(({ cmd }) => cmd === 'publish').length === 300)
  t.ok(reader.received.findIndex(({ cmd, messageId }) => cmd === 'suback' && messageId === 2) > 100,
    'the second is not looked at while the first is not through')
  await reader.ping()
  reader.send({ cmd: 'subscribe', messageId: 3, subscriptions: [{ topic: '$SYS/#', qos: 0 }] })
  await until(() => reader.received.some(({ cmd, messageId }) => cmd === 'suback' && messageId === 3))
  reader.send({ cmd: 'subscribe', messageId: 4, subscriptions: [{ topic: 't/1', qos: 0 }] })
  await until(() => reader.received.some(({ cmd, messageId }) => cmd === 'suback' && messageId === 4))
  t.pass('a SUBSCRIBE of which all is denied does not hold up the next one')
  for (const client of [reader, device]) client.abort()
})

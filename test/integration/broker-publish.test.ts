import { test } from 'tap'
import { createError } from '../../lib/errors.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

test('holds PUBACK until the event is stored [MQTT-4.3.2-2]', async (t) => {
  const { outbox, port } = await startBroker(t)
  outbox.auto = false
  const device = await RawMqtt.open(port)
  device.publish({ qos: 1, messageId: 7 })
  await outbox.arrived(1)
  await device.ping()
  t.same(device.idsOf('puback'), [], 'nothing is acknowledged while the append is under way')
  outbox.release()
  t.equal((await device.next('puback')).messageId, 7)
})

test('holds PUBREC until the event is stored [MQTT-4.3.3-2]', async (t) => {
  const { outbox, port } = await startBroker(t)
  outbox.auto = false
  const device = await RawMqtt.open(port)
  device.publish({ qos: 2, messageId: 7 })
  await outbox.arrived(1)
  await device.ping()
  t.same(device.idsOf('pubrec'), [])
  outbox.release()
  t.equal((await device.next('pubrec')).messageId, 7)
  device.send({ cmd: 'pubrel', messageId: 7 })
  t.equal((await device.next('pubcomp')).messageId, 7)
})

test('PUBACKs go out in the order of the publishes [MQTT-4.6.0-2]', async (t) => {
  const { outbox, port } = await startBroker(t)
  outbox.auto = false
  const device = await RawMqtt.open(port)
  const ids = Array.from({ length: 50 }, (_, index) => index + 1)
  device.write(Buffer.concat(ids.map((messageId) => publishBytes({ qos: 1, messageId, retain: messageId % 3 === 0 }))))
  await outbox.arrived(50)
  outbox.release(20)
  await until(() => device.idsOf('puback').length === 20)
  t.same(device.idsOf('puback'), ids.slice(0, 20))
  outbox.release()
  await until(() => device.idsOf('puback').length === 50)
  t.same(device.idsOf('puback'), ids)
})

test('events are stored in the order of arrival, whatever their QoS', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  const texts = Array.from({ length: 30 }, (_, index) => String(index))
  device.write(Buffer.concat(texts.map((payload, index) => {
    const qos = [2, 1, 0][index % 3] as 0 | 1 | 2
    return publishBytes({ payload, qos, messageId: index + 1 })
  })))
  await until(() => outbox.stored.length === 30)
  t.same(outbox.texts, texts)
})

test('says who published what, and keeps the payload byte for byte', async (t) => {
  const { publishes, outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port, { clientId: 'station-1' })
  const payload = Buffer.from([0, 255, 1, 254])
  device.publish({ topic: 'a/b', payload, qos: 1, messageId: 9, retain: true, dup: true })
  await outbox.arrived(1)
  const { receivedAt, ...publish } = publishes[0] as NonNullable<typeof publishes[0]>
  t.same(publish, {
    client: { id: 'station-1', method: 'anonymous' }, topic: 'a/b', payload, qos: 1, retain: true, dup: true, messageId: 9, will: false
  })
  t.ok(Math.abs(Date.now() - receivedAt) < 60_000)
})

test('a publish that is not stored is not acknowledged, and its connection is closed', async (t) => {
  for (const qos of [1, 2] as const) {
    const { outbox, logged, telemetry, port } = await startBroker(t)
    outbox.failure = createError('MBS_ERR_OUTBOX_WRITE', { directory: 'd', reason: 'ENOSPC' })
    const device = await RawMqtt.open(port)
    device.publish({ qos, messageId: 7 })
    await device.closed
    t.same(device.received, [])
    const lines = await logged('MBS_ERR_OUTBOX_WRITE')
    t.equal(lines.length, 1, 'told once')
    t.match(lines[0], { clientId: 'device', level: 'warn' })
    const metrics = await telemetry.registry.metrics()
    t.match(metrics, /publishes_refused_total\{code="MBS_ERR_OUTBOX_WRITE"\} 1/)
    t.notMatch(metrics, /connection_errors_total\{/, 'and not as a failure of the connection once more')
  }
})

test('a message sent again after a refusal is stored with the same event id', async (t) => {
  const { outbox, port } = await startBroker(t)
  outbox.failure = createError('MBS_ERR_OUTBOX_FULL', { maxBytes: 1 })
  const before = await RawMqtt.open(port, { clean: false })
  before.publish({ qos: 1, messageId: 7 })
  await before.closed
  outbox.failure = undefined
  const after = await RawMqtt.open(port, { clean: false })
  after.publish({ qos: 1, messageId: 7, dup: true })
  await after.next('puback')
  t.equal(outbox.stored.length, 1)
  t.equal(outbox.appends[1]?.event.id, outbox.appends[0]?.event.id)
})

test('a message whose PUBACK was lost is stored again with the same event id', async (t) => {
  const { outbox, port } = await startBroker(t)
  const before = await RawMqtt.open(port)
  before.publish({ qos: 1, messageId: 7 })
  await before.next('puback')
  before.abort()
  const after = await RawMqtt.open(port)
  after.publish({ qos: 1, messageId: 7, dup: true })
  await after.next('puback')
  after.publish({ qos: 1, messageId: 7 })
  await after.next('puback')
  const [first, again, reused] = outbox.stored.map(({ id }) => id)
  t.equal(again, first, 'DUP: the same event')
  t.not(reused, first, 'no DUP: the identifier is in use for another message')
})

test('QoS 0 passes at once, and what cannot be stored of it is counted', async (t) => {
  const { outbox, lines, port } = await startBroker(t)
  outbox.auto = false
  const listening = await RawMqtt.open(port, { clientId: 'listening' })
  listening.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
  await listening.next('suback')
  const device = await RawMqtt.open(port)
  device.publish({ payload: 'now' })
  t.equal((await listening.next('publish')).payload.toString(), 'now', 'subscribers do not wait for the store')
  t.equal(outbox.open, 1)
  outbox.fail(createError('MBS_ERR_OUTBOX_WRITE', { directory: 'd', reason: 'EIO' }))
  await until(() => lines.text.includes('dropped at QoS 0'))
  await device.ping()
})

test('a publish that nobody answers is refused in time', async (t) => {
  const { outbox, logged, port } = await startBroker(t, { ingest: { publishTimeoutMs: 50 } })
  outbox.auto = false
  const device = await RawMqtt.open(port)
  device.publish({ qos: 1, messageId: 1 })
  await device.closed
  t.same(device.received, [])
  t.match(await logged('MBS_ERR_INGEST_TIMEOUT'), [{ clientId: 'device' }])
})

test('a connection that closes while its publish is stored harms nobody', async (t) => {
  const { outbox, lines, broker, port } = await startBroker(t)
  outbox.auto = false
  const device = await RawMqtt.open(port)
  device.publish({ qos: 1, messageId: 1 })
  device.publish({ qos: 2, messageId: 2 })
  await outbox.arrived(2)
  device.abort()
  await until(() => broker.clients === 0)
  outbox.release()
  const other = await RawMqtt.open(port, { clientId: 'other' })
  await other.ping()
  t.notMatch(lines.text, /MBS_ERR_BROKER_PROTOCOL|unexpected/)
})

for (const [what, topic] of Object.entries({
  $SYS: '$SYS/x/new/clients',
  'any other $': '$x',
  NUL: 'a\0b',
  'bytes that are not UTF-8': 'a\ufffd',
  'too many bytes': 'x'.repeat(1025),
  'too many levels': 'a/'.repeat(32)
})) {
  test(`closes the connection that publishes to a topic with ${what}`, async (t) => {
    const { outbox, logged, port } = await startBroker(t)
    for (const qos of [0, 1] as const) {
      const device = await RawMqtt.open(port)
      device.publish({ topic, qos, messageId: 1 })
      await device.closed
      t.same(device.received, [])
    }
    t.equal((await logged('MBS_ERR_BROKER_TOPIC')).length, 1, 'logged once a minute')
    t.same(outbox.appends, [])
  })
}

test('closes the connection that publishes to a wildcard', async (t) => {
  const { outbox, logged, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  device.write(Buffer.from([0x30, 5, 0, 3, 0x61, 0x2f, 0x23]))
  await device.closed
  t.match(await logged('MBS_ERR_BROKER_PROTOCOL'), [{ clientId: 'device' }])
  t.same(outbox.appends, [])
})

test('what the broker publishes itself is no event', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 1 }] })
  await device.next('suback')
  device.publish({ topic: 'a', qos: 1, messageId: 1 })
  await device.next('publish')
  t.equal(outbox.appends.length, 1, 'the publish, and neither $SYS nor its delivery')
})

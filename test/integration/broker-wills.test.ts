import { test } from 'tap'
import { createError } from '../../lib/errors.ts'
import { connectBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

const will = { topic: 'gone/device', payload: Buffer.from('lost'), qos: 1 as const, retain: false }

test('a will is an event when its connection breaks [MQTT-3.1.2-8]', async (t) => {
  const { outbox, publishes, port } = await startBroker(t)
  const device = await RawMqtt.open(port, { will })
  device.abort()
  await until(() => outbox.stored.length === 1)
  t.match(outbox.stored[0], { type: 'will', subject: 'gone/device', partitionKey: 'device' })
  t.match(publishes[0], { will: true, qos: 1, dup: false, payload: Buffer.from('lost') })
  t.notOk('messageId' in (publishes[0] as object))
})

test('a will and a publish say how their device proved who it is', async (t) => {
  const { outbox, publishes, port } = await startBroker(t, {
    authenticate: async ({ clientId }) => ({ kind: 'accepted', identity: { clientId, method: 'jwt', username: 'alice' } })
  })
  const device = await RawMqtt.open(port, { will })
  device.publish({ topic: 'a', qos: 1, messageId: 1 })
  await device.next('puback')
  device.abort()
  await until(() => outbox.stored.length === 2)
  const client = { id: 'device', method: 'jwt', username: 'alice' }
  t.match(publishes, [{ will: false, client }, { will: true, client }])
})

test('a will reaches subscribers once it is stored', async (t) => {
  const { outbox, port } = await startBroker(t)
  const listening = await RawMqtt.open(port, { clientId: 'listening' })
  listening.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'gone/#', qos: 0 }] })
  await listening.next('suback')
  outbox.auto = false
  const device = await RawMqtt.open(port, { will })
  device.abort()
  await outbox.arrived(1)
  await listening.ping()
  t.same(listening.received, [])
  outbox.release()
  t.equal((await listening.next('publish')).payload.toString(), 'lost')
})

test('a will is an event when its client is silent for too long', async (t) => {
  const { outbox, port } = await startBroker(t)
  await RawMqtt.open(port, { will, keepalive: 1 })
  await until(() => outbox.stored.length === 1)
  t.equal(outbox.stored[0]?.type, 'will')
})

test('a will is an event when another connection takes the session over', async (t) => {
  const { outbox, broker, port } = await startBroker(t)
  const before = await RawMqtt.open(port, { will })
  const after = await RawMqtt.open(port)
  await before.closed
  await until(() => outbox.stored.length === 1)
  t.equal(outbox.stored[0]?.type, 'will')
  await after.ping()
  t.equal(broker.clients, 1)
})

test('a will is an event when the client breaks a rule', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port, { will })
  device.write(Buffer.from([0]))
  await until(() => outbox.stored.length === 1)
  t.equal(outbox.stored[0]?.type, 'will')
})

test('a will is no event after DISCONNECT [MQTT-3.14.4-3]', async (t) => {
  const { outbox, broker, port } = await startBroker(t)
  const device = await RawMqtt.open(port, { will })
  device.publish({ payload: 'last words', qos: 0 })
  device.send({ cmd: 'disconnect' })
  await device.closed
  await until(() => broker.clients === 0)
  t.same(outbox.texts, ['last words'])
})

test('a will is tried again until it is stored: its device cannot send it again', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port, { will })
  outbox.failure = createError('MBS_ERR_OUTBOX_WRITE', { directory: 'd', reason: 'ENOSPC' })
  device.abort()
  await outbox.arrived(3)
  outbox.failure = undefined
  await until(() => outbox.stored.length === 1)
  const ids = new Set(outbox.appends.map(({ event }) => event.id))
  t.equal(ids.size, 1, 'under one id')
})

test('the wills of connected clients are stored before the broker has closed', async (t) => {
  const { outbox, broker, port } = await startBroker(t)
  const devices = await Promise.all(Array.from({ length: 20 }, (_, index) => RawMqtt.open(port, { will, clientId: `d${index}` })))
  outbox.auto = false
  let isClosed = false
  const closing = broker.close().then(() => { isClosed = true })
  await outbox.arrived(20)
  t.notOk(isClosed)
  outbox.release()
  await closing
  await Promise.all(devices.map((device) => device.closed))
  t.equal(outbox.stored.length, 20)
})

test('a will that cannot be stored while closing is given up and said', async (t) => {
  const { outbox, broker, ingest, logged, port } = await startBroker(t)
  const device = await RawMqtt.open(port, { will })
  outbox.failure = createError('MBS_ERR_OUTBOX_WRITE', { directory: 'd', reason: 'ENOSPC' })
  device.abort()
  await outbox.arrived(1)
  await Promise.all([ingest.quiesce(), broker.close()])
  t.match(await logged('MBS_ERR_INGEST_CLOSING'), [{ level: 'error', msg: /^a will was lost/, clientId: 'device' }])
})

for (const [what, topic] of Object.entries({ wildcards: 'a/#', 'a reserved topic': '$SYS/x/new/clients', 'NUL in it': 'a\0b' })) {
  test(`a will with ${what} is refused with CONNACK 5`, async (t) => {
    const { logged, port } = await startBroker(t)
    const device = await RawMqtt.dial(port)
    device.write(connectBytes({ will: { ...will, topic } }))
    t.equal((await device.next('connack')).returnCode, 5)
    await device.closed
    await logged('MBS_ERR_BROKER_WILL')
  })
}

import { test } from 'tap'
import { createError } from '../../lib/errors.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

test('is stored once over any number of DUPs [MQTT-4.3.3-2]', async (t) => {
  const { outbox, port } = await startBroker(t)
  const listening = await RawMqtt.open(port, { clientId: 'listening' })
  listening.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 2 }] })
  await listening.next('suback')
  const device = await RawMqtt.open(port)
  for (let count = 0; count < 4; count++) {
    device.publish({ qos: 2, messageId: 5, dup: count > 0 })
    await device.next('pubrec')
  }
  device.send({ cmd: 'pubrel', messageId: 5 })
  await device.next('pubcomp')
  t.equal(outbox.appends.length, 1)
  await listening.ping()
  t.equal(listening.idsOf('publish').length, 1, 'subscribers get it once as well')

  device.publish({ qos: 2, messageId: 5 })
  await device.next('pubrec')
  t.equal(outbox.appends.length, 2, 'after PUBREL the identifier stands for another message')
})

test('DUPs of what is being stored wait for the same append', async (t) => {
  const { outbox, port } = await startBroker(t)
  outbox.auto = false
  const device = await RawMqtt.open(port)
  device.publish({ qos: 2, messageId: 5 })
  device.publish({ qos: 2, messageId: 5, dup: true })
  device.write(Buffer.concat([
    publishBytes({ qos: 2, messageId: 5, dup: true }), publishBytes({ qos: 2, messageId: 6 })
  ]))
  await outbox.arrived(2)
  await device.ping()
  t.same(device.idsOf('pubrec'), [])
  t.equal(outbox.appends.length, 2)
  outbox.release()
  await until(() => device.idsOf('pubrec').length === 4)
  t.same(device.idsOf('pubrec'), [5, 5, 5, 6])
})

test('PUBRECs keep the order of the publishes, those of duplicates too [MQTT-4.6.0-3]', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  device.publish({ qos: 2, messageId: 1 })
  await device.next('pubrec')
  outbox.auto = false
  device.write(Buffer.concat([
    publishBytes({ qos: 2, messageId: 2 }),
    publishBytes({ qos: 2, messageId: 1, dup: true }),
    publishBytes({ qos: 2, messageId: 3 })
  ]))
  await outbox.arrived(3)
  await device.ping()
  t.same(device.idsOf('pubrec'), [], 'the known one does not overtake')
  outbox.release()
  await until(() => device.idsOf('pubrec').length === 3)
  t.same(device.idsOf('pubrec').filter((id) => id !== 3), [2, 1])
  t.equal(outbox.appends.length, 3)
})

test('a DUP on the next connection waits for the append of the last one', async (t) => {
  const { outbox, port } = await startBroker(t)
  outbox.auto = false
  const before = await RawMqtt.open(port, { clean: false })
  before.publish({ qos: 2, messageId: 5 })
  await outbox.arrived(1)
  const after = await RawMqtt.open(port, { clean: false })
  await before.closed
  after.publish({ qos: 2, messageId: 5, dup: true })
  await after.ping()
  t.same(after.idsOf('pubrec'), [])
  outbox.release()
  await after.next('pubrec')
  t.equal(outbox.appends.length, 1)
})

test('a DUP on the next connection is not answered if the append of the last one fails', async (t) => {
  const { outbox, port } = await startBroker(t)
  outbox.auto = false
  const before = await RawMqtt.open(port, { clean: false })
  before.publish({ qos: 2, messageId: 5 })
  await outbox.arrived(1)
  const after = await RawMqtt.open(port, { clean: false })
  after.publish({ qos: 2, messageId: 5, dup: true })
  await after.ping()
  outbox.fail(createError('MBS_ERR_OUTBOX_WRITE', { directory: 'd', reason: 'EIO' }))
  await after.closed
  t.same(after.received, [])
})

test('in a clean session an identifier of the last session means nothing', async (t) => {
  const { outbox, port } = await startBroker(t)
  outbox.auto = false
  const before = await RawMqtt.open(port, { clean: true })
  before.publish({ qos: 2, messageId: 5, payload: 'old' })
  await outbox.arrived(1)
  const after = await RawMqtt.open(port, { clean: true })
  await before.closed
  outbox.release()
  after.publish({ qos: 2, messageId: 5, payload: 'new' })
  await outbox.arrived(2)
  outbox.release()
  await after.next('pubrec')
  t.same(outbox.texts, ['old', 'new'])
})

test('what was stored after its connection had closed is not mistaken for known in a new session', async (t) => {
  const { outbox, broker, port } = await startBroker(t)
  outbox.auto = false
  const before = await RawMqtt.open(port, { clean: false })
  before.publish({ qos: 2, messageId: 5, payload: 'old' })
  await outbox.arrived(1)
  before.abort()
  await until(() => broker.clients === 0)
  const after = await RawMqtt.open(port, { clean: true })
  outbox.release()
  outbox.auto = true
  await after.ping()
  after.publish({ qos: 2, messageId: 5, payload: 'new' })
  await after.next('pubrec')
  t.same(outbox.texts, ['old', 'new'])
})

test('a persistent session remembers its identifiers over a reconnect', async (t) => {
  const { outbox, port } = await startBroker(t)
  const before = await RawMqtt.open(port, { clean: false })
  before.publish({ qos: 2, messageId: 5 })
  await before.next('pubrec')
  before.abort()
  const after = await RawMqtt.open(port, { clean: false })
  after.publish({ qos: 2, messageId: 5, dup: true })
  await after.next('pubrec')
  t.equal(outbox.appends.length, 1)
})

test('a client may have any number of publishes without PUBREL', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  const count = 2000
  const ids = Array.from({ length: count }, (_, index) => index + 1)
  device.write(Buffer.concat(ids.map((messageId) => publishBytes({ qos: 2, messageId }))))
  await until(() => device.idsOf('pubrec').length === count)
  t.equal(outbox.stored.length, count)
})

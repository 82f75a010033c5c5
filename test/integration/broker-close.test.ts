import { test } from 'tap'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

test('closing waits for the publishes under way and ends every connection', async (t) => {
  const { outbox, broker, listener, connections, port } = await startBroker(t)
  outbox.auto = false
  const device = await RawMqtt.open(port)
  const silent = await RawMqtt.dial(port)
  device.publish({ qos: 1, messageId: 1 })
  await outbox.arrived(1)
  let isClosed = false
  const closing = broker.close().then(() => { isClosed = true })
  await Promise.all([device.closed, silent.closed])
  t.notOk(isClosed)
  outbox.release()
  await closing
  await listener.close()
  t.equal(connections.open, 0)
})

test('closing twice is closing once', async (t) => {
  const { broker, listener, ingest, port } = await startBroker(t)
  await RawMqtt.open(port)
  await Promise.all([broker.close(), broker.close(), broker.quiesce()])
  await Promise.all([listener.close(), listener.close(), listener.stopAccepting()])
  await Promise.all([ingest.close(), ingest.close()])
  t.equal(broker.clients, 0)
})

test('a connection that comes after closing is ended', async (t) => {
  const { broker, port } = await startBroker(t)
  await broker.close()
  const device = await RawMqtt.dial(port)
  await device.closed
  t.equal(device.bytes.length, 0)
})

test('shutting down logs no failures of connections', async (t) => {
  const { outbox, broker, listener, lines, port } = await startBroker(t)
  const devices = await Promise.all(Array.from({ length: 10 }, (_, index) => RawMqtt.open(port, { clientId: `d${index}` })))
  outbox.auto = false
  for (const device of devices) {
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] })
    await device.next('suback')
    device.publish({ qos: 1, messageId: 1 })
  }
  await outbox.arrived(10)
  const closing = broker.close()
  outbox.release()
  await closing
  await listener.close()
  await Promise.all(devices.map((device) => device.closed))
  t.same(lines.objects.filter((line) => line['level'] !== 'debug'), [])
})

test('connections and sessions leave nothing behind', async (t) => {
  const { broker, connections, port } = await startBroker(t)
  for (let round = 0; round < 20; round++) {
    const devices = await Promise.all(Array.from({ length: 20 }, (_, index) => RawMqtt.open(port, { clientId: `d${index}` })))
    for (const [index, device] of devices.entries()) {
      if (index % 3 === 0) device.abort()
      else if (index % 3 === 1) device.socket.end()
      else device.send({ cmd: 'disconnect' })
    }
    await Promise.all(devices.map((device) => device.closed))
  }
  await until(() => connections.open === 0)
  t.equal(broker.clients, 0)
})

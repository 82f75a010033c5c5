import { test } from 'tap'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

function publishes (count: number, payload: Buffer | string = 'x'): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, index) => {
    return publishBytes({ qos: 1, messageId: index + 1, payload })
  }))
}

test('a client publishes no faster than messagesPerSecond, loses nothing, and its neighbor does not wait', async (t) => {
  const { outbox, lines, port } = await startBroker(t, { gate: { messagesPerSecond: 50 } })
  const greedy = await RawMqtt.open(port, { clientId: 'greedy' })
  const begun = performance.now()
  greedy.write(publishes(150))
  await until(() => greedy.idsOf('puback').length >= 50)
  t.ok(performance.now() - begun < 1000, 'a second\'s worth passes at once')

  const neighbor = await RawMqtt.open(port, { clientId: 'neighbor' })
  const asked = performance.now()
  neighbor.publish({ qos: 1, messageId: 1 })
  await neighbor.next('puback')
  t.ok(performance.now() - asked < 500)

  await until(() => greedy.idsOf('puback').length === 150)
  const seconds = (performance.now() - begun) / 1000
  t.ok(seconds >= 1.9, `the other hundred took ${seconds.toFixed(2)} s`)
  t.same(greedy.idsOf('puback'), Array.from({ length: 150 }, (_, index) => index + 1), 'in order')
  t.equal(outbox.stored.filter(({ partitionKey }) => partitionKey === 'greedy').length, 150)
  t.match(lines.of('a client sends more in a second than limits allow; it is held back'), [{ limit: 'messages' }])
})

test('at QoS 0 as well', async (t) => {
  const { outbox, port } = await startBroker(t, { gate: { messagesPerSecond: 20 } })
  const greedy = await RawMqtt.open(port, { clientId: 'greedy' })
  const begun = performance.now()
  greedy.write(Buffer.concat(Array.from({ length: 40 }, () => publishBytes())))
  await until(() => outbox.stored.length === 40)
  t.ok(performance.now() - begun >= 900)
})

test('a client sends no more than bytesPerSecond, and loses nothing', async (t) => {
  const { lines, port } = await startBroker(t, { gate: { bytesPerSecond: 64 * 1024 } })
  const greedy = await RawMqtt.open(port, { clientId: 'greedy' })
  const begun = performance.now()
  greedy.write(publishes(48, Buffer.alloc(4096)))
  await until(() => greedy.idsOf('puback').length === 48)
  const seconds = (performance.now() - begun) / 1000
  t.ok(seconds >= 1, `three seconds' worth, one of them at once and the last not waited for: ${seconds.toFixed(2)} s`)
  greedy.publish({ qos: 1, messageId: 49 })
  await until(() => greedy.idsOf('puback').length === 49)
  t.ok((performance.now() - begun) / 1000 >= 1.9, 'whoever has overdrawn waits')
  t.match(lines.of('a client sends more in a second than limits allow; it is held back'), [{ limit: 'bytes' }])
})

test('a packet larger than a second\'s worth of bytes passes', async (t) => {
  const { port } = await startBroker(t, { gate: { bytesPerSecond: 20_000 } })
  const device = await RawMqtt.open(port)
  device.publish({ qos: 1, messageId: 1, payload: Buffer.alloc(30_000) })
  await device.next('puback')
})

test('a client that is held back is not closed for its keep alive', async (t) => {
  const { port } = await startBroker(t, { gate: { messagesPerSecond: 1 } })
  const device = await RawMqtt.open(port, { keepalive: 1 })
  device.write(publishes(4))
  await until(() => device.idsOf('puback').length === 4)
  await device.ping()
})

test('a client that leaves while it is held back leaves nothing behind', async (t) => {
  const { broker, connections, port } = await startBroker(t, { gate: { messagesPerSecond: 1 } })
  const device = await RawMqtt.open(port)
  device.write(publishes(10))
  await device.next('puback')
  device.abort()
  await until(() => broker.clients === 0 && connections.open === 0)
})

import { test } from 'tap'
import { InflightBytes } from '../../lib/listener/inflight-bytes.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

for (const qos of [0, 1, 2] as const) {
  test(`at most inflightPerClient publishes are under way, and TCP holds the device back, at QoS ${qos}`, async (t) => {
    const { outbox, ingest, port } = await startBroker(t, { gate: { inflightPerClient: 8 } })
    outbox.auto = false
    const device = await RawMqtt.open(port)
    const payload = Buffer.alloc(4096)
    const count = 4000
    for (let index = 1; index <= count; index++) device.publish({ qos, messageId: index, payload })
    await outbox.arrived(8)
    // 16 MB do not fit into the buffers of both sockets: what is left stays with the device.
    await until(() => device.socket.writableLength > 0)
    t.equal(outbox.open, 8)
    t.equal(ingest.open, 8)
    outbox.auto = true
    outbox.release()
    await until(() => outbox.stored.length === count)
    t.equal(outbox.maxOpen, 8)
    t.equal(device.socket.writableLength, 0)
    if (qos > 0) await until(() => device.idsOf(qos === 1 ? 'puback' : 'pubrec').length === count)
  })
}

test('a client of which one publish is allowed at a time gets all of them stored, one after the other', async (t) => {
  const { outbox, port } = await startBroker(t, { gate: { inflightPerClient: 1 } })
  const device = await RawMqtt.open(port)
  device.write(Buffer.concat(Array.from({ length: 20 }, (_, index) => publishBytes({ qos: 1, messageId: index + 1 }))))
  await until(() => device.idsOf('puback').length === 20)
  t.equal(outbox.maxOpen, 1)
})

test('a client that is held back does not hold back another', async (t) => {
  const { outbox, port } = await startBroker(t, { gate: { inflightPerClient: 4 } })
  outbox.auto = false
  const greedy = await RawMqtt.open(port, { clientId: 'greedy' })
  greedy.write(Buffer.concat(Array.from({ length: 100 }, (_, index) => publishBytes({ qos: 1, messageId: index + 1 }))))
  await outbox.arrived(4)
  const other = await RawMqtt.open(port, { clientId: 'other' })
  other.publish({ qos: 1, messageId: 1 })
  await outbox.arrived(5)
  t.equal(outbox.appends[4]?.event.partitionKey, 'other')
})

test('PINGREQ is answered while publishes wait', async (t) => {
  const { outbox, port } = await startBroker(t)
  outbox.auto = false
  const device = await RawMqtt.open(port, { keepalive: 1 })
  device.write(Buffer.concat(Array.from({ length: 10 }, (_, index) => publishBytes({ qos: 1, messageId: index + 1 }))))
  await outbox.arrived(10)
  const begun = performance.now()
  while (performance.now() - begun < 2000) {
    await device.ping()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.equal(outbox.open, 10, 'and keeps the connection, well beyond 1.5 times the keep alive')
  t.same(device.idsOf('puback'), [])
})

test('a silent client is closed after 1.5 times its keep alive [MQTT-3.1.2-24]', async (t) => {
  const { logged, port } = await startBroker(t)
  const begun = performance.now()
  const device = await RawMqtt.open(port, { keepalive: 1 })
  await device.closed
  t.ok(performance.now() - begun >= 1495, 'not before')
  t.match(await logged('MBS_ERR_GATE_KEEPALIVE'), [{ clientId: 'device' }])
})

test('the keep alive does not run while the client is held back, and runs again afterwards', async (t) => {
  const { outbox, logged, port } = await startBroker(t, { gate: { inflightPerClient: 1 } })
  outbox.auto = false
  const device = await RawMqtt.open(port, { keepalive: 1 })
  device.write(Buffer.concat([publishBytes({ qos: 1, messageId: 1 }), publishBytes({ qos: 1, messageId: 2 })]))
  await outbox.arrived(1)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  outbox.auto = true
  outbox.release()
  await until(() => device.idsOf('puback').length === 2)
  await device.closed
  await logged('MBS_ERR_GATE_KEEPALIVE')
})

test('a client without keep alive may be silent', async (t) => {
  const { port } = await startBroker(t, { gate: { connectTimeoutMs: 40, packetTimeoutMs: 40 } })
  const device = await RawMqtt.open(port, { keepalive: 0 })
  await new Promise((resolve) => setTimeout(resolve, 200))
  await device.ping()
})

test('a subscriber that takes nothing does not hold its publisher back, and is closed in the end', async (t) => {
  const { logged, lines, outbox, port } = await startBroker(t, { gate: { inflightPerClient: 4, drainTimeoutMs: 3000 } })
  const frozen = await RawMqtt.open(port, { clientId: 'frozen' })
  frozen.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
  await frozen.next('suback')
  frozen.socket.pause()
  const device = await RawMqtt.open(port)
  const payload = Buffer.alloc(128 * 1024)
  for (let index = 0; index < 200; index++) device.publish({ payload })
  await until(() => outbox.stored.length === 200)
  t.equal(lines.objects.filter(({ code }) => code !== undefined).length, 0, 'and it is not closed yet')
  t.match(await logged('MBS_ERR_GATE_SLOW_READER'), [{ clientId: 'frozen', msg: /took nothing for 3000 ms/ }])
  frozen.socket.destroy()
})

test('PINGRESP never stands inside another packet', async (t) => {
  const { port } = await startBroker(t)
  const both = await RawMqtt.open(port)
  both.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
  await both.next('suback')
  const payload = Buffer.alloc(100_000, 'x')
  const other = await RawMqtt.open(port, { clientId: 'other' })
  for (let index = 0; index < 50; index++) {
    other.publish({ topic: 'a', payload })
    both.send({ cmd: 'pingreq' })
  }
  for (let index = 0; index < 50; index++) {
    t.ok(payload.equals((await both.next('publish')).payload as Buffer))
    await both.next('pingresp')
  }
})

test('frames are held back on the way to a shutdown, and everything before them is answered', async (t) => {
  const { outbox, broker, listener, port } = await startBroker(t)
  outbox.auto = false
  const device = await RawMqtt.open(port)
  device.publish({ qos: 1, messageId: 1 })
  device.publish({ qos: 2, messageId: 2 })
  await outbox.arrived(2)
  await listener.stopAccepting()
  const quiet = broker.quiesce()
  device.publish({ qos: 1, messageId: 3 })
  await new Promise((resolve) => setTimeout(resolve, 50))
  outbox.release()
  await quiet
  await broker.close()
  await device.closed
  t.same(device.idsOf('puback'), [1])
  t.same(device.idsOf('pubrec'), [2])
  t.equal(outbox.appends.length, 2, 'the third one is for the next connection')
})

test('what a client sent before it closed its side is stored and answered', async (t) => {
  const { outbox, port } = await startBroker(t, { gate: { inflightPerClient: 2 } })
  outbox.auto = false
  const device = await RawMqtt.open(port)
  device.write(Buffer.concat(Array.from({ length: 7 }, (_, index) => publishBytes({ qos: 1, messageId: index + 1 }))))
  device.socket.end()
  await outbox.arrived(2)
  outbox.auto = true
  outbox.release()
  await device.closed
  t.same(device.idsOf('puback'), [1, 2, 3, 4, 5, 6, 7])
})

test('what all devices have under way is bounded, small messages pass, and nothing is lost', async (t) => {
  const inflight = new InflightBytes(4 * 1024 * 1024)
  const { outbox, broker, port } = await startBroker(t, { inflight })
  outbox.auto = false
  const payload = Buffer.alloc(200_000)
  const large = await Promise.all(Array.from({ length: 10 }, async (_, index) => {
    const device = await RawMqtt.open(port, { clientId: `large-${index}` })
    for (let messageId = 1; messageId <= 10; messageId++) device.publish({ payload, qos: 1, messageId })
    return device
  }))
  await outbox.arrived(20)
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.equal(outbox.appends.length, 20, 'as many as there is memory for')
  t.ok(inflight.total <= inflight.max, `${inflight.total} bytes`)
  t.ok(inflight.waiting > 0)
  // One that announces a large packet and does not send it takes room, and a small one does not need any.
  const small = await RawMqtt.open(port, { clientId: 'small' })
  for (let messageId = 1; messageId <= 10; messageId++) small.publish({ payload: 'x'.repeat(1000), qos: 1, messageId })
  await outbox.arrived(30)
  large[0]?.abort()
  await until(() => broker.clients === 10)
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(outbox.appends.length, 30, 'what is waiting to be stored takes memory, also when its device is gone')
  outbox.auto = true
  outbox.release()
  for (let count = 0; count < 10; count++) await small.next('puback')
  for (const device of large.slice(1)) for (let count = 0; count < 10; count++) await device.next('puback')
  await until(() => inflight.total === 0)
  t.equal(inflight.waiting, 0)
  const stored = outbox.stored.filter(({ partitionKey }) => partitionKey !== 'large-0' && partitionKey !== 'small')
  t.equal(stored.length, 90)
  for (const device of [...large, small]) device.abort()
})

test('large packets that are begun and not finished hold up large ones for a time, and small ones not at all', async (t) => {
  const inflight = new InflightBytes(1024 * 1024)
  const { outbox, logged, port } = await startBroker(t, { inflight, gate: { packetTimeoutMs: 700 } })
  const begun = publishBytes({ payload: Buffer.alloc(250_000) }).subarray(0, 10)
  const attackers = await Promise.all(Array.from({ length: 8 }, async (_, index) => {
    const attacker = await RawMqtt.open(port, { clientId: `attacker-${index}` })
    attacker.write(begun)
    return attacker
  }))
  await until(() => inflight.waiting === 4)
  const device = await RawMqtt.open(port, { keepalive: 1 })
  const since = performance.now()
  device.publish({ payload: 'small', qos: 1, messageId: 1 })
  await device.next('puback')
  t.ok(performance.now() - since < 500)
  device.publish({ payload: Buffer.alloc(100_000), qos: 1, messageId: 2 })
  await device.next('puback')
  await logged('MBS_ERR_GATE_PACKET_TIMEOUT')
  t.equal(outbox.stored.length, 2)
  for (const client of [...attackers, device]) client.abort()
  await until(() => inflight.total === 0 && inflight.waiting === 0)
})

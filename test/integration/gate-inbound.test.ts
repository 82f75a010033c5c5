import { connect as connectTls } from 'node:tls'
import { test } from 'tap'
import { generate } from 'mqtt-packet'
import { connectBytes, publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

test('the first packet has to be CONNECT [MQTT-3.1.0-1]', async (t) => {
  const { logged, broker, port } = await startBroker(t)
  for (const bytes of [
    'GET / HTTP/1.1\r\nHost: x\r\n\r\n', publishBytes(), generate({ cmd: 'pingreq' }), Buffer.from([0]), Buffer.from([0xff, 0xff])
  ]) {
    const device = await RawMqtt.dial(port)
    device.write(bytes)
    await device.closed
    t.equal(device.bytes.length, 0)
  }
  t.match(await logged('MBS_ERR_GATE_CONNECT_EXPECTED'), [{ address: /^127\.0\.0\.1:\d+$/, listener: 'mqtt://127.0.0.1:0' }])
  t.equal(broker.clients, 0)
})

test('TLS on a plain listener is closed at once', async (t) => {
  const { logged, port } = await startBroker(t)
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await new Promise((resolve) => { socket.once('error', resolve) })
  await logged('MBS_ERR_GATE_CONNECT_EXPECTED')
})

test('a packet that is too large is refused by its header, before CONNECT as well', async (t) => {
  const { logged, outbox, port } = await startBroker(t, { gate: { packetBytes: 1000 } })
  const early = await RawMqtt.dial(port)
  early.write(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]))
  await early.closed
  const device = await RawMqtt.open(port)
  device.publish({ topic: 'a', payload: Buffer.alloc(1000 - 6), qos: 0 })
  await device.ping()
  t.equal(outbox.appends.length, 1, 'as large as allowed: two bytes and one for length, two for the topic length')
  device.write(Buffer.from([0x30, 0xe6, 0x07]))
  await device.closed
  t.match(await logged('MBS_ERR_GATE_PACKET_TOO_LARGE'), [{ msg: /larger than limits.packetBytes \(1000\)/ }])
})

test('what no client may send closes the connection', async (t) => {
  const cases = [
    [0x20, 2, 0, 0], [0x36, 0], [0x80, 0], [0xf0, 0], [0x00, 0], [0xc0, 1, 0], [0xd0, 0], [0x30, 0x80, 0x80, 0x80, 0x80]
  ]
  for (const bytes of cases) {
    const { logged, port } = await startBroker(t)
    const device = await RawMqtt.open(port)
    device.write(Buffer.from(bytes))
    await device.closed
    t.match(await logged('MBS_ERR_GATE_MALFORMED'), [{ clientId: 'device' }])
  }
})

test('a second CONNECT closes the connection [MQTT-3.1.0-2]', async (t) => {
  const { logged, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  device.connect()
  await device.closed
  t.match(await logged('MBS_ERR_GATE_MALFORMED'), [{ msg: /second CONNECT/ }])
})

test('a packet that Aedes cannot read closes its connection', async (t) => {
  const { logged, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  device.write(Buffer.from([0x30, 2, 0, 9]))
  await device.closed
  t.match(await logged('MBS_ERR_BROKER_PROTOCOL'), [{ clientId: 'device' }])
})

test('a session has to be established in time', async (t) => {
  const { logged, port } = await startBroker(t, { gate: { connectTimeoutMs: 40 } })
  const silent = await RawMqtt.dial(port)
  const slow = await RawMqtt.dial(port)
  slow.write(connectBytes().subarray(0, 5))
  await Promise.all([silent.closed, slow.closed])
  t.match(await logged('MBS_ERR_GATE_CONNECT_TIMEOUT'), [{ msg: /40 ms/ }])
})

test('a packet that was begun has to be finished in time', async (t) => {
  const { logged, port } = await startBroker(t, { gate: { packetTimeoutMs: 40 } })
  const device = await RawMqtt.open(port)
  device.write(publishBytes({ payload: 'x'.repeat(100) }).subarray(0, 50))
  await device.closed
  t.match(await logged('MBS_ERR_GATE_PACKET_TIMEOUT'), [{ clientId: 'device' }])
})

test('packets may come byte by byte, and many in one segment', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.dial(port)
  const subscribe = generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'none/#', qos: 0 }] })
  const all = Buffer.concat([
    connectBytes(), publishBytes({ payload: 'one' }), generate({ cmd: 'pingreq' }), subscribe,
    publishBytes({ payload: 'x'.repeat(200), qos: 1, messageId: 2 }), generate({ cmd: 'pingreq' })
  ])
  for (const byte of all) {
    device.write(Buffer.from([byte]))
    await new Promise(setImmediate)
  }
  await device.next('puback')
  await device.next('pingresp')
  await device.next('pingresp')
  const other = await RawMqtt.dial(port)
  other.write(all)
  await other.next('puback')
  await other.next('pingresp')
  await other.next('pingresp')
  t.same(outbox.texts, ['one', 'x'.repeat(200), 'one', 'x'.repeat(200)])
})

test('what a client sends behind CONNECT waits for CONNACK, however much it is', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.dial(port)
  const publishes = Array.from({ length: 200 }, (_, index) => publishBytes({ qos: 1, messageId: index + 1 }))
  device.write(Buffer.concat([connectBytes(), ...publishes]))
  await until(() => device.idsOf('puback').length === 200)
  t.equal(device.received[0]?.cmd, 'connack')
  t.equal(outbox.stored.length, 200)
})

test('a SUBSCRIBE with too many filters closes the connection before Aedes has it', async (t) => {
  const { logged, port } = await startBroker(t, { gate: { subscriptionsPerPacket: 3 } })
  const subscribe = (count: number) => generate({
    cmd: 'subscribe', messageId: 1, subscriptions: Array.from({ length: count }, (_, index) => ({ topic: `t/${index}`, qos: 1 }))
  })
  const device = await RawMqtt.open(port, { clean: false })
  device.write(subscribe(3))
  t.same((await device.next('suback')).granted, [1, 1, 1])
  device.write(subscribe(4))
  await device.closed
  t.same(device.received, [])
  t.match(await logged('MBS_ERR_GATE_SUBSCRIPTIONS'), [{ clientId: 'device' }])
})

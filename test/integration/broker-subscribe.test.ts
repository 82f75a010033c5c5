import { test } from 'tap'
import { generate } from 'mqtt-packet'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

async function subscribe (client: RawMqtt, topic: string, qos: 0 | 1 | 2): Promise<number> {
  client.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic, qos }] })
  return (await client.next('suback')).granted[0] as number
}

test('filters that are not allowed get SUBACK 0x80, the others of the packet count', async (t) => {
  const { logged, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  device.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: ['ok/#', '$SYS/#', '$share/group/t', 'a#', 'x+', '+/b/+', 'a\ufffdb', '#'].map((topic) => ({ topic, qos: 1 }))
  })
  t.same((await device.next('suback')).granted, [1, 128, 128, 128, 128, 1, 128, 1])
  t.match(await logged('MBS_ERR_BROKER_FILTER'), [{ clientId: 'device' }])
  await device.ping()
})

test('a filter that Aedes refuses closes the connection', async (t) => {
  const { logged, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/#/b', qos: 1 }] })
  await device.closed
  await logged('MBS_ERR_BROKER_PROTOCOL')
})

test('a denied filter of a persistent session brings nothing after a reconnect either', async (t) => {
  const { broker, port } = await startBroker(t)
  const before = await RawMqtt.open(port, { clientId: 'spy', clean: false })
  before.send({
    cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'ok', qos: 1 }, { topic: '$SYS/#', qos: 1 }]
  })
  t.same((await before.next('suback')).granted, [1, 128])
  before.abort()
  await until(() => broker.clients === 0)
  const after = await RawMqtt.open(port, { clientId: 'spy', clean: false })
  await RawMqtt.open(port, { clientId: 'secret-client' })
  const device = await RawMqtt.open(port)
  device.publish({ topic: 'ok', qos: 1, messageId: 1 })
  t.equal((await after.next('publish')).topic, 'ok')
  await after.ping()
  t.same(after.idsOf('publish'), [])
})

test('as many filters as a packet may have are granted quickly, in a persistent session too', async (t) => {
  const { port } = await startBroker(t)
  const device = await RawMqtt.open(port, { clean: false })
  const subscriptions = Array.from({ length: 64 }, (_, index) => ({ topic: `t/${index}/#`, qos: 1 as const }))
  device.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions }))
  t.equal((await device.next('suback')).granted.length, 64)
})

for (const qos of [0, 1, 2] as const) {
  test(`devices talk to each other at QoS ${qos}`, async (t) => {
    const { outbox, port } = await startBroker(t)
    const listening = await RawMqtt.open(port, { clientId: 'listening' })
    t.equal(await subscribe(listening, 'rooms/+/light/#', qos), qos)
    const device = await RawMqtt.open(port)
    device.publish({ topic: 'rooms/1/light/on', payload: 'yes', qos, messageId: 1 })
    const publish = await listening.next('publish')
    t.match(publish, { topic: 'rooms/1/light/on', qos, dup: false, retain: false })
    if (qos === 2) {
      listening.send({ cmd: 'pubrec', messageId: publish.messageId as number })
      t.equal((await listening.next('pubrel')).messageId, publish.messageId)
    }
    t.equal(outbox.stored.length, 1)
  })
}

test('DUP is not passed on to subscribers [MQTT-3.3.1-3]', async (t) => {
  const { port } = await startBroker(t)
  const listening = await RawMqtt.open(port, { clientId: 'listening' })
  await subscribe(listening, '#', 1)
  const device = await RawMqtt.open(port)
  device.publish({ qos: 1, messageId: 1, dup: true })
  t.equal((await listening.next('publish')).dup, false)
})

test('a retained publish is one event, and is sent to whoever subscribes later', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  device.publish({ topic: 'state', payload: 'on', qos: 1, messageId: 1, retain: true })
  await device.next('puback')
  for (const clientId of ['one', 'two']) {
    const listening = await RawMqtt.open(port, { clientId })
    await subscribe(listening, 'state', 1)
    t.match(await listening.next('publish'), { payload: Buffer.from('on'), retain: true })
  }
  t.equal(outbox.stored.length, 1)
  device.publish({ topic: 'state', payload: '', qos: 1, messageId: 2, retain: true })
  await device.next('puback')
  const late = await RawMqtt.open(port, { clientId: 'late' })
  await subscribe(late, 'state', 1)
  await late.ping()
  t.same(late.received, [], 'an empty one ends it [MQTT-3.3.1-10]')
  t.equal(outbox.stored.length, 2, 'and is an event as well')
})

test('a persistent session gets at QoS 1 what came while it was away', async (t) => {
  const { broker, port } = await startBroker(t)
  const before = await RawMqtt.open(port, { clientId: 'away', clean: false })
  await subscribe(before, 'news/#', 1)
  before.send({ cmd: 'disconnect' })
  await before.closed
  await until(() => broker.clients === 0)
  const device = await RawMqtt.open(port)
  for (let messageId = 1; messageId <= 3; messageId++) {
    device.publish({ topic: 'news/today', payload: String(messageId), qos: 1, messageId })
    await device.next('puback')
  }
  await device.ping()
  const after = await RawMqtt.dial(port)
  after.connect({ clientId: 'away', clean: false })
  t.equal((await after.next('connack')).sessionPresent, true)
  for (const text of ['1', '2', '3']) {
    const publish = await after.next('publish')
    t.equal(publish.payload.toString(), text)
    after.send({ cmd: 'puback', messageId: publish.messageId as number })
  }
})

test('a session is taken over by a connection with its client identifier [MQTT-3.1.4-2]', async (t) => {
  const { broker, port } = await startBroker(t)
  const before = await RawMqtt.open(port)
  const after = await RawMqtt.open(port)
  await before.closed
  await after.ping()
  t.equal(broker.clients, 1)
})

test('messages sent in one segment reach a subscriber, all of them and in order', async (t) => {
  for (const qos of [0, 2] as const) {
    const { port } = await startBroker(t)
    const listening = await RawMqtt.open(port, { clientId: 'listening' })
    await subscribe(listening, '#', 0)
    const device = await RawMqtt.open(port)
    const texts = Array.from({ length: 40 }, (_, index) => String(index))
    // Retaining takes a little longer; Aedes drops what has been overtaken.
    device.write(Buffer.concat(texts.map((payload, index) => {
      return publishBytes({ payload, qos, messageId: index + 1, retain: index % 2 === 0 })
    })))
    const got = []
    for (let count = 0; count < texts.length; count++) got.push((await listening.next('publish')).payload.toString())
    t.same(got, texts, `QoS ${qos}`)
  }
})

test('a message matches two filters of a client and comes once', async (t) => {
  const { port } = await startBroker(t)
  const listening = await RawMqtt.open(port, { clientId: 'listening' })
  await subscribe(listening, 'a/#', 0)
  await subscribe(listening, 'a/b', 0)
  const device = await RawMqtt.open(port)
  device.publish({ topic: 'a/b', qos: 1, messageId: 1 })
  await listening.next('publish')
  await listening.ping()
  t.same(listening.received, [])
})

test('nothing comes after UNSUBSCRIBE [MQTT-3.10.4-2]', async (t) => {
  const { port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  await subscribe(device, 'a', 0)
  device.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['a'] })
  await device.next('unsuback')
  device.publish({ topic: 'a', qos: 1, messageId: 1 })
  await device.next('puback')
  await device.ping()
  t.same(device.received, [])
})

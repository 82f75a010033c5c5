import { test } from 'tap'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker } from '../support/broker.ts'

async function retain (client: RawMqtt, topic: string, payload: string | Buffer): Promise<void> {
  client.publish({ topic, payload, qos: 1, messageId: 1, retain: true })
  await client.next('puback')
}

/** What a new subscriber gets that is retained, by topic. */
async function retained (port: number, filter: string, count: number): Promise<string[]> {
  const client = await RawMqtt.open(port, { clientId: 'reader' })
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 0 }] })
  await client.next('suback')
  const topics = []
  while (topics.length < count) topics.push((await client.next('publish')).topic)
  await client.ping()
  t0(client)
  client.abort()
  return topics.sort()

  function t0 ({ received }: RawMqtt): void {
    if (received.length > 0) throw new Error(`more came than ${count}: ${JSON.stringify(received)}`)
  }
}

test('beyond retainedMessages a message is an event and forwarded, but not retained', async (t) => {
  const { outbox, broker, logged, port } = await startBroker(t, { broker: { retainedMessages: 2 } })
  const device = await RawMqtt.open(port)
  const listening = await RawMqtt.open(port, { clientId: 'listening' })
  listening.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
  await listening.next('suback')
  for (const topic of ['a', 'b', 'c']) {
    await retain(device, topic, topic)
    t.equal((await listening.next('publish')).topic, topic)
  }
  t.match(await logged('MBS_ERR_LIMIT_RETAINED'), [{ msg: /retainedMessages, 2/ }])
  t.equal(outbox.stored.length, 3)
  t.same(await retained(port, '#', 2), ['a', 'b'])

  await retain(device, 'a', 'replaced')
  await retain(device, 'b', '')
  await device.ping()
  t.equal(broker.stats().retainedMessages, 1, 'an empty one deletes')
  await retain(device, 'c', 'c')
  t.same(await retained(port, '#', 2), ['a', 'c'], 'and makes room')
})

test('beyond retainedBytes a message is not retained, and what it would have replaced is not either', async (t) => {
  const { broker, port } = await startBroker(t, { broker: { retainedBytes: 10_000 } })
  const device = await RawMqtt.open(port)
  await retain(device, 'a', Buffer.alloc(4000))
  await retain(device, 'b', Buffer.alloc(4000))
  await retain(device, 'c', Buffer.alloc(4000))
  t.same(await retained(port, '#', 2), ['a', 'b'])
  await retain(device, 'a', Buffer.alloc(8000))
  await device.ping()
  t.same(await retained(port, '#', 1), ['b'], 'the old state is no longer true')
  await retain(device, 'c', Buffer.alloc(4000))
  await retain(device, 'c', '')
  await retain(device, 'b', '')
  await device.ping()
  t.match(broker.stats(), { retainedMessages: 0, retainedBytes: 0 })
})

test('a search through many retained messages does not make a neighbor wait', async (t) => {
  const count = 20_000
  const { broker, port } = await startBroker(t, { broker: { retainedMessages: count, retainedBytes: 1024 ** 3 } })
  const device = await RawMqtt.open(port)
  for (let at = 0; at < count; at += 500) {
    device.write(Buffer.concat(Array.from({ length: 500 }, (_, index) => {
      return publishBytes({ topic: `sites/${at + index}/state`, qos: 1, messageId: 1 + index, retain: true })
    })))
    for (let index = 0; index < 500; index++) await device.next('puback')
  }
  await device.ping()
  t.equal(broker.stats().retainedMessages, count)
  const greedy = await RawMqtt.open(port, { clientId: 'greedy' })
  const subscriptions = Array.from({ length: 64 }, (_, index) => ({ topic: `+/+/none-${index}`, qos: 0 as const }))
  for (let messageId = 1; messageId <= 10; messageId++) greedy.send({ cmd: 'subscribe', messageId, subscriptions })
  await greedy.next('suback')
  let worstMs = 0
  for (let messageId = 1; messageId <= 50; messageId++) {
    const begun = performance.now()
    device.publish({ qos: 1, messageId })
    await device.next('puback')
    worstMs = Math.max(worstMs, performance.now() - begun)
  }
  t.comment(`the slowest PUBACK took ${worstMs.toFixed(1)} ms`)
  t.ok(worstMs < 250)
})

import { test } from 'tap'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

async function subscribe (client: RawMqtt, topics: readonly string[], qos: 0 | 1 | 2 = 1): Promise<number[]> {
  client.send({ cmd: 'subscribe', messageId: 9, subscriptions: topics.map((topic) => ({ topic, qos })) })
  return (await client.next('suback')).granted as number[]
}

async function unsubscribe (client: RawMqtt, unsubscriptions: string[]): Promise<void> {
  client.send({ cmd: 'unsubscribe', messageId: 8, unsubscriptions })
  await client.next('unsuback')
}

for (const clean of [true, false]) {
  test(`a client has so many subscriptions, in a ${clean ? 'clean' : 'persistent'} session`, async (t) => {
    const { logged, port } = await startBroker(t, { broker: { subscriptionsPerClient: 3 } })
    const device = await RawMqtt.open(port, { clean })
    t.same(await subscribe(device, ['a', 'b']), [1, 1])
    t.same(await subscribe(device, ['c', 'd', 'e']), [1, 128, 128], 'those beyond it are denied')
    t.match(await logged('MBS_ERR_LIMIT_SUBSCRIPTIONS'), [{ clientId: 'device' }])
    t.same(await subscribe(device, ['a', 'b', 'c'], 2), [2, 2, 2], 'the same filter again does not count')
    await unsubscribe(device, ['a', 'never had'])
    t.same(await subscribe(device, ['d', 'e']), [1, 128], 'an unsubscription makes room for one')
    const neighbor = await RawMqtt.open(port, { clientId: 'neighbor' })
    t.same(await subscribe(neighbor, ['a', 'b', 'c', 'd']), [1, 1, 1, 128], 'each client has its own')
    neighbor.publish({ topic: 'b', qos: 1, messageId: 1 })
    t.equal((await device.next('publish')).topic, 'b')
  })
}

test('a persistent session keeps its count over reconnects, and what was denied is not kept with it', async (t) => {
  const { broker, port } = await startBroker(t, { broker: { subscriptionsPerClient: 2 } })
  const before = await RawMqtt.open(port, { clientId: 'kept', clean: false })
  t.same(await subscribe(before, ['a', 'b', 'denied']), [1, 1, 128])
  before.abort()
  await until(() => broker.clients === 0)
  const device = await RawMqtt.open(port)
  device.write(Buffer.concat(['denied', 'a', 'denied'].map((topic, index) => publishBytes({ topic, qos: 1, messageId: index + 1 }))))
  await until(() => device.idsOf('puback').length === 3)
  await device.ping()
  t.equal(broker.stats().queuedMessages, 1, 'a denied filter matches nothing')
  const after = await RawMqtt.open(port, { clientId: 'kept', clean: false })
  t.same(await subscribe(after, ['c']), [128])
  t.same(await subscribe(after, ['a']), [1])
  t.equal((await after.next('publish')).topic, 'a')
  await after.ping()
  t.same(after.idsOf('publish'), [])
})

test('a session that begins anew has none', async (t) => {
  const { port } = await startBroker(t, { broker: { subscriptionsPerClient: 2 } })
  const before = await RawMqtt.open(port, { clientId: 'kept', clean: false })
  t.same(await subscribe(before, ['a', 'b', 'c']), [1, 1, 128])
  const clean = await RawMqtt.open(port, { clientId: 'kept', clean: true })
  await before.closed
  t.same(await subscribe(clean, ['c', 'd', 'e']), [1, 1, 128])
})

test('the largest SUBSCRIBE of a persistent session takes bounded time, and its neighbor does not wait', async (t) => {
  const count = 1024
  const { port } = await startBroker(t, {
    gate: { subscriptionsPerPacket: count }, broker: { subscriptionsPerClient: count }
  })
  const neighbor = await RawMqtt.open(port, { clientId: 'neighbor' })
  const greedy = await RawMqtt.open(port, { clientId: 'greedy', clean: false })
  const topics = Array.from({ length: count }, (_, index) => `t/${index}/#`)
  const begun = performance.now()
  const granted = subscribe(greedy, topics)
  neighbor.publish({ qos: 1, messageId: 1 })
  await neighbor.next('puback')
  const waitedMs = performance.now() - begun
  t.equal((await granted).length, count)
  const tookMs = performance.now() - begun
  t.comment(`${count} filters: ${tookMs.toFixed(0)} ms; the neighbor's PUBACK: ${waitedMs.toFixed(0)} ms`)
  t.ok(tookMs < 1000, 'Aedes alone needs time in the square of their number')
})

test('an UNSUBSCRIBE with more topic filters than a packet may have closes its connection', async (t) => {
  const { logged, port } = await startBroker(t, { gate: { subscriptionsPerPacket: 3 } })
  const device = await RawMqtt.open(port)
  await unsubscribe(device, ['a', 'b', 'c'])
  device.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['a', 'b', 'c', 'd'] })
  await device.closed
  await logged('MBS_ERR_GATE_SUBSCRIPTIONS')
})

test('all subscriptions together take no more than subscriptionBytes, and what ends gives back', async (t) => {
  const { broker, logged, port } = await startBroker(t, { broker: { subscriptionBytes: 40_000 } })
  const deep = (name: string) => `${name}/${'a/'.repeat(28)}b`
  const ask = async (client: RawMqtt, messageId: number, ...topics: string[]) => {
    client.send({ cmd: 'subscribe', messageId, subscriptions: topics.map((topic) => ({ topic, qos: 1 as const })) })
    return (await client.next('suback')).granted
  }
  // Thirty levels: 7,900 bytes for a clean session, 15,400 for a persistent one.
  const kept = await RawMqtt.open(port, { clientId: 'kept', clean: false })
  t.same(await ask(kept, 1, deep('a'), deep('b'), deep('c')), [1, 1, 128])
  t.same(await ask(kept, 2, deep('a')), [1], 'what it has already costs nothing')
  const clean = await RawMqtt.open(port, { clientId: 'clean' })
  t.same(await ask(clean, 1, deep('a'), deep('b'), 'short'), [1, 128, 1])
  t.match((await logged('MBS_ERR_LIMIT_SUBSCRIPTIONS'))[0], { msg: /subscriptionBytes, 40000/ })
  const all = broker.stats().subscriptionBytes
  t.ok(all > 35_000 && all <= 40_000, `${all}`)
  clean.abort()
  await until(() => broker.clients === 1)
  await until(() => broker.stats().subscriptionBytes < 32_000)
  kept.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: [deep('a')] })
  await kept.next('unsuback')
  t.same(await ask(kept, 4, deep('d')), [1])
  kept.abort()
  await until(() => broker.clients === 0)
  t.ok(broker.stats().subscriptionBytes > 30_000, 'a persistent session keeps its own')
  const again = await RawMqtt.open(port, { clientId: 'kept', clean: true })
  t.equal(broker.stats().subscriptionBytes, 0)
  again.abort()
})

import { test } from 'tap'
import type { BrokerOptions } from '../../lib/broker/broker.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

type Running = Awaited<ReturnType<typeof startBroker>>

/** Makes a persistent session with one subscription, and leaves. */
async function leave ({ broker, port }: Running, clientId: string, ...topics: string[]): Promise<void> {
  const clients = broker.clients
  const client = await RawMqtt.open(port, { clientId, clean: false })
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 2 as const })) })
  await client.next('suback')
  client.send({ cmd: 'disconnect' })
  await client.closed
  await until(() => broker.clients === clients)
}

async function comeBack (port: number, clientId: string): Promise<{ client: RawMqtt, sessionPresent: boolean }> {
  const client = await RawMqtt.dial(port)
  client.connect({ clientId, clean: false })
  const { sessionPresent } = await client.next('connack')
  return { client, sessionPresent }
}

async function texts (client: RawMqtt, count: number): Promise<string[]> {
  const got = []
  while (got.length < count) {
    const { payload, messageId } = await client.next('publish')
    client.send({ cmd: 'puback', messageId: messageId as number })
    got.push(payload.toString())
  }
  await client.ping()
  return [...got, ...client.received.map(({ cmd }) => cmd)]
}

async function publish (
  { broker, port }: Running, topic: string, count: number, payload?: (number: number) => string | Buffer
): Promise<void> {
  const clients = broker.clients
  const device = await RawMqtt.open(port, { clientId: 'publisher' })
  for (let messageId = 1; messageId <= count; messageId++) {
    device.publish({ topic, payload: payload?.(messageId) ?? String(messageId), qos: 1, messageId })
    await device.next('puback')
  }
  await device.ping()
  device.abort()
  await until(() => broker.clients === clients)
}

test('beyond queuedMessages the newest is not kept, for that session alone', async (t) => {
  const running = await startBroker(t, { broker: { queuedMessages: 3 } })
  const { outbox, broker, logged, port } = running
  await leave(running, 'all', 'a')
  await leave(running, 'half', 'b')
  await publish(running, 'a', 5)
  await publish(running, 'b', 2)
  t.match(await logged('MBS_ERR_LIMIT_QUEUE'), [{ clientId: 'all', msg: /queuedMessages, 3/ }])
  t.equal(outbox.stored.length, 7, 'events are not concerned')
  const { client, sessionPresent } = await comeBack(port, 'all')
  t.equal(sessionPresent, true)
  t.same(await texts(client, 3), ['1', '2', '3'])
  t.same(await texts((await comeBack(port, 'half')).client, 2), ['1', '2'])
  await until(() => broker.stats().queuedMessages === 0)
  t.equal(broker.stats().queuedBytes, 0)
})

test('beyond queuedBytes and queuedBytesTotal as well', async (t) => {
  const running = await startBroker(t, { broker: { queuedBytes: 10_000, queuedBytesTotal: 15_000 } })
  const { broker, lines } = running
  await leave(running, 'one', '#')
  await publish(running, 'a', 3, () => Buffer.alloc(4000))
  t.equal(broker.stats().queuedMessages, 2)
  await leave(running, 'two', 'b')
  await publish(running, 'b', 3, () => Buffer.alloc(4000))
  t.equal(broker.stats().queuedMessages, 3, 'another session gets what is left of all')
  t.match(lines.text, /queuedBytes, 10000/)
  t.ok(broker.stats().queuedBytes <= 15_000)
})

test('a connected client gets what is not kept, and may acknowledge it', async (t) => {
  const { port } = await startBroker(t, { broker: { queuedMessages: 2 } })
  const client = await RawMqtt.open(port, { clientId: 'here', clean: false })
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 2 }] })
  await client.next('suback')
  const device = await RawMqtt.open(port)
  device.write(Buffer.concat(Array.from({ length: 6 }, (_, index) => {
    return publishBytes({ payload: String(index), qos: index % 2 === 0 ? 1 : 2, messageId: index + 1 })
  })))
  for (let index = 0; index < 6; index++) {
    const { payload, qos, messageId } = await client.next('publish')
    t.equal(payload.toString(), String(index))
    if (qos === 2) {
      client.send({ cmd: 'pubrec', messageId: messageId as number })
      t.equal((await client.next('pubrel')).messageId, messageId)
      client.send({ cmd: 'pubcomp', messageId: messageId as number })
    } else {
      client.send({ cmd: 'puback', messageId: messageId as number })
    }
  }
  await client.ping()
})

test('a message that matches two filters of a client that is away comes once', async (t) => {
  const running = await startBroker(t)
  await leave(running, 'away', 'a/#', 'a/b')
  await publish(running, 'a/b', 1)
  t.same(await texts((await comeBack(running.port, 'away')).client, 1), ['1'])
  t.equal(running.broker.stats().queuedMessages, 0)
})

test('what was sent and not acknowledged is sent again after a reconnect, with its packet identifier', async (t) => {
  const running = await startBroker(t)
  const { broker, port } = running
  await leave(running, 'away', '#')
  await publish(running, 'a', 2)
  const before = (await comeBack(port, 'away')).client
  const ids = [(await before.next('publish')).messageId, (await before.next('publish')).messageId]
  before.abort()
  await until(() => broker.clients === 0)
  const after = (await comeBack(port, 'away')).client
  t.same([(await after.next('publish')).messageId, (await after.next('publish')).messageId], ids)
})

test('beyond limits.sessions a session is not kept, and its device publishes all the same', async (t) => {
  const running = await startBroker(t, { broker: { sessions: 2 } })
  const { outbox, broker, logged, port } = running
  for (const clientId of ['one', 'two', 'three']) await leave(running, clientId, 'a')
  t.equal(broker.stats().persistentSessions, 2)
  t.match(await logged('MBS_ERR_LIMIT_SESSIONS'), [{ clientId: 'three' }])
  const { client, sessionPresent } = await comeBack(port, 'three')
  t.equal(sessionPresent, false)
  client.publish({ qos: 2, messageId: 1 })
  await client.next('pubrec')
  client.send({ cmd: 'pubrel', messageId: 1 })
  await client.next('pubcomp')
  t.equal(outbox.stored.length, 1)
  t.equal((await comeBack(port, 'one')).sessionPresent, true, 'those that are kept stay')
})

test('a session with nothing to keep takes no place while its device is away', async (t) => {
  const { broker, port } = await startBroker(t, { broker: { sessions: 1 } })
  for (const clientId of ['one', 'two', 'three']) {
    const device = await RawMqtt.open(port, { clientId, clean: false })
    device.publish({ qos: 1, messageId: 1 })
    await device.next('puback')
    t.equal(broker.stats().persistentSessions, 1)
    device.abort()
    await until(() => broker.stats().persistentSessions === 0)
  }
})

test('a session whose client stays away is deleted with all it has', async (t) => {
  const running = await startBroker(t, { broker: { sessionExpiryMs: 150 } })
  const { broker, lines, port } = running
  const present = await RawMqtt.open(port, { clientId: 'present', clean: false })
  present.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'b', qos: 1 }] })
  await present.next('suback')
  await leave(running, 'gone', 'a')
  await publish(running, 'a', 3)
  t.equal(broker.stats().queuedMessages, 3)
  await until(() => broker.stats().persistentSessions === 1)
  t.match(broker.stats(), { queuedMessages: 0, queuedBytes: 0 })
  t.match(lines.of('session expired'), [{ clientId: 'gone' }])
  await publish(running, 'a', 1)
  t.equal(broker.stats().queuedMessages, 0, 'its subscriptions are gone as well')
  const { client, sessionPresent } = await comeBack(port, 'gone')
  t.equal(sessionPresent, false)
  await client.ping()
  t.same(client.received, [])
  await publish(running, 'b', 1)
  t.equal((await present.next('publish')).topic, 'b', 'who is connected keeps its session, however long')
})

test('a client that comes back in time keeps its session', async (t) => {
  const running = await startBroker(t, { broker: { sessionExpiryMs: 300 } })
  for (let round = 0; round < 4; round++) {
    await leave(running, 'often', 'a')
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
  t.equal((await comeBack(running.port, 'often')).sessionPresent, true)
})

test('a clean session ends the one before it, with what waits for that', async (t) => {
  const running = await startBroker(t)
  const { broker, port } = running
  await leave(running, 'device', 'a')
  await publish(running, 'a', 2)
  const clean = await RawMqtt.open(port, { clientId: 'device', clean: true })
  t.match(broker.stats(), { persistentSessions: 0, queuedMessages: 0, queuedBytes: 0 })
  clean.abort()
  await until(() => broker.clients === 0)
  const { client, sessionPresent } = await comeBack(port, 'device')
  t.equal(sessionPresent, false)
  await client.ping()
  t.same(client.received, [])
})

test('names of objects are client identifiers and topics like any other', async (t) => {
  const running = await startBroker(t)
  for (const name of ['__proto__', 'constructor', 'hasOwnProperty']) {
    await leave(running, name, name)
    await publish(running, name, 1)
    t.same(await texts((await comeBack(running.port, name)).client, 1), ['1'])
  }
})

/** Who it says it is. */
const byUsername: BrokerOptions['authenticate'] = async ({ clientId, username }) => ({
  kind: 'accepted',
  identity: username === undefined ? { clientId, method: 'anonymous' } : { clientId, method: 'password', username }
})

test('a session is that of its user: whoever else takes its identifier begins a new one', async (t) => {
  const { broker, outbox, port } = await startBroker(t, { authenticate: byUsername })
  const as = async (username: string) => await RawMqtt.open(port, { clientId: 'x', clean: false, username })
  const alice = await as('alice')
  alice.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'secret/#', qos: 1 }] })
  await alice.next('suback')
  for (const messageId of [9, 10]) {
    alice.publish({ topic: 'a', qos: 2, messageId })
    await alice.next('pubrec')
  }
  alice.abort()
  await until(() => broker.clients === 0)
  const other = await RawMqtt.open(port, { clientId: 'other', username: 'bob' })
  other.publish({ topic: 'secret/a', qos: 1, messageId: 1 })
  await other.next('puback')

  const bob = await RawMqtt.dial(port)
  bob.connect({ clientId: 'x', clean: false, username: 'bob' })
  t.match(await bob.next('connack'), { returnCode: 0, sessionPresent: false })
  bob.publish({ topic: 'b', payload: 'of bob', qos: 2, messageId: 9 })
  await bob.next('pubrec')
  t.equal(outbox.stored.at(-1)?.data.toString(), 'of bob', 'his packet identifiers are his own')
  other.publish({ topic: 'secret/b', qos: 1, messageId: 2 })
  await other.next('puback')
  await bob.ping()
  t.equal(bob.received.filter(({ cmd }) => cmd === 'publish').length, 0)

  // And while the other one is connected, with a publish under way.
  outbox.auto = false
  const arrived = outbox.appends.length
  bob.publish({ topic: 'b', payload: 'still of bob', qos: 2, messageId: 11 })
  await outbox.arrived(arrived + 1)
  const again = await as('alice')
  again.publish({ topic: 'a', payload: 'of alice', qos: 2, messageId: 11 })
  await outbox.arrived(arrived + 2)
  outbox.auto = true
  outbox.release()
  await again.next('pubrec')
  t.same(outbox.stored.slice(-2).map(({ data }) => data.toString()), ['still of bob', 'of alice'])
  for (const client of [again, other]) client.abort()
})

test('a connection that ends while the next one takes its session over does not take it away', async (t) => {
  let hold: Promise<void> | undefined
  const { broker, port } = await startBroker(t, {
    authenticate: async (credentials, signal) => {
      await hold
      return await byUsername(credentials, signal)
    }
  })
  for (let round = 0; round < 30; round++) {
    const clientId = `x-${round}`
    const first = await RawMqtt.open(port, { clientId, clean: false })
    let goOn = () => {}
    hold = new Promise((resolve) => { goOn = resolve })
    const second = await RawMqtt.dial(port)
    second.connect({ clientId, clean: false })
    await new Promise((resolve) => setTimeout(resolve, 5))
    first.abort()
    for (let turn = 0; turn < round % 10; turn++) await new Promise((resolve) => setImmediate(resolve))
    goOn()
    hold = undefined
    await second.next('connack')
    second.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 1 }] })
    await second.next('suback')
    second.abort()
    await until(() => broker.clients === 0)
    t.equal(broker.stats().persistentSessions, round + 1)
  }
})

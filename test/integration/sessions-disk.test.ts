/** Sessions on disk, with real sockets: what is there after a restart, what waits for it, what a failing one does. */
import { test, type Test } from 'tap'
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Database, OpenedDatabase } from '../../lib/level/database.ts'
import { DiskJournalStore } from '../../lib/broker/journal-store.ts'
import type { JournalStore } from '../../lib/broker/journal.ts'
import { startBroker, until, type TestBrokerOptions } from '../support/broker.ts'
import { ioError } from '../support/outbox-faulty-store.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'

type Running = Awaited<ReturnType<typeof startBroker>>
type Subscription = readonly [topic: string, qos: 0 | 1 | 2]

/** A store whose writes fail or wait as a test says. */
class TestStore implements JournalStore {
  readonly location: string
  readonly #store: DiskJournalStore
  failing = false
  gate: Promise<void> = Promise.resolve()
  batches = 0
  opened = 0

  constructor (directory: string) {
    this.location = directory
    this.#store = new DiskJournalStore(directory)
  }

  async open (repair: boolean): Promise<OpenedDatabase> {
    this.opened++
    const { database, repaired } = await this.#store.open(repair)
    const batch: Database['batch'] = async (operations, options) => {
      this.batches++
      await this.gate
      if (this.failing) throw ioError('No space left on device')
      await database.batch(operations, options)
    }
    return { database: { ...database, batch }, repaired }
  }
}

function directoryOf (t: Test): string {
  return join(t.testdir(), 'sessions')
}

/** A copy as it is at this moment: what a power cut would leave. */
function copyOf (directory: string): string {
  const copy = `${directory}-copy-${readdirSync(join(directory, '..')).length}`
  cpSync(directory, copy, { recursive: true })
  return copy
}

async function start (t: Test, directory: string, options: TestBrokerOptions = {}): Promise<Running> {
  return await startBroker(t, { journal: new DiskJournalStore(directory), ...options })
}

async function subscribe (client: RawMqtt, ...subscriptions: Subscription[]): Promise<void> {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: subscriptions.map(([topic, qos]) => ({ topic, qos })) })
  await client.next('suback')
}

/** Makes a persistent session, and leaves. */
async function leave ({ broker, port }: Running, clientId: string, ...subscriptions: Subscription[]): Promise<void> {
  const client = await RawMqtt.open(port, { clientId, clean: false })
  if (subscriptions.length > 0) await subscribe(client, ...subscriptions)
  client.send({ cmd: 'disconnect' })
  await client.closed
  await until(() => broker.clients === 0)
}

async function comeBack ({ port }: Running, clientId: string): Promise<{ client: RawMqtt, sessionPresent: boolean }> {
  const client = await RawMqtt.dial(port)
  client.connect({ clientId, clean: false })
  const { sessionPresent } = await client.next('connack')
  return { client, sessionPresent }
}

/** Publishes at QoS 1, each acknowledged before the next, and leaves. */
async function publish (
  { broker, port }: Running, ...messages: Array<readonly [topic: string, payload: string, retain?: boolean]>
): Promise<void> {
  const clients = broker.clients
  const device = await RawMqtt.open(port, { clientId: 'publisher' })
  for (const [index, [topic, payload, retain = false]] of messages.entries()) {
    device.publish({ topic, payload, retain, qos: 1, messageId: index + 1 })
    await device.next('puback')
  }
  device.abort()
  await until(() => broker.clients === clients)
}

/** Takes so many messages at QoS 1 and says what was in them; nothing else comes. */
async function texts (client: RawMqtt, count: number): Promise<string[]> {
  const got = []
  while (got.length < count) {
    const { payload, messageId } = await client.next('publish')
    if (messageId !== undefined) client.send({ cmd: 'puback', messageId })
    got.push(payload.toString())
  }
  await client.ping()
  return [...got, ...client.idsOf('publish').map((messageId) => `and ${messageId}`)]
}

test('sessions, subscriptions, what waits, and retained messages are there after a restart, in order', async (t) => {
  const directory = directoryOf(t)
  const first = await start(t, directory)
  await leave(first, 'one', ['a/#', 1])
  await leave(first, 'two', ['a/x', 1], ['b', 1])
  await publish(first, ['a/x', '1'], ['a/y', '2'], ['a/x', '3', true], ['b', '4'])
  await first.broker.close()

  const second = await start(t, directory)
  t.match(second.broker.stats(), { persistentSessions: 2, queuedMessages: 6, retainedMessages: 1 })
  t.match(second.lines.objects.find(({ msg }) => msg === 'sessions are there again'), { sessions: 2, queuedMessages: 6 })
  await publish(second, ['a/x', '5'])
  const one = await comeBack(second, 'one')
  t.equal(one.sessionPresent, true)
  t.same(await texts(one.client, 4), ['1', '2', '3', '5'])
  await publish(second, ['a/z', '6'])
  t.same(await texts(one.client, 1), ['6'], 'the subscription is there without subscribing again')
  await until(() => second.broker.stats().queuedMessages === 4)
  await second.broker.close()

  const third = await start(t, directory)
  t.same(await texts((await comeBack(third, 'one')).client, 0), [], 'what was acknowledged does not come again')
  t.same(await texts((await comeBack(third, 'two')).client, 4), ['1', '3', '4', '5'])
  const reader = await RawMqtt.open(third.port, { clientId: 'reader' })
  await subscribe(reader, ['#', 0])
  t.same(await texts(reader, 1), ['3'], 'the retained message')
})

test('keys of before and after many restarts do not clash, and keep the order', async (t) => {
  const directory = directoryOf(t)
  const expected = []
  let running = await start(t, directory)
  await leave(running, 'one', ['a', 1])
  for (let round = 0; round < 4; round++) {
    await publish(running, ['a', `${round}.1`], ['a', `${round}.2`])
    expected.push(`${round}.1`, `${round}.2`)
    await running.broker.close()
    running = await start(t, directory)
  }
  t.same(await texts((await comeBack(running, 'one')).client, 8), expected)
})

test('overlapping filters of one client with different QoS: one message each, also over a restart', async (t) => {
  const directory = directoryOf(t)
  const first = await start(t, directory)
  await leave(first, 'one', ['z/#', 1], ['z/b', 2], ['z/+', 0])
  await publish(first, ['z/a', '1'], ['z/b', '2'], ['z/c/d', '3'])
  await first.broker.close()
  const second = await start(t, directory)
  await publish(second, ['z/a', '4'], ['z/b', '5'])
  t.same(await texts((await comeBack(second, 'one')).client, 5), ['1', '2', '3', '4', '5'])
})

test('a connected client with overlapping filters gets a message again that it has not acknowledged', async (t) => {
  const running = await start(t, directoryOf(t))
  const { client } = await comeBack(running, 'one')
  await subscribe(client, ['a/#', 1], ['a/b', 2])
  await publish(running, ['a/b', '1'])
  t.match(await client.next('publish'), { payload: Buffer.from('1') })
  await client.ping()
  t.same(client.idsOf('publish'), [], 'once')
  client.abort()
  await until(() => running.broker.clients === 0)
  t.same(await texts((await comeBack(running, 'one')).client, 1), ['1'])
})

test('SUBACK and PUBACK of what concerns a persistent session wait for the disk, others do not', async (t) => {
  const store = new TestStore(directoryOf(t))
  const running = await startBroker(t, { journal: store })
  const subscriber = await RawMqtt.open(running.port, { clientId: 'one', clean: false })
  await subscribe(subscriber, ['a', 1])
  const open = hold(store)
  subscriber.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'b', qos: 1 }] })
  await subscriber.ping()
  t.same(subscriber.idsOf('suback'), [])
  const device = await RawMqtt.open(running.port, { clientId: 'publisher' })
  device.publish({ topic: 'elsewhere', qos: 1, messageId: 1 })
  await device.next('puback')
  device.publish({ topic: 'a', payload: '1', qos: 1, messageId: 2 })
  device.publish({ topic: 'elsewhere', qos: 1, messageId: 3 })
  device.publish({ topic: 'kept', payload: '1', qos: 1, messageId: 4, retain: true })
  await until(() => running.outbox.stored.length === 4)
  await device.ping()
  t.same(device.idsOf('puback'), [], 'what came later does not overtake [MQTT-4.6.0-2]')
  open()
  await until(() => device.idsOf('puback').length === 3)
  t.same(device.idsOf('puback'), [2, 3, 4])
  await subscriber.next('suback')
  t.same(await texts(subscriber, 1), ['1'], 'it came once')
  const open2 = hold(store)
  subscriber.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['a'] })
  await subscriber.ping()
  t.same(subscriber.idsOf('unsuback'), [])
  open2()
  await subscriber.next('unsuback')
})

/** Nothing is written until the function that comes back is called. */
function hold (store: TestStore): () => void {
  let open!: () => void
  store.gate = new Promise((resolve) => { open = resolve })
  return open
}

test('what was acknowledged is there after a power cut: every copy of the files has it', async (t) => {
  const directory = directoryOf(t)
  const running = await start(t, directory)
  await leave(running, 'one', ['a', 1])
  await publish(running, ['a', '1'], ['kept', 'old', true], ['kept', 'new', true], ['gone', 'x', true], ['gone', '', true])
  const after = await start(t, copyOf(directory))
  t.match(after.broker.stats(), { persistentSessions: 1, queuedMessages: 1, retainedMessages: 1 })
  t.same(await texts((await comeBack(after, 'one')).client, 1), ['1'])
  const reader = await RawMqtt.open(after.port, { clientId: 'reader' })
  await subscribe(reader, ['#', 0])
  t.same(await texts(reader, 1), ['new'])
})

test('QoS 2 is exactly once over a crash, towards the broker [MQTT-4.3.3-2]', async (t) => {
  const directory = directoryOf(t)
  const running = await start(t, directory)
  await leave(running, 'one', ['a', 2])
  const device = await RawMqtt.open(running.port, { clientId: 'device', clean: false })
  device.publish({ topic: 'a', payload: '1', qos: 2, messageId: 7 })
  await device.next('pubrec')
  const afterPubrec = copyOf(directory)
  device.send({ cmd: 'pubrel', messageId: 7 })
  await device.next('pubcomp')
  const afterPubcomp = copyOf(directory)

  const second = await start(t, afterPubrec)
  const { client: back, sessionPresent } = await comeBack(second, 'device')
  t.equal(sessionPresent, true, 'told of, although it has no subscriptions [MQTT-3.2.2-2]')
  back.publish({ topic: 'a', payload: '1', qos: 2, messageId: 7, dup: true })
  await back.next('pubrec')
  t.equal(second.outbox.stored.length, 0, 'recognized: no second event')
  t.equal(second.broker.stats().queuedMessages, 1, 'and no second message')
  const third = await start(t, afterPubcomp)
  const { client: other, sessionPresent: isThere } = await comeBack(third, 'device')
  t.equal(isThere, false, 'nothing is left of it')
  other.publish({ topic: 'a', payload: '2', qos: 2, messageId: 7 })
  await other.next('pubrec')
  t.equal(third.outbox.stored.length, 1, 'the identifier is free: the next message with it is a new one')
})

test('QoS 2 is exactly once over a crash, towards the subscriber: same identifier, then PUBREL [MQTT-4.4.0-1]', async (t) => {
  const directory = directoryOf(t)
  const running = await start(t, directory)
  await leave(running, 'one', ['a', 2])
  const device = await RawMqtt.open(running.port, { clientId: 'device' })
  for (const messageId of [1, 2]) {
    device.publish({ topic: 'a', payload: String(messageId), qos: 2, messageId })
    await device.next('pubrec')
  }
  const { client } = await comeBack(running, 'one')
  const first = await client.next('publish')
  const second = await client.next('publish')
  t.same([first.payload.toString(), second.payload.toString()], ['1', '2'])
  const sent = copyOf(directory)
  client.send({ cmd: 'pubrec', messageId: first.messageId as number })
  await client.next('pubrel')
  const released = copyOf(directory)

  const again = (await comeBack(await start(t, sent), 'one')).client
  t.same([(await again.next('publish')).messageId, (await again.next('publish')).messageId], [first.messageId, second.messageId])
  const then = (await comeBack(await start(t, released), 'one')).client
  t.equal((await then.next('pubrel')).messageId, first.messageId)
  t.match(await then.next('publish'), { messageId: second.messageId, payload: Buffer.from('2') })
})

test('a live subscriber loses nothing where retained and plain messages come together', async (t) => {
  const running = await start(t, directoryOf(t))
  const subscriber = await RawMqtt.open(running.port, { clientId: 'one', clean: false })
  await subscribe(subscriber, ['#', 1])
  const device = await RawMqtt.open(running.port, { clientId: 'device' })
  const expected = []
  for (let messageId = 1; messageId <= 200; messageId++) {
    const qos = (messageId % 3) as 0 | 1 | 2
    device.publish({ topic: `q${qos}/${messageId % 2}`, payload: String(messageId), qos, messageId, retain: messageId % 2 === 0 })
    if (qos === 2) device.send({ cmd: 'pubrel', messageId })
    expected.push(String(messageId))
  }
  const got = []
  while (got.length < 200) {
    const { payload, qos, messageId } = await subscriber.next('publish')
    if (qos === 1) subscriber.send({ cmd: 'puback', messageId: messageId as number })
    if (qos === 2) subscriber.send({ cmd: 'pubrec', messageId: messageId as number })
    got.push(payload.toString())
  }
  t.same(got.toSorted(), expected.toSorted())
})

test('a session that was away for longer than sessionExpiry over the restart is ended, and told', async (t) => {
  const directory = directoryOf(t)
  const first = await start(t, directory)
  await leave(first, 'one', ['a', 1])
  await publish(first, ['a', '1'])
  await first.broker.close()
  const leftAt = Date.now()
  await until(() => Date.now() > leftAt + 50)
  const second = await start(t, directory, { broker: { sessionExpiryMs: 50 } })
  t.match(second.broker.stats(), { persistentSessions: 0, queuedMessages: 0, subscriptionBytes: 0 })
  t.ok(second.lines.objects.some(({ msg, clientId }) => msg === 'session expired' && clientId === 'one'))
  t.equal((await comeBack(second, 'one')).sessionPresent, false)
  await second.broker.close()
  const third = await start(t, directory)
  t.equal(third.broker.stats().persistentSessions, 0, 'nothing of it is left on disk')
})

test('a clean session ends what there was, before it begins', async (t) => {
  const directory = directoryOf(t)
  const first = await start(t, directory)
  await leave(first, 'one', ['a', 1])
  await publish(first, ['a', '1'])
  await RawMqtt.open(first.port, { clientId: 'one', clean: true })
  const second = await start(t, copyOf(directory))
  t.match(second.broker.stats(), { persistentSessions: 0, queuedMessages: 0 })
})

test('a session is resumed by its owner alone, also after a restart', async (t) => {
  const directory = directoryOf(t)
  const as = (username: string): TestBrokerOptions => ({
    authenticate: async ({ clientId }) => ({ kind: 'accepted', identity: { clientId, method: 'password', username } })
  })
  const first = await start(t, directory, as('alice'))
  await leave(first, 'one', ['a', 1])
  await first.broker.close()
  const second = await start(t, directory, as('bob'))
  t.equal((await comeBack(second, 'one')).sessionPresent, false)
})

test('a disk that fails: what would have to be kept is refused, the rest goes on, and it recovers', async (t) => {
  const store = new TestStore(directoryOf(t))
  const running = await startBroker(t, { journal: store })
  await leave(running, 'one', ['a', 1])
  await publish(running, ['a', '1'])
  store.failing = true
  const device = await RawMqtt.open(running.port, { clientId: 'publisher' })
  device.publish({ topic: 'a', payload: '2', qos: 1, messageId: 1 })
  await device.closed
  t.same(device.idsOf('puback'), [], 'not acknowledged')
  t.match(await running.logged('MBS_ERR_SESSIONS_WRITE'), [{ level: 'error' }])
  await publish(running, ['elsewhere', 'x'])
  const fresh = await RawMqtt.open(running.port, { clientId: 'fresh', clean: false })
  t.equal(running.broker.stats().persistentSessions, 1, 'a new session is not kept')
  await subscribe(fresh, ['b', 1])
  await publish(running, ['b', 'live'])
  t.same(await texts(fresh, 1), ['live'])
  fresh.abort()
  const { client, sessionPresent } = await comeBack(running, 'one')
  t.equal(sessionPresent, true)
  t.same(await texts(client, 1), ['1'], 'what is in memory is there; what was refused is not')
  client.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'c', qos: 1 }] })
  await client.closed
  t.same(client.idsOf('suback'), [])
  await until(() => running.broker.clients === 0)

  store.failing = false
  await until(() => running.lines.objects.some(({ msg }) => msg === 'sessions are written again'))
  await publish(running, ['a', '3'])
  await running.broker.close()
  const second = await start(t, store.location)
  t.same(await texts((await comeBack(second, 'one')).client, 1), ['3'])
})

test('another process that has the directory is an error with a remedy', async (t) => {
  const directory = directoryOf(t)
  await start(t, directory)
  await t.rejects(start(t, directory), { code: 'MBS_ERR_SESSIONS_LOCKED' })
  await t.rejects(start(t, '/proc/nothing/sessions'), { code: 'MBS_ERR_SESSIONS_DIRECTORY' })
})

test('what no repair can open is an error with a remedy', async (t) => {
  const directory = t.testdir({ CURRENT: 'MANIFEST-999999\n', 'MANIFEST-000001': { file: '' }, lost: '' })
  await t.rejects(start(t, directory), { code: 'MBS_ERR_SESSIONS_CORRUPT', help: /move the directory away/ })
})

test('10,000 sessions are there again', { timeout: 120_000 }, async (t) => {
  const directory = directoryOf(t)
  const limits = { sessions: 20_000 }
  const first = await start(t, directory, { broker: limits, connections: 20_000 })
  for (let from = 0; from < 10_000; from += 500) {
    await Promise.all(Array.from({ length: 500 }, async (_, index) => {
      const client = await RawMqtt.open(first.port, { clientId: `device-${from + index}`, clean: false })
      await subscribe(client, [`commands/${from + index}/#`, 1], ['all', 1])
      client.abort()
      await client.closed
    }))
    await until(() => first.broker.clients === 0)
  }
  await publish(first, ['all', 'x'.repeat(1000)])
  t.equal(first.broker.stats().queuedMessages, 10_000)
  await first.broker.close()
  const before = process.memoryUsage().rss
  const startedAt = performance.now()
  const second = await start(t, directory, { broker: limits })
  const tookMs = performance.now() - startedAt
  t.match(second.broker.stats(), { persistentSessions: 10_000, queuedMessages: 10_000 })
  t.comment(`started in ${Math.round(tookMs)} ms, ${Math.round((process.memoryUsage().rss - before) / 2 ** 20)} MiB more`)
  t.ok(tookMs < 30_000)
  const { client, sessionPresent } = await comeBack(second, 'device-9999')
  t.equal(sessionPresent, true)
  t.same(await texts(client, 1), ['x'.repeat(1000)])
})

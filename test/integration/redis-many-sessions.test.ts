/**
 * 100,000 persistent sessions in one Redis, and an outbox beside them: what each takes there and in a program, that
 * every key ends by itself or has a bound, and that connecting and publishing stay as fast. Some thousand sessions are
 * made by devices; the others by the parts that a CONNECT and a SUBSCRIBE go through, without a socket for each.
 */
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import type { AedesClient, SubscriptionStore } from '../../lib/broker/aedes-types.ts'
import { Keys } from '../../lib/broker/redis/keys.ts'
import { SubscriptionMirror } from '../../lib/broker/redis/mirror.ts'
import { RedisSessions } from '../../lib/broker/redis/redis-sessions.ts'
import { RedisSubscriptions } from '../../lib/broker/redis/redis-subscriptions.ts'
import { Requests } from '../../lib/broker/redis/requests.ts'
import { RedisLink } from '../../lib/redis/link.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { placeOf, startPod, type Pod } from '../support/pods.ts'
import { startProgram } from '../support/process.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'

const SESSIONS = 100_000
/** So many of them are made by devices, with CONNECT and SUBSCRIBE. */
const BY_DEVICES = 2000
/** So many have messages that wait. */
const WAITED_FOR = 1000
const MESSAGES = 5
const PAYLOAD = Buffer.alloc(100, 'x')
const AT_ONCE = 500
const DEVICES_AT_ONCE = 50
/** Sessions in the smaller run, in which all of them end. */
const ENDING = 3000
/** Events in the outbox, each of a device of its own; of the first ones the sink wants none. */
const EVENTS = 1000
const REFUSED = 20
const PARTITIONS = 4
/** Less than there are devices. */
const RECEIPTS = 400
/** Of subscriptions; trimmed roughly. */
const CHANGES = 12_000
const LIMITS = { sessions: 2 * SESSIONS, subscriptionBytes: 1024 * 1024 * 1024, sessionExpiryMs: 3_600_000 }

type Client = ReturnType<RedisServer['client']>

/** All that sessions have for ever: docs/redis-sessions.md says what bounds each. */
function ofSessions (prefix: string): string[] {
  return [
    ...['index', 'version', 'changes', 'connections'].map((name) => `{${prefix}sessions}:${name}`),
    ...['topics', 'messages', 'bytes'].map((name) => `{${prefix}retained}:${name}`),
    `{${prefix}wills}:pods`
  ]
}

/** All that an outbox has for ever: docs/redis.md. */
function ofOutbox (prefix: string): string[] {
  const names = ['meta', 'log', 'receipts', 'ring', 'letters', 'letter', 'cursors']
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => `${prefix}{outbox:${partition}}`)
  return [`${prefix}outbox`, ...partitions.flatMap((partition) => names.map((name) => `${partition}:${name}`))]
}

/** How many keys there are, and those that stay for ever. */
async function scan (client: Client): Promise<{ count: number, endless: string[] }> {
  const endless = new Set<string>()
  let count = 0
  let cursor = '0'
  do {
    const [next, page] = await client.scan(cursor, 'COUNT', 1000)
    const left = await Promise.all(page.map(async (key) => await client.pttl(key)))
    // -2: it has ended since.
    for (const [at, ms] of left.entries()) if (ms === -1) endless.add(page[at] as string)
    count += page.length
    cursor = next
  } while (cursor !== '0')
  return { count, endless: [...endless] }
}

async function usedMemory (client: Client): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
}

/** Bytes of the heap that something is in. */
function heapUsed (): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}

function deviceOf (clientId: string): AedesClient {
  const conn = Object.assign(new EventEmitter(), { closed: false })
  return { id: clientId, clean: false, closed: false, conn, close: () => {} } as unknown as AedesClient
}

/** Makes sessions with one subscription each, whose devices have gone, by the parts of a program that do so. */
async function fill (requests: Requests, keyPrefix: string, from: number, to: number): Promise<void> {
  const keys = new Keys(keyPrefix)
  for (let first = from; first < to; first += AT_ONCE) {
    const failures: unknown[] = []
    const mirror = new SubscriptionMirror(requests, keys)
    const changed = async (clientId: string): Promise<void> => { await mirror.changed(clientId) }
    const sessions = new RedisSessions({
      pod: 'filler',
      requests,
      keys,
      changed,
      max: LIMITS.sessions,
      expiryMs: LIMITS.sessionExpiryMs,
      renewMs: 30_000,
      begun: () => {},
      left: () => {},
      expired: () => {},
      waiting: () => {},
      failed: (error) => { failures.push(error) }
    })
    const store = {} as SubscriptionStore
    new RedisSubscriptions({ requests, sessions, changed }).attach(store)
    const serial = await sessions.nextSerial()
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, to - first) }, async (_, at) => {
      const client = deviceOf(`device-${first + at}`)
      await sessions.take(client, undefined, serial)
      await store.addSubscriptions(client, [{ topic: `commands/device-${first + at}`, qos: 1 }])
    }))
    // All of them go.
    await sessions.close()
    if (failures.length > 0) throw failures[0]
  }
}

/** The same by real devices. */
async function connectDevices ({ port, broker }: Pod, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += DEVICES_AT_ONCE) {
    await Promise.all(Array.from({ length: DEVICES_AT_ONCE }, async (_, at) => {
      await subscribeAndGo(port, `device-${first + at}`, `commands/device-${first + at}`)
    }))
  }
  while (broker.clients > 0) await sleep(5)
}

async function subscribeAndGo (port: number, clientId: string, topic: string): Promise<void> {
  const device = await RawMqtt.open(port, { clientId, clean: false })
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] })
  await device.next('suback')
  device.abort()
  await device.closed
}

/** Publishes messages for the first of the sessions, acknowledged by fifties. */
async function publishTo ({ port }: Pod, sessions: number): Promise<void> {
  const sender = await RawMqtt.open(port, { clientId: 'sender' })
  for (let message = 0; message < MESSAGES; message++) {
    for (let at = 0; at < sessions; at++) {
      sender.publish({ topic: `commands/device-${at}`, payload: PAYLOAD, qos: 1, messageId: 1 + at })
      if (at % 50 === 49) for (let answers = 0; answers < 50; answers++) await sender.next('puback')
    }
  }
  sender.abort()
  await sender.closed
}

/** Median of so many, in milliseconds. */
async function medianMs (count: number, work: (at: number) => Promise<void>): Promise<number> {
  const times: number[] = []
  for (let at = 0; at < count; at++) {
    const startedAt = performance.now()
    await work(at)
    times.push(performance.now() - startedAt)
  }
  return times.toSorted((a, b) => a - b)[count >> 1] as number
}

/** What a device waits for: CONNACK of a session that is kept, and PUBACK of a message that one waits for. */
async function measure ({ port }: Pod, name: string): Promise<{ connectMs: number, publishMs: number }> {
  await subscribeAndGo(port, `${name}-waiting`, `${name}/x`)
  const sender = await RawMqtt.open(port, { clientId: `${name}-sender` })
  const connect = async (at: number): Promise<void> => {
    const device = await RawMqtt.open(port, { clientId: `${name}-${at}`, clean: false })
    device.abort()
    await device.closed
  }
  const publish = async (at: number): Promise<void> => {
    sender.publish({ topic: `${name}/x`, payload: 'p', qos: 1, messageId: at + 1 })
    await sender.next('puback')
  }
  // What is done for the first time takes longer.
  await medianMs(50, connect)
  const connectMs = await medianMs(100, connect)
  await medianMs(50, publish)
  const publishMs = await medianMs(200, publish)
  sender.abort()
  await sender.closed
  return { connectMs, publishMs }
}

test(`${SESSIONS} sessions and an outbox`, { timeout: 550_000 }, async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  const keyPrefix = 'many:'
  const options = { broker: LIMITS, timeoutMs: 10_000 }
  let empty = { connectMs: 0, publishMs: 0 }
  let before = 0
  let byDevice = 0

  let startedAt = 0

  await t.test('devices make some of them', async (t) => {
    const pod = await startPod(t, placeOf(redis), keyPrefix, options)
    empty = await measure(pod, 'empty')
    before = await usedMemory(client)
    startedAt = performance.now()
    await connectDevices(pod, 0, BY_DEVICES)
    byDevice = (await usedMemory(client) - before) / BY_DEVICES
    t.equal(await client.hget(`${keyPrefix}client:device-0`, 'commands/device-0'), '1')
  })

  await t.test('what a session takes, in Redis and in a program', async (t) => {
    const link = new RedisLink({ settings: { url: redis.url, timeout: 10_000 }, onError: () => {}, onReady: () => {} })
    t.teardown(() => { link.close() })
    const requests = new Requests(await link.connect(10_000), 10_000)
    await fill(requests, keyPrefix, BY_DEVICES, SESSIONS)
    const each = (await usedMemory(client) - before) / SESSIONS
    t.comment(`${((performance.now() - startedAt) / 1000).toFixed(0)} s to make them; ${each.toFixed(0)} bytes of Redis each, ` +
      `${byDevice.toFixed(0)} where devices made them`)
    t.ok(each < 700, `${each.toFixed(0)} bytes of Redis for a session with one subscription`)
    t.ok(byDevice < 1.5 * each, 'those that devices made are like the others')
    t.ok(await client.zcard(`{${keyPrefix}sessions}:index`) >= SESSIONS)
    t.ok(await client.xlen(`{${keyPrefix}sessions}:changes`) < CHANGES, 'changes are not kept for ever')

    const mirror = new SubscriptionMirror(requests, new Keys(keyPrefix))
    const heapBefore = heapUsed()
    await mirror.poll()
    const heapEach = (heapUsed() - heapBefore) / SESSIONS
    const reckonedEach = mirror.bytes / SESSIONS
    t.comment(`${heapEach.toFixed(0)} bytes of heap for a session, reckoned as ${reckonedEach.toFixed(0)}`)
    t.ok(heapEach > 100, 'it is measured')
    t.ok(heapEach < 1.2 * reckonedEach, 'what is held against limits.subscriptionBytes is no less than it takes')
    t.strictSame(mirror.match('commands/device-0').map(({ clientId }) => clientId), ['device-0'])
  })

  await t.test('a program that starts knows them, and is as fast', async (t) => {
    const openedAt = performance.now()
    const pod = await startPod(t, placeOf(redis), keyPrefix, options)
    const seconds = (performance.now() - openedAt) / 1000
    t.comment(`a program that starts knows them after ${seconds.toFixed(1)} s`)
    t.ok(seconds < 60, 'it starts within a minute')
    for (const at of [0, BY_DEVICES, SESSIONS - 1]) {
      const found = await pod.shared.persistence.subscriptionsByTopic(`commands/device-${at}`)
      t.strictSame(found.map(({ clientId }) => clientId), [`device-${at}`])
    }

    const full = await measure(pod, 'full')
    t.comment(`CONNECT ${empty.connectMs.toFixed(1)} and ${full.connectMs.toFixed(1)} ms, PUBLISH ` +
      `${empty.publishMs.toFixed(1)} and ${full.publishMs.toFixed(1)} ms, without and with them`)
    t.ok(full.connectMs < 5 * empty.connectMs + 5, 'CONNECT stays fast')
    t.ok(full.publishMs < 5 * empty.publishMs + 5, 'PUBLISH stays fast')

    const before = await usedMemory(client)
    await publishTo(pod, WAITED_FOR)
    const each = (await usedMemory(client) - before) / WAITED_FOR / MESSAGES
    t.comment(`${each.toFixed(0)} bytes of Redis for a message of ${PAYLOAD.length} that waits`)
    t.ok(each < 600, 'a message that waits takes little more than itself')
    t.equal(await client.zcard(`{${keyPrefix}client:device-0}:order`), MESSAGES)
  })

  await t.test('with the outbox beside them, each key ends by itself or has a bound', async (t) => {
    const sink = await startHttpSink(t)
    sink.answer = ({ body }) => ({ status: body.toString().includes('unwanted') ? 400 : 202 })
    const program = await startProgram(t, {
      name: 'group',
      listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port: 0 }],
      http: { host: '127.0.0.1', port: 0 },
      broker: { sessions: 'redis' },
      outbox: { store: 'redis', partitions: PARTITIONS, receipts: RECEIPTS },
      limits: { connections: 2 * EVENTS, connectionsPerAddress: 2 * EVENTS },
      redis: { url: redis.url, keyPrefix },
      sink: { kind: 'http', url: sink.url },
      log: { level: 'info', format: 'json' }
    })
    const port = program.port('mqtt')
    for (let first = 0; first < EVENTS; first += DEVICES_AT_ONCE) {
      await Promise.all(Array.from({ length: DEVICES_AT_ONCE }, async (_, at) => {
        const device = await RawMqtt.open(port, { clientId: `event-${first + at}` })
        const payload = first + at < REFUSED ? '"unwanted"' : '"wanted"'
        device.publish({ topic: 'events', payload, qos: 1, messageId: 1, retain: at === 0 })
        await device.next('puback')
        device.abort()
      }))
    }
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => `${keyPrefix}{outbox:${partition}}`)
    const sum = async (of: (partition: string) => Promise<number>): Promise<number> =>
      (await Promise.all(partitions.map(of))).reduce((total, count) => total + count, 0)
    while (await sum(async (at) => await client.zcard(`${at}:letters`)) < REFUSED) await sleep(50)
    while (await sum(async (at) => await client.xlen(`${at}:log`)) > 0) await sleep(50)
    t.pass('nothing is left of what was delivered')
    const [ring, receipts] = [
      await sum(async (at) => await client.llen(`${at}:ring`)), await sum(async (at) => await client.hlen(`${at}:receipts`))
    ]
    t.equal(ring, RECEIPTS, 'of the receipts those are kept that are to be')
    t.equal(receipts, ring)

    const { count, endless } = await scan(client)
    t.ok(count >= 2 * SESSIONS, `${count} keys`)
    const bounded = [...ofSessions(keyPrefix), ...ofOutbox(keyPrefix)]
    t.strictSame(endless.filter((key) => !bounded.includes(key)), [], 'no other key stays for ever')
    t.strictSame(ofSessions(keyPrefix).filter((key) => !endless.includes(key)), [], 'all kinds of keys were there')
    for (const name of ['meta', 'receipts', 'ring', 'letters', 'letter', 'cursors']) {
      t.ok(endless.some((key) => key.endsWith(`}:${name}`) && key.includes('{outbox:')), name)
    }
    t.equal(await program.stop(), 0)
    t.equal(await client.scard(`{${keyPrefix}wills}:pods`), 0, 'a program that ends leaves no trace of itself')
    t.equal(await client.zcard(`${keyPrefix}{group}:members`), 0)
  })
})

test('sessions whose devices stay away leave nothing', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  const prefix = 'gone:'
  const pod = await startPod(t, placeOf(redis), prefix, { broker: { ...LIMITS, sessionExpiryMs: 5000 } })
  await connectDevices(pod, 0, ENDING)
  // Those that were first have ended by now, some of them.
  for (let first = 0; first < WAITED_FOR; first += DEVICES_AT_ONCE) {
    await Promise.all(Array.from({ length: DEVICES_AT_ONCE }, async (_, at) => {
      await subscribeAndGo(pod.port, `device-${first + at}`, `commands/device-${first + at}`)
    }))
  }
  await publishTo(pod, DEVICES_AT_ONCE)
  await subscribeAndGo(pod.port, 'last', 'commands/last')
  const before = await scan(client)
  t.ok(before.count > 2 * WAITED_FOR, `${before.count} keys while they are there`)
  const own = ofSessions(prefix)
  // They are swept once in ten seconds.
  while (await client.zcard(`{${prefix}sessions}:index`) > 0) await sleep(100)
  const { endless } = await scan(client)
  t.strictSame(endless.filter((key) => !own.includes(key)), [])
  t.strictSame((await client.keys('*client:*')), [], 'nothing of a session')
  while ((await pod.shared.persistence.subscriptionsByTopic('commands/last')).length > 0) await sleep(20)
  t.equal(pod.shared.stats().subscriptionBytes, 0, 'and nothing in the program')
})

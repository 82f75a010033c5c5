/** Sessions in Redis while that is away, does not answer, is full or read-only; and pods that die. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { until } from '../support/broker.ts'
import { known, placeOf, startPod, startPods, type Pod } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'

const TIMEOUT_MS = 500
/** A turn of everything that is tried again. */
const SOON_MS = 5000

async function subscribe (client: RawMqtt, topic: string): Promise<void> {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] })
  await client.next('suback')
}

async function publish (client: RawMqtt, messageId: number, topic = 'x', retain = false): Promise<void> {
  client.publish({ topic, payload: String(messageId), qos: 1, messageId, retain })
  await client.next('puback')
}

/** Connects again and again until it is let in. */
async function comeBack (pod: Pod, clientId: string): Promise<RawMqtt> {
  for (const startedAt = performance.now(); ;) {
    try {
      return await RawMqtt.open(pod.port, { clientId, clean: false })
    } catch (error) {
      if (performance.now() - startedAt > SOON_MS) throw error
      await sleep(50)
    }
  }
}

/** What a session and a clean publisher go through while Redis is as `end` makes it. */
async function endure (
  t: Test, redis: RedisServer, end: () => Promise<void>, recover: () => Promise<void>
): Promise<void> {
  const [a, b] = await startPods(t, redis, 2, { timeoutMs: TIMEOUT_MS })
  const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  await subscribe(device, 'x')
  await known([b], 'x')
  const will = { topic: 'gone', payload: Buffer.from('w'), qos: 1 as const, retain: true }
  const sender = await RawMqtt.open(b.port, { clientId: 'sender', will })
  await publish(sender, 1)
  await device.next('publish')
  device.send({ cmd: 'puback', messageId: 1 })
  await device.ping().catch(() => {})
  await end()

  const startedAt = performance.now()
  const refused = await RawMqtt.dial(b.port)
  refused.connect({ clientId: 'another', clean: false })
  await refused.closed
  const waitedMs = performance.now() - startedAt
  t.ok(waitedMs < 2 * TIMEOUT_MS + 1000, 'a session that is to be kept is held back for a bounded time')
  t.equal((await b.logged('MBS_ERR_SESSIONS_REDIS')).length > 0, true)
  const begun = await RawMqtt.open(b.port, { clientId: 'begun', will })
  for (const client of [sender, begun]) {
    for (let at = 2; at < 102; at++) {
      client.publish({ topic: 'y', payload: 'p', qos: 1, messageId: at })
    }
    for (let at = 2; at < 102; at++) await client.next('puback')
    client.publish({ topic: 'y', payload: 'q', qos: 2, messageId: 200 })
    await client.next('pubrec')
    client.send({ cmd: 'pubrel', messageId: 200 })
    await client.next('pubcomp')
  }
  t.equal(b.publishes.length, 1 + 2 * 101, 'what clean sessions publish is stored')
  begun.abort()
  await until(() => b.publishes.some(({ will }) => will))

  await recover()
  const back = await comeBack(b, 'device')
  await subscribe(back, 'after')
  await known([a, b], 'after')
  await publish(await RawMqtt.open(a.port, { clientId: 'late' }), 1, 'after')
  while ((await back.next('publish')).topic !== 'after') { /* what was kept before */ }
  const told = [a, b].flatMap(({ lines }) => lines.objects.filter(({ level }) => level === 'error'))
  t.strictSame(told.map(({ msg, err }) => [msg, err]), [], 'nothing unexpected')
}

// An unhandled rejection or an uncaught exception fails the test file.
test('Redis is killed and comes back empty', async (t) => {
  const redis = await startRedis(t)
  await endure(t, redis, async () => { await redis.kill() }, async () => { await redis.start() })
})

test('Redis is killed and comes back with what it had', async (t) => {
  const redis = await startRedis(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  await endure(t, redis, async () => { await redis.kill() }, async () => { await redis.start() })
})

test('Redis does not answer', async (t) => {
  const redis = await startRedis(t)
  await endure(t, redis, async () => { redis.pause() }, async () => { redis.resume() })
})

test('Redis has no memory left', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  await endure(t, redis, async () => { await client.config('SET', 'maxmemory', '1') }, async () => {
    await client.config('SET', 'maxmemory', '0')
  })
})

test('Redis is read-only', async (t) => {
  const redis = await startRedis(t, ['--min-replicas-max-lag', '1'])
  const client = redis.client(t)
  await endure(t, redis, async () => { await client.config('SET', 'min-replicas-to-write', '1') }, async () => {
    await client.config('SET', 'min-replicas-to-write', '0')
  })
})

test('Redis wants another password', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  await endure(t, redis, async () => {
    await client.call('ACL', 'SETUSER', 'keeper', 'on', 'nopass', '~*', '&*', '+@all')
    await client.call('AUTH', 'keeper', 'any')
    await client.call('CONFIG', 'SET', 'requirepass', 'new')
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  }, async () => { await client.call('CONFIG', 'SET', 'requirepass', '') })
})

test('an identifier that was released, which Redis has forgotten, does not swallow the next publish', async (t) => {
  const redis = await startRedis(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const client = redis.client(t)
  const [a, b] = await startPods(t, redis, 2, { keyPrefix: 'qos2:' })
  const key = '{qos2:client:device}:received'
  const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  device.publish({ topic: 'x', payload: 'released', qos: 2, messageId: 7 })
  await device.next('pubrec')
  const noted = await client.dumpBuffer(key)
  device.send({ cmd: 'pubrel', messageId: 7 })
  await device.next('pubcomp')
  device.publish({ topic: 'x', payload: 'not released', qos: 2, messageId: 8 })
  await device.next('pubrec')
  await redis.kill()
  await redis.start()
  // As if the last second were lost.
  await client.hset(key, 'made', 'a key')
  await client.restore(key, 60_000, noted, 'REPLACE')
  const back = await comeBack(b, 'device')
  back.publish({ topic: 'x', payload: 'new', qos: 2, messageId: 7 })
  await back.next('pubrec')
  t.strictSame(b.publishes.map(({ payload }) => payload.toString()), ['new'])
  back.send({ cmd: 'pubrel', messageId: 7 }, { cmd: 'pubrel', messageId: 8 })
  t.strictSame([(await back.next('pubcomp')).messageId, (await back.next('pubcomp')).messageId].sort(), [7, 8],
    'one that is not known any more is released as well')
})

test('a pod that has missed messages between pods finds out: of changes, of takeovers, of what waits', async (t) => {
  const redis = await startRedis(t)
  const [a, b] = await startPods(t, redis, 2, { broker: { sessionExpiryMs: 3000 } })
  const client = redis.client(t)
  // Nothing that a pod publishes reaches another one.
  await client.call('ACL', 'SETUSER', 'default', '-publish')
  const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  await subscribe(device, 'x')
  await known([b], 'x')
  const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
  await publish(sender, 1)
  t.equal((await device.next('publish')).payload.toString(), '1', 'what waits is found when its session is renewed')
  await RawMqtt.open(b.port, { clientId: 'device', clean: false })
  await device.closed
  t.pass('its connection is closed when it cannot be renewed')
})

test('a pod dies: its wills are published once, for those who have not come back', async (t) => {
  const redis = await startRedis(t)
  const permissions = {
    mayPublish: (identity: { username?: string }, topic: string) => topic !== 'denied' && identity.username === 'anna',
    maySubscribe: () => true,
    mayReceive: () => true
  }
  const options = {
    permissions,
    authenticate: async ({ clientId }: { clientId: string }) =>
      ({ kind: 'accepted', identity: { clientId, username: 'anna', method: 'password' } }) as const
  }
  const [a, b, c] = await startPods(t, redis, 3, { ...options, keyPrefix: 'wills:' })
  const willOf = (topic: string) => ({ topic, payload: Buffer.from('gone'), qos: 1 as const, retain: false })
  const dead = await RawMqtt.open(a.port, { clientId: 'dead', will: willOf('state/dead') })
  await RawMqtt.open(a.port, { clientId: 'kept', clean: false, will: willOf('state/kept') })
  const left = await RawMqtt.open(a.port, { clientId: 'left', will: willOf('state/left') })
  left.send({ cmd: 'disconnect' })
  await left.closed
  const watcher = await RawMqtt.open(b.port, { clientId: 'watcher' })
  await subscribe(watcher, 'state/#')
  const stored = JSON.parse(await redis.client(t).hget(`{wills:wills}:of:${a.shared.pod}`, 'dead') ?? '{}') as { eventId?: string }
  // Its connections to Redis end, and it makes no new ones: as if its machine had stopped.
  a.link.close()
  await RawMqtt.open(c.port, { clientId: 'kept', clean: false, will: willOf('state/kept') })
  const startedAt = performance.now()
  const will = await watcher.next('publish')
  t.equal(will.topic, 'state/dead')
  t.ok(performance.now() - startedAt < 30_000)
  await sleep(6000)
  t.strictSame(watcher.idsOf('publish'), [])
  const published = [b, c].flatMap((pod) => pod.publishes).filter(({ will }) => will)
  t.strictSame(published.map(({ topic, client }) => [topic, client.id, client.username]), [['state/dead', 'dead', 'anna']])
  t.ok(stored.eventId !== undefined)
  const ids = () => [a, b, c].flatMap(({ outbox }) => outbox.stored).filter(({ type }) => type === 'will').map(({ id }) => id)
  t.strictSame(ids(), [stored.eventId])
  // It was not dead after all: now it publishes the will itself, as the same event.
  dead.abort()
  await until(() => ids().length === 2)
  t.strictSame(ids(), [stored.eventId, stored.eventId])
})

test('a pod that ends in order leaves no wills, and its sessions are there for the others', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  const pod = await startPod(t, placeOf(redis), 'order:')
  const device = await RawMqtt.open(pod.port, {
    clientId: 'device', clean: false, will: { topic: 'w', payload: Buffer.from('x'), qos: 0, retain: false }
  })
  await subscribe(device, 'x')
  await pod.broker.close()
  const keys = await client.keys('*')
  t.strictSame(keys.filter((key) => key.includes('wills')), [])
  t.equal(await client.hget('{order:client:device}:session', 'pod'), null)
  for (const key of keys.filter((key) => key.includes('client:'))) t.ok(await client.pttl(key) > 0, `${key} has a lifetime`)
})

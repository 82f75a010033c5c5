/** What sessions take in Redis is bounded: in number, in bytes, in time. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { RedisLink } from '../../lib/redis/link.ts'
import { RedisState } from '../../lib/broker/redis/redis-state.ts'
import { createTestTelemetry } from '../support/log-lines.ts'
import { stateLimits, until } from '../support/broker.ts'
import { known, startPods } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

async function subscribe (client: RawMqtt, topic: string, qos: 0 | 1 | 2 = 1): Promise<void> {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos }] })
  await client.next('suback')
}

async function publish (
  client: RawMqtt, messageId: number, topic: string, payload = String(messageId), retain = false
): Promise<void> {
  client.publish({ topic, payload, qos: 1, messageId, retain })
  await client.next('puback')
}

async function waiting (client: RawMqtt, last: string): Promise<string[]> {
  const found: string[] = []
  while (found.at(-1) !== last) {
    const packet = await client.next('publish')
    found.push(packet.payload.toString())
    client.send({ cmd: 'puback', messageId: packet.messageId! })
  }
  return found
}

test('limits', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)

  await t.test('what waits for a session: the newest is not kept, by number and by bytes, and that is told', async (t) => {
    for (const [limits, count] of [[{ queuedMessages: 3 }, 3], [{ queuedBytes: 1000 }, 2]] as const) {
      const [a, b] = await startPods(t, redis, 2, { broker: limits })
      const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
      await subscribe(device, 'x')
      device.abort()
      await known([b], 'x')
      await until(() => a.broker.clients === 0)
      const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
      for (let at = 1; at <= 6; at++) await publish(sender, at, 'x', `${at}`.padEnd(150))
      t.equal((await b.logged('MBS_ERR_LIMIT_QUEUE')).length, 1)
      const back = await RawMqtt.open(b.port, { clientId: 'device', clean: false })
      const found: string[] = []
      while (found.length < count) {
        const packet = await back.next('publish')
        found.push(packet.payload.toString().trim())
        back.send({ cmd: 'puback', messageId: packet.messageId! })
      }
      t.strictSame(found, Array.from({ length: count }, (_, at) => String(at + 1)))
      await back.ping()
      t.strictSame(back.idsOf('publish'), [])
      await publish(sender, 10, 'x', 'room again')
      t.strictSame(await waiting(back, 'room again'), ['room again'])
    }
  })

  await t.test('retained messages: one more is not retained, replacing and deleting make room', async (t) => {
    const [a, b] = await startPods(t, redis, 2, { broker: { retainedMessages: 2, retainedBytes: 1000 } })
    const sender = await RawMqtt.open(a.port, { clientId: 'sender' })
    await publish(sender, 1, 'r/1', 'one', true)
    await publish(sender, 2, 'r/2', 'two', true)
    await publish(sender, 3, 'r/3', 'three', true)
    t.equal((await a.logged('MBS_ERR_LIMIT_RETAINED')).length, 1)
    await publish(sender, 4, 'r/2', 'x'.repeat(900), true)
    await publish(sender, 5, 'r/3', 'three', true)
    await publish(sender, 6, 'r/1', '', true)
    await publish(sender, 7, 'r/4', 'four', true)
    const reader = await RawMqtt.open(b.port, { clientId: 'reader' })
    await subscribe(reader, 'r/#', 0)
    const found = [await reader.next('publish'), await reader.next('publish')].map(({ payload }) => payload.toString())
    t.strictSame(found.toSorted(), ['four', 'three'])
  })

  await t.test('sessions: one more is not kept, over all pods', async (t) => {
    const [a, b] = await startPods(t, redis, 2, { broker: { sessions: 1 } })
    const first = await RawMqtt.open(a.port, { clientId: 'first', clean: false })
    await subscribe(first, 'x')
    const second = await RawMqtt.open(b.port, { clientId: 'second', clean: false })
    t.equal((await b.logged('MBS_ERR_LIMIT_SESSIONS')).length, 1)
    await subscribe(second, 'x')
    second.abort()
    const back = await RawMqtt.dial(a.port)
    back.connect({ clientId: 'second', clean: false })
    t.equal((await back.next('connack')).sessionPresent, false)
  })

  await t.test('a session ends when its client stays away, and not while it is there', async (t) => {
    const [a, b] = await startPods(t, redis, 2, { keyPrefix: 'end:', broker: { sessionExpiryMs: 1000 } })
    const here = await RawMqtt.open(a.port, { clientId: 'here', clean: false })
    const away = await RawMqtt.open(a.port, { clientId: 'away', clean: false })
    for (const device of [here, away]) await subscribe(device, 'x')
    away.abort()
    await known([b], 'x', 2)
    // It is swept once in ten seconds.
    await known([a, b], 'x', 1)
    t.strictSame((await client.keys('*end:client:*')).toSorted(), ['end:client:here', '{end:client:here}:session'])
    t.strictSame(await client.zrange('{end:sessions}:index', 0, -1), ['here'])
    await here.ping()
  })

  await t.test('every key has a lifetime, or a bound of its own', async (t) => {
    const [a, b] = await startPods(t, redis, 2, { keyPrefix: 'all:' })
    const will = { topic: 'w', payload: Buffer.from('x'), qos: 1 as const, retain: false }
    const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false, will })
    await subscribe(device, 'x', 2)
    await known([b], 'x')
    const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
    sender.publish({ topic: 'x', payload: 'p', qos: 2, messageId: 1, retain: true })
    await device.next('publish')
    device.publish({ topic: 'y', payload: 'p', qos: 2, messageId: 1 })
    await device.next('pubrec')
    const bounded = [
      '{all:sessions}:index', '{all:sessions}:version', '{all:sessions}:changes', '{all:sessions}:connections',
      '{all:retained}:topics', '{all:retained}:messages', '{all:retained}:bytes', '{all:wills}:pods'
    ]
    const keys = await client.keys('*all:*')
    const endless: string[] = []
    for (const key of keys) if (await client.pttl(key) < 0) endless.push(key)
    t.strictSame(endless.toSorted(), bounded.toSorted())
    t.ok(keys.length >= bounded.length + 8, 'all kinds of keys were there')
  })

  await t.test('a connection that was let in before another one does not take its session', async (t) => {
    const { telemetry } = createTestTelemetry()
    const link = new RedisLink({ settings: { url: redis.url, timeout: 1000 }, onError: () => {}, onReady: () => {} })
    const state = await RedisState.open({
      link, keyPrefix: 'late:', timeoutMs: 1000, startWaitMs: 1000, limits: stateLimits, telemetry
    })
    const earlier = await state.sessions.nextSerial()
    const later = await state.sessions.nextSerial()
    t.ok(later > earlier)
    const connection = () => ({ id: 'device', close: () => {}, conn: { closed: false, once: () => {} } }) as never
    await state.sessions.take(connection(), undefined, later)
    await t.rejects(state.sessions.take(connection(), undefined, earlier), { code: 'MBS_ERR_SESSIONS_TAKEN' })
    await state.close()
    await sleep(1)
  })
})

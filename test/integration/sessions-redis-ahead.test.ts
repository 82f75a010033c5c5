/** What a publish changes for sessions in Redis: there before it is acknowledged, for every session that has SUBACK. */
import { test } from 'tap'
import { until } from '../support/broker.ts'
import { startPods, type Pod } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startCluster, startRedis } from '../support/redis.ts'

const PREFIX = 'ahead:'
const ORDER = `{${PREFIX}client:device}:order`

async function subscribe (pod: Pod, clientId: string, topic: string): Promise<void> {
  const device = await RawMqtt.open(pod.port, { clientId, clean: false })
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] })
  await device.next('suback')
  device.abort()
  await device.closed
}

/** What waits for a session, each acknowledged. */
async function payloads (pod: Pod, clientId: string, count: number): Promise<string[]> {
  const device = await RawMqtt.open(pod.port, { clientId, clean: false })
  const found: string[] = []
  while (found.length < count) {
    const { payload, messageId } = await device.next('publish')
    found.push(payload.toString())
    device.send({ cmd: 'puback', messageId: messageId as number })
  }
  device.abort()
  return found
}

test('a message for a waiting session, and a retained one, are in Redis before they are acknowledged', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  const [a, b] = await startPods(t, redis, 2, { keyPrefix: PREFIX })
  await subscribe(a, 'device', 'x')
  const sender = await RawMqtt.open(b.port, { clientId: 'sender', clean: false })
  for (let at = 1; at <= 40; at++) {
    const qos = at % 2 === 0 ? 2 : 1
    sender.publish({ topic: 'x', payload: String(at), qos, messageId: at, retain: true })
    await sender.next(qos === 1 ? 'puback' : 'pubrec')
    const [waiting, retained] = await Promise.all([client.zcard(ORDER), client.hget(`{${PREFIX}retained}:messages`, 'x')])
    t.equal(waiting, at, 'it waits, and once')
    t.equal(retained, `${qos}${at}`)
    if (qos === 2) sender.send({ cmd: 'pubrel', messageId: at })
  }
})

for (const [name, start] of [['one server', startRedis], ['a Cluster', startCluster]] as const) {
  test(`what is published at another pod after SUBACK waits, although nobody told that pod: ${name}`, async (t) => {
    const redis = await start(t)
    const servers = 'url' in redis ? [redis] : redis
    const [a, b, c] = await startPods(t, redis, 3)
    // Nothing that a pod publishes reaches another one.
    await Promise.all(servers.map(async (server) => await server.client(t).call('ACL', 'SETUSER', 'default', '-publish')))
    const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
    for (let at = 1; at <= 20; at++) {
      await subscribe(a, `device-${at}`, `x/${at}`)
      for (const messageId of [1, 2, 3]) {
        sender.publish({ topic: `x/${at}`, payload: `${at} ${messageId}`, qos: 1, messageId })
      }
      for (let answers = 0; answers < 3; answers++) await sender.next('puback')
      t.strictSame(await payloads(c, `device-${at}`, 3), [`${at} 1`, `${at} 2`, `${at} 3`])
    }
  })
}

test('without Redis a publish for a waiting session, or that is to be retained, is not acknowledged', async (t) => {
  const redis = await startRedis(t)
  const [a, b] = await startPods(t, redis, 2, { keyPrefix: PREFIX, timeoutMs: 300 })
  await subscribe(a, 'device', 'x')
  const before = await RawMqtt.open(b.port, { clientId: 'before' })
  before.publish({ topic: 'x', payload: 'before', qos: 1, messageId: 1 })
  await before.next('puback')
  redis.pause()
  for (const fields of [{ topic: 'x' }, { topic: 'y', retain: true }] as const) {
    for (const qos of [1, 2] as const) {
      const sender = await RawMqtt.open(b.port, { clientId: `sender-${fields.topic}-${qos}` })
      const startedAt = performance.now()
      sender.publish({ ...fields, payload: 'p', qos, messageId: 1 })
      await sender.closed
      t.strictSame(sender.received, [], `${fields.topic} at QoS ${qos}: no acknowledgement`)
      t.ok(performance.now() - startedAt < 3000, 'it was held back for a bounded time')
    }
  }
  const other = await RawMqtt.open(b.port, { clientId: 'other' })
  other.publish({ topic: 'y', payload: 'p', qos: 1, messageId: 1 })
  await other.next('puback')
  t.pass('one that concerns no session is stored, and acknowledged')
  t.ok((await b.logged('MBS_ERR_SESSIONS_REDIS')).length > 0)
  redis.resume()

  for (let isStored = false; !isStored;) {
    const again = await RawMqtt.open(b.port, { clientId: 'again' })
    again.publish({ topic: 'x', payload: 'after', qos: 1, messageId: 1 })
    isStored = await again.next('puback').then(() => true, () => false)
  }
  const found = await payloads(a, 'device', 2)
  t.equal(found[0], 'before')
  t.ok(found.every((payload) => ['before', 'p', 'after'].includes(payload)))
})

test('a message whose publisher went before it was acknowledged is sent all the same, before those that follow', async (t) => {
  const redis = await startRedis(t)
  const [a, b] = await startPods(t, redis, 2, { keyPrefix: PREFIX, timeoutMs: 5000 })
  const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 1 }] })
  await device.next('suback')
  const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
  redis.pause()
  sender.publish({ topic: 'x', payload: 'first', qos: 1, messageId: 1 })
  sender.publish({ topic: 'x', payload: 'second', qos: 1, messageId: 2 })
  await sender.ping()
  await until(() => b.outbox.stored.length === 2)
  sender.abort()
  await sender.closed
  redis.resume()
  const last = await RawMqtt.open(b.port, { clientId: 'last' })
  last.publish({ topic: 'x', payload: 'last', qos: 1, messageId: 1 })
  await last.next('puback')
  const found: string[] = []
  while (found.length < 3) found.push((await device.next('publish')).payload.toString())
  t.strictSame(found, ['first', 'second', 'last'])
})

test('a message that its pod did not send any more, because it died, is not overtaken by those of other pods', async (t) => {
  const redis = await startRedis(t)
  const [a, b, c] = await startPods(t, redis, 3)
  const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 2 }, { topic: 'x/#', qos: 1 }] })
  await device.next('suback')
  const senders = await Promise.all([b, c].map(async ({ port }, at) => await RawMqtt.open(port, { clientId: `s${at}` })))
  const sent: string[] = []
  const publish = async (from: 0 | 1, payload: string, qos: 1 | 2): Promise<void> => {
    sent.push(payload)
    senders[from]?.publish({ topic: 'x', payload, qos, messageId: sent.length })
    await senders[from]?.next(qos === 1 ? 'puback' : 'pubrec')
  }
  const { emitter } = b.shared.messages
  const { emit } = emitter
  for (const qos of [1, 2, 1, 2] as const) {
    await publish(0, `${sent.length} is sent`, qos)
    // It comes to that after PUBACK.
    const isGone = new Promise<void>((resolve) => {
      emitter.emit = (message, done) => {
        done?.()
        if (message.topic === 'x') resolve()
      }
    })
    await publish(0, `${sent.length} is not`, qos)
    await isGone
    emitter.emit = emit
    await publish(1, `${sent.length} comes from another one`, qos)
    await publish(1, `${sent.length} follows`, qos)
  }
  const found: string[] = []
  while (found.length < sent.length) {
    const { payload, qos, messageId } = await device.next('publish')
    found.push(payload.toString())
    device.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: messageId as number })
  }
  t.strictSame(found, sent)
})

test('what comes live, and next, is handed on without a look at the queue', async (t) => {
  const redis = await startRedis(t)
  const [a, b] = await startPods(t, redis, 2)
  await subscribe(a, 'device', 'x')
  const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
  const publish = async (messageId: number): Promise<void> => {
    sender.publish({ topic: 'x', payload: String(messageId), qos: 1, messageId })
    await sender.next('puback')
  }
  for (let messageId = 1; messageId <= 3; messageId++) await publish(messageId)
  const reads = async (): Promise<number> => {
    const stats = await redis.client(t).info('commandstats')
    return Number(/cmdstat_zrangebyscore:calls=(\d+)/.exec(stats)?.[1])
  }
  for (let round = 0; round < 2; round++) {
    const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
    const take = async (): Promise<void> => {
      const { messageId = 0 } = await device.next('publish')
      device.send({ cmd: 'puback', messageId })
    }
    // The first time something waits, the second time nothing does.
    for (let count = round === 0 ? 3 : 0; count > 0; count--) await take()
    await until(() => a.shared.sessions.byId('device')?.isDraining === false)
    const before = await reads()
    for (let messageId = 4; messageId <= 10; messageId++) {
      await publish(messageId)
      await take()
    }
    t.equal(await reads(), before)
    device.abort()
    await device.closed
  }
})

test('what is lost between pods is not overtaken by what follows', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  const [a, b] = await startPods(t, redis, 2, { keyPrefix: PREFIX })
  const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 1 }] })
  await device.next('suback')
  const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
  const sent: string[] = []
  const found: string[] = []
  const publish = async (payload: string): Promise<void> => {
    sent.push(payload)
    sender.publish({ topic: 'x', payload, qos: 1, messageId: sent.length })
    await sender.next('puback')
  }
  for (let round = 0; round < 5; round++) {
    await publish(`${round} comes`)
    await client.call('ACL', 'SETUSER', 'default', '-publish')
    await publish(`${round} is not sent`)
    await client.call('ACL', 'SETUSER', 'default', '+publish')
    await publish(`${round} comes after it`)
    await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await publish(`${round} is not heard`)
    await publish(`${round} may be heard`)
  }
  while (found.length < sent.length) {
    const { payload, messageId } = await device.next('publish')
    found.push(payload.toString())
    device.send({ cmd: 'puback', messageId: messageId as number })
  }
  t.strictSame(found, sent)
})

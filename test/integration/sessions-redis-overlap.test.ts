/** Filters of one session that overlap, connections of one client that do, and packet identifiers of a Redis before. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { startPods } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

const PREFIX = 'overlap:'

for (const filters of [[['x/y', 0], ['x/+', 1]], [['x/+', 1], ['x/y', 0]], [['x/#', 0], ['x/y', 2]]] as const) {
  test(`of overlapping filters the highest QoS counts, and nothing stays in the queue: ${JSON.stringify(filters)}`, async (t) => {
    const redis = await startRedis(t)
    const [a, b] = await startPods(t, redis, 2, { keyPrefix: PREFIX })
    const connect = async (): Promise<RawMqtt> => await RawMqtt.open(a.port, { clientId: 'device', clean: false })
    let device = await connect()
    for (const [at, [topic, qos]] of filters.entries()) {
      device.send({ cmd: 'subscribe', messageId: at + 1, subscriptions: [{ topic, qos }] })
      await device.next('suback')
    }
    const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
    const publishAndTake = async (from: number, to: number): Promise<void> => {
      for (let number = from; number <= to; number++) {
        sender.publish({ topic: 'x/y', payload: String(number), qos: 1, messageId: number })
        await sender.next('puback')
        const { payload, qos, messageId = 0 } = await device.next('publish')
        t.strictSame([payload.toString(), qos], [String(number), 1])
        device.send({ cmd: 'puback', messageId })
      }
      const waiting = async (): Promise<number> => await redis.client(t).zcard(`{${PREFIX}client:device}:order`)
      while (await waiting() > 0) await sleep(5)
      t.strictSame(device.received.filter(({ cmd }) => cmd === 'publish'), [])
    }
    await publishAndTake(1, 5)
    device.abort()
    await device.closed
    device = await connect()
    await publishAndTake(6, 10)
    device.abort()
  })
}

test('a filter that was subscribed at QoS 0 can be subscribed at a higher one', async (t) => {
  const redis = await startRedis(t)
  const [a, b] = await startPods(t, redis, 2)
  const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
  for (const [at, qos] of ([0, 2, 0, 1] as const).entries()) {
    device.send({ cmd: 'subscribe', messageId: at + 1, subscriptions: [{ topic: 'x', qos }] })
    t.strictSame((await device.next('suback')).granted, [qos])
    sender.publish({ topic: 'x', payload: String(at), qos: 2, messageId: at + 1 })
    await sender.next('pubrec')
    const found = await device.next('publish')
    t.strictSame([found.payload.toString(), found.qos], [String(at), qos])
    if (qos > 0) device.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: found.messageId as number })
  }
})

test('a session with filters at QoS 0 alone goes without what it does not read, and is not closed', async (t) => {
  const redis = await startRedis(t)
  const [a, b] = await startPods(t, redis, 2, { gate: { unreadBytes: 64 * 1024 } })
  const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 0 }, { topic: 'y/#', qos: 0 }] })
  await device.next('suback')
  device.socket.pause()
  const sender = await RawMqtt.open(b.port, { clientId: 'sender' })
  const payload = Buffer.alloc(100_000)
  for (let messageId = 1; messageId <= 100; messageId++) {
    sender.publish({ topic: 'x', payload, qos: 1, messageId })
    await sender.next('puback')
  }
  device.socket.resume()
  device.send({ cmd: 'pingreq' })
  await device.next('pingresp')
  t.ok(device.received.length < 100, `${device.received.length} of 100 came`)
})

test('identifiers that were noted by a Redis before leave nothing behind', async (t) => {
  const redis = await startRedis(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const [a] = await startPods(t, redis, 2, { keyPrefix: PREFIX })
  const key = `{${PREFIX}client:device}:received`
  const connect = async (): Promise<RawMqtt> => await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  const device = await connect()
  for (let messageId = 1; messageId <= 5; messageId++) {
    device.publish({ topic: 'x', payload: 'p', qos: 2, messageId })
    await device.next('pubrec')
  }
  t.equal(await redis.client(t).hlen(key), 5)
  device.abort()
  await redis.kill()
  await redis.start()
  let again: RawMqtt | undefined
  while (again === undefined) again = await connect().catch(() => undefined)
  t.equal(await redis.client(t).hlen(key), 0)
  again.send({ cmd: 'disconnect' })
  await again.closed
  const left = async (): Promise<number> => await redis.client(t).exists(`${PREFIX}client:device`, `{${PREFIX}client:device}`)
  while (await left() > 0) await sleep(5)
})

test('a connection that was taken over before its CONNACK leaves no will', async (t) => {
  const redis = await startRedis(t)
  const [a, b] = await startPods(t, redis, 2)
  const watcher = await RawMqtt.open(a.port, { clientId: 'watcher' })
  watcher.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'will/#', qos: 0 }] })
  await watcher.next('suback')
  const letIn = new Set<string>()
  let refused = 0
  for (let round = 0; round < 10; round++) {
    await Promise.all([a, b, a, b].map(async ({ port }, at) => {
      const name = `${round} ${at}`
      const device = await RawMqtt.dial(port)
      device.connect({ clientId: 'device', clean: false, will: { topic: 'will/device', payload: Buffer.from(name), qos: 0, retain: false } })
      await device.next('connack').then(() => letIn.add(name), () => { refused++ })
    }))
  }
  t.ok(refused > 0, `${refused} were not let in`)
  const last = await RawMqtt.open(b.port, {
    clientId: 'other', will: { topic: 'will/other', payload: Buffer.from('last'), qos: 0, retain: false }
  })
  await sleep(200)
  last.abort()
  for (;;) {
    const name = (await watcher.next('publish')).payload.toString()
    if (name === 'last') break
    t.ok(letIn.has(name), name)
  }
})

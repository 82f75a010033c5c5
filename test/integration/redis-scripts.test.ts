/** Scripts that Redis has forgotten, and what waited for a connection: the order in which it was asked stays. */
import { test } from 'tap'
import { Requests } from '../../lib/broker/redis/requests.ts'
import { RedisLink } from '../../lib/redis/link.ts'
import { Script } from '../../lib/redis/script.ts'
import { startPods } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

const PUSH = "return redis.call('RPUSH', KEYS[1], ARGV[1])"

test('a script that a server has forgotten is sent whole; one that is ordered is not overtaken meanwhile', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  for (const [isOrdered, order] of [[false, ['2', '1']], [true, ['1', '2']]] as const) {
    const key = `ordered-${isOrdered}`
    const script = new Script<number>(PUSH, { isOrdered })
    await client.script('FLUSH')
    // In one segment: the first comes to a server that does not know it, the second to one that does.
    await Promise.all([script.run(client, [key], ['1']), client.script('LOAD', PUSH), script.run(client, [key], ['2'])])
    t.strictSame(await client.lrange(key, 0, -1), order)
  }
})

test('what has waited for a connection is asked before what comes at the moment when there is one', async (t) => {
  const redis = await startRedis(t)
  const link = new RedisLink({ settings: { url: redis.url, timeout: 2000 }, onError: () => {}, onReady: () => {} })
  t.teardown(() => { link.close() })
  const client = await link.connect(2000)
  const asked: number[] = []
  const requests = new Requests(client, 5000)
  const ask = async (number: number): Promise<void> => {
    await requests.ask(async () => { asked.push(number) })
  }
  await redis.kill()
  await new Promise((resolve) => { client.once('close', resolve) })
  const all = [ask(1), ask(2)]
  client.prependOnceListener('ready', () => { all.push(ask(3)) })
  client.once('ready', () => {
    all.push(ask(4))
    queueMicrotask(() => { all.push(ask(5)) })
  })
  await redis.start()
  await Promise.all(all)
  await new Promise((resolve) => { setImmediate(resolve) })
  await Promise.all(all)
  t.strictSame(asked, [1, 2, 3, 4, 5])
})

test('sessions get their messages in order while Redis forgets its scripts again and again', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  const [a, b] = await startPods(t, redis, 2)
  const devices = await Promise.all(Array.from({ length: 8 }, async (_, at) => {
    const device = await RawMqtt.open(at % 2 === 0 ? a.port : b.port, { clientId: `device-${at}`, clean: false })
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x/#', qos: 2 }] })
    await device.next('suback')
    return device
  }))
  const got = devices.map(async (device) => {
    const found: string[] = []
    while (found.length < 400) {
      const { payload, messageId = 0 } = await device.next('publish')
      found.push(payload.toString())
      device.send({ cmd: 'puback', messageId })
    }
    return found
  })
  const sender = await RawMqtt.open(a.port, { clientId: 'sender' })
  for (let messageId = 1; messageId <= 400; messageId += 4) {
    await client.script('FLUSH')
    for (let at = 0; at < 4; at++) {
      sender.publish({ topic: 'x', payload: String(messageId + at), qos: 1, messageId: messageId + at })
    }
    for (let at = 0; at < 4; at++) await sender.next('puback')
  }
  const all = Array.from({ length: 400 }, (_, at) => String(at + 1))
  for (const found of await Promise.all(got)) t.strictSame(found, all)
})

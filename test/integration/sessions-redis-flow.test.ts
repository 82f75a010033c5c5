/** Publishers at three pods at full speed, and one session that gets all of it, in the order of each publisher. */
import { test } from 'tap'
import { startPods } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

const [PUBLISHERS, MESSAGES, IN_FLIGHT] = [30, 100, 10]
/** Every so many messages one that fills a buffer. */
const LARGE_EVERY = 25
const LARGE = 'x'.repeat(100_000)

test('messages of many publishers at several pods reach one session in order, each once', async (t) => {
  const redis = await startRedis(t)
  const pods = await startPods(t, redis, 3, {
    broker: { queuedMessages: PUBLISHERS * MESSAGES, queuedBytes: 64 * 1024 * 1024 }
  })
  const device = await RawMqtt.open(pods[0].port, { clientId: 'device', clean: false })
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x/#', qos: 1 }] })
  await device.next('suback')

  const publish = async (at: number): Promise<void> => {
    const sender = await RawMqtt.open(pods[at % 3]!.port, { clientId: `sender-${at}` })
    for (let number = 1; number <= MESSAGES; number++) {
      const payload = `${number} ${number % LARGE_EVERY === 0 ? LARGE : ''}`
      sender.publish({ topic: `x/${at}`, payload, qos: 1, messageId: number })
      if (number >= IN_FLIGHT) await sender.next('puback')
    }
    for (let open = 1; open < IN_FLIGHT; open++) await sender.next('puback')
    sender.abort()
  }
  const published = Promise.all(Array.from({ length: PUBLISHERS }, async (_, at) => { await publish(at) }))

  const got = new Map<string, number[]>()
  for (let count = 0; count < PUBLISHERS * MESSAGES; count++) {
    const { topic, payload, messageId = 0 } = await device.next('publish')
    const numbers = got.get(topic) ?? []
    got.set(topic, [...numbers, Number.parseInt(payload.toString())])
    device.send({ cmd: 'puback', messageId })
  }
  await published
  const all = Array.from({ length: MESSAGES }, (_, at) => at + 1)
  t.equal(got.size, PUBLISHERS)
  for (const [topic, numbers] of got) t.strictSame(numbers, all, topic)
})

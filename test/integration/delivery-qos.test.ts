/**
 * A message goes out at its own QoS, or at the highest of the filters that match where that is lower [MQTT-3.8.4-6,
 * MQTT-3.3.5-1].
 */
import { test } from 'tap'
import type { QoS } from '../../lib/message.ts'
import { startBroker, until } from '../support/broker.ts'
import { startPods } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

/** Filters with their QoS, and the QoS at which messages of a/b at QoS 1 and 2 arrive. */
const CASES: ReadonlyArray<readonly [Readonly<Record<string, QoS>>, readonly [number, number]]> = [
  [{ 'a/b': 1 }, [1, 1]],
  [{ 'a/#': 1 }, [1, 1]],
  [{ 'a/+': 1, '#': 1 }, [1, 1]],
  [{ 'a/#': 2 }, [1, 2]],
  [{ 'a/#': 1, 'a/+': 2 }, [1, 2]],
  [{ 'a/#': 1, 'b/#': 2 }, [1, 1]]
]

for (const name of ['memory', 'redis'] as const) {
  test(`QoS of delivery: ${name}`, async (t) => {
    const [one, other] = name === 'redis'
      ? await startPods(t, await startRedis(t))
      : await startBroker(t).then((broker) => [broker, broker] as const)
    const sender = await RawMqtt.open(one.port, { clientId: 'sender' })
    const publish = async (): Promise<void> => {
      sender.publish({ topic: 'a/b', payload: 'x', qos: 1, messageId: 1 })
      await sender.next('puback')
      sender.publish({ topic: 'a/b', payload: 'x', qos: 2, messageId: 2 })
      await sender.next('pubrec')
      sender.send({ cmd: 'pubrel', messageId: 2 })
      await sender.next('pubcomp')
    }
    const take = async (device: RawMqtt): Promise<number[]> => {
      const came: number[] = []
      while (came.length < 2) came.push((await device.take()).qos)
      await device.ping()
      t.strictSame(device.received, [])
      return came
    }
    for (const [at, [filters, expected]] of CASES.entries()) {
      for (const clean of [true, false]) {
        const what = `${JSON.stringify(filters)}, clean ${clean}`
        const fields = { clientId: `device ${at} ${clean}`, clean }
        const device = await RawMqtt.open(other.port, fields)
        const subscriptions = Object.entries(filters).map(([topic, qos]) => ({ topic, qos }))
        device.send({ cmd: 'subscribe', messageId: 1, subscriptions })
        await device.next('suback')
        await publish()
        t.strictSame(await take(device), expected, what)
        device.send({ cmd: 'disconnect' })
        await device.closed
        if (clean) continue
        await until(() => other.broker.clients === (one === other ? 1 : 0))
        await publish()
        const back = await RawMqtt.open(other.port, fields)
        t.strictSame(await take(back), expected, `${what}, from the queue`)
        back.send({ cmd: 'disconnect' })
        await back.closed
        const again = await RawMqtt.open(one.port, fields)
        await again.ping()
        t.strictSame(again.received, [], 'all was acknowledged')
        again.send({ cmd: 'disconnect' })
        await again.closed
      }
    }
  })
}

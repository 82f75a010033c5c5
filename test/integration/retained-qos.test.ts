/** A retained message comes at the lower of its own QoS and that of the subscription [MQTT-3.8.4-6]. */
import { test } from 'tap'
import type { QoS } from '../../lib/message.ts'
import { startBroker } from '../support/broker.ts'
import { startPods } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

const LEVELS = [0, 1, 2] as const

for (const name of ['memory', 'redis'] as const) {
  for (const clean of [true, false]) {
    test(`retained messages have no QoS above that of the subscription: ${name}, clean ${clean}`, async (t) => {
      const [one, other] = name === 'redis'
        ? await startPods(t, await startRedis(t))
        : await startBroker(t).then((broker) => [broker, broker] as const)
      const sender = await RawMqtt.open(one.port, { clientId: 'sender' })
      for (const qos of LEVELS) {
        sender.publish({ topic: `kept/${qos}`, payload: String(qos), qos, retain: true, messageId: 1 + qos })
        if (qos === 1) await sender.next('puback')
        if (qos === 2) await sender.next('pubrec')
      }
      await sender.ping()
      const device = await RawMqtt.open(other.port, { clientId: 'device', clean })
      /** The QoS of what came, in the order of the topics. */
      const subscribe = async (...filters: Array<{ topic: string, qos: QoS }>): Promise<number[]> => {
        device.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters })
        await device.next('suback')
        const came = []
        while (came.length < LEVELS.length) {
          const { topic, qos, retain } = await device.take()
          t.equal(retain, true)
          came.push([topic, qos] as const)
        }
        await device.ping()
        t.strictSame(device.received, [])
        device.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: filters.map(({ topic }) => topic) })
        await device.next('unsuback')
        return came.toSorted(([a], [b]) => a < b ? -1 : 1).map(([, qos]) => qos)
      }
      for (const asked of LEVELS) {
        const expected = LEVELS.map((qos) => Math.min(qos, asked))
        t.strictSame(await subscribe({ topic: 'kept/#', qos: asked }), expected, `kept/# at ${asked}`)
        const each = LEVELS.map((qos) => ({ topic: `kept/${qos}`, qos: asked }))
        t.strictSame(await subscribe(...each), expected, `each at ${asked}`)
      }
      const mixed = [{ topic: 'kept/0', qos: 2 }, { topic: 'kept/+/#', qos: 0 }] as const
      device.send({ cmd: 'subscribe', messageId: 2, subscriptions: [...mixed] })
      await device.next('suback')
      for (let at = 0; at < 1 + LEVELS.length; at++) t.equal((await device.next('publish')).qos, 0, 'each filter with its own')
    })
  }
}

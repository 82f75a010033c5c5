/** What a client has not acknowledged comes again: under its identifier and with DUP [MQTT-4.4.0-1, MQTT-3.3.1-1]. */
import { test } from 'tap'
import { startBroker, until } from '../support/broker.ts'
import { startPods } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

for (const name of ['memory', 'redis'] as const) {
  for (const qos of [1, 2] as const) {
    test(`a message that was sent and not acknowledged has DUP, and one that was not sent has none: ${name}, QoS ${qos}`, async (t) => {
      const [one, other] = name === 'redis'
        ? await startPods(t, await startRedis(t))
        : await startBroker(t).then((broker) => [broker, broker] as const)
      const first = await RawMqtt.open(one.port, { clientId: 'device', clean: false })
      first.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos }] })
      await first.next('suback')
      const sender = await RawMqtt.open(other.port, { clientId: 'sender' })
      const publish = async (messageId: number): Promise<void> => {
        sender.publish({ topic: 'x', payload: String(messageId), qos, messageId })
        await sender.next(qos === 1 ? 'puback' : 'pubrec')
      }
      await publish(1)
      const sent = await first.next('publish')
      t.equal(sent.dup, false)
      first.abort()
      await first.closed
      await until(() => one.broker.clients === (one === other ? 1 : 0))
      await publish(2)
      for (const isFirst of [true, false]) {
        const device = await RawMqtt.open(other.port, { clientId: 'device', clean: false })
        const again = await device.next('publish')
        t.strictSame([again.payload.toString(), again.messageId, again.dup], ['1', sent.messageId, true])
        const next = await device.next('publish')
        t.strictSame([next.payload.toString(), next.dup], ['2', !isFirst])
        device.abort()
        await until(() => other.broker.clients === 1)
      }
    })
  }
}

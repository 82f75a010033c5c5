/** A program that shares sessions in Redis is asked to end: what has arrived is answered, at QoS 2 as well. */
import { test } from 'tap'
import { known, startPods } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

const COUNT = 40

for (const how of ['quiesce', 'drain'] as const) {
  test(`open publishes at QoS 2 are answered before connections are closed: ${how}`, async (t) => {
    const pods = await startPods(t, await startRedis(t))
    const [ending, other] = pods
    const waiting = await RawMqtt.open(other.port, { clientId: 'waiting', clean: false })
    waiting.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 2 }] })
    await waiting.next('suback')
    await known(pods.slice(0, 2), 'x')
    waiting.send({ cmd: 'disconnect' })
    await waiting.closed

    const device = await RawMqtt.open(ending.port, { clientId: 'device', clean: false })
    for (let at = 1; at <= COUNT; at++) device.publish({ topic: 'x', payload: String(at), qos: 2, messageId: at })
    while (ending.outbox.stored.length === 0) await new Promise((resolve) => { setImmediate(resolve) })
    if (how === 'drain') await ending.broker.drain(1000)
    else await ending.broker.quiesce()
    await ending.broker.close()
    await device.closed
    // What had not arrived is for the next connection.
    const answered = device.idsOf('pubrec')
    t.equal(answered.length, ending.outbox.stored.length, `${answered.length} answered`)
    t.strictSame(ending.lines.objects.filter(({ level }) => level === 'warn' || level === 'error'), [], 'nothing is wrong')

    const again = await RawMqtt.open(other.port, { clientId: 'device', clean: false })
    for (let at = 1; at <= COUNT; at++) again.publish({ topic: 'x', payload: String(at), qos: 2, messageId: at, dup: true })
    for (let at = 1; at <= COUNT; at++) await again.next('pubrec')
    const back = await RawMqtt.open(other.port, { clientId: 'waiting', clean: false })
    const got: number[] = []
    while (got.length < COUNT) got.push(Number((await back.next('publish')).payload))
    await back.ping()
    t.strictSame(got, Array.from({ length: COUNT }, (_, at) => at + 1), 'each once, in order')
    t.strictSame(back.received, [], 'and no more')
  })
}

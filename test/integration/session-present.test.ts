/** A client that is told of no session begins anew: so it is told of one as long as identifiers of it are kept. */
import { test } from 'tap'
import { startBroker } from '../support/broker.ts'
import { startPods } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

async function connack (port: number, clientId: string, clean = false): Promise<{ client: RawMqtt, bytes: number[] }> {
  const client = await RawMqtt.dial(port)
  client.connect({ clientId, clean })
  await client.next('connack')
  return { client, bytes: [...client.bytes.subarray(0, 4)] }
}

const NONE = [0x20, 2, 0, 0]
const PRESENT = [0x20, 2, 1, 0]

for (const name of ['memory', 'redis'] as const) {
  test(`a session with identifiers that wait for PUBREL is there, also without subscriptions: ${name}`, async (t) => {
    const [one, other] = name === 'redis'
      ? await startPods(t, await startRedis(t))
      : await startBroker(t).then((broker) => [broker, broker] as const)
    const first = await connack(one.port, 'device')
    t.strictSame(first.bytes, NONE)
    first.client.publish({ topic: 'x', payload: 'first', qos: 2, messageId: 1 })
    await first.client.next('pubrec')
    first.client.abort()
    await first.client.closed

    const second = await connack(other.port, 'device')
    t.strictSame(second.bytes, PRESENT)
    t.strictSame((await connack(other.port, 'stranger')).bytes, NONE, 'nobody else is told so')
    second.client.publish({ topic: 'x', payload: 'first', qos: 2, messageId: 1, dup: true })
    await second.client.next('pubrec')
    // Taken over while it is connected.
    const third = await connack(one.port, 'device')
    t.strictSame(third.bytes, PRESENT)
    third.client.send({ cmd: 'pubrel', messageId: 1 })
    await third.client.next('pubcomp')
    third.client.publish({ topic: 'x', payload: 'second', qos: 2, messageId: 1 })
    await third.client.next('pubrec')
    t.strictSame((await connack(other.port, 'device', true)).bytes, NONE, 'a clean one')
    t.strictSame((await connack(one.port, 'device')).bytes, NONE, 'has ended it')
    const stored = [...one.outbox.stored, ...one === other ? [] : other.outbox.stored]
    t.strictSame(stored.map(({ data }) => String(data)), ['first', 'second'])
  })
}

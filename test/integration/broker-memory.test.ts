import { test } from 'tap'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

test('what is retained has memory of its own: no read buffer stays for a few bytes', async (t) => {
  const { publishes, outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  for (let index = 1; index <= 20; index++) {
    // A retained byte among 60 KB that were read with it.
    device.write(Buffer.concat([
      publishBytes({ payload: Buffer.alloc(30_000) }),
      publishBytes({ topic: `state/${index}`, payload: 'on', retain: true }),
      publishBytes({ payload: Buffer.alloc(30_000) })
    ]))
  }
  await until(() => outbox.stored.length === 60)
  const retained = publishes.filter(({ retain }) => retain)
  t.equal(retained.length, 20)
  for (const { payload } of retained) t.equal(payload.buffer.byteLength, 2)
  for (const { payload } of publishes) t.ok(payload.buffer.byteLength <= 30_000)
})

test('a will has memory of its own', async (t) => {
  const { publishes, outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port, {
    will: { topic: 'gone', payload: Buffer.from('lost'), qos: 0, retain: false }, clientId: 'x'.repeat(200)
  })
  device.abort()
  await until(() => outbox.stored.length === 1)
  t.equal(publishes[0]?.payload.toString(), 'lost')
  t.equal(publishes[0]?.payload.buffer.byteLength, 4)
})

test('the packets that wait for PUBREL are remembered without their payloads', async (t) => {
  const { outbox, publishes, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  const count = 400
  const before = await arrayBuffers()
  for (let messageId = 1; messageId <= count; messageId++) {
    device.publish({ qos: 2, messageId, payload: Buffer.alloc(100_000) })
    await device.next('pubrec')
    device.bytes = Buffer.alloc(0)
    // What the test itself remembers.
    publishes.length = outbox.stored.length = outbox.appends.length = 0
  }
  const grown = await arrayBuffers() - before
  t.ok(grown < 20_000_000, `${grown} bytes more for 40 MB`)
})

/** Bytes of buffers that are in use, once what is not has been collected. */
async function arrayBuffers (): Promise<number> {
  const { setFlagsFromString } = await import('node:v8')
  const { runInNewContext } = await import('node:vm')
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let count = 0; count < 3; count++) {
    await new Promise(setImmediate)
    collect()
  }
  return process.memoryUsage().arrayBuffers
}

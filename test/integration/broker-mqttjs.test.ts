import { test } from 'tap'
import mqtt, { type IClientOptions } from 'mqtt'
import { createError } from '../../lib/errors.ts'
import { startBroker, until } from '../support/broker.ts'

function options (port: number, clientId: string): IClientOptions {
  return { host: '127.0.0.1', port, clientId, reconnectPeriod: 20, clean: false }
}

test('MQTT.js publishes at every QoS, thousands at once', async (t) => {
  const { outbox, port } = await startBroker(t, { gate: { inflightPerClient: 16 } })
  const client = await mqtt.connectAsync(options(port, 'burst'))
  t.teardown(() => client.endAsync(true))
  const texts = Array.from({ length: 3000 }, (_, index) => String(index))
  await Promise.all(texts.map((text, index) => client.publishAsync('t', text, { qos: [0, 1, 2][index % 3] as 0 | 1 | 2 })))
  await until(() => outbox.stored.length >= 3000)
  t.same(outbox.texts, texts)
  t.ok(outbox.maxOpen <= 16)
})

test('MQTT.js sends again what was refused, and it arrives with the same id', async (t) => {
  const { outbox, port } = await startBroker(t)
  const client = await mqtt.connectAsync(options(port, 'again'))
  t.teardown(() => client.endAsync(true))
  outbox.failure = createError('MBS_ERR_OUTBOX_WRITE', { directory: 'd', reason: 'ENOSPC' })
  const acknowledged = Promise.all([
    client.publishAsync('t', 'one', { qos: 1 }), client.publishAsync('t', 'two', { qos: 2 })
  ])
  await outbox.arrived(4)
  outbox.failure = undefined
  await acknowledged
  t.same([...new Set(outbox.texts)].sort(), ['one', 'two'])
  for (const text of ['one', 'two']) {
    const ids = outbox.appends.filter(({ event }) => event.data.toString() === text).map(({ event }) => event.id)
    t.equal(new Set(ids).size, 1, `${text}: one id over ${ids.length} attempts`)
  }
})

test('MQTT.js devices talk to each other through wildcards, offline and on', async (t) => {
  const { port } = await startBroker(t)
  const listening = await mqtt.connectAsync(options(port, 'listening'))
  await listening.subscribeAsync('rooms/+/+', { qos: 2 })
  await listening.endAsync()
  const device = await mqtt.connectAsync(options(port, 'device'))
  t.teardown(() => device.endAsync(true))
  for (let count = 0; count < 5; count++) await device.publishAsync(`rooms/${count}/light`, String(count), { qos: 2 })
  const back = mqtt.connect(options(port, 'listening'))
  t.teardown(() => back.endAsync(true))
  const got: string[] = []
  await new Promise<void>((resolve) => {
    back.on('message', (_topic, payload) => {
      got.push(payload.toString())
      if (got.length === 5) resolve()
    })
  })
  t.same(got, ['0', '1', '2', '3', '4'])
})

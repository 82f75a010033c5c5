/** Events that take a while to be made, on the wire: each client has its answers in order, and waits for no other. */
import { test } from 'tap'
import type { Event, Publish } from '../../lib/message.ts'
import { createError } from '../../lib/errors.ts'
import { allowAll, startBroker, toEvent, until } from '../support/broker.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'

/** Events of `slow` topics are made when the test says so. */
function createSlowMap () {
  const waiting: Array<() => void> = []
  const map = (publish: Publish, id: string): Event | Promise<Event> => {
    if (!publish.topic.startsWith('slow')) return toEvent(publish, id)
    return new Promise((resolve) => { waiting.push(() => { resolve(toEvent(publish, id)) }) })
  }
  return { map, waiting }
}

const several = (topics: readonly string[], qos: 1 | 2) =>
  Buffer.concat(topics.map((topic, at) => publishBytes({ topic, qos, messageId: at + 1 })))

for (const [qos, answer] of [[1, 'puback'], [2, 'pubrec']] as const) {
  test(`at QoS ${qos}, answers keep the order of their client's publishes, denied ones among them`, async (t) => {
    const { map, waiting } = createSlowMap()
    const permissions = { ...allowAll, mayPublish: (_identity: unknown, topic: string) => !topic.startsWith('no') }
    const { outbox, port } = await startBroker(t, { ingest: { map }, permissions, deniedPublish: 'drop' })
    const [slow, fast] = [await RawMqtt.open(port, { clientId: 'slow' }), await RawMqtt.open(port, { clientId: 'fast' })]
    slow.write(several(['slow/1', 'ok/2', 'no/3', 'slow/4', 'no/5', 'ok/6'], qos))
    await until(() => waiting.length === 2)
    fast.write(several(['ok/1', 'no/2', 'ok/3'], qos))
    await until(() => fast.idsOf(answer).length === 3)
    t.same(fast.idsOf(answer), [1, 2, 3], 'nobody waits for another client')
    await slow.ping()
    t.same(slow.idsOf(answer), [])
    waiting[1]!()
    await slow.ping()
    t.same(slow.idsOf(answer), [], 'the first is not there yet')
    waiting[0]!()
    await until(() => slow.idsOf(answer).length === 6)
    t.same(slow.idsOf(answer), [1, 2, 3, 4, 5, 6])
    const own = outbox.stored.filter(({ partitionKey }) => partitionKey === 'slow')
    t.same(own.map(({ subject }) => subject), ['slow/1', 'ok/2', 'slow/4', 'ok/6'])
  })
}

test('subscribers get every message once, however long its event took', async (t) => {
  const { map, waiting } = createSlowMap()
  const { port } = await startBroker(t, { ingest: { map } })
  const ear = await RawMqtt.open(port, { clientId: 'ear' })
  ear.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 2 }] })
  await ear.next('suback')
  const devices = await Promise.all(['a', 'b', 'c'].map((clientId) => RawMqtt.open(port, { clientId })))
  for (const device of devices) device.write(several(['slow/1', 'ok/2', 'slow/3'], 1))
  await until(() => waiting.length === 6)
  for (const at of [5, 3, 0, 2, 4, 1]) {
    waiting[at]!()
    await ear.ping()
  }
  await until(() => ear.received.filter(({ cmd }) => cmd === 'publish').length === 9)
  for (const device of devices) t.same(device.idsOf('puback'), [1, 2, 3])
})

test('what is refused is not acknowledged and closes its connection, behind what came before', async (t) => {
  const refusal = createError('MBS_ERR_MAPPING_REFUSED', { index: 3, reason: 'it does not fit' })
  const { map, waiting } = createSlowMap()
  const { outbox, logged, port } = await startBroker(t, {
    ingest: { map: (publish, id) => publish.topic === 'refused' ? refusal : map(publish, id) }
  })
  const device = await RawMqtt.open(port)
  device.write(several(['slow/1', 'ok/2', 'refused', 'ok/4'], 1))
  await until(() => waiting.length === 1)
  waiting[0]!()
  await device.closed
  t.notOk(device.idsOf('puback').includes(3))
  t.same(outbox.stored.slice(0, 2).map(({ subject }) => subject), ['slow/1', 'ok/2'])
  t.match(await logged('MBS_ERR_MAPPING_REFUSED'), [{ clientId: 'device', msg: /rules\[3\] refuses the publish: it does not fit/ }])
})

test('a device that goes away leaves its events and its will in order', async (t) => {
  const { map, waiting } = createSlowMap()
  const { outbox, port } = await startBroker(t, { ingest: { map } })
  const will = { topic: 'will', payload: Buffer.from('x'), qos: 1 as const, retain: false }
  const device = await RawMqtt.open(port, { will })
  device.write(several(['slow/1', 'ok/2'], 1))
  await until(() => waiting.length === 1)
  device.abort()
  const other = await RawMqtt.open(port, { clientId: 'other' })
  await other.ping()
  waiting[0]!()
  await until(() => outbox.stored.length === 3)
  t.same(outbox.stored.map(({ subject }) => subject), ['slow/1', 'ok/2', 'will'])
})

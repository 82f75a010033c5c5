/** One connection for each client identifier: whoever was let in last has it, and the books are right afterwards. */
import { generate } from 'mqtt-packet'
import { test } from 'tap'
import type { BrokerOptions } from '../../lib/broker/broker.ts'
import { startBroker, until } from '../support/broker.ts'
import { lifecycleOf, wordsOf } from '../support/lifecycle.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'

const subscribe = generate({
  cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 0 }, { topic: 'y/#', qos: 1 }]
})

type TestBroker = Awaited<ReturnType<typeof startBroker>>

async function sessionsOf ({ telemetry }: TestBroker): Promise<number | undefined> {
  return sampleOf(parseMetrics(await telemetry.registry.metrics()), 'mqtt_broker_source_sessions')
}

for (const clean of [true, false]) {
  test(`taken over again and again, ${clean ? 'clean' : 'persistent'}, with subscriptions: the last one is left`, async (t) => {
    const it = await startBroker(t)
    const devices: RawMqtt[] = []
    for (let count = 0; count < 20; count++) {
      const device = await RawMqtt.open(it.port, { clean })
      device.write(subscribe)
      await device.next('suback')
      devices.push(device)
    }
    const last = devices.pop()!
    await Promise.all(devices.map((device) => device.closed))
    await last.ping()
    t.equal(it.connections.open, 1)
    t.equal(it.broker.clients, 1)
    t.equal(await sessionsOf(it), 1)
    last.send({ cmd: 'disconnect' })
    await last.closed
    await until(() => it.broker.clients === 0)
    t.equal(await sessionsOf(it), 0)
  })
}

/** Lets in whoever waits when it is told to, all of them in one turn of the event loop. */
function createDoor () {
  let waiting: Array<() => void> = []
  const authenticate: BrokerOptions['authenticate'] = async ({ clientId }) => {
    await new Promise<void>((resolve) => { waiting.push(resolve) })
    return { kind: 'accepted', identity: { clientId, method: 'anonymous' } }
  }
  return {
    authenticate,
    waiting: async (count: number) => { await until(() => waiting.length === count) },
    open: async (count: number) => {
      await until(() => waiting.length === count)
      const all = waiting
      waiting = []
      for (const letIn of all) letIn()
    }
  }
}

test('taken over by many in one turn: the last one is left, and it is told when that goes', async (t) => {
  const door = createDoor()
  const it = await startBroker(t, { lifecycle: {}, authenticate: door.authenticate })
  const first = await RawMqtt.dial(it.port)
  first.connect()
  await door.open(1)
  await first.next('connack')
  let left = first
  for (let round = 0; round < 20; round++) {
    left.write(subscribe)
    await left.next('suback')
    const devices: RawMqtt[] = []
    for (let count = 0; count < 3; count++) {
      const device = await RawMqtt.dial(it.port)
      device.connect({ clean: round % 4 === 3 })
      devices.push(device)
      await door.waiting(devices.length)
    }
    await door.open(devices.length)
    const last = devices.pop()!
    await last.next('connack')
    await Promise.all([left, ...devices].map((device) => device.closed))
    await last.ping()
    left = last
    t.equal(it.broker.clients, 1)
    t.equal(await sessionsOf(it), 1)
  }
  left.abort()
  await until(() => it.connections.open === 0)
  await until(() => wordsOf(it.outbox.stored).at(-1) === 'disconnected connection-lost')
  t.equal(it.broker.clients, 0)
  t.equal(await sessionsOf(it), 0)
  const kinds = lifecycleOf(it.outbox.stored).map(({ kind }) => kind).filter((kind) => kind !== 'subscribed')
  t.same(kinds.filter((kind, at) => (kind === 'connected') !== (at % 2 === 0)), [], 'they take turns')
})

test('a clean session that overtakes one which is still being restored: the one let in last is left', async (t) => {
  const door = createDoor()
  const it = await startBroker(t, { authenticate: door.authenticate })
  const begin = async (clean: boolean, willOf?: string): Promise<RawMqtt> => {
    const device = await RawMqtt.dial(it.port)
    const will = willOf === undefined ? {} : { will: { topic: 'gone', payload: Buffer.from(willOf), qos: 1 as const, retain: false } }
    device.connect({ clean, ...will })
    return device
  }
  const first = await begin(false)
  await door.open(1)
  await first.next('connack')
  first.write(subscribe)
  await first.next('suback')
  first.send({ cmd: 'disconnect' })
  await first.closed

  const restoring = await begin(false, 'of the one that was overtaken')
  await door.waiting(1)
  const overtaking = await begin(true, 'of the one that overtook')
  await door.open(2)
  await overtaking.next('connack')
  await restoring.closed
  t.same(restoring.received, [], 'it never had a session: no CONNACK')
  await overtaking.ping()
  t.equal(it.broker.clients, 1)
  t.equal(it.broker.stats().persistentSessions, 0)
  overtaking.abort()
  await until(() => it.outbox.stored.length > 0 && it.broker.clients === 0)
  t.same(it.outbox.texts, ['of the one that overtook'], 'and no will')
  t.equal(await sessionsOf(it), 0)
})

test('a device that goes while its session is restored leaves nothing behind', async (t) => {
  const door = createDoor()
  const it = await startBroker(t, { authenticate: door.authenticate })
  for (let round = 0; round < 20; round++) {
    const device = await RawMqtt.dial(it.port)
    device.connect({ clean: false })
    await door.open(1)
    if (round === 0) {
      await device.next('connack')
      device.write(subscribe)
      await device.next('suback')
    }
    device.abort()
    await until(() => it.connections.open === 0 && it.broker.clients === 0)
  }
  t.equal(await sessionsOf(it), 0)
  t.equal(it.broker.stats().persistentSessions, 1)
})

/** What happens to sessions as events: what they say, how they are ordered, and that nobody waits for them. */
import mqtt from 'mqtt'
import { generate } from 'mqtt-packet'
import { test } from 'tap'
import type { WebSocket } from 'ws'
import type { BrokerOptions } from '../../lib/broker/broker.ts'
import type { Permissions } from '../../lib/broker/contract.ts'
import { createError } from '../../lib/errors.ts'
import { lifecycleOf, wordsOf } from '../support/lifecycle.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { connectBytes, publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { openWebSocket, speakMqtt } from '../support/web-socket.ts'
import { allowAll, startBroker, until } from '../support/broker.ts'

const will = { topic: 'gone/device', payload: Buffer.from('will'), qos: 1 as const, retain: false }

const asAda: BrokerOptions['authenticate'] = async ({ clientId }) =>
  ({ kind: 'accepted', identity: { clientId, username: 'ada', method: 'password' } })

test('connected says who came, how, and to where', async (t) => {
  const { outbox, listener, port } = await startBroker(t, { lifecycle: {}, authenticate: asAda })
  const before = Date.now()
  const device = await RawMqtt.open(port, { clientId: 'dev-7', clean: false, keepalive: 60, will })
  await until(() => outbox.stored.length === 1)
  const [line] = lifecycleOf(outbox.stored)
  t.match(line?.event, {
    id: /^[0-9a-f-]{36}$/,
    source: '/mqtt-broker-source/gw/clients/dev-7',
    type: 'dev.mqttbrokersource.client.connected',
    subject: 'dev-7',
    datacontenttype: 'application/json',
    partitionKey: 'dev-7',
    extensions: { partitionkey: 'dev-7', sequence: /^\d{16}$/ }
  })
  t.ok(Date.parse(line!.event.time) >= before)
  t.strictSame(line?.data, {
    clientId: 'dev-7',
    username: 'ada',
    authMethod: 'password',
    listener: listener.name,
    address: `127.0.0.1:${device.socket.localPort}`,
    protocolVersion: 4,
    cleanSession: false,
    sessionPresent: false,
    keepAliveSeconds: 60,
    willTopic: 'gone/device'
  })
})

test('of an anonymous client of MQTT 3.1 without keep alive and will it says no more than that', async (t) => {
  const { outbox, port } = await startBroker(t, { lifecycle: {} })
  await RawMqtt.open(port, { clientId: 'old', protocolId: 'MQIsdp', protocolVersion: 3 })
  await until(() => outbox.stored.length === 1)
  const { data } = lifecycleOf(outbox.stored)[0]!
  t.match(data, { authMethod: 'anonymous', protocolVersion: 3, cleanSession: true, keepAliveSeconds: 0 })
  t.notOk('username' in data || 'willTopic' in data)
})

test('a session that is taken up says so, and without subscribing again', async (t) => {
  const { outbox, port } = await startBroker(t, { lifecycle: {} })
  const first = await RawMqtt.open(port, { clean: false })
  first.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 1 }] })
  await first.next('suback')
  first.send({ cmd: 'disconnect' })
  await first.closed
  const second = await RawMqtt.open(port, { clean: false })
  await until(() => outbox.stored.length === 4)
  t.same(wordsOf(outbox.stored), ['connected', 'subscribed', 'disconnected clean', 'connected'])
  t.equal(lifecycleOf(outbox.stored)[3]?.data['sessionPresent'], true)
  second.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['a'] })
  await second.next('unsuback')
  await until(() => outbox.stored.length === 5)
  t.same(lifecycleOf(outbox.stored)[4]?.data['filters'], ['a'], 'what it brought along can be given up')
})

test('disconnected says the same of the client, how it ended, how long it was and what it sent', async (t) => {
  const { outbox, port } = await startBroker(t, { lifecycle: {} })
  const device = await RawMqtt.open(port, { keepalive: 30 })
  for (const dup of [false, true]) device.publish({ qos: 2, messageId: 1, dup })
  device.publish({ qos: 0 })
  await until(() => outbox.stored.length === 3)
  device.send({ cmd: 'disconnect' })
  await until(() => outbox.stored.length === 4)
  const [connected, disconnected] = lifecycleOf(outbox.stored).map(({ data }) => data)
  const { reason, durationSeconds, messagesReceived, ...same } = disconnected!
  t.strictSame(same, connected, 'no code: nothing was wrong')
  t.equal(reason, 'clean')
  t.equal(messagesReceived, 3, 'retransmissions among them')
  t.ok(Number(durationSeconds) >= 0 && Number(durationSeconds) < 30)
})

test('subscribed has what was granted, unsubscribed what was held', async (t) => {
  const permissions: Permissions = { ...allowAll, maySubscribe: (_identity, filter) => filter !== 'secret' }
  const { outbox, port } = await startBroker(t, { lifecycle: {}, permissions })
  const device = await RawMqtt.open(port)
  device.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [{ topic: 'a/+', qos: 1 }, { topic: 'secret', qos: 0 }, { topic: 'b', qos: 2 }, { topic: 'b', qos: 0 }]
  })
  await device.next('suback')
  device.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'secret', qos: 0 }] })
  await device.next('suback')
  device.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['secret', 'a/+', 'never'] })
  device.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['a/+'] })
  await device.next('unsuback')
  await device.next('unsuback')
  device.send({ cmd: 'disconnect' })
  await until(() => wordsOf(outbox.stored).includes('disconnected clean'))
  t.same(wordsOf(outbox.stored), ['connected', 'subscribed', 'unsubscribed', 'disconnected clean'])
  const [, subscribed, unsubscribed] = lifecycleOf(outbox.stored)
  t.strictSame(subscribed?.data['subscriptions'], [{ filter: 'a/+', qos: 1 }, { filter: 'b', qos: 0 }])
  t.strictSame(unsubscribed?.data['filters'], ['a/+'])
  t.match(subscribed?.data, { clientId: 'device', authMethod: 'anonymous', listener: /^mqtt/, address: /^127/ })
})

// ---- the reasons ----------------------------------------------------------------------------------------------------

test('clean: MQTT.js says goodbye', async (t) => {
  const { outbox, port } = await startBroker(t, { lifecycle: {} })
  const client = await mqtt.connectAsync({ host: '127.0.0.1', port, clientId: 'device', will })
  await client.endAsync()
  await until(() => outbox.stored.length === 2)
  t.same(wordsOf(outbox.stored), ['connected', 'disconnected clean'])
})

test('keepalive: nothing was heard of it for too long', async (t) => {
  const { outbox, port } = await startBroker(t, { lifecycle: {} })
  await RawMqtt.open(port, { keepalive: 1 })
  await until(() => outbox.stored.length === 2)
  t.same(wordsOf(outbox.stored), ['connected', 'disconnected keepalive'])
  t.match(lifecycleOf(outbox.stored)[1]?.data, { code: 'MBS_ERR_GATE_KEEPALIVE', keepAliveSeconds: 1 })
})

for (const subscribes of [false, true]) {
  test(`takenover: told once, before the next one is connected${subscribes ? ', with subscriptions' : ''}`, async (t) => {
    const { outbox, port } = await startBroker(t, { lifecycle: {} })
    const one = await RawMqtt.open(port, { will, clean: !subscribes })
    if (subscribes) {
      one.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 1 }, { topic: 'y', qos: 1 }] })
      await one.next('suback')
    }
    const two = await RawMqtt.open(port, { clean: !subscribes })
    await one.closed
    await two.ping()
    two.send({ cmd: 'disconnect' })
    await until(() => wordsOf(outbox.stored).at(-1) === 'disconnected clean')
    t.same(wordsOf(outbox.stored), [
      'connected', ...(subscribes ? ['subscribed'] : []), 'will', 'disconnected takenover', 'connected', 'disconnected clean'
    ])
  })
}

test('takenover: MQTT.js against itself, a hundred times', async (t) => {
  const { outbox, broker, port } = await startBroker(t, { lifecycle: {} })
  const clients = []
  for (let count = 0; count < 100; count++) {
    clients.push(await mqtt.connectAsync({ host: '127.0.0.1', port, clientId: 'device', reconnectPeriod: 0 }))
  }
  await clients.at(-1)!.endAsync()
  await until(() => broker.clients === 0 && wordsOf(outbox.stored).at(-1) === 'disconnected clean')
  t.same(wordsOf(outbox.stored), [
    ...Array.from({ length: 99 }, () => ['connected', 'disconnected takenover']).flat(), 'connected', 'disconnected clean'
  ])
  for (const client of clients) client.end(true)
})

test('connections that overtake each other: each connected has its disconnected, whatever Aedes tells', async (t) => {
  const { outbox, broker, port } = await startBroker(t, { lifecycle: {} })
  const subscribe = generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 0 }] })
  for (let round = 0; round < 30; round++) {
    const devices = await Promise.all(Array.from({ length: 6 }, () => RawMqtt.dial(port)))
    for (const [at, device] of devices.entries()) {
      device.write(Buffer.concat([connectBytes(), subscribe]))
      if (at % 2 === 0) device.abort()
      else if (at % 3 === 0) device.socket.end()
    }
    for (const device of devices) device.socket.end()
    await Promise.all(devices.map((device) => device.closed))
  }
  await broker.close()
  await until(() => outbox.open === 0)
  const words = wordsOf(outbox.stored).filter((word) => word !== 'subscribed')
  t.ok(words.length >= 60)
  t.same(words.filter((word, at) => (word === 'connected') !== (at % 2 === 0)), [], 'they take turns')
  t.equal(words.length % 2, 0)
})

for (const [code, cause] of Object.entries<{ gate?: object, bytes: Buffer }>({
  MBS_ERR_GATE_MALFORMED: { bytes: Buffer.from([0]) },
  MBS_ERR_GATE_PACKET_TOO_LARGE: { gate: { packetBytes: 1024 }, bytes: Buffer.from([0x30, 0xff, 0xff, 0x7f]) },
  MBS_ERR_BROKER_TOPIC: { bytes: publishBytes({ topic: '$SYS/a', qos: 1, messageId: 1 }) },
  MBS_ERR_BROKER_PROTOCOL: { bytes: Buffer.from([0x32, 5, 0, 1, 0x61, 0, 0]) }
})) {
  test(`protocol-error: ${code}`, async (t) => {
    const { outbox, port } = await startBroker(t, { lifecycle: {}, gate: cause.gate ?? {} })
    const device = await RawMqtt.open(port, { will })
    device.write(cause.bytes)
    await until(() => outbox.stored.length === 3)
    t.same(wordsOf(outbox.stored), ['connected', 'will', 'disconnected protocol-error'])
    t.equal(lifecycleOf(outbox.stored)[1]?.data['code'], code)
  })
}

test('kicked: its token has expired', async (t) => {
  const { outbox, port } = await startBroker(t, {
    lifecycle: {},
    authenticate: async ({ clientId }) =>
      ({ kind: 'accepted', identity: { clientId, method: 'jwt', username: 'u', expiresAt: Date.now() + 300 } })
  })
  await RawMqtt.open(port)
  await until(() => outbox.stored.length === 2)
  const { data } = lifecycleOf(outbox.stored)[1]!
  t.match(data, { reason: 'kicked', code: 'MBS_ERR_ACCESS_EXPIRED', authMethod: 'jwt', username: 'u' })
})

test('kicked: it published what it may not', async (t) => {
  const permissions: Permissions = { ...allowAll, mayPublish: () => false }
  const { outbox, port } = await startBroker(t, { lifecycle: {}, permissions })
  const device = await RawMqtt.open(port)
  device.publish({ qos: 1, messageId: 1 })
  await until(() => outbox.stored.length === 2)
  t.match(lifecycleOf(outbox.stored)[1]?.data, { reason: 'kicked', code: 'MBS_ERR_ACCESS_PUBLISH', messagesReceived: 1 })
})

test('kicked: it does not read', async (t) => {
  const { outbox, port } = await startBroker(t, { lifecycle: {}, gate: { drainTimeoutMs: 300 } })
  const frozen = await RawMqtt.open(port, { clientId: 'frozen' })
  frozen.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
  await frozen.next('suback')
  frozen.socket.pause()
  const device = await RawMqtt.open(port)
  const payload = Buffer.alloc(200_000)
  for (let messageId = 1; messageId <= 60; messageId++) device.publish({ payload, qos: 1, messageId })
  await until(() => lifecycleOf(outbox.stored).some(({ kind }) => kind === 'disconnected'))
  const [line] = lifecycleOf(outbox.stored).filter(({ kind }) => kind === 'disconnected')
  t.match(line?.data, { clientId: 'frozen', reason: 'kicked', code: 'MBS_ERR_GATE_SLOW_READER' })
  frozen.socket.destroy()
})

for (const [how, leave] of Object.entries<(device: RawMqtt) => void>({
  'a reset': (device) => { device.abort() },
  'the end of its side without DISCONNECT': (device) => { device.socket.end() }
})) {
  test(`connection-lost: ${how}`, async (t) => {
    const { outbox, port } = await startBroker(t, { lifecycle: {} })
    const device = await RawMqtt.open(port, { will })
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 0 }] })
    await device.next('suback')
    leave(device)
    await until(() => outbox.stored.length === 4)
    t.same(wordsOf(outbox.stored), ['connected', 'subscribed', 'will', 'disconnected connection-lost'])
    t.notOk('code' in lifecycleOf(outbox.stored)[2]!.data)
  })
}

for (const [how, reason, leave] of [
  ['text in the place of bytes', 'protocol-error', (webSocket) => { webSocket.send('text') }],
  ['a close frame without DISCONNECT', 'connection-lost', (webSocket) => { webSocket.close() }],
  ['no close frame', 'connection-lost', (webSocket) => { webSocket.terminate() }]
] as ReadonlyArray<[how: string, reason: string, leave: (webSocket: WebSocket) => void]>) {
  test(`over WebSocket, ${how}: ${reason}`, async (t) => {
    const listener = { protocol: 'ws', webSocket: { path: '/mqtt', origins: [] } } as const
    const { outbox, port } = await startBroker(t, { lifecycle: {}, listener })
    const webSocket = await openWebSocket(`ws://127.0.0.1:${port}/mqtt`)
    const device = speakMqtt(webSocket)
    device.connect()
    await device.next('connack')
    leave(webSocket)
    await until(() => outbox.stored.length === 2)
    t.same(wordsOf(outbox.stored), ['connected', `disconnected ${reason}`])
    const code = reason === 'protocol-error' ? 'MBS_ERR_GATE_WEBSOCKET' : undefined
    t.equal(lifecycleOf(outbox.stored)[1]?.data['code'], code)
  })
}

test('server-shutdown: every client that is connected, before the broker has closed', async (t) => {
  const { outbox, broker, port } = await startBroker(t, { lifecycle: {} })
  const devices = await Promise.all(Array.from({ length: 20 }, (_, at) => {
    return RawMqtt.open(port, { clientId: `d${at}`, will })
  }))
  const leaving = devices.pop()!
  leaving.send({ cmd: 'disconnect' })
  await leaving.closed
  await Promise.all(devices.map(async (device) => {
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 0 }] })
    await device.next('suback')
  }))
  await broker.quiesce()
  await broker.close()
  const words = wordsOf(outbox.appends.map(({ event }) => event))
  t.equal(words.filter((word) => word === 'disconnected server-shutdown').length, 19)
  t.equal(words.filter((word) => word.startsWith('disconnected')).length, 20)
  for (const at of devices.keys()) {
    const own = wordsOf(outbox.appends.map(({ event }) => event).filter(({ partitionKey }) => partitionKey === `d${at}`))
    t.same(own, ['connected', 'subscribed', 'will', 'disconnected server-shutdown'])
  }
})

test('a CONNECT that is refused makes no event, before, during and after authentication', async (t) => {
  const { outbox, broker, port } = await startBroker(t, {
    lifecycle: {},
    broker: { connectionsPerIdentity: 1 },
    authenticate: async ({ clientId }) => clientId === 'bad'
      ? { kind: 'refused', error: createError('MBS_ERR_ACCESS_CREDENTIALS', { reason: 'no' }) }
      : { kind: 'accepted', identity: { clientId, username: 'one', method: 'password' } }
  })
  await RawMqtt.open(port, { clientId: 'good' })
  for (const fields of [{ clientId: 'a\0' }, { clientId: 'bad' }, { clientId: 'second of its user' }]) {
    const device = await RawMqtt.dial(port)
    device.connect(fields)
    await device.closed
  }
  t.equal(broker.clients, 1)
  t.same(wordsOf(outbox.stored), ['connected'])
})

// ---- order and the outbox -------------------------------------------------------------------------------------------

test('connected comes before the first publish, disconnected after the last, sent all at once or not', async (t) => {
  const { outbox, port } = await startBroker(t, { lifecycle: {}, gate: { inflightPerClient: 3 } })
  const device = await RawMqtt.dial(port)
  const publishes = Array.from({ length: 10 }, (_, at) => {
    return publishBytes({ payload: String(at), qos: 1, messageId: at + 1 })
  })
  device.write(Buffer.concat([connectBytes({ will }), ...publishes, generate({ cmd: 'disconnect' })]))
  await until(() => outbox.stored.length === 12)
  t.same(wordsOf(outbox.stored), ['connected', ...'0123456789', 'disconnected clean'])
})

test('the sequence orders what happens to a client, over connections and starts, whatever the clock does', async (t) => {
  let now = 1_800_000_000_000
  const first = await startBroker(t, { lifecycle: { now: () => now } })
  for (const step of [0, -5000, 1]) {
    now += step
    const device = await RawMqtt.open(first.port)
    device.send({ cmd: 'disconnect' })
    await device.closed
    await until(() => first.outbox.open === 0 && first.broker.clients === 0)
  }
  now += 10_000
  const second = await startBroker(t, { lifecycle: { now: () => now } })
  await RawMqtt.open(second.port)
  await until(() => second.outbox.stored.length === 1)
  const sequences = lifecycleOf([...first.outbox.stored, ...second.outbox.stored]).map(({ sequence }) => sequence)
  t.equal(sequences.length, 7)
  t.equal(sequences[0], '1800000000000000')
  t.same(sequences, [...new Set(sequences)].sort())
})

test('only what is asked for becomes an event', async (t) => {
  const { outbox, port } = await startBroker(t, { lifecycle: { kinds: ['disconnected'] } })
  const device = await RawMqtt.open(port)
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 0 }] })
  await device.next('suback')
  device.send({ cmd: 'disconnect' })
  await until(() => outbox.stored.length === 1)
  t.same(wordsOf(outbox.stored), ['disconnected clean'])
})

test('without being asked for, nothing becomes an event', async (t) => {
  const { outbox, broker, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  device.send({ cmd: 'disconnect' })
  await until(() => broker.clients === 0)
  t.same(outbox.appends, [])
})

test('an outbox that refuses takes nothing from a session: the event is lost, counted and said', async (t) => {
  const { outbox, logged, telemetry, port } = await startBroker(t, { lifecycle: {} })
  outbox.failure = createError('MBS_ERR_OUTBOX_FULL', { maxBytes: 1000 })
  const device = await RawMqtt.open(port)
  await device.ping()
  t.match(await logged('MBS_ERR_OUTBOX_FULL'), [{
    level: 'error', event: 'connected', clientId: 'device', msg: /^a life-cycle event was lost/
  }])
  outbox.failure = undefined
  device.publish({ qos: 1, messageId: 1 })
  await device.next('puback')
  device.send({ cmd: 'disconnect' })
  await until(() => outbox.stored.length === 2)
  t.same(wordsOf(outbox.stored), ['74.12', 'disconnected clean'])
  const metrics = parseMetrics(await telemetry.registry.metrics())
  const of = (sample: string) => sampleOf(metrics, `mqtt_broker_source_lifecycle_events_${sample}`)
  t.equal(of('lost_total{event="connected",code="MBS_ERR_OUTBOX_FULL"}'), 1)
  t.equal(of('total{event="disconnected"}'), 1)
})

test('while the outbox holds, CONNECT is answered, and what waits is bounded', async (t) => {
  const settings = { lifecycle: { maxWaitingBytes: 10 * 1024 } }
  const { outbox, lifecycle, logged, telemetry, port } = await startBroker(t, settings)
  outbox.auto = false
  const devices = await Promise.all(Array.from({ length: 50 }, (_, at) => RawMqtt.open(port, { clientId: `d${at}` })))
  await Promise.all(devices.map((device) => device.ping()))
  t.ok(outbox.open > 1 && outbox.open < 6, `${outbox.open} wait`)
  const waiting = outbox.open
  await logged('MBS_ERR_INGEST_LIFECYCLE')
  const metrics = parseMetrics(await telemetry.registry.metrics())
  const labels = '{event="connected",code="MBS_ERR_INGEST_LIFECYCLE"}'
  t.equal(sampleOf(metrics, `mqtt_broker_source_lifecycle_events_lost_total${labels}`), 50 - waiting)
  outbox.auto = true
  outbox.release()
  await lifecycle!.settled()
  devices[49]!.send({ cmd: 'disconnect' })
  await until(() => outbox.stored.length === waiting + 1)
  t.equal(wordsOf(outbox.stored).at(-1), 'disconnected clean', 'there is room again')
})

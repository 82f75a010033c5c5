/** Permissions on the wire: nothing that is denied is stored, sent, retained or kept, whichever way it takes. */
import { test, type Test } from 'tap'
import { createPermissions, type PermissionRule } from '../../lib/access/permissions.ts'
import { connectBytes, publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { allowAll, startBroker, until, type TestBrokerOptions } from '../support/broker.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'

const rule = (fields: Partial<PermissionRule>): PermissionRule =>
  ({ who: '*', claims: {}, publish: [], subscribe: [], deny: { publish: [], subscribe: [] }, ...fields })

/** What devices may do unless a test says otherwise. */
const RULES = [rule({ publish: ['devices/{clientid}/#'], subscribe: ['commands/{clientid}/#', 'news/#'] })]

async function start (t: Test, options: TestBrokerOptions & { rules?: PermissionRule[] } = {}) {
  const permissions = createPermissions(options.rules ?? RULES)
  const started = await startBroker(t, { permissions, ...options })
  /** A session that hears all that is published. */
  const listen = async () => {
    const client = await RawMqtt.open(started.port, { clientId: 'ear' })
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 2 }] })
    t.same((await client.next('suback')).granted, [2])
    return client
  }
  const counted = async (name: string) =>
    sampleOf(parseMetrics(await started.telemetry.registry.metrics()), `mqtt_broker_source_${name}`)
  return { ...started, permissions, listen, counted }
}

/** Denies every publish but those below `ok`, and lets everything be heard. */
const OK_ONLY = [rule({ publish: ['ok/#'], subscribe: ['#'] })]

for (const qos of [0, 1, 2] as const) {
  test(`a denied publish at QoS ${qos} closes the connection, and is nothing else`, async (t) => {
    const { outbox, logged, listen, counted, port } = await start(t, { rules: OK_ONLY })
    const ear = await listen()
    const device = await RawMqtt.open(port)
    device.publish({ topic: 'secret', qos, messageId: 1, retain: true })
    await device.closed
    t.same(device.received, [], 'no acknowledgement')
    t.match(await logged('MBS_ERR_ACCESS_PUBLISH'), [{ clientId: 'device', msg: /"secret"/ }])
    t.equal(await counted('publishes_refused_total{code="MBS_ERR_ACCESS_PUBLISH"}'), 1)
    t.equal(outbox.appends.length, 0)
    await ear.ping()
    t.same(ear.received, [])
    const late = await RawMqtt.open(port, { clientId: 'late' })
    late.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'secret', qos: 0 }] })
    await late.next('suback')
    await late.ping()
    t.same(late.received, [], 'not retained')
  })

  test(`a denied publish at QoS ${qos} is acknowledged and goes nowhere where it is dropped`, async (t) => {
    const { outbox, logged, listen, counted, broker, port } = await start(t, { rules: OK_ONLY, deniedPublish: 'drop' })
    const ear = await listen()
    const away = await RawMqtt.open(port, { clientId: 'away', clean: false })
    away.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 2 }, { topic: '+/dropped', qos: 2 }] })
    await away.next('suback')
    away.abort()
    await until(() => broker.clients === 1)
    const device = await RawMqtt.open(port)
    device.publish({ topic: 'secret', qos, messageId: 1, retain: true })
    device.publish({ topic: 'ok/a', qos, messageId: 2 })
    if (qos === 1) for (const id of [1, 2]) t.equal((await device.next('puback')).messageId, id)
    if (qos === 2) {
      for (const id of [1, 2]) t.equal((await device.next('pubrec')).messageId, id)
      device.publish({ topic: 'secret', qos, messageId: 1, dup: true })
      t.equal((await device.next('pubrec')).messageId, 1)
      for (const id of [1, 2]) {
        device.send({ cmd: 'pubrel', messageId: id })
        t.equal((await device.next('pubcomp')).messageId, id)
      }
    }
    t.equal((await ear.next('publish')).topic, 'ok/a')
    await ear.ping()
    t.same(ear.idsOf('publish'), [])
    t.same(outbox.stored.map(({ subject }) => subject), ['ok/a'])
    t.match(await logged('MBS_ERR_ACCESS_PUBLISH'), [{ clientId: 'device', msg: /^dropped: .*"secret"/ }])
    t.equal(await counted('publishes_denied_total'), 1)
    const back = await RawMqtt.open(port, { clientId: 'away', clean: false })
    if (qos > 0) t.equal((await back.next('publish')).topic, 'ok/a')
    back.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'secret', qos: 0 }] })
    await back.next('suback')
    await back.ping()
    t.same(back.idsOf('publish'), [], 'neither queued nor retained')
  })
}

test('dropped publishes do not use up what a device may have under way', async (t) => {
  const { counted, port } = await start(t, { rules: OK_ONLY, deniedPublish: 'drop', gate: { inflightPerClient: 4 } })
  const device = await RawMqtt.open(port)
  for (const qos of [0, 1, 2] as const) {
    device.write(Buffer.concat(Array.from({ length: 20 }, (_, at) => publishBytes({ topic: 'no', qos, messageId: qos * 100 + at + 1 }))))
  }
  await until(() => device.idsOf('puback').length === 20 && device.idsOf('pubrec').length === 20)
  t.equal(await counted('publishes_denied_total'), 60)
  device.publish({ topic: 'ok/a', qos: 1, messageId: 500 })
  await until(() => device.idsOf('puback').includes(500))
})

test('a dropped publish is acknowledged in its turn [MQTT-4.6.0-2, MQTT-4.6.0-3]', async (t) => {
  const { outbox, port } = await start(t, { rules: OK_ONLY, deniedPublish: 'drop' })
  for (const [qos, answer] of [[1, 'puback'], [2, 'pubrec']] as const) {
    outbox.auto = false
    const device = await RawMqtt.open(port)
    device.write(Buffer.concat(['ok/1', 'no/2', 'ok/3', 'no/4'].map((topic, at) => publishBytes({ topic, qos, messageId: at + 1 }))))
    await outbox.arrived(qos * 2)
    await device.ping()
    t.same(device.idsOf(answer), [], 'not before what stands in front of it')
    outbox.release()
    await until(() => device.idsOf(answer).length === 4)
    t.same(device.idsOf(answer), [1, 2, 3, 4])
  }
})

test('what was sent before a denied publish is acknowledged before the connection is closed', async (t) => {
  const { outbox, port } = await start(t, { rules: OK_ONLY })
  outbox.auto = false
  const device = await RawMqtt.open(port)
  device.write(Buffer.concat(['ok/1', 'ok/2', 'no/3'].map((topic, at) => publishBytes({ topic, qos: 1, messageId: at + 1 }))))
  await outbox.arrived(2)
  outbox.release()
  await device.closed
  t.same(device.idsOf('puback'), [1, 2], 'so that the device gets on when it sends again')
})

for (const deniedPublish of ['close', 'drop'] as const) {
  test(`a packet identifier in use carries no denied topic past the check (${deniedPublish})`, async (t) => {
    const { outbox, listen, port } = await start(t, { rules: OK_ONLY, deniedPublish })
    const ear = await listen()
    const device = await RawMqtt.open(port)
    device.publish({ topic: 'ok/a', qos: 2, messageId: 5 })
    await device.next('pubrec')
    t.equal((await ear.next('publish')).topic, 'ok/a')
    device.send(
      { cmd: 'publish', topic: 'secret', payload: 'x', qos: 2, messageId: 5, dup: true, retain: true }, { cmd: 'pubrel', messageId: 5 }
    )
    await device.next('pubcomp')
    await device.ping()
    await ear.ping()
    t.same(ear.idsOf('publish'), [])
    t.equal(outbox.stored.length, 1)
  })

  test(`nor does the one of a connection that closed before its publish was stored (${deniedPublish})`, async (t) => {
    const { outbox, listen, port } = await start(t, { rules: OK_ONLY, deniedPublish })
    const ear = await listen()
    outbox.auto = false
    const before = await RawMqtt.open(port, { clean: false })
    before.publish({ topic: 'ok/a', qos: 2, messageId: 5 })
    await outbox.arrived(1)
    const after = await RawMqtt.open(port, { clean: false })
    await before.closed
    after.publish({ topic: 'secret', qos: 2, messageId: 5, dup: true })
    await after.ping()
    outbox.release()
    if (deniedPublish === 'close') await after.closed
    else await after.next('pubrec')
    await ear.ping()
    t.same(ear.received, [])
  })
}

test('a will whose topic is denied is refused with CONNACK 5, and no will is left', async (t) => {
  const { outbox, broker, logged, port } = await start(t)
  const will = { payload: Buffer.from('x'), qos: 1 as const, retain: false }
  const device = await RawMqtt.dial(port)
  device.write(connectBytes({ will: { ...will, topic: 'devices/other/gone' } }))
  t.equal((await device.next('connack')).returnCode, 5)
  await device.closed
  t.match(await logged('MBS_ERR_ACCESS_WILL'), [{ level: 'warn', msg: /"devices\/other\/gone"/ }])
  const allowed = await RawMqtt.open(port, { will: { ...will, topic: 'devices/device/gone' } })
  allowed.abort()
  await until(() => outbox.stored.length === 1 && broker.clients === 0)
  t.equal(outbox.stored[0]?.subject, 'devices/device/gone')
})

test('a will is held against the permissions of the moment at which it is published', async (t) => {
  const { outbox, permissions, logged, listen, port } = await start(t, { rules: [rule({ publish: ['#'], subscribe: ['#'] })] })
  const ear = await listen()
  const device = await RawMqtt.open(port, { will: { topic: 'gone', payload: Buffer.from('x'), qos: 1, retain: true } })
  permissions.replace(OK_ONLY)
  device.abort()
  t.match(await logged('MBS_ERR_ACCESS_WILL'), [{ level: 'error', msg: /^a will was lost/, clientId: 'device' }])
  await ear.ping()
  t.same(ear.received, [])
  t.equal(outbox.appends.length, 0)
})

test('a filter is granted when all that it matches is allowed, else SUBACK 0x80', async (t) => {
  const { logged, counted, port } = await start(t)
  const device = await RawMqtt.open(port)
  const topics = ['commands/device/a', 'commands/device/#', 'commands/#', 'commands/+/a', '#', 'news/+', 'commands/other/a', 'devices/device/x']
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 1 })) })
  t.same((await device.next('suback')).granted, [1, 1, 128, 128, 128, 1, 128, 128])
  t.match((await logged('MBS_ERR_ACCESS_SUBSCRIBE'))[0], { clientId: 'device', msg: /"commands\/#"/ })
  t.equal(await counted('subscriptions_refused_total{code="MBS_ERR_ACCESS_SUBSCRIBE"}'), 5)
  await device.ping()
})

for (const [line, mayReceive] of [['with', undefined], ['without', () => true]] as const) {
  test(`a denied filter of a persistent session brings nothing after a reconnect, ${line} the check at delivery`, async (t) => {
    const { broker, permissions, port } = await start(t, { rules: [rule({ publish: ['#'], subscribe: ['ok'] })] })
    if (mayReceive !== undefined) permissions.mayReceive = mayReceive
    const before = await RawMqtt.open(port, { clientId: 'spy', clean: false })
    // Before and behind the one that is granted, with which Aedes keeps both.
    const subscriptions = ['secret', 'ok', 'secret/#'].map((topic) => ({ topic, qos: 1 as const }))
    before.send({ cmd: 'subscribe', messageId: 1, subscriptions })
    t.same((await before.next('suback')).granted, [128, 1, 128])
    before.abort()
    await until(() => broker.clients === 0)
    const device = await RawMqtt.open(port)
    for (const [at, topic] of ['secret', 'ok'].entries()) {
      device.publish({ topic, qos: 1, messageId: at + 1 })
      await device.next('puback')
    }
    const after = await RawMqtt.open(port, { clientId: 'spy', clean: false })
    t.equal((await after.next('publish')).topic, 'ok')
    device.publish({ topic: 'secret', qos: 1, messageId: 3 })
    await device.next('puback')
    await after.ping()
    t.same(after.idsOf('publish'), [])
  })
}

test('delivery alone closes it too: messages queued for a filter go out only while they are allowed', async (t) => {
  const { broker, permissions, counted, port } = await start(t, { rules: [rule({ publish: ['#'], subscribe: ['#'] })] })
  const before = await RawMqtt.open(port, { clientId: 'spy', clean: false })
  before.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] })
  await before.next('suback')
  before.abort()
  await until(() => broker.clients === 0)
  const device = await RawMqtt.open(port)
  const topics = [...Array.from({ length: 40 }, (_, at) => `secret/${at}`), 'ok']
  for (const [at, topic] of topics.entries()) device.publish({ topic, qos: 1, messageId: at + 1 })
  await until(() => device.idsOf('puback').length === topics.length)
  await device.ping()
  permissions.replace([rule({ publish: ['#'], subscribe: ['ok'] })])
  const after = await RawMqtt.open(port, { clientId: 'spy', clean: false })
  t.equal((await after.next('publish')).topic, 'ok', 'what is allowed comes, however much before it is not')
  await after.ping()
  t.same(after.idsOf('publish'), [])
  t.equal(await counted('deliveries_denied_total'), 40)
})

test('a session that is taken up again has only what its identity is allowed, and nothing is queued for the rest', async (t) => {
  const { broker, permissions, port } = await start(t, { rules: [rule({ publish: ['#'], subscribe: ['#'] })] })
  const open = async () => await RawMqtt.open(port, { clientId: 'spy', clean: false })
  const leave = async (client: RawMqtt) => {
    client.abort()
    await until(() => broker.clients === 1)
  }
  const device = await RawMqtt.open(port)
  const first = await open()
  first.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'secret', qos: 1 }, { topic: 'ok', qos: 1 }] })
  await first.next('suback')
  await leave(first)
  permissions.replace([rule({ publish: ['#'], subscribe: ['ok'] })])
  const second = await open()
  await second.ping()
  await leave(second)
  device.publish({ topic: 'secret', qos: 1, messageId: 1 })
  device.publish({ topic: 'ok', qos: 1, messageId: 2 })
  await until(() => device.idsOf('puback').length === 2)
  permissions.replace(undefined)
  const third = await open()
  t.equal((await third.next('publish')).topic, 'ok')
  await third.ping()
  t.same(third.idsOf('publish'), [], 'the denied filter was given up when the session was taken up without it')
})

test('retained messages go only to whom they are allowed, also after permissions have changed', async (t) => {
  const { permissions, port } = await start(t, { rules: [rule({ publish: ['#'], subscribe: ['#'] })] })
  const device = await RawMqtt.open(port)
  for (const [at, topic] of ['state/a', 'state/b'].entries()) device.publish({ topic, qos: 1, messageId: at + 1, retain: true })
  await until(() => device.idsOf('puback').length === 2)
  // Grants a filter that holds more than may be received: the second line has to hold by itself.
  permissions.maySubscribe = () => true
  permissions.replace([rule({ subscribe: ['state/b'] })])
  for (const clean of [true, false]) {
    const client = await RawMqtt.open(port, { clientId: `late-${clean}`, clean })
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'state/#', qos: 1 }] })
    await client.next('suback')
    t.equal((await client.next('publish')).topic, 'state/b')
    await client.ping()
    t.same(client.idsOf('publish'), [])
  }
})

test('a message that is held back takes no other one out of the queue of a persistent session', async (t) => {
  const { port } = await startBroker(t, { permissions: { ...allowAll, mayReceive: (_identity, topic) => topic !== 'secret' } })
  const ear = await RawMqtt.open(port, { clientId: 'ear', clean: false })
  ear.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] })
  await ear.next('suback')
  const device = await RawMqtt.open(port)
  const topics = Array.from({ length: 60 }, (_, at) => at % 2 === 0 ? `ok/${at}` : 'secret')
  device.write(Buffer.concat(topics.map((topic, at) => publishBytes({ topic, qos: 1, messageId: at + 1 }))))
  const got = []
  for (let count = 0; count < 30; count++) {
    const { topic, messageId } = await ear.next('publish')
    got.push(topic)
    ear.send({ cmd: 'puback', messageId: messageId as number })
  }
  t.same(got, topics.filter((topic) => topic !== 'secret'))
  await ear.ping()
  ear.abort()
  await ear.closed
  const back = await RawMqtt.open(port, { clientId: 'ear', clean: false })
  await back.ping()
  t.same(back.idsOf('publish'), [], 'and nothing is left in it')
})

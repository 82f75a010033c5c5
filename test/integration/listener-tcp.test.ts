import { test, type Test } from 'tap'
import { ConnectionLimit } from '../../lib/listener/connection-limit.ts'
import { InflightBytes } from '../../lib/listener/inflight-bytes.ts'
import { createListener, type ListenerOptions } from '../../lib/listener/listener.ts'
import { createTestTelemetry } from '../support/log-lines.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { gateLimits, startBroker, until } from '../support/broker.ts'

function create (t: Test, options: Partial<ListenerOptions> = {}) {
  const { telemetry } = createTestTelemetry()
  const listener = createListener({
    protocol: 'mqtt',
    host: '127.0.0.1',
    port: 0,
    anonymous: true,
    limits: gateLimits,
    connections: new ConnectionLimit(10),
    inflight: new InflightBytes(1024 * 1024),
    handle: () => {},
    telemetry,
    ...options
  })
  t.teardown(() => listener.close())
  return listener
}

test('there are never more than limits.connections, over all listeners', async (t) => {
  const { broker, logged, connections, port, telemetry } = await startBroker(t, { connections: 2 })
  const second = create(t, { connections, handle: (gate) => { broker.handle(gate) }, telemetry })
  const otherPort = Number((await second.start()).split(':')[1])
  const one = await RawMqtt.open(port, { clientId: 'one' })
  const two = await RawMqtt.open(otherPort, { clientId: 'two' })
  for (const to of [port, otherPort]) {
    const third = await RawMqtt.dial(to)
    await third.closed
    t.equal(third.bytes.length, 0)
  }
  t.match(await logged('MBS_ERR_LIMIT_CONNECTIONS'), [{ msg: /limits.connections \(2\)/ }])
  await Promise.all([one.ping(), two.ping()])
  one.abort()
  await until(() => connections.open === 1)
  await RawMqtt.open(otherPort, { clientId: 'three' })
})

test('connections are counted as they open and close', async (t) => {
  const { telemetry, connections, port } = await startBroker(t)
  const value = async (name: string) =>
    (await telemetry.registry.getSingleMetric(`mqtt_broker_source_${name}`)?.get())?.values[0]
  const device = await RawMqtt.open(port)
  t.match(await value('connections'), { value: 1, labels: { listener: 'mqtt://127.0.0.1:0' } })
  device.abort()
  await until(() => connections.open === 0)
  t.match(await value('connections'), { value: 0 })
  t.match(await value('connections_opened_total'), { value: 1 })
})

test('a port that is taken is an error with the listener\'s name', async (t) => {
  const { port } = await startBroker(t)
  await t.rejects(create(t, { port }).start(), {
    code: 'MBS_ERR_LISTENER_BIND', details: { listener: `mqtt://127.0.0.1:${port}`, reason: /EADDRINUSE/ }
  })
})

test('an address that is not here is an error', async (t) => {
  await t.rejects(create(t, { host: '192.0.2.1' }).start(), { code: 'MBS_ERR_LISTENER_BIND' })
})

test('mqtts without a tls section is an error', async (t) => {
  await t.rejects(create(t, { protocol: 'mqtts' }).start(), { code: 'MBS_ERR_LISTENER_TLS' })
})

test('says where it listens, with IPv6 in brackets', async (t) => {
  t.match(await create(t).start(), /^127\.0\.0\.1:[1-9]\d*$/)
  const six = create(t, { host: '::1' })
  t.equal(six.name, 'mqtt://[::1]:0')
  const address = await six.start().catch((error: Error) => error)
  if (address instanceof Error) t.match(address, { code: 'MBS_ERR_LISTENER_BIND' }, 'this machine has no IPv6')
  else t.match(address, /^\[::1\]:\d+$/)
})

test('starting twice is starting once', async (t) => {
  const listener = create(t)
  t.equal(await listener.start(), await listener.start())
})

test('what is not accepted any more leaves the open connections alone', async (t) => {
  const { listener, port } = await startBroker(t)
  const device = await RawMqtt.open(port)
  await listener.stopAccepting()
  await listener.stopAccepting()
  await t.rejects(RawMqtt.dial(port), { code: 'ECONNREFUSED' })
  await device.ping()
})

test('closing before starting, and while starting, leaves nothing open', async (t) => {
  await create(t).close()
  const listener = create(t)
  const starting = listener.start()
  await listener.close()
  const port = Number((await starting).split(':')[1])
  await t.rejects(RawMqtt.dial(port), { code: 'ECONNREFUSED' })
})

test('connections that are reset while the listener closes do not make that fail', async (t) => {
  const { listener, connections, port } = await startBroker(t)
  const devices = await Promise.all(Array.from({ length: 20 }, async (_, index) => {
    return await RawMqtt.open(port, { clientId: `device-${index}` })
  }))
  for (const device of devices) {
    device.write(Buffer.alloc(10))
    device.abort()
  }
  await t.resolves(listener.close())
  t.equal(connections.open, 0)
})

import { test } from 'tap'
import { startBroker } from '../support/broker.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'

test('two listeners have one port, one for each family of addresses', async (t) => {
  const four = await startBroker(t, { listener: { host: '0.0.0.0' } })
  const six = await startBroker(t, { listener: { host: '::', port: four.port, ipv6Only: true } })
  await RawMqtt.open(four.port, { clientId: 'four' })
  await RawMqtt.open({ port: four.port, host: '::1' }, { clientId: 'six' })
  t.equal(four.broker.clients, 1)
  t.equal(six.broker.clients, 1)
  t.equal(six.address, `[::]:${four.port}`)
})

test(':: takes both families, unless it is told to leave IPv4 alone', async (t) => {
  const both = await startBroker(t, { listener: { host: '::' } })
  await RawMqtt.open(both.port)
  const one = await startBroker(t, { listener: { host: '::', ipv6Only: true } })
  await t.rejects(RawMqtt.dial(one.port), { code: 'ECONNREFUSED' })
  const loopback = await startBroker(t, { listener: { host: '::1' } })
  await RawMqtt.open({ port: loopback.port, host: '::1' })
})

import { once } from 'node:events'
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net'
import { Aedes } from 'aedes'
import { test, type Test } from 'tap'
import { createAdmission } from '../../lib/broker/admission.ts'
import { toAedesOptions, type AedesHooks } from '../../lib/broker/aedes-types.ts'
import { Identities } from '../../lib/broker/identities.ts'
import { IdentityLimit } from '../../lib/broker/identity-limit.ts'
import { OpenSessions } from '../../lib/broker/open-sessions.ts'
import { Sessions } from '../../lib/broker/sessions.ts'
import { startBroker, until } from '../support/broker.ts'
import { createTestTelemetry } from '../support/log-lines.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'

/** Connects from one of the many addresses of loopback. */
async function dialFrom (localAddress: string, port: number): Promise<RawMqtt> {
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress, noDelay: true })
  await once(socket, 'connect')
  return new RawMqtt(socket)
}

test('an address has so many connections, another address is not concerned', async (t) => {
  const { connections, logged, port } = await startBroker(t, { connectionsPerAddress: 3 })
  const held = []
  for (let index = 0; index < 3; index++) held.push(await RawMqtt.open(port, { clientId: `held-${index}` }))
  const fourth = await RawMqtt.dial(port)
  await fourth.closed
  t.match(await logged('MBS_ERR_LIMIT_ADDRESS'), [{ msg: /connectionsPerAddress \(3\)/ }])
  t.equal(connections.open, 3, 'the one that was refused holds no place')

  const neighbor = await dialFrom('127.0.0.2', port)
  neighbor.connect({ clientId: 'neighbor' })
  t.equal((await neighbor.next('connack')).returnCode, 0)
  neighbor.publish({ qos: 1, messageId: 1 })
  await neighbor.next('puback')

  held[0]?.abort()
  await until(() => connections.open === 3)
  await RawMqtt.open(port, { clientId: 'again' })
  for (const client of held) client.abort()
  neighbor.abort()
  await until(() => connections.open === 1)
  t.equal(connections.addresses, 1, 'addresses without a connection are forgotten')
})

/** A real Aedes with this admission alone; a user is whoever it says in CONNECT. */
async function startAdmission (t: Test, max: number) {
  const { telemetry } = createTestTelemetry()
  const identities = new Identities()
  const identityLimit = new IdentityLimit(max)
  const sessions = new Sessions({
    max: 100, expiryMs: 60_000, isEmpty: () => true, forget: () => {}, expired: () => {}
  })
  const preConnect: AedesHooks['preConnect'] = (client, packet, callback) => {
    const { clientId, username } = packet
    identities.set(client, { clientId, method: 'password', ...(username !== undefined && { username }) })
    callback(null, true)
  }
  const aedes = await Aedes.createBroker(toAedesOptions({}, {
    preConnect,
    authenticate: createAdmission({ identities, identityLimit, openSessions: new OpenSessions(), sessions, telemetry })
  } as AedesHooks))
  const errors: Error[] = []
  aedes.on('clientError', (_client, error) => { errors.push(error) })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    aedes.handle(Object.assign(socket, { facts: { listener: 'test', address: 'test' } }))
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
    aedes.close()
  })
  return { port: (server.address() as AddressInfo).port, errors, identityLimit }
}

test('a user has so many sessions; another user, and who is anonymous, are not concerned', async (t) => {
  const { port, errors, identityLimit } = await startAdmission(t, 2)
  const first = await RawMqtt.open(port, { clientId: 'one', username: 'shared' })
  await RawMqtt.open(port, { clientId: 'two', username: 'shared' })
  const third = await RawMqtt.dial(port)
  third.connect({ clientId: 'three', username: 'shared' })
  await third.closed
  t.same(third.received, [], 'without a CONNACK: it passes, and the client is to come again')
  t.match(errors, [{ code: 'MBS_ERR_LIMIT_IDENTITY' }])

  const neighbor = await RawMqtt.open(port, { clientId: 'four', username: 'other' })
  for (let index = 0; index < 5; index++) await RawMqtt.open(port, { clientId: `anonymous-${index}` })
  await RawMqtt.open(port, { clientId: 'one', username: 'shared' })
  await first.closed
  t.pass('a device that comes back takes over its own session')

  neighbor.abort()
  await until(() => identityLimit.users === 1)
  t.pass('users without a session are forgotten')
})

test('a user whose session ended has its place again', async (t) => {
  const { port, identityLimit } = await startAdmission(t, 1)
  const before = await RawMqtt.open(port, { clientId: 'one', username: 'user' })
  before.abort()
  await until(() => identityLimit.users === 0)
  await RawMqtt.open(port, { clientId: 'two', username: 'user' })
})

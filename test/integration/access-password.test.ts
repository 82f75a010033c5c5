import { connect as connectTcp } from 'node:net'
import { test, type Test } from 'tap'
import mqtt from 'mqtt'
import type { Authenticate } from '../../lib/broker/contract.ts'
import { createAccess, userWith, type TestAccessOptions } from '../support/access.ts'
import { startBroker, until, type TestBrokerOptions } from '../support/broker.ts'
import { connectBytes, RawMqtt } from '../support/raw-mqtt.ts'

/** A broker at which only users get in; `alice` with the password `wonderland` is one. */
async function start (t: Test, options: TestAccessOptions = {}, broker: TestBrokerOptions = {}) {
  const users = options.users ?? [await userWith('alice', 'wonderland')]
  const made: { access?: Awaited<ReturnType<typeof createAccess>>['access'] } = {}
  const started = await startBroker(t, {
    anonymous: false,
    authenticate: async (credentials, signal) => await made.access!.authenticate(credentials, signal),
    ...broker
  })
  const rest = await createAccess({ ...options, users, telemetry: started.telemetry })
  made.access = rest.access
  return { ...rest, ...started }
}

const alice = { username: 'alice', password: Buffer.from('wonderland') }

async function codeFor (port: number, fields: object): Promise<number | undefined> {
  const device = await RawMqtt.dial(port)
  device.connect(fields)
  return await device.next('connack').then(({ returnCode }) => returnCode, () => undefined)
}

test('MQTT.js gets in with the right password, and its events say who it is', async (t) => {
  const { port, publishes } = await start(t)
  const client = await mqtt.connectAsync({ port, host: '127.0.0.1', clientId: 'd1', ...alice, reconnectPeriod: 0 })
  await client.publishAsync('a', 'x', { qos: 1 })
  await client.endAsync()
  t.match(publishes, [{ client: { id: 'd1', username: 'alice' } }])
})

test('MQTT.js is told CONNACK 4 for a wrong password', async (t) => {
  const { port } = await start(t)
  const client = mqtt.connect({ port, host: '127.0.0.1', username: 'alice', password: 'no', reconnectPeriod: 0 })
  const error = await new Promise<Error>((resolve) => { client.once('error', resolve) })
  t.match(error, { code: 4 })
  await client.endAsync(true)
})

test('what is wrong is told by CONNACK: 4 credentials, 5 none, 5 another\'s client identifier', async (t) => {
  const { port, broker } = await start(t, { settings: { clientId: '{username}' } })
  t.equal(await codeFor(port, { ...alice, password: Buffer.from('no') }), 4)
  t.equal(await codeFor(port, { username: 'nobody', password: Buffer.from('wonderland') }), 4)
  t.equal(await codeFor(port, { username: 'alice' }), 4)
  t.equal(await codeFor(port, {}), 5)
  t.equal(await codeFor(port, { ...alice, clientId: 'bob' }), 5)
  t.equal(await codeFor(port, { ...alice, clientId: '' }), 5, 'a name that the broker would give is not its own either')
  t.equal(broker.clients, 0)
  t.equal(await codeFor(port, { ...alice, clientId: 'alice' }), 0)
})

test('strange credentials are refused and harm nobody', async (t) => {
  const { port } = await start(t, { settings: { attempts: { perAddress: 1000, perUser: 1000 } } })
  const big = 'x'.repeat(65_535)
  for (const fields of [
    { username: '', password: Buffer.from('') }, { username: big, password: Buffer.from(big) }, { username: '__proto__', password: Buffer.from('x') },
    { username: 'alice\0', password: Buffer.from('wonderland') }, { username: 'alice', password: Buffer.from('wonderland\0x') },
    { username: 'alice', password: Buffer.alloc(65_535) }, { username: 'constructor', password: Buffer.from([0xff, 0xfe]) }
  ]) t.equal(await codeFor(port, fields), 4, JSON.stringify(fields).slice(0, 60))
  t.equal(await codeFor(port, alice), 0)
})

test('after too many wrong ones, connections are closed without a CONNACK, so that every client comes back', async (t) => {
  const { port, logged } = await start(t, { settings: { attempts: { perUser: 2, backoff: 'PT0.3S', backoffMax: 'PT0.3S' } } })
  const wrong = { ...alice, password: Buffer.from('no') }
  t.equal(await codeFor(port, wrong), 4)
  t.equal(await codeFor(port, wrong), 4)
  t.equal(await codeFor(port, alice), undefined)
  t.match(await logged('MBS_ERR_ACCESS_ATTEMPTS'), [{ reason: 'attempts', address: '127.0.0.1' }])
  let code: number | undefined
  while (code === undefined) code = await codeFor(port, alice)
  t.equal(code, 0)
})

test('a device that goes away while it is being found out who it is harms nobody', async (t) => {
  let answer: (() => void) | undefined
  let aborted = false
  const authenticate: Authenticate = async ({ clientId }, signal) => {
    signal.addEventListener('abort', () => { aborted = true })
    await new Promise<void>((resolve) => { answer = resolve })
    return { kind: 'accepted', identity: { clientId, method: 'password', username: 'x', expiresAt: Date.now() + 60_000 } }
  }
  const { port, broker, connections, lines } = await startBroker(t, { authenticate })
  const device = await RawMqtt.dial(port)
  device.connect()
  await until(() => answer !== undefined)
  device.abort()
  await until(() => aborted && connections.open === 0)
  answer!()
  await new Promise(setImmediate)
  t.equal(broker.clients, 0)
  t.same(lines.objects.filter(({ level }) => level === 'error'), [])
})

test('a device that is told nothing within limits.connectTimeout is closed', async (t) => {
  const { port, logged, connections } = await startBroker(t, {
    authenticate: async () => await new Promise(() => {}), gate: { connectTimeoutMs: 100 }
  })
  const device = await RawMqtt.dial(port)
  device.connect()
  await device.closed
  t.equal((await logged('MBS_ERR_GATE_CONNECT_TIMEOUT')).length, 1)
  await until(() => connections.open === 0)
})

test('whatever authentication throws, the device is closed without a CONNACK and the broker goes on', async (t) => {
  const fail = { value: true }
  const { port, lines } = await startBroker(t, {
    authenticate: async ({ clientId }) => {
      if (fail.value) throw new Error('a defect')
      return { kind: 'accepted', identity: { clientId, method: 'anonymous' } }
    }
  })
  t.equal(await codeFor(port, {}), undefined)
  t.match(lines.of('unexpected failure: authentication'), [{ level: 'error', err: { message: 'a defect' } }])
  fail.value = false
  t.equal(await codeFor(port, {}), 0)
})

test('what a device sends behind CONNECT waits until it is known who it is', async (t) => {
  const { port, outbox, publishes } = await start(t)
  const device = await RawMqtt.dial(port)
  device.connect(alice)
  for (let messageId = 1; messageId <= 60; messageId++) device.publish({ qos: 1, messageId })
  t.equal((await device.next('connack')).returnCode, 0)
  for (let count = 0; count < 60; count++) await device.next('puback')
  t.equal(outbox.stored.length, 60)
  t.equal(publishes[0]?.client.username, 'alice')
  const refused = await RawMqtt.dial(port)
  refused.connect({ ...alice, password: Buffer.from('no') })
  refused.publish({ qos: 1, messageId: 1 })
  await refused.closed
  t.equal(outbox.stored.length, 60)
})

test('a session ends when what it was let in with expires, and its will is published', async (t) => {
  const authenticate: Authenticate = async ({ clientId }) =>
    ({ kind: 'accepted', identity: { clientId, method: 'jwt', username: 'x', expiresAt: Date.now() + 200 } })
  const { port, outbox, logged } = await startBroker(t, { authenticate })
  const device = await RawMqtt.open(port, { will: { topic: 'gone', payload: Buffer.from('bye'), qos: 1, retain: false } })
  device.publish({ qos: 1, messageId: 1 })
  await device.next('puback')
  await device.closed
  t.match(await logged('MBS_ERR_ACCESS_EXPIRED'), [{ clientId: 'device' }])
  await until(() => outbox.texts.includes('bye'))
})

test('a thousand wrong logins from one address: a device elsewhere gets in, a publish is acknowledged, and the flood is gone', async (t) => {
  const expensive = { ln: 13, r: 8, p: 1 }
  const { port, connections } = await start(t, { users: [await userWith('alice', 'wonderland', {}, expensive)] }, { connections: 2000 })
  const honest = await RawMqtt.open(port, { ...alice, clientId: 'publisher' })
  // Linux answers on all of 127.0.0.0/8: an address of its own for the flood.
  const flood = Array.from({ length: 1000 }, (_, at) => {
    const socket = connectTcp({ port, host: '127.0.0.1', localAddress: '127.6.6.6' })
    const device = new RawMqtt(socket)
    device.write(connectBytes({ clientId: `f${at}`, username: `guess${at}`, password: Buffer.from('x') }))
    return device
  })
  await flood[0]!.closed // the others are on their way
  const begun = performance.now()
  honest.publish({ qos: 1, messageId: 1 })
  await honest.next('puback')
  const publishMs = performance.now() - begun
  const again = connectTcp({ port, host: '127.0.0.1', localAddress: '127.0.0.9' })
  const device = new RawMqtt(again)
  device.write(connectBytes({ ...alice, clientId: 'newcomer' }))
  t.equal((await device.next('connack')).returnCode, 0)
  const loginMs = performance.now() - begun
  t.comment(`publish ${publishMs.toFixed()} ms, login ${loginMs.toFixed()} ms`)
  t.ok(publishMs < 2000 && loginMs < 10_000, 'within the time that clients wait for')
  await Promise.all(flood.map(async ({ closed }) => await closed))
  await until(() => connections.open === 2)
})

test('the password is nowhere to be found afterwards: not in the log, not in a metric', async (t) => {
  const { port, telemetry, lines } = await start(t)
  await codeFor(port, { ...alice, password: Buffer.from('hush-hush') })
  await codeFor(port, { username: 'hush-hush', password: Buffer.from('hush-hush') })
  await codeFor(port, alice)
  t.notMatch(lines.text + await telemetry.registry.metrics(), /hush-hush|wonderland/)
})

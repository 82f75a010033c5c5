import { connect as connectTcp } from 'node:net'
import { connect, type ConnectionOptions } from 'node:tls'
import t, { test } from 'tap'
import type { ListenerTls } from '../../lib/listener/tls-options.ts'
import { createCertificates } from '../support/certs.ts'
import { connectBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

const certificates = createCertificates(t.testdir())
const server = { cert: certificates.file('server.crt'), key: certificates.file('server.key') }
const plain: ListenerTls = { ...server, clientCertificate: 'none', minVersion: 'TLSv1.2' }

function identity (name: string) {
  return { cert: certificates.read(`${name}.crt`), key: certificates.read(`${name}.key`) }
}

/** Opens a session over TLS; the error where there is none. */
async function open (port: number, options: ConnectionOptions = {}): Promise<RawMqtt | Error> {
  const socket = connect({ port, host: 'localhost', ca: certificates.read('ca.crt'), ...options })
  const failed = new Promise<Error>((resolve) => {
    socket.once('error', resolve)
    socket.once('close', () => { resolve(new Error('closed')) })
  })
  const client = new RawMqtt(socket)
  socket.once('secureConnect', () => { client.write(connectBytes()) })
  return await Promise.race([failed, client.next('connack').then(() => client, (error: Error) => error)])
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version} is spoken`, async (t) => {
    const { outbox, port } = await startBroker(t, { tls: plain })
    const device = await open(port, { minVersion: version, maxVersion: version })
    if (device instanceof Error) throw device
    device.publish({ qos: 1, messageId: 1 })
    await device.next('puback')
    t.equal(outbox.stored.length, 1)
  })
}

test('TLS 1.1 is refused', async (t) => {
  const { logged, connections, port } = await startBroker(t, { tls: plain })
  const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  t.type(await open(port, old), Error)
  t.match(await logged('MBS_ERR_LISTENER_HANDSHAKE'), [{ listener: /^mqtts:/, address: /^127/ }])
  await until(() => connections.open === 0)
})

test('TLS 1.2 is refused where 1.3 is asked for', async (t) => {
  const { port } = await startBroker(t, { tls: { ...plain, minVersion: 'TLSv1.3' } })
  t.type(await open(port, { maxVersion: 'TLSv1.2' }), Error)
  t.type(await open(port), RawMqtt)
})

test('client certificates', async (t) => {
  const ca = certificates.file('ca.crt')
  const cases = [
    { clientCertificate: 'none', nobody: true, client: true, stranger: true },
    { clientCertificate: 'optional', nobody: true, client: true, stranger: false },
    { clientCertificate: 'required', nobody: false, client: true, stranger: false }
  ] as const
  for (const { clientCertificate, nobody, client, stranger } of cases) {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { connections, port } = await startBroker(t, { tls: { ...plain, ca, clientCertificate } })
      const may = async (options: ConnectionOptions) => await open(port, { ...options, maxVersion }) instanceof RawMqtt
      t.equal(await may({}), nobody, `${clientCertificate}, ${maxVersion}: none given`)
      t.equal(await may(identity('client')), client, `${clientCertificate}, ${maxVersion}: a valid one`)
      t.equal(await may(identity('stranger')), stranger, `${clientCertificate}, ${maxVersion}: of another authority`)
      await until(() => connections.open === 1) // the last one took the session over
    }
  }
})

test('a certificate that is not trusted is told with the reason', async (t) => {
  for (const clientCertificate of ['optional', 'required'] as const) {
    const { logged, port } = await startBroker(t, { tls: { ...plain, ca: certificates.file('ca.crt'), clientCertificate } })
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) await open(port, { ...identity('stranger'), maxVersion })
    const [line] = await logged('MBS_ERR_LISTENER_HANDSHAKE')
    t.match(String(line?.['msg']), /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT/, clientCertificate)
  }
})

test('bytes that are no TLS are closed and harm nobody', async (t) => {
  const { logged, connections, port } = await startBroker(t, { tls: plain })
  const device = await RawMqtt.dial(port)
  device.connect()
  await device.closed
  await logged('MBS_ERR_LISTENER_HANDSHAKE')
  await until(() => connections.open === 0)
  t.type(await open(port), RawMqtt)
})

test('a handshake has to end in time, and counts as a connection meanwhile', async (t) => {
  const { logged, connections, port } = await startBroker(t, {
    tls: plain, gate: { connectTimeoutMs: 200 }, connections: 1
  })
  const silent = await RawMqtt.dial(port)
  await until(() => connections.open === 1)
  t.type(await open(port), Error, 'no place left')
  await silent.closed
  await logged('MBS_ERR_LISTENER_HANDSHAKE')
  await until(() => connections.open === 0)
})

test('a connection that goes away before its handshake is no failure', async (t) => {
  const { lines, connections, port } = await startBroker(t, { tls: plain })
  for (let count = 0; count < 3; count++) {
    const socket = connectTcp(port, '127.0.0.1')
    await new Promise((resolve) => { socket.once('connect', resolve) })
    await until(() => connections.open === 1)
    if (count === 0) socket.end()
    else socket.resetAndDestroy()
    await until(() => connections.open === 0)
  }
  t.same(lines.objects.filter((line) => line['level'] !== 'debug'), [])
})

test('closing ends sessions and handshakes', async (t) => {
  const { broker, listener, connections, port } = await startBroker(t, { tls: plain })
  const device = await open(port)
  const silent = await RawMqtt.dial(port)
  await until(() => connections.open === 2)
  await broker.close()
  await listener.close()
  if (!(device instanceof Error)) await device.closed
  await silent.closed
  t.equal(connections.open, 0)
})

test('a refusal arrives over TLS as well', async (t) => {
  const { port } = await startBroker(t, { tls: plain })
  const socket = connect({ port, host: 'localhost', ca: certificates.read('ca.crt') })
  const client = new RawMqtt(socket)
  socket.once('secureConnect', () => { client.write(connectBytes({ clientId: 'x'.repeat(257) })) })
  t.equal((await client.next('connack')).returnCode, 2)
  await client.closed
})

test('files that cannot be used are named at start', async (t) => {
  const garbage = certificates.write('garbage.pem', 'no certificate')
  const broken = certificates.write('broken.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  const ca = certificates.file('ca.crt')
  const cases: Array<[what: string, tls: ListenerTls | undefined, reason: RegExp]> = [
    ['a file that is missing', { ...plain, cert: certificates.file('missing') }, /missing/],
    ['a certificate that is none', { ...plain, cert: garbage }, /PEM|no start line/i],
    ['a key that is none', { ...plain, key: garbage }, /PEM|DECODER|unsupported|no start line/i],
    ['a key of another certificate', { ...plain, key: certificates.file('client.key') }, /key values mismatch/i],
    ['a CA that is none', { ...plain, ca: garbage, clientCertificate: 'required' }, /garbage\.pem: there is no PEM certificate/],
    ['a CA that is broken', { ...plain, ca: broken, clientCertificate: 'required' }, /./],
    ['client certificates without a CA', { ...plain, clientCertificate: 'optional' }, /tls\.ca is missing/],
    ['a CA without need', { ...plain, ca }, /never/]
  ]
  for (const [what, tls, reason] of cases) {
    const started = startBroker(t, { tls: tls as ListenerTls })
    if (what === 'a CA without need') await t.resolves(started, what)
    else await t.rejects(started, { code: 'MBS_ERR_LISTENER_TLS', message: reason, details: { listener: 'mqtts://127.0.0.1:0' } }, what)
  }
})

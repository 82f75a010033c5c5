/** Every transport, kind of credentials and action: the table of test/support/access-matrix.ts, on the wire. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import type { IConnectPacket } from 'mqtt-packet'
import t, { test } from 'tap'
import { createSource } from '../../lib/index.ts'
import { hashPassword } from '../../lib/access/password.ts'
import {
  ACTIONS, CREDENTIALS, renderMatrix, TRANSPORTS, type Credential, type Entry, type Row, type Transport
} from '../support/access-matrix.ts'
import { json, startAskedService } from '../support/asked-service.ts'
import { createCertificates } from '../support/certs.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { ecKeys, goodClaims, inSeconds, jwkOf, sign } from '../support/tokens.ts'
import { openWebSocket, speakMqtt } from '../support/web-socket.ts'

t.jobs = 1

const run = mkdtempSync(join(tmpdir(), 'mbs-'))
t.teardown(() => { rmSync(run, { recursive: true }) })
const certificates = createCertificates(run)
certificates.issue('device-1', 'ca')
const keys = ecKeys()
const header = { alg: 'ES256', kid: 'k1' }
const tls = {
  cert: certificates.file('server.crt'),
  key: certificates.file('server.key'),
  ca: certificates.file('ca.crt'),
  clientCertificate: 'optional' as const
}
const hook = await startAskedService(t)
hook.answer = (response, question, index) => {
  const { username } = JSON.parse(question.body) as { username?: string }
  if (username === undefined) json({ result: 'ignore' })(response, question, index)
  else if (username === 'device-1-hook') json({ result: 'allow', username: 'device-1' })(response, question, index)
  else if (username === 'nobody') json({ result: 'deny' })(response, question, index)
  else response.writeHead(500).end()
}
writeFileSync(join(run, 'keys.json'), JSON.stringify({ keys: [jwkOf(keys, { kid: 'k1' })] }))
writeFileSync(join(run, 'users.yaml'), `users:\n  device-1:\n    password: ${await hashPassword('right', { ln: 10, r: 8, p: 1 })}\n`)

const sink = await startHttpSink(t)
const source = createSource({
  env: {},
  settings: {
    dataDir: join(run, 'data'),
    listeners: [
      { port: 0, anonymous: false }, { protocol: 'mqtts', port: 0, tls, anonymous: false },
      { protocol: 'ws', port: 0, anonymous: false }, { protocol: 'wss', port: 0, tls, anonymous: false },
      { socket: join(run, 'mqtt.sock'), anonymous: false }, { host: '::1', port: 0 }
    ],
    access: {
      users: join(run, 'users.yaml'),
      certificates: { identity: 'cn' },
      jwt: { jwks: join(run, 'keys.json'), audience: 'mqtt' },
      http: { url: hook.url },
      clientId: '{username}',
      // What is wrong is wrong on purpose here, and often.
      attempts: { perUser: 1000, perAddress: 1000 },
      permissions: [{ who: '*', publish: ['devices/{clientid}/#'], subscribe: ['commands/{clientid}/#'] }]
    },
    http: { port: 0 },
    sink: { kind: 'http', url: sink.url },
    events: { extensions: { authtype: true, authid: true } },
    log: { level: 'silent' }
  }
})
await source.start()
t.teardown(() => source.close())
const addresses = source.addresses.listeners.map(({ address }) => address)
const portOf = (at: number): number => Number(addresses[at]!.split(':').at(-1))

/** A connection over which nothing has been said. */
async function dial (transport: Transport, withCertificate: boolean): Promise<RawMqtt<Duplex>> {
  const client = withCertificate ? { cert: certificates.read('device-1.crt'), key: certificates.read('device-1.key') } : {}
  const trust = { ca: certificates.read('ca.crt'), ...client }
  const dialers: Record<Transport, () => Promise<unknown>> = {
    mqtt: async () => await RawMqtt.dial(portOf(0)),
    mqtts: async () => {
      const socket = connectTls({ port: portOf(1), host: 'localhost', servername: 'localhost', ...trust })
      await once(socket, 'secureConnect')
      return new RawMqtt(socket)
    },
    ws: async () => speakMqtt(await openWebSocket(`ws://localhost:${portOf(2)}/mqtt`)),
    wss: async () => speakMqtt(await openWebSocket(`wss://localhost:${portOf(3)}/mqtt`, 'mqtt', trust)),
    unix: async () => await RawMqtt.dial({ path: addresses[4]! }),
    anonymous: async () => await RawMqtt.dial({ host: '::1', port: portOf(5) })
  }
  return await dialers[transport]() as RawMqtt<Duplex>
}

/** What CONNECT says for each kind of credentials. */
async function connectOf (credential: Credential): Promise<Partial<IConnectPacket>> {
  const asToken = async (pair = keys, exp = inSeconds(600)) =>
    Buffer.from(await sign(pair, header, { ...goodClaims(), exp }))
  const said: Record<Credential, () => Promise<Partial<IConnectPacket>>> = {
    nothing: async () => ({}),
    certificate: async () => ({}),
    password: async () => ({ username: 'device-1', password: Buffer.from('right') }),
    wrongPassword: async () => ({ username: 'device-1', password: Buffer.from('wrong') }),
    otherClientId: async () => ({ clientId: 'device-2', username: 'device-1', password: Buffer.from('right') }),
    token: async () => ({ username: 'any', password: await asToken() }),
    expiredToken: async () => ({ username: 'any', password: await asToken(keys, inSeconds(-600)) }),
    forgedToken: async () => ({ username: 'any', password: await asToken(ecKeys()) }),
    hookAllows: async () => ({ username: 'device-1-hook', password: Buffer.from('x') }),
    hookDenies: async () => ({ username: 'nobody', password: Buffer.from('x') }),
    hookFails: async () => ({ username: 'trouble', password: Buffer.from('x') })
  }
  return { clientId: 'device-1', ...await said[credential]() }
}

/** What becomes of a CONNECT. */
async function entryOf (device: RawMqtt<Duplex>, fields: Partial<IConnectPacket>): Promise<Entry> {
  device.connect(fields)
  const connack = device.next('connack').then(({ returnCode }) => returnCode)
  const code = await Promise.race([connack, device.closed.then(() => 'closed')])
  return code === 0 ? 'in' : code as Entry
}

/** What the events of each kind of credentials say of who sent them [authcontext]. */
const PRINCIPALS: Partial<Record<Credential, readonly [authtype: string, authid: string | undefined]>> = {
  nothing: ['unauthenticated', undefined],
  certificate: ['service_account', 'device-1'],
  password: ['user', 'device-1'],
  token: ['app_user', 'device-1'],
  hookAllows: ['unknown', 'device-1']
}

type Way = readonly [Transport, Credential]
const credentials = Object.keys(CREDENTIALS) as Credential[]
const ways = TRANSPORTS.flatMap((transport) => credentials.map((credential): Way => [transport, credential]))

for (const [transport, credential] of ways) {
  const { shows, entries }: Row = CREDENTIALS[credential]
  const expected = entries[transport]
  if (expected === '-') continue
  const enter = async (more: Partial<IConnectPacket> = {}) => {
    const device = await dial(transport, credential === 'certificate')
    return { device, entry: await entryOf(device, { ...await connectOf(credential), ...more }) }
  }

  test(`${transport}, ${shows}: ${expected}`, async (t) => {
    const { device, entry } = await enter()
    t.equal(entry, expected)
    device.socket.destroy()
    if (expected !== 'in') return
    for (const { does, action, topic: pattern, outcome } of ACTIONS) {
      const topic = pattern.replace('{clientid}', 'device-1')
      const events = sink.requests.length
      const will = { topic, payload: Buffer.from('gone'), qos: 1 as const, retain: false }
      const { device, entry } = await enter(action === 'will' ? { will } : {})
      if (action === 'will') {
        t.equal(entry === 'in' ? 'in' : `CONNACK ${entry}`, outcome, does)
        if (entry === 'in') device.send({ cmd: 'disconnect' })
      } else if (action === 'subscribe') {
        device.send({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic, qos: 1 }] })
        t.same((await device.next('suback')).granted, [outcome === 'granted' ? 1 : 128], does)
      } else {
        const answer = action === 'publish' ? 'puback' : 'pubrec'
        device.publish({ topic, qos: action === 'publish' ? 1 : 2, messageId: 7 })
        const got = await Promise.race([device.next(answer).then(() => 'answered'), device.closed.then(() => 'closed')])
        t.equal(got, outcome.startsWith('closed') ? 'closed' : 'answered', does)
        if (got === 'answered') {
          await sink.waitFor(events + 1)
          const request = sink.requests.at(-1)!
          t.same([request.header('ce-authtype'), request.header('ce-authid')], PRINCIPALS[credential], `${does}: who it was`)
        }
        t.equal(sink.requests.length, got === 'answered' ? events + 1 : events, `${does}: its events`)
      }
      device.socket.destroy()
    }
  })
}

test('what is denied was never an event, and the documentation shows this very table', async (t) => {
  t.ok(sink.requests.length > 0)
  t.same(sink.requests.filter((request) => request.header('ce-subject') !== 'devices/device-1/x'), [])
  t.ok(readFileSync('docs/security.md', 'utf8').includes(renderMatrix()), renderMatrix())
})

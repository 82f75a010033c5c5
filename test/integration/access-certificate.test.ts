import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { connect, type ConnectionOptions } from 'node:tls'
import t, { test } from 'tap'
import type { Credentials } from '../../lib/message.ts'
import type { ListenerTls } from '../../lib/listener/tls-options.ts'
import { createAccess } from '../support/access.ts'
import { startBroker } from '../support/broker.ts'
import { createCertificates } from '../support/certs.ts'
import { connectBytes, RawMqtt } from '../support/raw-mqtt.ts'

const certificates = createCertificates(t.testdir())
const tls: ListenerTls = {
  cert: certificates.file('server.crt'),
  key: certificates.file('server.key'),
  ca: certificates.file('ca.crt'),
  clientCertificate: 'optional',
  minVersion: 'TLSv1.2'
}

/** Issues a certificate with names that devices do not usually have. */
function issue (name: string, subject: string, altNames: string): ConnectionOptions {
  const path = certificates.file(name)
  const directory = path.slice(0, -name.length)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' })
  writeFileSync(`${path}.cnf`, altNames === '' ? 'basicConstraints=CA:FALSE\n' : `subjectAltName=${altNames}\n`)
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject)
  openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-out', `${name}.crt`, '-days', '2', '-extfile', `${name}.cnf`)
  return { cert: certificates.read(`${name}.crt`), key: certificates.read(`${name}.key`) }
}

/** Sends CONNECT over TLS; `code` is undefined where no CONNACK came. */
async function open (port: number, options: ConnectionOptions, fields: object = {}) {
  const socket = connect({ port, host: 'localhost', ca: certificates.read('ca.crt'), ...options })
  let session: Buffer | undefined
  socket.on('session', (data) => { session = data })
  const client = new RawMqtt(socket)
  socket.once('secureConnect', () => { client.write(connectBytes(fields)) })
  const code = await client.next('connack').then(({ returnCode }) => returnCode, () => undefined)
  return { client, code, session, reused: socket.isSessionReused() }
}

const identity = (name: string) => ({ cert: certificates.read(`${name}.crt`), key: certificates.read(`${name}.key`) })

/** A broker that takes certificates as the settings say, and remembers what it was shown. */
async function start (settings: object, t: Parameters<typeof startBroker>[0], options: Partial<ListenerTls> = {}) {
  const { access, lines } = await createAccess({ settings: { certificates: settings } })
  const shown: Credentials[] = []
  const started = await startBroker(t, {
    tls: { ...tls, ...options },
    anonymous: false,
    authenticate: async (credentials, signal) => {
      shown.push(credentials)
      return await access.authenticate(credentials, signal)
    }
  })
  return { ...started, shown, accessLines: lines }
}

test('a device is who its certificate says, on TLS 1.2 and 1.3', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const { port, publishes, shown } = await start({ identity: 'cn' }, t)
    const { client, code } = await open(port, { ...identity('client'), maxVersion })
    t.equal(code, 0)
    client.publish({ qos: 1, messageId: 1 })
    await client.next('puback')
    t.match(publishes, [{ client: { id: 'device', username: 'client' } }])
    t.match(shown, [{
      address: /^(127\.0\.0\.1|::1)$/,
      secure: true,
      anonymous: false,
      certificate: { cn: 'client', fingerprint: /^[0-9a-f]{64}$/, sans: [{ type: 'DNS', value: 'localhost' }, { type: 'IP Address', value: '127.0.0.1' }] }
    }])
  }
})

test('a device without a certificate is nobody, one of another authority gets no connection', async (t) => {
  const { port, shown } = await start({ identity: 'cn' }, t)
  t.equal((await open(port, {})).code, 5)
  t.equal(shown[0]?.certificate, undefined)
  t.equal((await open(port, identity('stranger'))).code, undefined)
  t.equal(shown.length, 1)
})

test('a listener that does not ask for certificates learns none', async (t) => {
  const { port, shown } = await start({ identity: 'cn' }, t, { clientCertificate: 'none' })
  t.equal((await open(port, identity('client'))).code, 5)
  t.equal(shown[0]?.certificate, undefined)
})

test('a resumed TLS session is still the device that it was', async (t) => {
  const { port, shown } = await start({ identity: 'cn' }, t)
  const first = await open(port, { ...identity('client'), maxVersion: 'TLSv1.2' })
  t.equal(first.code, 0)
  t.ok(first.session !== undefined)
  const second = await open(port, { ...identity('client'), maxVersion: 'TLSv1.2', session: first.session! }, { clientId: 'again' })
  t.comment(`resumed: ${second.reused}`)
  t.equal(second.code, 0)
  t.match(shown.map(({ certificate }) => certificate?.cn), ['client', 'client'])
})

test('the name can stand in a subject alternative name, or be the fingerprint', async (t) => {
  const options = issue('sensor', '/CN=ignored', 'DNS:sensor-1.local,URI:urn:dev:1,email:sensor@example.com')
  for (const [settings, username] of [
    [{ identity: 'san', san: 'URI' }, 'urn:dev:1'], [{ identity: 'san', san: 'DNS' }, 'sensor-1.local'], [{ identity: 'san', san: 'email' }, 'sensor@example.com'],
    [{ identity: 'fingerprint' }, /^[0-9a-f]{64}$/]
  ] as const) {
    const { port, publishes } = await start(settings, t)
    const { client, code } = await open(port, options)
    t.equal(code, 0)
    client.publish({ qos: 1, messageId: 1 })
    await client.next('puback')
    t.match(publishes[0]?.client.username, username)
  }
})

test('two common names are none, and a name with a comma is one', async (t) => {
  const two = await start({ identity: 'cn' }, t)
  t.equal((await open(two.port, issue('two', '/CN=admin/CN=device', ''))).code, 5)
  t.match(two.accessLines.objects, [{ code: 'MBS_ERR_ACCESS_DENIED', reason: 'certificate' }])
  const comma = await start({ identity: 'cn' }, t)
  t.equal((await open(comma.port, issue('comma', '/O=x/CN=a, CN=admin', ''))).code, 0)
  t.equal(comma.shown[0]?.certificate?.cn, 'a, CN=admin')
})

test('what is known of a device stays out of the log', async (t) => {
  const { port, lines } = await start({ identity: 'cn' }, t)
  const { client } = await open(port, identity('client'))
  client.socket.destroy()
  await client.closed
  t.notMatch(lines.text, /fingerprint|"certificate":|"peer"/)
})

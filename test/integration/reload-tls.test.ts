/** TLS files that change under a program: who gets in, what new connections see, and that open ones do not notice. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { connectAsync, type MqttClient } from 'mqtt'
import t, { test, type Test } from 'tap'
import { createSource, type Source } from '../../lib/index.ts'
import type { ListenerTls } from '../../lib/listener/tls-options.ts'
import { startBroker, until } from '../support/broker.ts'
import { createCertificates, createSinkCertificates } from '../support/certs.ts'
import { startHttpSink } from '../support/http-sink.ts'
import type { LogLine } from '../support/log-lines.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { connectBytes, RawMqtt } from '../support/raw-mqtt.ts'

const certificates = createCertificates(t.testdir())
certificates.issue('renewed', 'ca', { days: 60 })
certificates.issue('expiring', 'ca', { days: 10 })
certificates.issue('colleague', 'ca')
const ca = certificates.read('ca.crt')

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
type Version = typeof VERSIONS[number]

const texts = (name: string) => ({ cert: certificates.read(`${name}.crt`), key: certificates.read(`${name}.key`) })

/** The TLS files of a listener in a directory of its own, which a test may change. */
class Files {
  readonly tls: ListenerTls
  readonly #directory: string

  constructor (t: Test, more: Partial<ListenerTls> = {}) {
    this.#directory = t.testdir({ ca, crl: '' })
    const file = (name: string) => join(this.#directory, name)
    this.tls = { cert: file('cert'), key: file('key'), clientCertificate: 'none', minVersion: 'TLSv1.2', ...more }
    this.use('server')
    this.revoke()
  }

  file (name: string): string {
    return join(this.#directory, name)
  }

  use (name: string): void {
    const { cert, key } = texts(name)
    writeFileSync(this.file('cert'), cert)
    writeFileSync(this.file('key'), key)
  }

  revoke (...names: string[]): void {
    certificates.revoke('ca', names)
    writeFileSync(this.file('crl'), certificates.read('ca.crl'))
  }
}

async function device (port: number, options: object = {}): Promise<MqttClient> {
  return await connectAsync(`mqtts://localhost:${port}`, { ca, reconnectPeriod: 0, ...options })
}

/** The fingerprint of the certificate that a new connection sees. */
async function served (port: number): Promise<string> {
  const socket = connect({ port, host: 'localhost', ca })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

function fingerprintOf (name: string): string {
  return new X509Certificate(certificates.read(`${name}.crt`)).fingerprint256
}

/** Seconds since the epoch. */
function expiryOf (name: string): number {
  return Date.parse(new X509Certificate(certificates.read(`${name}.crt`)).validTo) / 1000
}

interface Visit {
  readonly admitted: boolean
  readonly resumed: boolean
  /** For a later visit. */
  readonly session: Buffer | undefined
}

/** Connects with a client certificate, or resumes a TLS session, as far as CONNACK. */
async function visit (port: number, name: string, version: Version, session?: Buffer): Promise<Visit> {
  const resuming = session === undefined ? {} : { session }
  const socket: TLSSocket = connect({
    port, host: 'localhost', ca, ...texts(name), minVersion: version, maxVersion: version, ...resuming
  })
  let ticket: Buffer | undefined
  socket.on('session', (data: Buffer) => { ticket = data })
  const client = new RawMqtt(socket)
  socket.once('secureConnect', () => { client.write(connectBytes({ clientId: name })) })
  const admitted = await client.next('connack').then(() => true, () => false)
  const visited = { admitted, resumed: socket.isSessionReused(), session: ticket }
  socket.destroy()
  await client.closed
  return visited
}

test('new connections see the new certificate, open ones stay and work', async (t) => {
  const files = new Files(t)
  const { listener, outbox, port } = await startBroker(t, { tls: files.tls })
  t.strictSame(listener.files, [files.tls.cert, files.tls.key])
  const old = await device(port, { clientId: 'old' })
  let closed = 0
  old.on('close', () => { closed++ })
  t.equal(await served(port), fingerprintOf('server'))

  files.use('renewed')
  await listener.reload()
  t.equal(await served(port), fingerprintOf('renewed'))
  const young = await device(port, { clientId: 'young' })
  await old.publishAsync('a', 'over the old one', { qos: 1 })
  await young.publishAsync('a', 'over the new one', { qos: 1 })
  t.equal(outbox.stored.length, 2)
  t.equal(closed, 0)
  await Promise.all([old.endAsync(), young.endAsync()])
})

test('what else was configured holds after a reload', async (t) => {
  const files = new Files(t)
  const { listener, port } = await startBroker(t, {
    tls: { ...files.tls, ca: files.file('ca'), clientCertificate: 'required', minVersion: 'TLSv1.3' }
  })
  await listener.reload()
  t.equal((await visit(port, 'client', 'TLSv1.2')).admitted, false, 'minVersion')
  t.equal((await visit(port, 'client', 'TLSv1.3')).admitted, true)
  t.equal((await visit(port, 'stranger', 'TLSv1.3')).admitted, false, 'clientCertificate')
})

test('broken files leave everything as it was', async (t) => {
  const files = new Files(t)
  const tls: ListenerTls = { ...files.tls, ca: files.file('ca'), crl: files.file('crl'), clientCertificate: 'required' }
  const { listener, port } = await startBroker(t, { tls })
  const resumable = await visit(port, 'client', 'TLSv1.3')
  const breaks: Array<[what: string, spoil: () => void, reason: RegExp]> = [
    ['a certificate without its key', () => { writeFileSync(tls.cert, texts('renewed').cert) }, /key values mismatch/],
    ['a key without its certificate', () => { writeFileSync(tls.key, texts('renewed').key) }, /key values mismatch/],
    ['half a certificate', () => { writeFileSync(tls.cert, texts('renewed').cert.slice(0, 200)) }, /cert: there is no PEM/],
    ['a file that is gone', () => { rmSync(tls.key) }, /ENOENT/],
    ['a CA that is empty', () => { writeFileSync(tls.ca!, '') }, /ca: there is no PEM certificate/],
    ['a revocation list that is none', () => { writeFileSync(tls.crl!, ca) }, /crl: there is no PEM revocation list/]
  ]
  for (const [what, spoil, reason] of breaks) {
    spoil()
    await t.rejects(listener.reload(), { code: 'MBS_ERR_LISTENER_TLS', message: reason }, what)
    t.equal(await served(port).catch(() => 'refused'), fingerprintOf('server'), what)
    files.use('server')
    files.revoke()
    writeFileSync(tls.ca!, ca)
  }
  t.match(await visit(port, 'client', 'TLSv1.3', resumable.session), { admitted: true, resumed: true })
})

for (const version of VERSIONS) {
  for (const clientCertificate of ['required', 'optional'] as const) {
    test(`${version}, ${clientCertificate}: a revoked client stays out from the reload on, also one that resumes`, async (t) => {
      const files = new Files(t)
      const tls = { ...files.tls, ca: files.file('ca'), crl: files.file('crl'), clientCertificate }
      const { listener, port, logged } = await startBroker(t, { tls })
      const inside = await device(port, { ...texts('client'), clientId: 'inside' })
      const first = await visit(port, 'client', version)
      t.match(first, { admitted: true, resumed: false })
      const { session } = first
      t.match(await visit(port, 'client', version, session), { admitted: true, resumed: true }, 'before, it may resume')

      files.revoke('client')
      await listener.reload()
      t.equal((await visit(port, 'client', version)).admitted, false, 'a new handshake')
      t.equal((await visit(port, 'client', version, session)).admitted, false, 'a resumption')
      t.equal((await visit(port, 'colleague', version)).admitted, true, 'another certificate of the same authority')
      t.match(await logged('MBS_ERR_LISTENER_HANDSHAKE'), [{ msg: /CERT_REVOKED/, address: /^127\.0\.0\.1:[1-9]/ }])
      await inside.publishAsync('a', 'still here', { qos: 1 })
      await inside.endAsync()
    })
  }

  test(`${version}: nobody resumes a session from before a reload without a certificate check`, async (t) => {
    const files = new Files(t)
    const tls: ListenerTls = { ...files.tls, ca: files.file('ca'), clientCertificate: 'required' }
    const { listener, port } = await startBroker(t, { tls })
    const { session } = await visit(port, 'client', version)
    await listener.reload()
    t.match(await visit(port, 'client', version, session), { admitted: true, resumed: false })
    writeFileSync(files.file('ca'), certificates.read('other-ca.crt'))
    const later = await visit(port, 'client', version)
    await listener.reload()
    t.equal((await visit(port, 'client', version, later.session)).admitted, false, 'its authority is not trusted any more')
    t.equal((await visit(port, 'stranger', version)).admitted, true)
  })
}

test('with revocation lists, nobody of an authority gets in whose list is missing or has expired', async (t) => {
  const files = new Files(t)
  const both = ca + certificates.read('other-ca.crt')
  writeFileSync(files.file('ca'), both)
  const tls: ListenerTls = { ...files.tls, ca: files.file('ca'), crl: files.file('crl'), clientCertificate: 'required' }
  const { listener, port, lines } = await startBroker(t, { tls })
  t.equal((await visit(port, 'client', 'TLSv1.3')).admitted, true)
  t.equal((await visit(port, 'stranger', 'TLSv1.3')).admitted, false, 'no list of other-ca')
  await until(() => lines.text.includes('UNABLE_TO_GET_CRL'))

  certificates.revoke('other-ca', [])
  for (const lists of [['ca', 'other-ca'], ['other-ca', 'ca']]) {
    writeFileSync(files.file('crl'), lists.map((name) => certificates.read(`${name}.crl`)).join(''))
    await listener.reload()
    t.equal((await visit(port, 'client', 'TLSv1.3')).admitted, true, `${lists.join()}: ca`)
    t.equal((await visit(port, 'stranger', 'TLSv1.3')).admitted, true, `${lists.join()}: other-ca`)
  }

  certificates.revoke('ca', [], { expired: true })
  writeFileSync(files.file('crl'), certificates.read('ca.crl'))
  await listener.reload()
  t.equal((await visit(port, 'client', 'TLSv1.3')).admitted, false)
  const told = ({ msg }: LogLine) => String(msg).includes('no client certificate is accepted')
  t.equal(lines.objects.filter(told).length, 1)

  const again = await startBroker(t, { tls })
  t.equal(again.lines.objects.filter(told).length, 1, 'it is no reason not to start')
  t.equal((await visit(again.port, 'client', 'TLSv1.3')).admitted, false)
  t.match(await again.logged('MBS_ERR_LISTENER_HANDSHAKE'), [{ msg: /CRL_HAS_EXPIRED/ }])
})

test('a chain needs a list of every authority in it', async (t) => {
  certificates.issue('middle', 'ca', { authority: true })
  certificates.issue('deep', 'middle')
  certificates.write('deep.crt', certificates.read('deep.crt') + certificates.read('middle.crt'))
  const files = new Files(t)
  const tls: ListenerTls = { ...files.tls, ca: files.file('ca'), crl: files.file('crl'), clientCertificate: 'required' }
  const { listener, port } = await startBroker(t, { tls })
  t.equal((await visit(port, 'deep', 'TLSv1.3')).admitted, false, 'a list of the root alone')
  certificates.revoke('middle', [])
  writeFileSync(files.file('crl'), certificates.read('ca.crl') + certificates.read('middle.crl'))
  await listener.reload()
  t.equal((await visit(port, 'deep', 'TLSv1.3')).admitted, true)
  certificates.revoke('ca', ['middle'])
  writeFileSync(files.file('crl'), certificates.read('ca.crl') + certificates.read('middle.crl'))
  await listener.reload()
  t.equal((await visit(port, 'deep', 'TLSv1.3')).admitted, false, 'the authority between is revoked')
})

test('a listener without TLS has no files, and one that is not open or closed has nothing to read', async (t) => {
  const { listener } = await startBroker(t)
  t.strictSame(listener.files, [])
  await t.resolves(listener.reload())
  const files = new Files(t)
  const secure = await startBroker(t, { tls: files.tls })
  await secure.listener.close()
  secure.lines.text = ''
  files.use('expiring')
  await secure.listener.reload()
  t.equal(secure.lines.text, '')
})

// ---- a whole source ---------------------------------------------------------------------------------------------

/** A source with one TLS listener whose files lie in a volume as Kubernetes mounts it. */
async function startSource (t: Test, volume: string, every = 'PT0.02S'): Promise<{ source: Source, port: number }> {
  const source = createSource({
    env: {},
    settings: {
      listeners: [{ protocol: 'mqtts', port: 0, tls: { cert: join(volume, 'tls.crt'), key: join(volume, 'tls.key') } }],
      outbox: { store: 'memory' },
      http: { port: 0 },
      sink: { kind: 'http' },
      reload: { every },
      log: { level: 'silent' }
    }
  })
  t.teardown(() => source.close())
  await source.start()
  return { source, port: Number(source.addresses.listeners[0]!.address.split(':').at(-1)) }
}

/** Mounts the certificate of this name as Kubernetes does: a new directory, then `..data` swapped in one step. */
async function mount (volume: string, name: string): Promise<void> {
  const { cert, key } = texts(name)
  await mkdir(join(volume, `..${name}`))
  await writeFile(join(volume, `..${name}`, 'tls.crt'), cert)
  await writeFile(join(volume, `..${name}`, 'tls.key'), key)
  symlinkSync(`..${name}`, join(volume, '..data_tmp'))
  renameSync(join(volume, '..data_tmp'), join(volume, '..data'))
}

async function metric (source: Source, key: string): Promise<number | undefined> {
  const answer = await fetch(`http://${source.addresses.http}/metrics`)
  return sampleOf(parseMetrics(await answer.text()), `mqtt_broker_source_${key}`)
}

/** Waits until a metric has a value. */
async function metricIs (source: Source, key: string, value: number): Promise<void> {
  while (await metric(source, key) !== value) await new Promise((resolve) => { setTimeout(resolve, 5) })
}

const EXPIRY = 'tls_certificate_expiry_timestamp_seconds{listener="mqtts://127.0.0.1:0"}'

test('a secret that Kubernetes swaps is taken over by itself, and the expiry metric follows', async (t) => {
  const volume = t.testdir()
  await mount(volume, 'server')
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, join(volume, name))
  const { source, port } = await startSource(t, volume)
  t.equal(await metric(source, EXPIRY), expiryOf('server'))
  const old = await device(port)
  let closed = 0
  old.on('close', () => { closed++ })

  await mount(volume, 'renewed')
  rmSync(join(volume, '..server'), { recursive: true })
  await metricIs(source, 'reloads_total{what="tls",result="ok"}', 1)
  t.equal(await served(port), fingerprintOf('renewed'))
  t.equal(await metric(source, EXPIRY), expiryOf('renewed'))
  await old.publishAsync('a', 'still here', { qos: 1 })
  t.equal(closed, 0)
  await old.endAsync()
})

test('a pair of which one half has come keeps the old one in force until the other half comes', async (t) => {
  const volume = t.testdir({ 'tls.crt': texts('server').cert, 'tls.key': texts('server').key })
  const { source, port } = await startSource(t, volume)
  writeFileSync(join(volume, 'tls.crt'), texts('renewed').cert)
  await metricIs(source, 'reloads_total{what="tls",result="failed"}', 1)
  t.equal(await served(port), fingerprintOf('server'))
  writeFileSync(join(volume, 'tls.key'), texts('renewed').key)
  await metricIs(source, 'reloads_total{what="tls",result="ok"}', 1)
  t.equal(await served(port), fingerprintOf('renewed'))
  t.equal(await metric(source, 'reloads_total{what="tls",result="failed"}'), 1)
})

test('source.reload reads the files at once, also where nobody looks at them, and tells what it could not use', async (t) => {
  const volume = t.testdir({ 'tls.crt': texts('server').cert, 'tls.key': texts('server').key })
  const { source, port } = await startSource(t, volume, 'PT0S')
  writeFileSync(join(volume, 'tls.crt'), texts('renewed').cert)
  t.match(await source.reload(), [{ code: 'MBS_ERR_RELOAD_FAILED', message: /^The TLS files of the listener mqtts:.*mismatch/ }])
  t.equal(await served(port), fingerprintOf('server'))
  writeFileSync(join(volume, 'tls.key'), texts('renewed').key)
  t.strictSame(await source.reload(), [])
  t.equal(await served(port), fingerprintOf('renewed'))
  await source.close()
  t.strictSame(await source.reload(), [], 'nothing to do once it is closed')
})

test('the CA file of a sink is read again: deliveries go on when the sink has a certificate of another authority', async (t) => {
  const directory = t.testdir()
  const [before, after] = [createSinkCertificates(directory), createSinkCertificates(directory)]
  const file = join(directory, 'sink-ca.crt')
  writeFileSync(file, before.ca)
  const sink = await startHttpSink(t, { tls: { key: before.key, cert: before.cert } })
  const source = createSource({
    env: {},
    settings: {
      listeners: [{ port: 0 }],
      outbox: { store: 'memory' },
      http: { port: 0 },
      sink: { url: sink.url, ca: file },
      delivery: { backoffDelay: 'PT0.01S', backoffMax: 'PT0.05S' },
      reload: { every: 'PT0.02S' },
      log: { level: 'silent' }
    }
  })
  t.teardown(() => source.close())
  await source.start()
  const client = await connectAsync(`mqtt://${source.addresses.listeners[0]!.address}`, { reconnectPeriod: 0 })
  await client.publishAsync('a', '1', { qos: 1 })
  await sink.waitFor(1)

  sink.renew({ key: after.key, cert: after.cert })
  await client.publishAsync('a', '2', { qos: 1 })
  await metricIs(source, 'sink_up{sink="default"}', 0)
  writeFileSync(file, 'no certificate')
  await metricIs(source, 'reloads_total{what="sink-ca",result="failed"}', 1)
  writeFileSync(file, after.ca)
  await sink.waitFor(2)
  t.equal(sink.requests[1]!.body.toString(), '2')
  t.equal(await metric(source, 'reloads_total{what="sink-ca",result="ok"}'), 1)
  await client.endAsync()
})

test('a certificate that expires soon is warned about when it is taken over', async (t) => {
  const files = new Files(t)
  const { listener, lines } = await startBroker(t, { tls: files.tls })
  const warnings = () => lines.of('the certificate of this listener expires soon').length
  t.equal(warnings(), 0)
  files.use('expiring')
  await listener.reload()
  t.equal(warnings(), 1)
})

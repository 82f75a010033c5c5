/** Where Redis is: behind Sentinels and in a Cluster with TLS, in a database with a number; and where it is not. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import root, { test, type Test } from 'tap'
import { stringify } from 'yaml'
import { RedisLink, type RedisSettings } from '../../lib/redis/link.ts'
import { createCertificates, type Certificates } from '../support/certs.ts'
import { known, startPod } from '../support/pods.ts'
import { spawnProgram } from '../support/process.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { RedisServer, startCluster, startRedis, startWatched, type ServerTls } from '../support/redis.ts'

const TIMEOUT_MS = 500

/** Not the directory of the test, where the servers are. */
function certificatesFor (t: Test): Certificates {
  const directory = mkdtempSync(join(tmpdir(), 'mqtt-broker-source-'))
  t.teardown(() => { rmSync(directory, { recursive: true }) })
  return createCertificates(directory)
}

function serverTls (certs: Certificates): ServerTls {
  const [ca, cert, key] = ['ca.crt', 'server.crt', 'server.key'].map((name) => certs.file(name)) as [string, string, string]
  return {
    settings: { 'tls-ca-cert-file': ca, 'tls-cert-file': cert, 'tls-key-file': key },
    access: { tls: { ca: certs.read('ca.crt'), cert: certs.read('server.crt'), key: certs.read('server.key') } },
    cli: ['--tls', '--cacert', ca, '--cert', cert, '--key', key]
  }
}

function clientTls (certs: Certificates) {
  return { ca: certs.file('ca.crt'), cert: certs.file('client.crt'), key: certs.file('client.key') }
}

function linkTo (t: Test, settings: Partial<RedisSettings>): RedisLink {
  const link = new RedisLink({ settings: { ...settings, timeout: TIMEOUT_MS }, onError: () => {}, onReady: () => {} })
  t.teardown(() => { link.close() })
  return link
}

/** What connecting fails with. */
async function failure (
  t: Test, settings: Partial<RedisSettings>, waitMs = 4 * TIMEOUT_MS
): Promise<{ code: string, message: string }> {
  return await linkTo(t, settings).connect(waitMs).then(() => ({ code: 'none', message: 'it is connected' }), (error: unknown) =>
    error as { code: string, message: string })
}

/** A session of one broker gets at another one what waited for it, and a live message: all that sessions ask for. */
async function shares (t: Test, place: Partial<RedisSettings>): Promise<void> {
  const [a, b] = [await startPod(t, place, 'tls:'), await startPod(t, place, 'tls:')]
  const device = await RawMqtt.open(a.port, { clientId: 'device', clean: false })
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 1 }] })
  await device.next('suback')
  device.abort()
  await device.closed
  await known([b], 'x')
  const sender = await RawMqtt.open(a.port, { clientId: 'sender' })
  sender.publish({ topic: 'x', payload: 'waited', qos: 1, messageId: 1 })
  await sender.next('puback')
  const back = await RawMqtt.open(b.port, { clientId: 'device', clean: false })
  t.equal((await back.next('publish')).payload.toString(), 'waited')
  sender.publish({ topic: 'x', payload: 'live', qos: 1, messageId: 2 })
  t.equal((await back.next('publish')).payload.toString(), 'live')
}

/** Much of it waits for servers, and for what is given up after 15 seconds. */
const BESIDE = { buffered: true } as const
root.jobs = 4

test('Sentinels and what they watch, all of it with TLS and client certificates', BESIDE, async (t) => {
  const certs = certificatesFor(t)
  const { sentinels } = await startWatched(t, undefined, serverTls(certs))
  const sentinel = { master: 'mymaster', nodes: sentinels }
  await shares(t, { sentinel, tls: clientTls(certs) })
  const stranger = await failure(t, { sentinel, tls: { ...clientTls(certs), ca: certs.file('other-ca.crt') } })
  t.equal(stranger.code, 'MBS_ERR_REDIS_CONNECT')
  t.match(stranger.message, /certificate/)
})

test('a Cluster with TLS and client certificates', BESIDE, async (t) => {
  const certs = certificatesFor(t)
  const nodes = (await startCluster(t, 0, serverTls(certs))).map(({ port }) => `127.0.0.1:${port}`)
  await shares(t, { cluster: { nodes }, tls: clientTls(certs) })
  const stranger = await failure(t, { cluster: { nodes }, tls: { ...clientTls(certs), ca: certs.file('other-ca.crt') } })
  t.equal(stranger.code, 'MBS_ERR_REDIS_CONNECT')
  t.match(stranger.message, /certificate/)
  const plain = await failure(t, { cluster: { nodes } })
  t.equal(plain.code, 'MBS_ERR_REDIS_CONNECT')
  t.match(plain.message, /wants TLS/)
})

test('a server, Sentinels and a Cluster without TLS are told where TLS is wanted', BESIDE, async (t) => {
  const redis = await startRedis(t)
  const nodes = [`127.0.0.1:${redis.port}`]
  const places: ReadonlyArray<Partial<RedisSettings>> = [
    { url: redis.url.replace('redis:', 'rediss:') }, { sentinel: { master: 'm', nodes }, tls: {} }, { cluster: { nodes }, tls: {} }
  ]
  for (const place of places) {
    const error = await failure(t, place)
    t.equal(error.code, 'MBS_ERR_REDIS_CONNECT')
    t.match(error.message, /no answer to TLS/, error.message)
  }
})

test('a file that holds no certificate or key is told at once, and not taken for none', BESIDE, async (t) => {
  const certs = certificatesFor(t)
  const text = certs.write('text', 'hello')
  const url = 'rediss://127.0.0.1:1'
  for (const name of ['ca', 'cert', 'key']) {
    const error = await failure(t, { url, tls: { ...clientTls(certs), [name]: text } }, 60_000)
    t.equal(error.code, 'MBS_ERR_REDIS_FILE', name)
    t.match(error.message, text)
  }
  const error = await failure(t, { url, tls: { ...clientTls(certs), key: certs.file('server.key') } }, 60_000)
  t.equal(error.code, 'MBS_ERR_REDIS_FILE', error.message)
})

test('a program that cannot trust Redis ends with the reason, and check names a file that is not there', BESIDE, async (t) => {
  const certs = certificatesFor(t)
  const { settings, access } = serverTls(certs)
  const redis = await startRedis(t, Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]), access)
  const configFor = (name: string, ca: string, stores: object): string => certs.write(name, stringify({
    ...stores,
    dataDir: certs.file('.'),
    redis: { url: `rediss://127.0.0.1:${redis.port}`, tls: { ...clientTls(certs), ca } },
    listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port: 0 }],
    http: { host: '127.0.0.1', port: 0 }
  }))
  const stores = [{ outbox: { store: 'redis' } }, { broker: { sessions: 'redis' }, dataDir: certs.file('sessions') }]
  await Promise.all(stores.map(async (store, at) => {
    const program = spawnProgram(t, ['run', '--config', configFor(`run-${at}.yaml`, certs.file('other-ca.crt'), store)])
    t.equal((await program.exited).code, 1)
    t.match(program.stderr, /MBS_ERR_REDIS_CONNECT/)
    t.match(program.stderr, /certificate/)
  }))
  const good = spawnProgram(t, ['check', '--config', configFor('good.yaml', certs.file('ca.crt'), stores[0]!)])
  t.equal((await good.exited).code, 0, good.stderr)
  const bad = spawnProgram(t, ['check', '--config', configFor('bad.yaml', certs.file('none.crt'), stores[0]!)])
  t.equal((await bad.exited).code, 78)
  t.match(bad.stderr, /redis\.tls\.ca/)
  t.match(bad.stderr, /MBS_ERR_REDIS_FILE/)
})

test('a Sentinel that is connected and says nothing is passed over', BESIDE, async (t) => {
  const { sentinels, watchers } = await startWatched(t)
  watchers[0]!.pause()
  t.teardown(() => { watchers[0]!.resume() })
  const client = await linkTo(t, { sentinel: { master: 'mymaster', nodes: sentinels } }).connect(20 * TIMEOUT_MS)
  t.equal(await client.set('a', '1'), 'OK')
  const unknown = await failure(t, { sentinel: { master: 'other', nodes: sentinels.slice(1) } })
  t.equal(unknown.code, 'MBS_ERR_REDIS_CONNECT')
  t.match(unknown.message, /No such master/)
  const nobody = await failure(t, { sentinel: { master: 'mymaster', nodes: ['127.0.0.1:1'] } })
  t.equal(nobody.code, 'MBS_ERR_REDIS_CONNECT')
  t.match(nobody.message, /ECONNREFUSED/, nobody.message)
})

test('a database that the server has not got is refused, and no other one taken for it', BESIDE, async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  const url = `${redis.url}/99`
  const error = await failure(t, { url }, 60_000)
  t.equal(error.code, 'MBS_ERR_REDIS_DATABASE')
  t.match(error.message, /out of range/)
  const directory = mkdtempSync(join(tmpdir(), 'mqtt-broker-source-'))
  t.teardown(() => { rmSync(directory, { recursive: true }) })
  const certs = createCertificates(directory)
  for (const settings of [{ outbox: { store: 'redis' } }, { broker: { sessions: 'redis' } }]) {
    const config = certs.write('config.yaml', stringify({
      ...settings,
      dataDir: directory,
      redis: { url },
      listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port: 0 }],
      http: { host: '127.0.0.1', port: 0 }
    }))
    const program = spawnProgram(t, ['run', '--config', config])
    t.equal((await program.exited).code, 78, Object.keys(settings).join())
    t.match(program.stderr, /MBS_ERR_REDIS_DATABASE/)
  }
  t.strictSame(await client.keys('*'), [])

  // A server that came back with fewer of them.
  const link = linkTo(t, { url: `${redis.url}/15` })
  const connected = await link.connect(4 * TIMEOUT_MS)
  await connected.set('here', '1')
  await redis.kill()
  const fewer = new RedisServer(directory, redis.port, ['--port', String(redis.port), '--databases', '4', '--save', ''])
  t.teardown(() => fewer.kill())
  const refused = new Promise<void>((resolve) => {
    connected.on('error', (error: Error) => { if (error.message.includes('out of range')) resolve() })
  })
  await fewer.start()
  const seen = fewer.client(t)
  await refused
  for (let tries = 0; tries < 20; tries++) {
    await connected.set('here', '1').catch(() => {})
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
  t.strictSame(await seen.keys('*'), [], 'nothing is written to another one meanwhile')
})

test('groups in two databases with one prefix do not hear each other', BESIDE, async (t) => {
  const redis = await startRedis(t)
  const first = await startPod(t, { url: redis.url }, 'one:')
  const [second, also] = [await startPod(t, { url: `${redis.url}/2` }, 'one:'), await startPod(t, { url: `${redis.url}/2` }, 'one:')]
  const heard: RawMqtt[] = []
  for (const { port } of [first, second, also]) {
    const device = await RawMqtt.open(port, { clientId: 'device' })
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
    await device.next('suback')
    heard.push(device)
  }
  const [there, , here] = heard as [RawMqtt, RawMqtt, RawMqtt]
  t.equal(there.isClosed, false, 'a client identifier is taken in its own group alone')
  for (const [port, payload] of [[second.port, 'of the second'], [first.port, 'of the first']] as const) {
    const sender = await RawMqtt.open(port, { clientId: `sender ${payload}` })
    sender.publish({ topic: 'x', payload, qos: 1, messageId: 1 })
    await sender.next('puback')
  }
  t.equal((await here.next('publish')).payload.toString(), 'of the second', 'another program of its group hears it')
  t.equal((await there.next('publish')).payload.toString(), 'of the first', 'and what came before was not for this one')
})

/** How program and Redis prove themselves to each other: TLS, users, Sentinels; and the number of a database. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { RedisLink, type RedisSettings } from '../../lib/redis/link.ts'
import { Certificates } from '../support/certs.ts'
import { CrashSink } from '../support/crash-sink.ts'
import { startProgram, type Program } from '../support/process.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis, startWatched } from '../support/redis.ts'

const TIMEOUT_MS = 3000

/** Not the directory of the test, where the server is. */
function files (t: Test): Certificates {
  const directory = mkdtempSync(join(tmpdir(), 'mqtt-broker-source-'))
  t.teardown(() => { rmSync(directory, { recursive: true }) })
  return new Certificates(directory)
}

function certificatesFor (t: Test): Certificates {
  const certs = files(t)
  for (const name of ['ca', 'other']) certs.authority(name)
  certs.issue('server', 'ca')
  certs.issue('named', 'ca', { names: 'DNS:redis.example' })
  certs.issue('client', 'ca')
  return certs
}

function serverArgs (certs: Certificates, name = 'server'): string[] {
  return [
    '--tls-cert-file', certs.file(`${name}.crt`), '--tls-key-file', certs.file(`${name}.key`),
    '--tls-ca-cert-file', certs.file('ca.crt')
  ]
}

function clientTls (certs: Certificates) {
  return { ca: certs.file('ca.crt'), cert: certs.file('client.crt'), key: certs.file('client.key') }
}

function probeTls (certs: Certificates) {
  const [ca, cert, key] = ['ca.crt', 'client.crt', 'client.key'].map((name) => certs.read(name)) as [string, string, string]
  return { ca, cert, key, checkServerIdentity: () => undefined }
}

/** A session that is away gets what was published, and the sink its event: all that the program asks of Redis. */
async function works (t: Test, redis: object): Promise<Program> {
  const sink = new CrashSink(Math.random)
  const url = await sink.start()
  t.teardown(async () => { await sink.close() })
  const program = await startProgram(t, {
    name: 'group',
    listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port: 0 }],
    http: { host: '127.0.0.1', port: 0 },
    broker: { sessions: 'redis' },
    outbox: { store: 'redis', partitions: 2 },
    redis: { timeout: 'PT1S', ...redis },
    sink: { kind: 'http', url },
    log: { level: 'info', format: 'json' }
  })
  const port = program.port('mqtt')
  const device = await RawMqtt.open(port, { clientId: 'device', clean: false })
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 1 }] })
  await device.next('suback')
  device.abort()
  await device.closed
  const sender = await RawMqtt.open(port, { clientId: 'sender' })
  sender.publish({ topic: 'x', payload: '{"number":1}', qos: 1, messageId: 1 })
  await sender.next('puback')
  await sink.until(() => sink.taken.length > 0)
  const back = await RawMqtt.open(port, { clientId: 'device', clean: false })
  t.equal((await back.next('publish')).payload.toString(), '{"number":1}')
  for (const client of [sender, back]) client.abort()
  return program
}

/** What connecting fails with. */
async function failure (t: Test, settings: Partial<RedisSettings>): Promise<{ code: string, message: string }> {
  const link = new RedisLink({ settings: { ...settings, timeout: TIMEOUT_MS }, onError: () => {}, onReady: () => {} })
  t.teardown(() => { link.close() })
  return await link.connect(TIMEOUT_MS).then(() => ({ code: 'none', message: 'it is connected' }), (error: unknown) =>
    error as { code: string, message: string })
}

test('TLS with a client certificate, a user, and the number of a database', async (t) => {
  const certs = certificatesFor(t)
  const passwordFile = certs.write('password', 'secret of the user\n')
  const redis = await startRedis(t, serverArgs(certs), { tls: probeTls(certs) })
  const client = redis.client(t)
  await client.call('ACL', 'SETUSER', 'mbs', 'on', '>secret of the user', '~*', '&*', '+@all')
  await client.call('ACL', 'SETUSER', 'default', 'off')
  const settings = { url: `rediss://127.0.0.1:${redis.port}/3`, tls: clientTls(certs), username: 'mbs', passwordFile }
  const program = await works(t, settings)
  await client.select(3)
  t.ok(await client.dbsize() > 3, 'its keys are in that database')
  await client.select(0)
  t.equal(await client.dbsize(), 0, 'and in no other')
  t.equal(await program.stop(), 0)

  const url = settings.url
  const cases: ReadonlyArray<readonly [string, Partial<RedisSettings>, string, RegExp]> = [
    ['an unknown authority', { url, tls: { ...settings.tls, ca: certs.file('other.crt') } }, 'MBS_ERR_REDIS_CONNECT', /certificate/],
    ['no authority', { url }, 'MBS_ERR_REDIS_CONNECT', /certificate/],
    ['no client certificate', { url, tls: { ca: settings.tls.ca } }, 'MBS_ERR_REDIS_CONNECT', /client certificate|certificate required|ECONNRESET/],
    ['no TLS', { url: url.replace('rediss', 'redis') }, 'MBS_ERR_REDIS_CONNECT', /wants TLS/],
    ['a file that is not there', { url, tls: { ...settings.tls, ca: certs.file('none.crt') } }, 'MBS_ERR_REDIS_FILE', /none\.crt/],
    ['another password', { ...settings, passwordFile: certs.write('wrong', 'wrong') }, 'MBS_ERR_REDIS_AUTH', /WRONGPASS/],
    ['no password', { url, tls: settings.tls }, 'MBS_ERR_REDIS_AUTH', /NOAUTH/],
    ['a password file that is empty', { ...settings, passwordFile: certs.write('empty', '\n') }, 'MBS_ERR_REDIS_FILE', /empty/]
  ]
  for (const [name, given, code, reason] of cases) {
    const error = await failure(t, given)
    t.equal(error.code, code, name)
    t.match(error.message, reason, `${name}: ${error.message}`)
  }
})

test('a certificate for another name needs servername, and a server without TLS is told', async (t) => {
  const certs = certificatesFor(t)
  const redis = await startRedis(t, serverArgs(certs, 'named'), { tls: probeTls(certs) })
  const url = `rediss://127.0.0.1:${redis.port}`
  const error = await failure(t, { url, tls: clientTls(certs) })
  t.equal(error.code, 'MBS_ERR_REDIS_CONNECT')
  t.match(error.message, /IP|altname/)
  await works(t, { url, tls: { ...clientTls(certs), servername: 'redis.example' } })
})

test('Sentinels with a user and a password of their own', async (t) => {
  const passwords = { server: 'of-the-server', sentinelUser: 'watcher', sentinel: 'of-the-sentinel' }
  const { sentinels } = await startWatched(t, passwords)
  const certs = files(t)
  const passwordFile = certs.write('server', passwords.server)
  const sentinel = {
    master: 'mymaster', nodes: sentinels, username: passwords.sentinelUser, passwordFile: certs.write('sentinel', passwords.sentinel)
  }
  const wrong = certs.write('wrong', 'wrong')
  const without = await failure(t, { sentinel: { master: 'mymaster', nodes: sentinels }, passwordFile })
  t.equal(without.code, 'MBS_ERR_REDIS_AUTH', without.message)
  const another = await failure(t, { sentinel: { ...sentinel, passwordFile: wrong }, passwordFile })
  t.equal(another.code, 'MBS_ERR_REDIS_AUTH', another.message)
  const inner = await failure(t, { sentinel, passwordFile: wrong })
  t.equal(inner.code, 'MBS_ERR_REDIS_AUTH', inner.message)
  await works(t, { sentinel, passwordFile })
})

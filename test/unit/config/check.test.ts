import { test } from 'tap'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkConfig } from '../../../lib/config/check.ts'
import { createCertificates, makeCertificate } from '../../support/certs.ts'

const check = (settings: object, now?: number) => checkConfig({ env: {}, settings }, now)
const mqtts = (tls: object) => ({ listeners: [{ protocol: 'mqtts', tls }] })
const mistakes = (settings: object) => check(settings).problems.map(({ path, error }) => [path, error?.code])

test('a configuration whose files fit has no mistakes, and comes back loaded', async (t) => {
  const { cert, key } = makeCertificate(t.testdir(), 'gateway')
  const { problems, warnings, loaded } = check({
    ...mqtts({ cert, key, ca: cert, clientCertificate: 'required' }),
    sink: { url: 'https://host/', ca: cert },
    delivery: { deadLetterSink: { url: 'https://host/', ca: cert } }
  })
  t.strictSame(problems, [])
  t.strictSame(warnings, [])
  t.equal(loaded?.config.listeners[0]?.tls?.cert, cert)
})

test('mistakes of the configuration itself come first, as a value', async (t) => {
  const { problems, loaded } = check({ ...mqtts({ cert: '/nowhere', key: '/nowhere' }), limit: {} })
  t.strictSame(problems.map(({ path }) => path), ['limit'])
  t.equal(loaded, undefined)
})

test('a TLS file that is missing, empty or something else is a mistake at its setting', async (t) => {
  const directory = t.testdir({ empty: '', text: 'hello' })
  const { cert, key } = makeCertificate(directory, 'gateway')
  for (const bad of [join(directory, 'missing'), join(directory, 'empty'), join(directory, 'text'), directory]) {
    t.strictSame(mistakes(mqtts({ cert: bad, key })), [['listeners[0].tls.cert', 'MBS_ERR_LISTENER_TLS']], bad)
    t.strictSame(mistakes(mqtts({ cert, key: bad })), [['listeners[0].tls.key', 'MBS_ERR_LISTENER_TLS']], bad)
    t.strictSame(mistakes(mqtts({ cert, key, ca: bad, clientCertificate: 'optional' })), [['listeners[0].tls.ca', 'MBS_ERR_LISTENER_TLS']], bad)
    t.strictSame(mistakes({ sink: { url: 'https://host/', ca: bad } }), [['sink.ca', 'MBS_ERR_SINK_CA']], bad)
    t.strictSame(mistakes({ delivery: { deadLetterSink: { url: 'https://host/', ca: bad } } }), [['delivery.deadLetterSink.ca', 'MBS_ERR_SINK_CA']], bad)
  }
})

test('all files are looked at, also after the first mistake', async (t) => {
  t.strictSame(mistakes({ ...mqtts({ cert: '/no1', key: '/no2', ca: '/no3', clientCertificate: 'required' }), sink: { ca: '/no4' } }).map(([path]) => path),
    ['listeners[0].tls.ca', 'listeners[0].tls.cert', 'listeners[0].tls.key', 'sink.ca'])
})

test('key and certificate have to belong together', async (t) => {
  const directory = t.testdir()
  const a = makeCertificate(directory, 'a')
  const b = makeCertificate(directory, 'b')
  const [problem] = check(mqtts({ cert: a.cert, key: b.key })).problems
  t.match(problem, { path: 'listeners[0].tls.key', origin: 'settings' })
  t.match(problem?.error?.message, /do not belong together/)
})

test('an encrypted key is a mistake: nobody is there to type its password', async (t) => {
  const directory = t.testdir()
  const { cert, key } = makeCertificate(directory, 'a')
  const encrypted = join(directory, 'encrypted.key')
  execFileSync('openssl', ['pkey', '-in', key, '-aes128', '-passout', 'pass:secret', '-out', encrypted], { stdio: 'pipe' })
  t.strictSame(mistakes(mqtts({ cert, key: encrypted })), [['listeners[0].tls.key', 'MBS_ERR_LISTENER_TLS']])
})

test('a key that is too weak for TLS is told before a device finds out', async (t) => {
  const directory = t.testdir()
  const [cert, key] = [join(directory, 'weak.crt'), join(directory, 'weak.key')]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:512', '-nodes', '-subj', '/CN=weak', '-keyout', key, '-out', cert], { stdio: 'pipe' })
  t.strictSame(mistakes(mqtts({ cert, key })), [['listeners[0].tls.key', 'MBS_ERR_LISTENER_TLS']])
})

test('a revocation list that is missing, empty or something else is a mistake at its setting', async (t) => {
  const directory = t.testdir({ empty: '', text: 'hello' })
  const { cert, key } = makeCertificate(directory, 'gateway')
  const tls = { cert, key, ca: cert, clientCertificate: 'required' }
  for (const bad of [join(directory, 'missing'), join(directory, 'empty'), join(directory, 'text'), cert]) {
    t.strictSame(mistakes(mqtts({ ...tls, crl: bad })), [['listeners[0].tls.crl', 'MBS_ERR_LISTENER_TLS']], bad)
  }
})

test('a revocation list that locks devices out is warned about', async (t) => {
  const certificates = createCertificates(t.testdir())
  const [cert, key] = [certificates.file('server.crt'), certificates.file('server.key')]
  const ca = certificates.write('both.crt', certificates.read('ca.crt') + certificates.read('other-ca.crt'))
  const warnings = (crl: string) => check(mqtts({ cert, key, ca, crl, clientCertificate: 'required' })).warnings
  const own = certificates.revoke('ca', ['client'])
  t.match(warnings(own), [/listeners\[0\]\.tls\.crl has no list of the CA CN=other-ca/])
  certificates.revoke('other-ca', [])
  t.strictSame(warnings(certificates.write('both.crl', certificates.read('ca.crl') + certificates.read('other-ca.crl'))), [])
  certificates.revoke('other-ca', [], { expired: true })
  t.match(warnings(certificates.write('both.crl', certificates.read('ca.crl') + certificates.read('other-ca.crl'))),
    [/tls\.crl expired at 2020-01-02T00:00:00\.000Z/])
})

test('a certificate outside of its time is warned about', async (t) => {
  const { cert, key } = makeCertificate(t.testdir(), 'a')
  const dayMs = 86_400_000
  t.match(check(mqtts({ cert, key }), Date.now() + 3 * dayMs).warnings, [/listeners\[0\]\.tls\.cert expired at/])
  const early = check(mqtts({ cert, key }), Date.now() - 3 * dayMs)
  t.match(early.warnings, [/is not valid before/])
  t.match(early.loaded?.warnings, [/is not valid before/])
})

test('key material never shows up in a mistake', async (t) => {
  const directory = t.testdir()
  const { cert, key } = makeCertificate(directory, 'a')
  rmSync(cert)
  writeFileSync(cert, '-----BEGIN CERTIFICATE-----\nc2VzYW1l\n-----END CERTIFICATE-----\n')
  const { problems } = check(mqtts({ cert, key }))
  t.equal(problems.length, 1)
  t.notMatch(JSON.stringify(problems.map(({ error, ...problem }) => [problem, error?.message])), /c2VzYW1l|sesame/)
})

test('the keys of tokens have to be public keys, in a file that can be read', async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = publicKey.export({ format: 'jwk' })
  const privateJwk = privateKey.export({ format: 'jwk' })
  const directory = t.testdir({
    'good.json': JSON.stringify({ keys: [{ kty: 'new' }, jwk] }),
    'good.pem': publicKey.export({ format: 'pem', type: 'spki' }),
    'private.json': JSON.stringify({ keys: [privateJwk] }),
    'private.pem': privateKey.export({ format: 'pem', type: 'pkcs8' }),
    text: 'hello',
    'empty.json': '{"keys":[]}',
    'list.json': '[]'
  })
  const jwt = (settings: object) => ({ access: { jwt: { audience: 'mqtt', ...settings } } })
  t.strictSame(mistakes(jwt({ jwks: join(directory, 'good.json') })), [])
  t.strictSame(mistakes(jwt({ publicKey: join(directory, 'good.pem') })), [])
  t.strictSame(mistakes(jwt({ jwks: 'https://127.0.0.1:1/' })), [], 'a URL is not asked')
  for (const name of ['private.json', 'text', 'empty.json', 'list.json', 'missing']) {
    t.strictSame(mistakes(jwt({ jwks: join(directory, name) })), [['access.jwt.jwks', 'MBS_ERR_ACCESS_KEYS']], name)
  }
  for (const name of ['private.pem', 'text', 'good.json', 'missing']) {
    t.strictSame(mistakes(jwt({ publicKey: join(directory, name) })), [['access.jwt.publicKey', 'MBS_ERR_ACCESS_KEYS']], name)
  }
  const { problems } = check(jwt({ jwks: join(directory, 'private.json') }))
  t.notMatch(JSON.stringify(problems), privateJwk.d as string)
})

test('the bearer token of the hook has to be one, and is not repeated', async (t) => {
  const directory = t.testdir({ good: 'abc\n', bad: 'hunter2 hunter2', empty: '' })
  const hook = (name: string) => ({ access: { http: { url: 'https://host/', tokenFile: join(directory, name) } } })
  t.strictSame(mistakes(hook('good')), [])
  for (const name of ['bad', 'empty', 'missing']) {
    t.strictSame(mistakes(hook(name)), [['access.http.tokenFile', 'MBS_ERR_ACCESS_HOOK']], name)
    t.notMatch(JSON.stringify(check(hook(name)).problems), 'hunter2')
  }
})

import { test, type Test } from 'tap'
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FileKeys, MAX_JWKS_BYTES, RemoteKeys, type RemoteKeysOptions } from '../../../lib/access/jwks.ts'
import { parseJwks, parsePublicKey } from '../../../lib/access/token-keys.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'
import { drip, flood, json, startAskedService, type AskedService } from '../../support/asked-service.ts'
import { ecKeys, jwkOf, never, pemOf, rsaKeys } from '../../support/tokens.ts'

const a = ecKeys()
const b = ecKeys()
const setOf = (...kids: string[]) => ({ keys: kids.map((kid) => jwkOf(kid.startsWith('b') ? b : a, { kid })) })

async function startRemote (t: Test, options: Partial<RemoteKeysOptions> = {}) {
  const service = await startAskedService(t)
  const { telemetry, lines } = createTestTelemetry()
  const clock = { ms: 0 }
  const keys = new RemoteKeys({
    url: `${service.url}keys?secret=hunter2`,
    algorithms: ['ES256'],
    timeoutMs: 2000,
    refreshMs: 600_000,
    cooldownMs: 30_000,
    maxAgeMs: 3_600_000,
    telemetry,
    monotonic: () => clock.ms,
    ...options
  })
  const find = async (kid: string) => (await keys.find(kid, 'ES256', never)).kind
  return { service, keys, find, clock, lines }
}

test('keys are asked for once, when they are first needed, and then remembered', async (t) => {
  const { service, find } = await startRemote(t)
  service.answer = json(setOf('a-1'))
  t.strictSame(await Promise.all([find('a-1'), find('a-1'), find('a-1')]), ['found', 'found', 'found'])
  t.equal(await find('a-1'), 'found')
  t.equal(service.questions.length, 1)
  t.match(service.questions[0], { method: 'GET', headers: { accept: /jwk-set\+json/ } })
})

test('an unknown key asks again, and a new one is found; not more often than the cooldown allows', async (t) => {
  const { service, find, clock } = await startRemote(t)
  service.answer = json(setOf('a-1'))
  t.equal(await find('b-2'), 'unknown')
  t.equal(service.questions.length, 1, 'the first answer is new enough')
  service.answer = json(setOf('a-1', 'b-2'))
  clock.ms = 29_999
  t.equal(await find('b-2'), 'unknown')
  t.equal(service.questions.length, 1)
  clock.ms = 30_000
  t.equal(await find('b-2'), 'found')
  t.equal(service.questions.length, 2)
})

test('a flood of tokens with unknown keys costs one request in a cooldown', async (t) => {
  const { service, find, clock } = await startRemote(t)
  service.answer = json(setOf('a-1'))
  for (const at of [0, 10_000, 30_000, 40_000, 60_000]) {
    clock.ms = at
    await Promise.all(Array.from({ length: 500 }, (_, n) => find(`unknown-${at}-${n}`)))
  }
  t.equal(service.questions.length, 3)
  t.equal(await find('a-1'), 'found')
})

test('keys that are withdrawn are good until the next refresh', async (t) => {
  const { service, find, clock } = await startRemote(t)
  service.answer = json(setOf('a-1', 'b-2'))
  t.equal(await find('a-1'), 'found')
  service.answer = json(setOf('b-2'))
  clock.ms = 599_999
  t.equal(await find('a-1'), 'found')
  clock.ms = 600_000
  t.equal(await find('a-1'), 'unknown')
  t.equal(await find('b-2'), 'found')
  t.equal(service.questions.length, 2)
})

test('while the URL does not answer, its keys stay in force until they are too old', async (t) => {
  const { service, find, clock, lines } = await startRemote(t)
  service.answer = json(setOf('a-1'))
  t.equal(await find('a-1'), 'found')
  service.answer = (response) => { response.writeHead(503).end() }
  clock.ms = 700_000
  t.equal(await find('a-1'), 'found')
  t.equal(service.questions.length, 2)
  t.equal(await find('b-2'), 'unavailable', 'nobody knows whether it is a new one')
  t.equal(service.questions.length, 2, 'the cooldown holds after a failure, too')
  await service.stop()
  clock.ms = 3_599_999
  t.equal(await find('a-1'), 'found')
  clock.ms = 3_700_000
  t.equal(await find('a-1'), 'unavailable')
  t.match(lines.objects.filter(({ code }) => code === 'MBS_ERR_ACCESS_KEYS'), [
    { level: 'warn', inForce: true, msg: /503/ }, { level: 'error', inForce: false, msg: /ECONNREFUSED/ }
  ])
  t.notMatch(lines.text, 'hunter2', 'the query is not in the log')
})

const uselessAnswers: Record<string, AskedService['answer']> = {
  'a redirect': (response) => { response.writeHead(302, { location: '/elsewhere' }).end() },
  'no JSON': (response) => { response.end('<html>') },
  'no JWK Set': json([]),
  'no usable key': json({ keys: [{ kty: 'oct', k: 'c2VjcmV0', kid: 'a-1' }] }),
  'an answer that never ends': drip,
  'a socket that breaks': (response) => { response.socket?.destroy() },
  'an answer that breaks off': (response) => {
    response.writeHead(200, { 'content-length': '100000' }).write(JSON.stringify(setOf('a-1')), () => { response.socket?.destroy() })
  },
  'an empty set': json({ keys: [] }),
  'too many keys': json({ keys: Array.from({ length: 257 }, () => jwkOf(a)) })
}

for (const [name, answer] of Object.entries(uselessAnswers)) {
  test(`${name} brings no keys, and leaves the old ones in force`, async (t) => {
    const { service, find, keys } = await startRemote(t, { timeoutMs: 300 })
    service.answer = answer
    t.equal(await find('a-1'), 'unavailable')
    service.answer = json(setOf('a-1'))
    await keys.reload()
    service.answer = answer
    await keys.reload()
    t.equal(await find('a-1'), 'found')
    t.equal(service.questions.length, 3, 'no redirect was followed')
  })
}

test('of a set without end little more is read than is allowed', async (t) => {
  const { service, find } = await startRemote(t, { timeoutMs: 10_000 })
  const sent = { bytes: 0 }
  service.answer = flood(sent)
  t.equal(await find('a-1'), 'unavailable')
  t.ok(sent.bytes < MAX_JWKS_BYTES + 64 * 1024 ** 2, `${sent.bytes} bytes were sent`)
})

test('who no longer waits is let go; the request goes on for the others', async (t) => {
  const { service, keys, find } = await startRemote(t)
  let answer = () => {}
  service.answer = (response, question, index) => { answer = () => { json(setOf('a-1'))(response, question, index) } }
  const controller = new AbortController()
  const gone = keys.find('a-1', 'ES256', controller.signal)
  const patient = find('a-1')
  await service.asked(1)
  controller.abort()
  t.equal((await gone).kind, 'unavailable')
  answer()
  t.equal(await patient, 'found')
  t.equal((await keys.find('a-1', 'ES256', controller.signal)).kind, 'found')
  t.equal(service.questions.length, 1)
})

test('reload asks at once, and says nothing of a URL that is away', async (t) => {
  const { service, keys, find } = await startRemote(t)
  await keys.reload()
  t.equal(await find('a-1'), 'unavailable')
  service.answer = json(setOf('a-1'))
  await keys.reload()
  t.equal(await find('a-1'), 'found')
  t.equal(service.questions.length, 2)
})

test('a file is read at reload; one that is broken leaves the old keys in force', async (t) => {
  const file = join(t.testdir(), 'keys.json')
  const keys = new FileKeys(file, (text) => parseJwks(text, ['ES256']), createTestTelemetry().telemetry)
  const find = async (kid: string) => (await keys.find(kid, 'ES256')).kind
  t.equal(await find('a-1'), 'unavailable')
  await t.rejects(keys.reload(), { code: 'MBS_ERR_ACCESS_KEYS', message: /ENOENT/ })
  writeFileSync(file, JSON.stringify(setOf('a-1')))
  await keys.reload()
  t.equal(await find('a-1'), 'found')
  for (const broken of ['', '{', '{}', '{"keys":[]}', '{"keys":{}}', 'null', '{"hunter2":', ' '.repeat(MAX_JWKS_BYTES + 1)]) {
    writeFileSync(file, broken)
    const error = await keys.reload().then(() => undefined, (thrown: unknown) => thrown)
    t.match(error, { code: 'MBS_ERR_ACCESS_KEYS', details: { source: file } }, broken.slice(0, 20))
    t.notMatch(String(error) + JSON.stringify(error), 'hunter2')
    t.equal(await find('a-1'), 'found')
  }
  writeFileSync(file, JSON.stringify(setOf('b-2')))
  await keys.reload()
  t.strictSame([await find('a-1'), await find('b-2')], ['unknown', 'found'])
  rmSync(file)
  await t.rejects(keys.reload(), { code: 'MBS_ERR_ACCESS_KEYS' })
  t.equal(await find('b-2'), 'found')
})

test('a static key is public, PEM, and fits an algorithm that is allowed', async (t) => {
  const parse = (text: string) => parsePublicKey(text, ['ES256', 'RS256'])
  t.equal(parse(pemOf(a)).candidates('any', 'ES256').length, 1)
  t.equal(parse(pemOf(a)).candidates(undefined, 'RS256').length, 0)
  t.throws(() => parse(a.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string), /private key/)
  t.throws(() => parse('hunter2'), /not PEM/)
  t.throws(() => parse('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'))
  t.throws(() => parse(pemOf(rsaKeys(1024))), /it has 1024 bits, and 2048 are needed/)
  t.throws(() => parse(pemOf(ecKeys('P-384'))), /it is made for ES384, of which access\.jwt\.algorithms has none/)
})

test('the key of a certificate does, too', async (t) => {
  const directory = t.testdir()
  const pem = execFileSync('openssl', [
    'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=issuer', '-keyout', join(directory, 'key')
  ], { stdio: ['ignore', 'pipe', 'ignore'] }).toString()
  t.equal(parsePublicKey(pem, ['RS256']).candidates(undefined, 'RS256').length, 1)
})

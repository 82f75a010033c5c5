import { test, type Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createTokenMethods } from '../../../lib/access/token-methods.ts'
import { loadConfig } from '../../../lib/config/load.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'
import { json, startAskedService } from '../../support/asked-service.ts'
import { credentials, ecKeys, goodClaims, inSeconds, jwkOf, never, pemOf, sign } from '../../support/tokens.ts'

const keys = ecKeys()
const HEADER = { alg: 'ES256', kid: 'a-1' }

async function startMethods (access: object) {
  const { config } = loadConfig({ env: {}, settings: { access } })
  const methods = createTokenMethods(config.access, createTestTelemetry().telemetry)
  for (const method of methods) await method.reload()
  return methods
}

async function startJwt (t: Test, settings: object) {
  const file = join(t.testdir(), 'keys.json')
  writeFileSync(file, JSON.stringify({ keys: [jwkOf(keys, { kid: 'a-1' })] }))
  const [method] = await startMethods({ jwt: { jwks: file, audience: 'mqtt', ...settings } })
  return { file, ask: async (token: string) => await method!.authenticate(credentials({ token }), never) }
}

test('what is not configured is not there; tokens come before the hook', async (t) => {
  t.strictSame(await startMethods({}), [])
  const file = join(t.testdir(), 'key.pem')
  writeFileSync(file, pemOf(keys))
  const methods = await startMethods({ jwt: { publicKey: file, audience: 'mqtt' }, http: { url: 'http://127.0.0.1:1/' } })
  t.strictSame(methods.map(({ method }) => method), ['jwt', 'http'])
  t.strictSame(methods.map(({ files }) => files), [[file], []])
  t.match(await methods[0]!.authenticate(credentials({ token: await sign(keys, HEADER) }), never), { kind: 'accepted' })
})

test('the settings of tokens do what they say', async (t) => {
  const claims = { ...goodClaims(), name: 'by-name' }
  const { ask } = await startJwt(t, { username: 'name', issuer: claims.iss, clockSkew: 'PT1M' })
  t.strictSame(await ask(await sign(keys, HEADER, claims)), {
    kind: 'accepted', username: 'by-name', claims, expiresAt: (claims.exp + 60) * 1000
  })
  t.match(await ask(await sign(keys, HEADER, { ...claims, exp: inSeconds(-50) })), { kind: 'accepted' })
  t.match(await ask(await sign(keys, HEADER, { ...claims, iss: 'other' })), { kind: 'refused' })
  const { exp: _, ...endless } = claims
  t.match(await ask(await sign(keys, HEADER, endless)), { kind: 'refused' })
  const { ask: askLax } = await startJwt(t, { expiry: 'optional' })
  t.match(await askLax(await sign(keys, HEADER, endless)), { kind: 'accepted', username: 'device-1' })
})

test('keys that no allowed algorithm fits are an error at the start', async (t) => {
  await t.rejects(startJwt(t, { algorithms: ['RS256'] }), { code: 'MBS_ERR_ACCESS_KEYS', message: /none of its 1 keys/ })
})

test('keys of a URL are asked for at the start; that it is away is no error', async (t) => {
  const service = await startAskedService(t)
  service.answer = json({ keys: [jwkOf(keys, { kid: 'a-1' })] })
  const jwt = { jwks: service.url, audience: 'mqtt' }
  const [method] = await startMethods({ jwt })
  t.equal(service.questions.length, 1)
  t.match(await method!.authenticate(credentials({ token: await sign(keys, HEADER) }), never), { kind: 'accepted' })
  await service.stop()
  const [away] = await startMethods({ jwt })
  t.strictSame(await away!.authenticate(credentials({ token: await sign(keys, HEADER) }), never), {
    kind: 'unavailable', reason: 'token-keys'
  })
})

test('the settings of the hook do what they say', async (t) => {
  const service = await startAskedService(t)
  const tokenFile = join(t.testdir(), 'token')
  writeFileSync(tokenFile, 'bearer-1')
  const [hook] = await startMethods({ http: { url: service.url, tokenFile, timeout: 'PT0.2S', cache: 'PT0S', cacheDenied: 'PT1M' } })
  const ask = async () => await hook!.authenticate(credentials({ username: 'a' }), never)
  service.answer = () => {}
  t.match(await ask(), { kind: 'unavailable' })
  service.answer = json({ result: 'allow' })
  await ask()
  t.match(await ask(), { kind: 'accepted' })
  service.answer = json({ result: 'deny' })
  await ask()
  t.match(await ask(), { kind: 'refused' })
  t.equal(service.questions.length, 4, 'what lets in is asked every time, what does not is remembered')
  t.equal(service.questions[0]?.headers.authorization, 'Bearer bearer-1')
})

import { test, type Test } from 'tap'
import { createHmac, sign as signBytes, type JsonWebKey } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FileKeys } from '../../../lib/access/jwks.ts'
import { createJwtMethod, MAX_TOKEN_BYTES, type JwtOptions } from '../../../lib/access/jwt.ts'
import { parseJwks, parsePublicKey } from '../../../lib/access/token-keys.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'
import { parseMetrics, sampleOf } from '../../support/prometheus.ts'
import {
  credentials, ecKeys, edKeys, forge, goodClaims, inSeconds, jwkOf, never, pemOf, rsaKeys, sign
} from '../../support/tokens.ts'

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519']
const rsa = rsaKeys()
const ec = ecKeys()
const stranger = ecKeys()
const HEADER = { alg: 'ES256', kid: 'ec-1' }

/** A method whose keys stand in a file, and what it says of a token. */
async function startMethod (
  t: Test, options: Partial<JwtOptions> & { keys?: never, jwks?: JsonWebKey[], pem?: string } = {}
) {
  const { jwks = [jwkOf(ec, { kid: 'ec-1' }), jwkOf(rsa, { kid: 'rsa-1' })], pem, ...rest } = options
  const { telemetry, lines } = createTestTelemetry('trace')
  const file = join(t.testdir(), 'keys')
  writeFileSync(file, pem ?? JSON.stringify({ keys: jwks }))
  const algorithms = rest.algorithms ?? ALGORITHMS
  const parse = pem === undefined ? parseJwks : parsePublicKey
  const method = createJwtMethod({
    keys: new FileKeys(file, (text) => parse(text, algorithms), telemetry),
    audience: 'mqtt',
    usernameClaim: 'sub',
    expiryRequired: true,
    clockSkewMs: 30_000,
    ...rest,
    algorithms,
    telemetry
  })
  await method.reload()
  const ask = async (token: string) => await method.authenticate(credentials({ token }), never)
  const faults = async () => {
    const families = parseMetrics(await telemetry.registry.metrics())
    return (fault: string) => sampleOf(families, `mqtt_broker_source_tokens_refused_total{fault="${fault}"}`)
  }
  /** The token is refused, for this fault. */
  const refuses = async (token: string, fault: string, name?: string) => {
    const before = (await faults())(fault) ?? 0
    const reason = fault === 'expired' ? 'token-expired' : 'token-invalid'
    t.strictSame(await ask(token), { kind: 'refused', reason }, name ?? fault)
    t.equal((await faults())(fault), before + 1, `${name ?? ''} counted as ${fault}`)
  }
  return { method, ask, refuses, lines, file }
}

test('a good token names the user, hands on its claims, and ends the session with itself', async (t) => {
  const { ask } = await startMethod(t)
  const claims = { ...goodClaims(), site: 'a' }
  t.strictSame(await ask(await sign(ec, HEADER, claims)), {
    kind: 'accepted', username: 'device-1', claims, expiresAt: claims.exp * 1000 + 30_000
  })
})

test('every kind of key is good for its own algorithms', async (t) => {
  const ed = edKeys()
  const p384 = ecKeys('P-384')
  const { ask } = await startMethod(t, { jwks: [jwkOf(rsa, { kid: 'r' }), jwkOf(ec, { kid: 'e' }), jwkOf(p384, { kid: 'e3' }), jwkOf(ed, { kid: 'd' })] })
  for (const [keys, alg, kid] of [
    [rsa, 'RS256', 'r'], [rsa, 'PS256', 'r'], [ec, 'ES256', 'e'], [p384, 'ES384', 'e3'], [ed, 'EdDSA', 'd'], [ed, 'Ed25519', 'd']
  ] as const) t.match(await ask(await sign(keys, { alg, kid })), { kind: 'accepted' }, alg)
})

test('a password that is no token is left to others', async (t) => {
  const { ask, method } = await startMethod(t)
  for (const password of ['', 'secret', 'a.b', 'a.b.c', 'abc.def.ghi', 'a.b.c.d', 'äöü.a.b', '..', 'W10.a.b', `${await sign(ec, HEADER)}\n`]) {
    t.strictSame(await ask(password), { kind: 'skipped' }, password)
  }
  t.strictSame(await method.authenticate(credentials({ username: 'a' }), never), { kind: 'skipped' }, 'no password at all')
})

test('an unsecured token is refused, however `none` is written', async (t) => {
  const { refuses } = await startMethod(t, { algorithms: [...ALGORITHMS, 'none'] })
  for (const alg of ['None', 'NONE', '', 'nOnE', undefined, null, 1, ['ES256'], {}]) {
    await refuses(forge({ alg, kid: 'ec-1' }), 'algorithm', JSON.stringify(alg))
  }
  await refuses(forge({ alg: 'none', kid: 'ec-1' }), 'key', 'even where the allow-list holds it: no key is made for it')
})

test('a public key is never taken for a shared secret', async (t) => {
  for (const [keys, kid] of [[rsa, 'rsa-1'], [ec, 'ec-1']] as const) {
    const pem = pemOf(keys)
    const secrets = [pem, pem.trim(), keys.publicKey.export({ format: 'der', type: 'spki' }), JSON.stringify(jwkOf(keys)), '']
    for (const secret of secrets) {
      const unsigned = forge({ alg: 'HS256', kid })
      const [header, claims] = unsigned.split('.')
      const mac = createHmac('sha256', secret).update(`${header}.${claims}`).digest('base64url')
      const token = `${header}.${claims}.${mac}`
      await (await startMethod(t)).refuses(token, 'algorithm')
      const lax = await startMethod(t, { algorithms: ['HS256', ...ALGORITHMS], pem })
      await lax.refuses(token, 'key', 'even where the allow-list holds it')
    }
  }
})

test('a JWK Set brings in neither symmetric nor private keys', async (t) => {
  const secret = Buffer.alloc(32, 7)
  const jwks = [
    { kty: 'oct', k: secret.toString('base64url'), kid: 'shared', alg: 'HS256' },
    { ...stranger.privateKey.export({ format: 'jwk' }), kid: 'private' },
    jwkOf(ec, { kid: 'ec-1' })
  ]
  const { refuses, ask } = await startMethod(t, { jwks, algorithms: ['HS256', ...ALGORITHMS] })
  await refuses(await sign({ privateKey: secret }, { alg: 'HS256', kid: 'shared' }), 'key')
  await refuses(await sign({ privateKey: secret }, { alg: 'HS256' }), 'key')
  await refuses(await sign(stranger, { alg: 'ES256', kid: 'private' }), 'key')
  t.match(await ask(await sign(ec, HEADER)), { kind: 'accepted' })
})

test('a key is used for its own kind, its own `alg` and for signatures alone', async (t) => {
  const jwks = [
    jwkOf(rsa, { kid: 'ps', alg: 'PS256' }), jwkOf(rsa, { kid: 'enc', use: 'enc' }), jwkOf(rsa, { kid: 'ops', key_ops: ['encrypt'] }),
    jwkOf(rsa, { kid: 'hs', alg: 'HS256' }), jwkOf(rsaKeys(1024), { kid: 'short' }), jwkOf(ec, { kid: 'ec-1' }),
    jwkOf(rsa, { kid: 5 as unknown as string }), { kty: 'RSA', kid: 'broken' }, { kty: 'new', kid: 'new' }, null as never, [] as never
  ]
  const { refuses, ask } = await startMethod(t, { jwks })
  t.match(await ask(await sign(rsa, { alg: 'PS256', kid: 'ps' })), { kind: 'accepted' })
  for (const kid of ['ps', 'enc', 'ops', 'hs', 'short', 'ec-1']) await refuses(await sign(rsa, { alg: 'RS256', kid }), 'key', kid)
})

test('the key that a token names is the one it is checked with', async (t) => {
  const other = ecKeys()
  const { refuses, ask } = await startMethod(t, { jwks: [jwkOf(ec, { kid: 'ec-1' }), jwkOf(other, { kid: 'ec-2' })] })
  await refuses(await sign(ec, { alg: 'ES256', kid: 'ec-2' }), 'signature')
  await refuses(await sign(stranger, HEADER), 'signature')
  for (const kid of ['', 'ec-3', '../ec-1', '__proto__', 'constructor', "ec-1' OR 1=1"]) await refuses(await sign(ec, { alg: 'ES256', kid }), 'key', kid)
  for (const kid of [null, 1, {}, ['ec-1']]) await refuses(forge({ alg: 'ES256', kid }), 'malformed', JSON.stringify(kid))
  t.match(await ask(await sign(other, { alg: 'ES256' })), { kind: 'accepted' }, 'without a name, each that fits is tried')
  await refuses(await sign(stranger, { alg: 'ES256' }), 'signature')
})

test('a token cannot bring its own key, nor say where one is', async (t) => {
  const { refuses, ask } = await startMethod(t)
  const x5c = [Buffer.from('certificate').toString('base64')]
  for (const more of [{ jwk: jwkOf(stranger) }, { jku: 'http://127.0.0.1:1/' }, { x5u: 'http://127.0.0.1:1/' }, { x5c }]) {
    await refuses(await sign(stranger, { ...HEADER, ...more }), 'signature', Object.keys(more)[0])
    t.match(await ask(await sign(ec, { ...HEADER, ...more })), { kind: 'accepted' }, 'it is not looked at')
  }
})

test('an extension that must be understood is not [RFC 7515 4.1.11]', async (t) => {
  const { refuses } = await startMethod(t)
  const signed = (header: object, claims: string) => {
    const text = forge(header, claims).slice(0, -1)
    const signature = signBytes('sha256', Buffer.from(text), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' })
    return `${text}.${signature.toString('base64url')}`
  }
  const claims = JSON.stringify(goodClaims())
  for (const more of [{ crit: ['exp'], exp: 1 }, { crit: ['b64'], b64: false }, { crit: [] }, { crit: 'b64' }, { crit: ['alg'] }]) {
    await refuses(signed({ ...HEADER, ...more }, claims), 'malformed', JSON.stringify(more))
  }
  for (const wrong of ['[]', 'null', '"text"', '5', '{', '']) await refuses(signed(HEADER, wrong), 'malformed', wrong)
})

test('a token that was changed is refused', async (t) => {
  const { refuses } = await startMethod(t)
  const [header, claims, signature] = (await sign(ec, HEADER)).split('.') as [string, string, string]
  const other = forge(HEADER, { ...goodClaims(), sub: 'admin' }).split('.')[1]!
  await refuses(`${header}.${other}.${signature}`, 'signature')
  await refuses(`${header}.${claims}.${signature.slice(0, -4)}`, 'signature')
  await refuses(`${header}.${claims}.`, 'signature')
  await refuses(`${header}.${claims}.${Buffer.alloc(64).toString('base64url')}`, 'signature', 'all zeros')
  await refuses(`${header}..${signature}`, 'signature')
})

test('a token is good from nbf to exp, give or take the clock skew', async (t) => {
  let now = Date.now()
  const { ask, refuses } = await startMethod(t, { now: () => now })
  const nbf = Math.floor(now / 1000)
  const token = await sign(ec, HEADER, { ...goodClaims(), nbf, exp: nbf + 100 })
  now = nbf * 1000 - 30_000
  t.match(await ask(token), { kind: 'accepted' })
  now = (nbf - 31) * 1000
  await refuses(token, 'not-yet-valid')
  now = (nbf + 129) * 1000
  t.match(await ask(token), { kind: 'accepted', expiresAt: (nbf + 130) * 1000 })
  now = (nbf + 130) * 1000
  await refuses(token, 'expired')
  const halves = await sign(ec, HEADER, { ...goodClaims(), exp: nbf + 0.25 })
  now = nbf * 1000 + 30_500
  await refuses(halves, 'expired', 'a session never begins after its end')
})

test('a token without end is refused, unless that is allowed; an end that no clock reaches is none', async (t) => {
  const { exp: _, ...claims } = goodClaims()
  const { refuses } = await startMethod(t)
  await refuses(await sign(ec, HEADER, claims), 'expiry')
  for (const exp of ['1e999', '8640000000001', '"9999999999"', 'null', '[1]', '{}', '-1e999']) {
    const text = forge(HEADER, `{"sub":"a","aud":"mqtt","exp":${exp}}`).slice(0, -1)
    const signature = signBytes('sha256', Buffer.from(text), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' })
    await refuses(`${text}.${signature.toString('base64url')}`, exp === '-1e999' ? 'expired' : 'expiry', exp)
  }
  const lax = await startMethod(t, { expiryRequired: false })
  t.strictSame(await lax.ask(await sign(ec, HEADER, claims)), { kind: 'accepted', username: 'device-1', claims })
  await lax.refuses(await sign(ec, HEADER, { ...claims, exp: inSeconds(-31) }), 'expired')
})

test('audience and issuer have to be the ones that are configured', async (t) => {
  const { ask, refuses } = await startMethod(t, { issuer: 'https://issuer.example/' })
  t.match(await ask(await sign(ec, HEADER, { ...goodClaims(), aud: ['other', 'mqtt'] })), { kind: 'accepted' })
  const { aud: _, ...withoutAudience } = goodClaims()
  const { iss: __, ...withoutIssuer } = goodClaims()
  await refuses(await sign(ec, HEADER, withoutAudience), 'audience')
  await refuses(await sign(ec, HEADER, withoutIssuer), 'issuer')
  for (const aud of ['other', 'MQTT', 'mqtt ', '', ['a', 'b'], []]) await refuses(await sign(ec, HEADER, { ...goodClaims(), aud }), 'audience')
  await refuses(await sign(ec, HEADER, { ...goodClaims(), iss: 'https://issuer.example' }), 'issuer')
  t.match(await (await startMethod(t)).ask(await sign(ec, HEADER, withoutIssuer)), { kind: 'accepted' }, 'any issuer, where none is configured')
})

test('the user is the claim that is configured, and a usable name', async (t) => {
  const { ask, refuses } = await startMethod(t, { usernameClaim: 'name' })
  t.match(await ask(await sign(ec, HEADER, { ...goodClaims(), name: 'Jürgen 1' })), { username: 'Jürgen 1' })
  for (const name of [undefined, '', 5, null, ['a'], { a: 1 }, 'a\u0000', 'a\nb', '\ud800', 'x'.repeat(1025)]) {
    await refuses(await sign(ec, HEADER, { ...goodClaims(), name }), 'username', JSON.stringify(name))
  }
  for (const usernameClaim of ['constructor', '__proto__', 'toString']) {
    await (await startMethod(t, { usernameClaim })).refuses(await sign(ec, HEADER), 'username', usernameClaim)
  }
})

test('what goes on into the session is bounded', async (t) => {
  const { ask, refuses } = await startMethod(t)
  const nested = (levels: number): unknown => levels === 0 ? 1 : { a: nested(levels - 1) }
  t.match(await ask(await sign(ec, HEADER, { ...goodClaims(), a: nested(7) })), { kind: 'accepted' })
  await refuses(await sign(ec, HEADER, { ...goodClaims(), a: nested(8) }), 'claims')
  await refuses(await sign(ec, HEADER, { ...goodClaims(), a: 'x'.repeat(8 * 1024) }), 'claims')
  const many = Object.fromEntries(Array.from({ length: 128 }, (_, at) => [`c${at}`, 1]))
  await refuses(await sign(ec, HEADER, { ...goodClaims(), ...many }), 'claims')
  await refuses(await sign(ec, HEADER, { ...goodClaims(), a: 'x'.repeat(MAX_TOKEN_BYTES) }), 'too-large')
  await refuses(forge({ ...HEADER, a: 'x'.repeat(MAX_TOKEN_BYTES) }), 'too-large', 'in its header')
  const deep = forge(HEADER, `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`)
  await refuses(deep, 'signature', 'nested deeply')
})

test('a static key checks tokens whatever their `kid`; a certificate brings one, too', async (t) => {
  const { ask, refuses } = await startMethod(t, { pem: pemOf(rsa) })
  for (const kid of [undefined, 'any']) t.match(await ask(await sign(rsa, { alg: 'RS256', kid })), { kind: 'accepted' })
  await refuses(await sign(ec, HEADER), 'key')
  await refuses(await sign(rsaKeys(), { alg: 'RS256' }), 'signature')
})

test('neither token nor claims are in the log', async (t) => {
  const { ask, lines } = await startMethod(t)
  const claims = { ...goodClaims(), sub: 'hunter2', secret: 'hunter2' }
  const tokens = [await sign(ec, HEADER, claims), await sign(stranger, HEADER, claims), forge({ alg: 'none' }, claims), forge(HEADER, 'hunter2')]
  for (const token of tokens) await ask(token)
  t.match(lines.of('a token was refused').length, 3)
  for (const secret of ['hunter2', ...tokens.flatMap((token) => token.split('.')).filter((part) => part.length > 20)]) t.notMatch(lines.text, secret)
})

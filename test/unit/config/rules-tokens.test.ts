import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'
import { mistakesIn } from '../../support/config-files.ts'

const codes = (access: object) =>
  [...mistakesIn({ settings: { access } }).values()].map(({ path, error }) => error === undefined ? path : `${path} ${error.code}`)
const jwt = (settings: object) => codes({ jwt: { audience: 'mqtt', ...settings } })

test('without a section there is no method', async (t) => {
  const { access } = loadConfig({ env: {} }).config
  t.strictSame([access.jwt, access.http], [undefined, undefined])
})

test('tokens have keys from one place and an audience', async (t) => {
  t.strictSame(jwt({ jwks: 'keys.json' }), [])
  t.strictSame(jwt({ publicKey: 'key.pem' }), [])
  t.strictSame(jwt({}), ['access.jwt'])
  t.strictSame(jwt({ jwks: 'keys.json', publicKey: 'key.pem' }), ['access.jwt'])
  t.strictSame(codes({ jwt: { jwks: 'keys.json' } }), ['access.jwt.audience'])
})

test('keys come over https, or over http on loopback', async (t) => {
  for (const jwks of ['https://issuer/keys.json', 'http://127.0.0.1:8000/', 'http://[::1]/keys', 'http://localhost/k?a=b']) {
    t.strictSame(jwt({ jwks }), [], jwks)
  }
  for (const jwks of [
    'http://issuer/keys.json', 'http://127.0.0.1.example/', 'http://[::2]/', 'ftp://issuer/', 'https://user:hunter2@issuer/',
    'https://issuer/#keys', 'https://', '//issuer://x'
  ]) t.strictSame(jwt({ jwks }), ['access.jwt.jwks MBS_ERR_ACCESS_URL'], jwks)
  t.strictSame(jwt({ publicKey: 'https://issuer/key.pem' }), ['access.jwt.publicKey'])
})

test('neither credentials nor query of a URL are repeated', async (t) => {
  for (const access of [
    { jwt: { audience: 'a', jwks: 'https://user:hunter2@issuer/?hunter2' } }, { http: { url: 'https://user:hunter2@hook/?hunter2' } }
  ]) {
    const mistakes = [...mistakesIn({ settings: { access } }).values()]
    t.equal(mistakes.length, 1)
    t.equal(mistakes[0]?.error?.code, 'MBS_ERR_ACCESS_URL')
    t.notMatch(JSON.stringify(mistakes) + String(mistakes[0]?.error?.message), /hunter2/)
  }
})

test('only algorithms of key pairs can be allowed', async (t) => {
  t.strictSame(jwt({ jwks: 'a', algorithms: ['ES512', 'PS384'] }), [])
  for (const algorithm of ['none', 'HS256', 'HS512', 'RSA-OAEP', 'rs256', '']) {
    t.strictSame(jwt({ jwks: 'a', algorithms: ['ES256', algorithm] }), ['access.jwt.algorithms[1]'], algorithm)
  }
  t.strictSame(jwt({ jwks: 'a', algorithms: [] }), ['access.jwt.algorithms'])
  const env = { MBS_ACCESS_JWT_ALGORITHMS: '[ES256]', MBS_ACCESS_JWT_JWKS: 'a', MBS_ACCESS_JWT_AUDIENCE: 'mqtt' }
  t.strictSame(loadConfig({ env }).config.access.jwt?.algorithms, ['ES256'])
})

test('the times of the keys fit together', async (t) => {
  t.strictSame(jwt({ jwks: 'a', refresh: 'PT2H', maxAge: 'PT1H' }), ['access.jwt.refresh'])
  t.strictSame(jwt({ jwks: 'a', cooldown: 'PT11M' }), ['access.jwt.cooldown'])
})

test('a hook has a URL; one that is asked in the clear is warned about', async (t) => {
  t.strictSame(codes({ http: {} }), ['access.http.url'])
  for (const url of ['hook', 'ftp://hook/', 'https://user@hook/', 'https://hook/#a']) {
    t.strictSame(codes({ http: { url } }), ['access.http.url MBS_ERR_ACCESS_URL'], url)
  }
  const warnings = (url: string) => loadConfig({ env: {}, settings: { access: { http: { url } } } }).warnings
  t.strictSame(warnings('https://hook/'), [])
  t.strictSame(warnings('http://127.0.0.1/'), [])
  t.match(warnings('http://hook/'), [/^access\.http\.url .* in the clear/])
})

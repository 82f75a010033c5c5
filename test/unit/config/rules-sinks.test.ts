import { test } from 'tap'
import { formatConfig } from '../../../lib/config/effective.ts'
import { loadConfig } from '../../../lib/config/load.ts'
import { formatProblems } from '../../../lib/config/problem.ts'
import { mistakesIn } from '../../support/config-files.ts'

const URL = 'https://sink.example/'
const load = (sink: object) => loadConfig({ env: {}, settings: { sink: { url: URL, ...sink } } })
const mistakes = (sink: object) => mistakesIn({ settings: { sink: { url: URL, ...sink } } })
const paths = (sink: object) => [...mistakes(sink).keys()]

const oauth2 = { tokenUrl: 'https://issuer.example/token', clientId: 'a', clientSecretFile: 'secret.txt' }

test('a header has a text, or a file', async (t) => {
  const headers = { 'X-Api-Key': { file: 'key.txt' }, 'x-site': 'north 1', 'User-Agent': 'mine', authorization: 'Custom abc' }
  t.strictSame(load({ headers }).config.sink.headers, headers)
  const env = { MBS_SINK_URL: URL, MBS_SINK_HEADERS: '{ x-site: north, x-key: { file: key.txt } }' }
  t.strictSame(loadConfig({ env }).config.sink.headers, { 'x-site': 'north', 'x-key': { file: 'key.txt' } })
})

test('a header that HTTP, the encoding or CloudEvents use themselves is refused, however it is written', async (t) => {
  for (const name of [
    'Host', 'content-type', 'Content-Length', 'content-encoding', 'Transfer-Encoding', 'connection', 'Keep-Alive', 'upgrade',
    'te', 'Trailer', 'expect', 'Proxy-Connection', 'ce-id', 'CE-Anything'
  ]) t.strictSame(paths({ headers: { 'x-ok': 'a', [name]: 'b' } }), [`sink.headers.${name}`], name)
  t.strictSame(paths({ headers: { 'X-A': 'a', 'x-a': 'b' } }), ['sink.headers.x-a'], 'twice')
  t.strictSame(paths({ headers: { Authorization: 'a' }, auth: { bearer: { file: 'a' } } }), ['sink.headers.Authorization'])
})

test('what is no name and no value of a header is refused, and never repeated', async (t) => {
  for (const name of ['', 'a b', 'a:b', 'hunter2: hunter2', 'ä', 'a\n', 'x'.repeat(129)]) {
    t.strictSame(paths({ headers: { [name]: 'a' } }), ['sink.headers'], JSON.stringify(name))
  }
  for (const value of ['', ' hunter2', 'hunter2\r\nx: y', 'hünter2', 'hunter2\u0000', 'x'.repeat(8193), 2, null, {}, ['hunter2'], { file: '' }]) {
    t.match(paths({ headers: { 'x-key': value } }), [/^sink\.headers\.x-key/], JSON.stringify(value))
  }
  const told = [
    { headers: { 'x-key': 'hunter2\n' } }, { headers: 'hunter2' }, { headers: { 'hunter2: a': 'a' } }, { headers: { 'x-key': { file: 'a', value: 'hunter2' } } },
    { auth: 'hunter2' }, { auth: { bearer: 'hunter2' } }, { auth: { basic: 'user:hunter2' } }, { auth: { oauth2: 'hunter2' } },
    { auth: { basic: { username: 'a', password: 'hunter2' } } }
  ].map((sink) => formatProblems([...mistakes(sink).values()]))
  for (const text of told) {
    t.not(text, '')
    t.notMatch(text, 'hunter2')
  }
})

test('the values of headers are not shown, the paths of files are', async (t) => {
  const loaded = load({ headers: { 'x-key': 'hunter2', 'x-token': { file: 'token.txt' } }, auth: { basic: { username: 'gw', passwordFile: 'pw.txt' } } })
  const text = formatConfig(loaded)
  t.match(text, /^sink\.headers\.x-key = \(not shown\) +\(settings\)$/m)
  t.match(text, /^sink\.headers\.x-token\.file = token\.txt +\(settings\)$/m)
  t.match(text, /^sink\.auth\.basic\.username = gw /m)
  t.match(text, /^sink\.auth\.basic\.passwordFile = pw\.txt /m)
  t.notMatch(text, 'hunter2')
})

test('exactly one of bearer, basic and oauth2 has to be given', async (t) => {
  const bearer = { file: '/oidc/token' }
  t.strictSame(load({ auth: { bearer } }).config.sink.auth, { bearer })
  t.strictSame(load({ auth: { oauth2 } }).config.sink.auth, { oauth2 })
  const env = { MBS_SINK_URL: URL, MBS_SINK_AUTH_BEARER_FILE: 'a' }
  t.strictSame(loadConfig({ env }).config.sink.auth, { bearer: { file: 'a' } })
  t.strictSame(paths({ auth: {} }), ['sink.auth'])
  t.strictSame(paths({ auth: { bearer, oauth2 } }), ['sink.auth'])
  t.strictSame(paths({ auth: { bearer: {} } }), ['sink.auth.bearer.file'])
  t.strictSame(paths({ auth: { basic: { username: 'a:b', passwordFile: 'a' } } }), ['sink.auth.basic.username'])
  t.strictSame(paths({ auth: { oauth2: { ...oauth2, scopes: ['a b'] } } }), ['sink.auth.oauth2.scopes[0]'])
  t.strictSame(paths({ tls: { cert: 'a' } }), ['sink.tls.key'])
  for (const tokenUrl of ['issuer', 'ftp://issuer/', 'https://user:hunter2@issuer/', 'https://issuer/#a']) {
    const found = mistakes({ auth: { oauth2: { ...oauth2, tokenUrl } } })
    t.match([...found], [['sink.auth.oauth2.tokenUrl', { error: { code: 'MBS_ERR_SINK_URL' } }]], tokenUrl)
    t.notMatch(formatProblems([...found.values()]), 'hunter2')
  }
})

test('the dead-letter sink has credentials of its own', async (t) => {
  const dead = (target: object) => ({ settings: { delivery: { deadLetterSink: { url: URL, ...target } } } })
  const given = { headers: { a: 'b' }, auth: { bearer: { file: 'a' } }, tls: { cert: 'a', key: 'b' } }
  t.match(loadConfig({ env: {}, ...dead(given) }).config.delivery.deadLetterSink, given)
  t.strictSame([...mistakesIn(dead({ auth: {}, headers: { host: 'a' } })).keys()].sort(),
    ['delivery.deadLetterSink.auth', 'delivery.deadLetterSink.headers.host'])
})

test('secrets that would travel in the clear are warned about, with their settings', async (t) => {
  const warnings = (url: string, sink: object) => loadConfig({ env: {}, settings: { sink: { url, ...sink } } }).warnings
  const secrets = { headers: { 'x-site': 'a', 'x-api-key': 'b', 'x-other': { file: 'c' } }, auth: { bearer: { file: 'a' } } }
  for (const url of ['https://sink/', 'http://localhost:80/', 'http://127.0.0.1/', 'http://[::1]/']) t.strictSame(warnings(url, secrets), [], url)
  t.match(warnings('http://sink/', secrets),
    [/^sink\.auth, sink\.headers\.x-api-key, sink\.headers\.x-other: sink\.url is http:\/\/ .* in the clear$/])
  t.strictSame(warnings('http://sink/', { headers: { 'x-site': 'a' } }), [])
  t.match(warnings('https://sink/', { auth: { oauth2: { ...oauth2, tokenUrl: 'http://issuer/' } } }),
    [/^sink\.auth\.oauth2\.tokenUrl is http:\/\/ .*the client secret travels/])
  t.match(warnings('http://127.0.0.1/', { tls: { cert: 'a', key: 'b' } }), [/^sink\.tls has no effect/])
})

test('what has no effect on the display sink is warned about', async (t) => {
  const sink = { auth: { bearer: { file: 'a' } }, headers: { a: 'b' }, tls: { cert: 'a', key: 'b' } }
  const { warnings } = loadConfig({ env: {}, settings: { sink } })
  t.strictSame(warnings.map((warning) => warning.split(' ')[0]), ['sink.auth', 'sink.tls', 'sink.headers'])
})

test('what goes into a batch has bounds', async (t) => {
  t.match(load({ contentMode: 'batch', batch: { count: 10, wait: 'PT0S' } }), {
    config: { sink: { batch: { count: 10, bytes: 1_048_576, wait: 0 } } }, warnings: []
  })
  t.strictSame(paths({ batch: { count: 0 } }), ['sink.batch.count'])
  t.strictSame(paths({ batch: { bytes: 1023 } }), ['sink.batch.bytes'])
})

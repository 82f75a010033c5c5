import { test } from 'tap'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../../../lib/config/load.ts'
import { makeCertificate } from '../../support/certs.ts'
import { mistakesIn } from '../../support/config-files.ts'

const load = (env: Record<string, string>, settings: object = {}) => loadConfig({ env, settings })

test('K_SINK sets the sink, above the file and below MBS_SINK_URL and --sink', async (t) => {
  const K_SINK = 'http://broker/default'
  t.match(load({ K_SINK }).config.sink, { kind: 'http', url: K_SINK })
  t.equal(load({ K_SINK }, { sink: { url: 'http://file/' } }).config.sink.url, K_SINK)
  t.equal(load({ K_SINK, MBS_SINK_URL: 'http://mbs/' }).config.sink.url, 'http://mbs/')
  t.equal(loadConfig({ env: { K_SINK }, flags: { sink: 'http://flag/' } }).config.sink.url, 'http://flag/')
  t.equal(load({ K_SINK: '' }).config.sink.kind, 'display')
  t.equal(mistakesIn({ env: { K_SINK: 'broker' } }).get('sink.url')?.origin, 'environment K_SINK')
})

test('K_CE_OVERRIDES adds extensions, name by name; nothing is nothing', async (t) => {
  const extensions = (K_CE_OVERRIDES: string, settings = {}) =>
    load({ K_CE_OVERRIDES }, settings).config.events.overrides.extensions
  for (const empty of ['', ' ', '{}', 'null', '{"extensions":null}', '{"extensions":{}}']) t.strictSame(extensions(empty), {}, empty)
  t.strictSame(extensions('{"extensions":{"site":"a","env":"b"}}'), { site: 'a', env: 'b' })
  t.strictSame(extensions('{"extensions":{"site":"a"}}', { events: { overrides: { extensions: { site: 'x', line: 'y' } } } }),
    { site: 'a', line: 'y' })
  t.match(load({ K_CE_OVERRIDES: '{"attributes":{}}' }).warnings, [/"attributes"/])
})

test('K_CE_OVERRIDES of another form is a mistake with its own remedy', async (t) => {
  for (const text of ['{', '[]', '"a"', '5', '{"extensions":[]}', '{"extensions":"a"}']) {
    const problem = mistakesIn({ env: { K_CE_OVERRIDES: text } }).get('K_CE_OVERRIDES')
    t.equal(problem?.error?.code, 'MBS_ERR_SINK_OVERRIDES', text)
    t.equal(problem?.origin, 'environment K_CE_OVERRIDES')
  }
})

test('names and values in K_CE_OVERRIDES are held against the same rules as those of the file', async (t) => {
  const mistakes = mistakesIn({ env: { K_CE_OVERRIDES: '{"extensions":{"type":"a","Site":"b","n":5,"__proto__":"c"}}' } })
  t.strictSame([...mistakes.keys()].sort(), ['Site', '__proto__', 'n', 'type'].map((name) => `events.overrides.extensions.${name}`))
  for (const { origin } of mistakes.values()) t.equal(origin, 'environment K_CE_OVERRIDES')
})

test('K_CA_CERTS is the text of certificates', async (t) => {
  const pem = readFileSync(makeCertificate(t.testdir(), 'ca').cert, 'utf8')
  t.equal(load({ K_CA_CERTS: `${pem}\n${pem}` }).config.sink.caText, `${pem}\n${pem}`.trim())
  const problem = mistakesIn({ env: { K_CA_CERTS: 'nonsense' } }).get('sink.caText')
  t.equal(problem?.error?.code, 'MBS_ERR_SINK_CA')
  t.equal(problem?.origin, 'environment K_CA_CERTS')
})

test('K_SINK_TIMEOUT is whole seconds; "no timeout" leaves ours, with a warning', async (t) => {
  t.equal(load({ K_SINK_TIMEOUT: '5' }).config.sink.timeout, 5000)
  t.equal(load({ K_SINK_TIMEOUT: '5', MBS_SINK_TIMEOUT: 'PT7S' }).config.sink.timeout, 7000)
  for (const text of ['0', '-1', '1.5', 'soon']) {
    const { config, warnings } = load({ K_SINK_TIMEOUT: text }, { sink: { timeout: 'PT9S' } })
    t.equal(config.sink.timeout, 9000, text)
    t.match(warnings, [/K_SINK_TIMEOUT/])
  }
  t.equal(mistakesIn({ env: { K_SINK_TIMEOUT: '1000000' } }).get('sink.timeout')?.origin, 'environment K_SINK_TIMEOUT')
})

test('other variables of Knative\'s contract, past and present, are tolerated', async (t) => {
  const env = {
    K_METRICS_CONFIG: '{"Domain":"knative.dev"}', K_TRACING_CONFIG: '{', K_LEADER_ELECTION_CONFIG: '[', K_OBSERVABILITY_CONFIG: '{}', K_COMPONENT: 'a'
  }
  t.strictSame(load(env).config, load({}).config)
  t.strictSame(load(env).warnings, [])
})

test('a token that is mounted authenticates the sink of K_SINK, and no other one', async (t) => {
  const tokenFile = join(t.testdir({ token: 'abc' }), 'token')
  const authOf = (env: Record<string, string>, settings: object = {}) =>
    load(env, { knative: { tokenFile }, ...settings }).config.sink.auth
  const K_SINK = 'http://127.0.0.1/'
  const mounted = { bearer: { file: tokenFile } }
  t.strictSame(authOf({ K_SINK }), mounted)
  t.equal(loadConfig({ env: { K_SINK }, settings: { knative: { tokenFile } } }).originOf(['sink', 'auth', 'bearer', 'file']), 'mounted by Knative')
  t.equal(authOf({}, { sink: { url: K_SINK } }), undefined)
  t.equal(authOf({ K_SINK, MBS_SINK_URL: 'http://127.0.0.1/other' }), undefined)
  t.equal(authOf({ K_SINK }, { knative: { tokenFile: `${tokenFile}.missing` } }), undefined)
  t.equal(authOf({ K_SINK }, { sink: { headers: { Authorization: 'Bearer own' } } }), undefined)
  const basic = { username: 'u', passwordFile: 'p' }
  t.strictSame(authOf({ K_SINK }, { sink: { auth: { basic } } }), { basic })
  t.strictSame(authOf({ K_SINK, MBS_SINK_AUTH_BEARER_FILE: 'own' }), { bearer: { file: 'own' } })
  t.equal(mistakesIn({ env: { K_SINK }, settings: { knative: { tokenFile: 5 } } }).size, 1)
})

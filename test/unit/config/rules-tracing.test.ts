import { test } from 'tap'
import { checkConfig } from '../../../lib/config/check.ts'
import { loadConfig } from '../../../lib/config/load.ts'
import { mistakesIn } from '../../support/config-files.ts'

const load = (settings: object) => loadConfig({ env: {}, settings })
const endpoint = 'https://collector/v1/traces'

test('tracing is on as soon as it has an endpoint', async (t) => {
  t.equal(load({}).config.tracing.enabled, false)
  t.equal(load({ tracing: { endpoint } }).config.tracing.enabled, true)
  t.match(load({ tracing: { endpoint, enabled: false } }), { config: { tracing: { enabled: false } }, warnings: [/tracing.endpoint has no effect/] })
  t.match(mistakesIn({ settings: { tracing: { enabled: true } } }).get('tracing.endpoint'), { found: 'nothing' })
})

test('an endpoint is a URL without user and password', async (t) => {
  for (const wrong of ['collector:4318', 'grpc://collector', 'http://u:p@collector/', 'http://c/#a']) {
    t.ok(mistakesIn({ settings: { tracing: { endpoint: wrong } } }).has('tracing.endpoint'), wrong)
  }
})

test('headers that HTTP needs are not for settings, and secrets do not travel in the clear unnoticed', async (t) => {
  for (const name of ['Content-Type', 'host', 'content-encoding']) {
    t.ok(mistakesIn({ settings: { tracing: { endpoint, headers: { [name]: 'a' } } } }).has(`tracing.headers.${name}`), name)
  }
  const headers = { 'api-key': 'geheim' }
  t.strictSame(load({ tracing: { endpoint, headers } }).warnings, [])
  t.strictSame(load({ tracing: { endpoint: 'http://127.0.0.1:4318', headers } }).warnings, [])
  const { warnings } = load({ tracing: { endpoint: 'http://collector', headers } })
  t.match(warnings, [/in the clear/])
  t.notMatch(warnings.join(), 'geheim')
})

test('traceparent among the headers of a sink is said to be in the way, wherever the sink is', async (t) => {
  const headers = { TraceParent: 'a' }
  const places = {
    'sink.headers': { sink: { url: 'https://s/', headers } },
    'delivery.deadLetterSink.headers': { delivery: { deadLetterSink: { url: 'https://s/', headers } } },
    'sinks[0].headers': { sinks: [{ name: 'a', url: 'https://s/', headers }] },
    'sinks[0].delivery.deadLetterSink.headers': { sinks: [{ name: 'a', url: 'https://s/', delivery: { deadLetterSink: { url: 'https://d/', headers } } }] }
  }
  for (const [path, settings] of Object.entries(places)) {
    t.strictSame(load({ ...settings, tracing: { endpoint } }).warnings.map((warning) => warning.split(' ')[0]), [path])
    t.strictSame(load(settings).warnings, [])
  }
})

test('check looks into the files with headers', async (t) => {
  const directory = t.testdir({ good: 'Bearer abc\n', bad: 'geheim\u0001' })
  const check = (file: string) => checkConfig({ env: {}, settings: { tracing: { endpoint, headers: { authorization: { file: `${directory}/${file}` } } } } })
  t.strictSame(check('good').problems, [])
  for (const file of ['bad', 'missing']) {
    const [problem] = check(file).problems
    t.match(problem, { path: 'tracing.headers.authorization.file', error: { code: 'MBS_ERR_TRACING_HEADERS' } }, file)
    t.notMatch(JSON.stringify(problem), 'geheim')
  }
})

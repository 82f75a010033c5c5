import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'
import { mistakesIn } from '../../support/config-files.ts'

const load = (env: Record<string, string>, settings: object = {}) => loadConfig({ env, settings })
const observing = (config: object, more: Record<string, string> = {}, settings: object = {}) =>
  load({ K_OBSERVABILITY_CONFIG: JSON.stringify(config), ...more }, settings)
const ENDPOINT = 'http://collector:4318/v1/traces'
const tracing = (more: object = {}) => ({ tracing: { protocol: 'http/protobuf', endpoint: ENDPOINT, samplingRate: 0.25, ...more } })

test('http/protobuf switches tracing on, with its endpoint and rate', async (t) => {
  const { config, warnings } = observing(tracing())
  t.match(config.tracing, { enabled: true, endpoint: ENDPOINT, samplingRate: 0.25 })
  t.strictSame(warnings, [])
  t.equal(observing({ tracing: { protocol: 'http/protobuf', endpoint: ENDPOINT, sampling_rate: 0.5 } }).config.tracing.samplingRate, 0.5)
  t.equal(observing(tracing({ endpoint: 'collector:4318/v1/traces' })).config.tracing.endpoint, 'https://collector:4318/v1/traces', 'as Knative reads it')
})

test('it ranks above the file and OTEL_, below MBS_', async (t) => {
  const file = { tracing: { endpoint: 'http://file/', samplingRate: 0.1, serviceName: 'from-file' } }
  t.match(observing(tracing(), {}, file).config.tracing, { endpoint: ENDPOINT, samplingRate: 0.25, serviceName: 'from-file' })
  t.equal(observing(tracing(), { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel:4318' }).config.tracing.endpoint, ENDPOINT)
  t.equal(observing(tracing(), { OTEL_SDK_DISABLED: 'true' }).config.tracing.enabled, true)
  const mbs = { MBS_TRACING_ENDPOINT: 'http://mbs/', MBS_TRACING_SAMPLING_RATE: '.75' }
  t.match(observing(tracing(), mbs).config.tracing, { endpoint: 'http://mbs/', samplingRate: 0.75 })
  t.equal(observing(tracing(), { MBS_TRACING_ENABLED: 'false' }).config.tracing.enabled, false)
})

test('none, which is Knative\'s default, switches it off; MBS_TRACING_ENABLED goes before', async (t) => {
  const none = { tracing: { protocol: 'none' } }
  t.match(observing(none).config.tracing, { enabled: false })
  t.strictSame(observing(none).warnings, [])
  const { config, warnings } = observing(none, {}, { tracing: { endpoint: ENDPOINT } })
  t.equal(config.tracing.enabled, false)
  t.match(warnings, [/K_OBSERVABILITY_CONFIG/])
  t.equal(observing(none, { MBS_TRACING_ENABLED: 'true' }, { tracing: { endpoint: ENDPOINT } }).config.tracing.enabled, true)
  for (const nothing of [{}, { tracing: {} }, { tracing: null }, { tracing: { protocol: '' } }]) {
    const { config } = observing(nothing, {}, { tracing: { endpoint: ENDPOINT } })
    t.equal(config.tracing.enabled, true, JSON.stringify(nothing))
  }
})

test('a rate of 0, or none, records what devices ask for, and says so', async (t) => {
  for (const rate of [0, undefined]) {
    const { config, warnings } = observing(tracing({ samplingRate: rate }))
    t.match(config.tracing, { enabled: true, samplingRate: 0 })
    t.match(warnings, [/samplingRate/])
  }
})

test('what cannot be done is a warning that says what to do instead, and changes nothing', async (t) => {
  const cases: ReadonlyArray<readonly [config: object, warning: RegExp]> = [
    [{ tracing: { protocol: 'grpc', endpoint: 'collector:4317' } }, /gRPC.*http\/protobuf.*4318/],
    [{ tracing: { protocol: 'stdout' } }, /standard output.*http\/protobuf/],
    [{ tracing: { protocol: 'zipkin' } }, /"zipkin"/],
    [{ tracing: { protocol: 5 } }, /not known/],
    [{ metrics: { protocol: 'grpc', endpoint: 'collector:4317' } }, /metrics pushed.*\/metrics/],
    [{ metrics: { protocol: 'http/protobuf' } }, /metrics pushed/],
    [{ runtime: { profiling: 'enabled' } }, /profiling/],
    [{ enableSinkEventErrorReporting: true }, /sink_up/]
  ]
  for (const [config, warning] of cases) {
    const loaded = observing(config)
    t.match(loaded.warnings, [warning], JSON.stringify(config))
    t.strictSame(loaded.config, load({}).config)
  }
  const tolerated = { metrics: { protocol: 'prometheus', endpoint: ':9092' }, runtime: { profiling: 'disabled' }, enableSinkEventErrorReporting: false }
  t.strictSame(observing(tolerated).warnings, [])
})

test('what is wrong with it never keeps the program from starting', async (t) => {
  for (const text of ['{', '[]', '"a"', '5', 'null', 'yes']) {
    const { config, warnings } = load({ K_OBSERVABILITY_CONFIG: text })
    t.match(warnings, [/K_OBSERVABILITY_CONFIG is no JSON object/], text)
    t.strictSame(config, load({}).config)
  }
  for (const endpoint of ['', undefined, 5, 'ftp://a/', 'http://u:p@a/', 'http://']) {
    const { config, warnings } = observing(tracing({ endpoint }))
    t.equal(config.tracing.enabled, false, String(endpoint))
    t.match(warnings, [/tracing endpoint/])
    t.notMatch(warnings.join(), 'u:p')
  }
  for (const samplingRate of [-1, 2, '0.5', null, {}]) {
    const { config, warnings } = observing(tracing({ samplingRate }))
    t.match(config.tracing, { enabled: true, samplingRate: samplingRate === null ? 0 : 1 }, String(samplingRate))
    t.match(warnings, [/samplingRate/])
  }
  t.strictSame(load({ K_OBSERVABILITY_CONFIG: ' ' }).warnings, [])
})

test('K_LOGGING_CONFIG sets the level of the log, by zap\'s names', async (t) => {
  const logging = (zap: unknown, more = {}) => load({ K_LOGGING_CONFIG: JSON.stringify({ 'zap-logger-config': zap }), ...more })
  const levels = { debug: 'debug', info: 'info', warn: 'warn', error: 'error', dpanic: 'fatal', panic: 'fatal', fatal: 'fatal', WARN: 'warn' }
  for (const [level, ours] of Object.entries(levels)) {
    const { config, warnings } = logging(JSON.stringify({ level, encoding: 'json' }))
    t.equal(config.log.level, ours, level)
    t.strictSame(warnings, [])
  }
  t.equal(logging('{"level":"debug"}', { MBS_LOG_LEVEL: 'error' }).config.log.level, 'error')
  t.equal(loadConfig({ env: { K_LOGGING_CONFIG: '{"zap-logger-config":"{\\"level\\":\\"error\\"}"}' }, settings: { log: { level: 'trace' } } }).config.log.level, 'error')
  for (const nothing of ['', '{}', '{"loglevel.controller":"info"}', '{"zap-logger-config":""}']) {
    t.match(load({ K_LOGGING_CONFIG: nothing }, { log: { level: 'warn' } }), { config: { log: { level: 'warn' } }, warnings: [] }, nothing)
  }
})

test('a K_LOGGING_CONFIG that cannot be read is a warning', async (t) => {
  const wrong = ['x', '[]', '{"zap-logger-config":"{"}', '{"zap-logger-config":"{\\"level\\":\\"loud\\"}"}', '{"zap-logger-config":5}', '{"zap-logger-config":"{\\"level\\":7}"}']
  for (const K_LOGGING_CONFIG of wrong) {
    const { config, warnings } = load({ K_LOGGING_CONFIG })
    t.equal(config.log.level, 'info')
    t.match(warnings, [/K_LOGGING_CONFIG/], K_LOGGING_CONFIG)
  }
})

test('NAMESPACE is the namespace; NAME beside it the name, where nothing else says one', async (t) => {
  t.equal(load({ NAMESPACE: 'plant-1' }).config.namespace, 'plant-1')
  t.equal(load({ NAMESPACE: 'plant-1', MBS_NAMESPACE: 'other' }).config.namespace, 'other')
  for (const wrong of ['Plant', '-a', 'a-', 'a.b', 'a'.repeat(64)]) {
    const { config, warnings } = load({ NAMESPACE: wrong })
    t.equal(config.namespace, undefined, wrong)
    t.match(warnings, [/NAMESPACE/])
  }
  t.equal(load({ NAMESPACE: 'plant', NAME: 'mqtt' }).config.name, 'mqtt')
  t.equal(loadConfig({ env: { NAMESPACE: 'plant', NAME: 'mqtt' } }).originOf(['name']), 'environment NAME')
  t.equal(load({ NAME: 'DESKTOP-1' }).config.name, 'mqtt-broker-source', 'other systems have a variable of this name')
  t.equal(load({ NAMESPACE: 'plant', NAME: 'mqtt' }, { name: 'file' }).config.name, 'file')
  t.equal(load({ NAMESPACE: 'plant', NAME: 'mqtt', MBS_NAME: 'mbs' }).config.name, 'mbs')
  const { config, warnings } = load({ NAMESPACE: 'plant', NAME: 'a/b' })
  t.equal(config.name, 'mqtt-broker-source')
  t.match(warnings, [/NAME /])
})

test('a mistake in a variable of this program is one all the same', async (t) => {
  for (const rate of ['2', '-0.5', 'half', '1e3']) t.ok(mistakesIn({ env: { MBS_TRACING_SAMPLING_RATE: rate } }).has('tracing.samplingRate'), rate)
  t.ok(mistakesIn({ env: { MBS_NAMESPACE: 'A' } }).has('namespace'))
})

import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'

const load = (env: Record<string, string>, settings: object = {}) => loadConfig({ env, settings })
const BASE = 'OTEL_EXPORTER_OTLP_'
const on = { [`${BASE}ENDPOINT`]: 'http://collector:4318' }

test('an endpoint for traces is taken as it is, one for all signals with /v1/traces', async (t) => {
  t.match(load(on).config.tracing, { enabled: true, endpoint: 'http://collector:4318/v1/traces', samplingRate: 1 })
  t.equal(load({ [`${BASE}ENDPOINT`]: 'https://c/otlp/' }).config.tracing.endpoint, 'https://c/otlp/v1/traces')
  t.equal(load({ ...on, [`${BASE}TRACES_ENDPOINT`]: 'http://traces:4318/x' }).config.tracing.endpoint, 'http://traces:4318/x')
  t.equal(load({ ...on, MBS_TRACING_ENDPOINT: 'http://mbs/' }).config.tracing.endpoint, 'http://mbs/')
  t.equal(load(on, { tracing: { endpoint: 'http://file/' } }).config.tracing.endpoint, 'http://collector:4318/v1/traces')
  t.equal(load({ [`${BASE}ENDPOINT`]: ' ' }).config.tracing.enabled, false)
})

test('an endpoint that cannot be used is a warning without what may be secret', async (t) => {
  for (const endpoint of ['collector:4318', 'nonsense', 'http://u:p@c/']) {
    const { config, warnings } = load({ [`${BASE}ENDPOINT`]: endpoint })
    t.equal(config.tracing.enabled, false)
    t.match(warnings, [/OTEL_EXPORTER_OTLP_ENDPOINT/], endpoint)
    t.notMatch(warnings.join(), 'u:p')
  }
})

test('gRPC is not spoken: its endpoint is left out, and it is said what to do', async (t) => {
  const { config, warnings } = load({ [`${BASE}ENDPOINT`]: 'http://c:4317', [`${BASE}PROTOCOL`]: 'grpc' })
  t.equal(config.tracing.enabled, false)
  t.match(warnings, [/gRPC|grpc.*http\/protobuf/])
  t.equal(load({ ...on, [`${BASE}PROTOCOL`]: 'grpc', [`${BASE}TRACES_PROTOCOL`]: 'http/protobuf' }).config.tracing.enabled, true)
  for (const protocol of ['http/json', 'smoke']) {
    const loaded = load({ ...on, [`${BASE}PROTOCOL`]: protocol })
    t.equal(loaded.config.tracing.enabled, true)
    t.match(loaded.warnings, [/http\/protobuf/], protocol)
  }
})

test('headers are added name by name; what is none is left out and not repeated', async (t) => {
  const { config, warnings } = load({ ...on, [`${BASE}HEADERS`]: 'api-key=a%20b, Tenant=x=y,' }, { tracing: { headers: { tenant: 'file', site: 'n' } } })
  t.strictSame(config.tracing.headers, { tenant: 'x=y', site: 'n', 'api-key': 'a b' })
  t.match(warnings, [/in the clear/])
  t.strictSame(load({ ...on, [`${BASE}HEADERS`]: 'a=1', [`${BASE}TRACES_HEADERS`]: 'b=2' }).config.tracing.headers, { b: '2' })
  const wrong = load({ [`${BASE}HEADERS`]: 'geheim,=geheim,a b=geheim,c=%00geheim,d=' })
  t.strictSame(wrong.config.tracing.headers, {})
  t.equal(wrong.warnings.length, 5)
  t.notMatch(wrong.warnings.join(), 'geheim')
  const owned = load({ ...on, [`${BASE}HEADERS`]: 'te=1,Host=z,site=n' })
  t.strictSame(owned.config.tracing.headers, { site: 'n' }, 'what is injected keeps nothing from starting')
  t.match(owned.warnings, [/the header te,/, /the header host,/])
})

test('the timeout is milliseconds', async (t) => {
  t.equal(load({ [`${BASE}TIMEOUT`]: '2500' }).config.tracing.timeout, 2500)
  t.equal(load({ [`${BASE}TIMEOUT`]: '2500', [`${BASE}TRACES_TIMEOUT`]: '100' }).config.tracing.timeout, 100)
  for (const text of ['0', '-1', '9', '60001', '1s']) {
    const { config, warnings } = load({ [`${BASE}TIMEOUT`]: text })
    t.equal(config.tracing.timeout, 5000)
    t.match(warnings, [/tracing.timeout/], text)
  }
})

test('samplers are rates; a parent is followed whatever they are', async (t) => {
  const rates: ReadonlyArray<readonly [sampler: string, arg: string | undefined, rate: number]> = [
    ['always_on', undefined, 1], ['parentbased_always_on', '0.5', 1], ['parentbased_always_off', undefined, 0],
    ['traceidratio', '0.25', 0.25], ['parentbased_traceidratio', '1e-3', 0.001], ['traceidratio', undefined, 1]
  ]
  for (const [sampler, arg, rate] of rates) {
    const more = arg === undefined ? {} : { OTEL_TRACES_SAMPLER_ARG: arg }
    const { config, warnings } = load({ OTEL_TRACES_SAMPLER: sampler, ...more })
    t.equal(config.tracing.samplingRate, rate, sampler)
    t.strictSame(warnings, [])
  }
  t.match(load({ OTEL_TRACES_SAMPLER: 'always_off' }), { config: { tracing: { samplingRate: 0 } }, warnings: [/always_off/] })
  for (const env of [{ OTEL_TRACES_SAMPLER: 'jaeger_remote' }, { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '2' }]) {
    t.match(load(env), { config: { tracing: { samplingRate: 1 } }, warnings: [/tracing.samplingRate stays/] })
  }
  t.strictSame(load({ OTEL_TRACES_SAMPLER_ARG: 'x' }).warnings, [])
})

test('the name of the service', async (t) => {
  t.equal(load({ OTEL_SERVICE_NAME: 'edge' }).config.tracing.serviceName, 'edge')
  t.match(load({ OTEL_SERVICE_NAME: 'x'.repeat(256) }), { config: { tracing: { serviceName: 'mqtt-broker-source' } }, warnings: [/OTEL_SERVICE_NAME/] })
})

test('OTEL_SDK_DISABLED and an exporter that is none switch tracing off, also that of the file', async (t) => {
  for (const env of [{ OTEL_SDK_DISABLED: 'TRUE' }, { OTEL_TRACES_EXPORTER: 'none' }]) {
    t.equal(load({ ...on, ...env }, { tracing: { endpoint: 'http://file/' } }).config.tracing.enabled, false)
    t.equal(load({ ...on, ...env, MBS_TRACING_ENABLED: 'true', MBS_TRACING_ENDPOINT: 'http://mbs/' }).config.tracing.enabled, true)
  }
  t.match(load({ ...on, OTEL_TRACES_EXPORTER: 'console' }), { config: { tracing: { enabled: false } }, warnings: [/OTEL_TRACES_EXPORTER/] })
  t.equal(load({ ...on, OTEL_SDK_DISABLED: 'no', OTEL_TRACES_EXPORTER: 'console, otlp' }).config.tracing.enabled, true)
})

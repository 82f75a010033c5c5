/** Traces with the built program, as Knative's environment asks for them; and that nothing is loaded without. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { test } from 'tap'
import { startHttpSink } from '../support/http-sink.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'
import { startProgram } from '../support/process.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'

t.jobs = 1

const settings = (dataDir: string) => ({ dataDir, listeners: [{ port: 0 }], http: { port: 0 }, log: { format: 'json' } })

test('K_OBSERVABILITY_CONFIG, NAMESPACE and NAME are what a trace says', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  const env = {
    K_SINK: sink.url,
    K_OBSERVABILITY_CONFIG: JSON.stringify({
      tracing: { protocol: 'http/protobuf', endpoint: receiver.url, samplingRate: 1 }, metrics: { protocol: 'prometheus', endpoint: ':9092' }
    }),
    K_LOGGING_CONFIG: '{"zap-logger-config":"{\\"level\\":\\"info\\"}"}',
    NAMESPACE: 'plant',
    NAME: 'mqtt-source'
  }
  const program = await startProgram(t, settings(`${t.testdir()}/data`), { env })
  const device = await RawMqtt.open(program.port('mqtt'), { clientId: 'c' })
  device.write(publishBytes({ topic: 'a', payload: 'x', qos: 1, messageId: 1 }))
  t.equal((await device.next('puback')).messageId, 1)
  await sink.waitFor(1)
  device.abort()
  t.equal(await program.stop(), 0)
  const [publish, attempt] = receiver.spans
  t.match(publish, {
    name: 'publish',
    resource: { 'service.name': 'mqtt-broker-source', 'service.instance.id': 'mqtt-source', 'k8s.namespace.name': 'plant' },
    attributes: { 'cloudevents.event_source': '/mqtt-broker-source/mqtt-source/clients/c' }
  })
  t.match(attempt, { traceId: publish!.traceId, parentSpanId: publish!.spanId, attributes: { 'http.response.status_code': 202 } })
  t.equal(sink.requests[0]?.header('traceparent'), `00-${publish!.traceId}-${attempt!.spanId}-01`)
  t.equal(sink.requests[0]?.header('kn-namespace'), 'plant')
  t.strictSame(program.log.filter(({ level }) => level !== 'info'), [])
})

test('injected variables that are broken are warnings, and the program runs', async (t) => {
  const env = { K_OBSERVABILITY_CONFIG: '{', K_LOGGING_CONFIG: '{', OTEL_EXPORTER_OTLP_ENDPOINT: '::', OTEL_TRACES_SAMPLER: 'odd' }
  const program = await startProgram(t, settings(`${t.testdir()}/data`), { env })
  t.equal(program.log.filter(({ level }) => level === 'warn').length, 4)
  t.equal(await program.stop(), 0)
})

test('without tracing no package of OpenTelemetry is loaded, but for the interface that prom-client brings', async (t) => {
  const script = `
    import { createSource } from ${JSON.stringify(fileURLToPath(new URL('../../dist/lib/index.js', import.meta.url)))}
    import { createRequire } from 'node:module'
    const [endpoint] = process.argv.slice(1)
    const source = createSource({ env: {}, settings: {
      dataDir: ${JSON.stringify(t.testdir())}, listeners: [{ port: 0 }], http: { port: 0 }, sink: { kind: 'http' },
      log: { level: 'silent' }, ...(endpoint && { tracing: { endpoint } })
    } })
    await source.start()
    const loaded = Object.keys(createRequire(import.meta.url).cache)
    const names = loaded.map((file) => /@opentelemetry\\/[^/]+/.exec(file)?.[0]).filter((name) => name !== undefined)
    console.log([...new Set(names)].join())
    await source.close()`
  const loadedWith = async (...args: string[]) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, '--', ...args])
    return stdout.trim().split(',')
  }
  t.strictSame(await loadedWith(), ['@opentelemetry/api'])
  const receiver = await startOtlpReceiver(t)
  t.ok((await loadedWith(receiver.url)).includes('@opentelemetry/sdk-trace'), 'it would be seen')
})

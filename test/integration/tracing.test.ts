/** Traces from a device over the publish to its delivery, with a real receiver of OTLP and a real sink. */
import t, { test, type Test } from 'tap'
import { connectAsync, type MqttClient } from 'mqtt'
import { createSource, requeueDeadLetters, type Source } from '../../lib/index.ts'
import { startHttpSink, type ReceivedRequest } from '../support/http-sink.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'

t.jobs = 1

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const DEVICE = `00-${TRACE}-b7ad6b7169203331-01`
const NOT_SAMPLED = `00-${TRACE}-b7ad6b7169203331-00`

/** A broker with a device connected to it. */
async function start (t: Test, dataDir: string, more: object): Promise<{ source: Source, device: MqttClient }> {
  const source = createSource({
    env: {},
    settings: {
      name: 'gateway-1',
      dataDir,
      listeners: [{ port: 0 }],
      http: { port: 0 },
      delivery: { backoffDelay: 'PT0.02S', backoffMax: 'PT0.1S', grace: 'PT0.5S' },
      log: { level: 'silent' },
      ...more
    }
  })
  t.teardown(() => source.close())
  await source.start()
  const { address } = source.addresses.listeners[0]!
  const device = await connectAsync(`mqtt://${address}`, { clientId: 'pump-7', reconnectPeriod: 0 })
  t.teardown(() => { device.end(true) })
  return { source, device }
}

async function metricsOf (source: Source) {
  return parseMetrics(await (await fetch(`http://${source.addresses.http}/metrics`)).text())
}

/** Trace and span of the header that a request came with. */
function contextOf (request: ReceivedRequest): { traceId: string, spanId: string, flags: string } {
  const [, traceId = '', spanId = '', flags = ''] = (request.header('traceparent') ?? '').split('-')
  return { traceId, spanId, flags }
}

/** What a device sends that makes its own event in a trace. */
const ownEvent = (extensions: object, id = 'e-1') => JSON.stringify({
  specversion: '1.0', id, source: '/devices/pump-7', type: 't', ...extensions, datacontenttype: 'application/json', data: { value: 1 }
})
const RULES = { rules: [{ topic: 'ce/#', cloudevents: { trustSource: ['/devices/{clientid}'] } }] }

test('the trace of a device goes on over its publish, a failed attempt and the next one', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  sink.script({ status: 503 })
  const { device } = await start(t, `${t.testdir()}/data`, {
    namespace: 'plant', sink: { url: `${sink.url}events?key=secret` }, events: RULES, tracing: { endpoint: receiver.url, serviceName: 'edge' }
  })
  await device.publishAsync('ce/a', ownEvent({ traceparent: DEVICE, tracestate: 'vendor=1' }), { qos: 1 })
  const [publish] = await receiver.named('publish', 1)
  const [failed, taken] = await receiver.named('deliver default', 2)
  t.match(publish, { traceId: TRACE, parentSpanId: 'b7ad6b7169203331', traceState: 'vendor=1', kind: 'consumer', status: 'unset' })
  t.match(publish?.attributes, {
    'messaging.system': 'mqtt',
    'messaging.operation.type': 'process',
    'messaging.destination.name': 'ce/a',
    'messaging.client.id': 'pump-7',
    'mqtt.qos': 1,
    'cloudevents.event_id': 'e-1',
    'cloudevents.event_source': '/devices/pump-7',
    'cloudevents.event_type': 't'
  })
  t.match(publish?.resource, { 'service.name': 'edge', 'service.instance.id': 'gateway-1', 'k8s.namespace.name': 'plant' })
  t.ok(publish!.endMs >= publish!.startMs && publish!.startMs > Date.now() - 60_000)

  t.match(failed, { traceId: TRACE, parentSpanId: publish!.spanId, kind: 'client', status: 'error', traceState: 'vendor=1' })
  t.match(failed?.attributes, {
    'http.request.method': 'POST',
    'http.response.status_code': 503,
    'error.type': '503',
    'url.full': `${sink.url}events`,
    'server.port': sink.port,
    'mqtt_broker_source.sink': 'default',
    'cloudevents.event_id': 'e-1'
  })
  t.match(taken, { traceId: TRACE, parentSpanId: publish!.spanId, status: 'unset', attributes: { 'http.response.status_code': 202 } })

  t.strictSame(sink.requests.map(contextOf), [failed, taken].map((span) => ({ traceId: TRACE, spanId: span!.spanId, flags: '01' })))
  for (const request of sink.requests) {
    t.equal(request.header('tracestate'), 'vendor=1')
    t.equal(request.header('kn-namespace'), 'plant')
    t.equal(request.event()['traceparent'], DEVICE, 'the event says where it began [CE distributed tracing]')
  }
  t.notMatch(JSON.stringify(receiver.spans), /secret|"value"/, 'no query and no payload')
})

test('a publish without a trace begins one; its event says so where the extension is on', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  for (const traceparent of [true, false]) {
    const from = receiver.spans.length
    const { source, device } = await start(t, `${t.testdir()}/data`, {
      sink: { url: sink.url, contentMode: 'structured' }, events: { extensions: { traceparent } }, tracing: { endpoint: receiver.origin }
    })
    await device.publishAsync('a/b', 'x', { qos: 1 })
    await sink.waitFor(traceparent ? 1 : 2)
    await device.endAsync()
    await source.close()
    const [publish, attempt] = receiver.spans.slice(from)
    const request = sink.requests.at(-1)!
    t.match(publish, { name: 'publish', parentSpanId: '' })
    t.match(attempt, { traceId: publish!.traceId, parentSpanId: publish!.spanId })
    t.strictSame(contextOf(request), { traceId: publish!.traceId, spanId: attempt!.spanId, flags: '01' }, 'in structured mode, too')
    t.equal(request.event()['traceparent'], traceparent ? `00-${publish!.traceId}-${publish!.spanId}-01` : undefined)
  }
  t.strictSame(receiver.requests[0]?.path, '/v1/traces', 'an endpoint without a path')
})

test('an attempt after a restart belongs to the trace of the device all the same', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  const dataDir = `${t.testdir()}/data`
  sink.answer = { status: 503 }
  const settings = { sink: { url: sink.url }, events: RULES, tracing: { endpoint: receiver.url } }
  const first = await start(t, dataDir, settings)
  await first.device.publishAsync('ce/a', ownEvent({ traceparent: DEVICE }), { qos: 1 })
  await sink.waitFor(1)
  await first.device.endAsync()
  await first.source.close()
  const [publish] = receiver.spans.filter(({ name }) => name === 'publish')
  const before = receiver.spans.length
  sink.answer = { status: 202 }
  const second = await start(t, dataDir, settings)
  await receiver.until((spans) => spans.slice(before).some(({ attributes }) => attributes['http.response.status_code'] === 202))
  const taken = receiver.spans.at(-1)
  t.match(taken, { traceId: TRACE, parentSpanId: publish!.spanId })
  t.strictSame(contextOf(sink.requests.at(-1)!), { traceId: TRACE, spanId: taken!.spanId, flags: '01' })
  t.equal(receiver.spans.slice(before).filter(({ name }) => name === 'publish').length, 0)
  await second.source.close()
})

test('a dead letter that is put back belongs to its trace still', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  const dataDir = `${t.testdir()}/data`
  sink.answer = { status: 400 }
  const settings = { sink: { url: sink.url }, events: RULES, tracing: { endpoint: receiver.url } }
  const first = await start(t, dataDir, settings)
  await first.device.publishAsync('ce/a', ownEvent({ traceparent: DEVICE }), { qos: 1 })
  await sink.waitFor(1)
  await first.device.endAsync()
  await first.source.close()
  t.same(await requeueDeadLetters(first.source.config), { done: 1, left: 0 })
  sink.answer = { status: 202 }
  const second = await start(t, dataDir, settings)
  await sink.waitFor(2)
  await second.device.endAsync()
  await second.source.close()
  const [publish] = receiver.spans.filter(({ name }) => name === 'publish')
  t.match(receiver.spans.at(-1), { traceId: TRACE, parentSpanId: publish!.spanId, attributes: { 'http.response.status_code': 202 } })
})

test('the decision of a device is followed; what begins here is recorded as samplingRate says', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  const expected = { 1: [TRACE, 'own'], 0: [TRACE] } as const
  for (const samplingRate of [1, 0] as const) {
    const [spansFrom, requestsFrom] = [receiver.spans.length, sink.requests.length]
    const { source, device } = await start(t, `${t.testdir()}/data`, {
      sink: { url: sink.url }, events: RULES, tracing: { endpoint: receiver.url, samplingRate }
    })
    await device.publishAsync('ce/a', ownEvent({ traceparent: DEVICE }, 'sampled'), { qos: 1 })
    await device.publishAsync('ce/a', ownEvent({ traceparent: NOT_SAMPLED }, 'not'), { qos: 1 })
    await device.publishAsync('plain', 'x', { qos: 1 })
    await sink.waitFor(requestsFrom + 3)
    await device.endAsync()
    await source.close()
    const traces = receiver.spans.slice(spansFrom)
    t.equal(traces.length, 2 * expected[samplingRate].length, `samplingRate ${samplingRate}: a publish and an attempt each`)
    t.equal(traces.filter(({ traceId }) => traceId === TRACE).length, 2)
    t.notOk(traces.some(({ attributes }) => attributes['cloudevents.event_id'] === 'not'))
    const flags = sink.requests.slice(requestsFrom).map((request) => contextOf(request).flags)
    t.strictSame(flags, ['01', '00', samplingRate === 1 ? '01' : '00'], 'the sink is told the decision')
    t.equal(contextOf(sink.requests[requestsFrom + 1]!).traceId, TRACE)
  }
})

test('a batch is one request, with links to all publishes in it', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  const { device } = await start(t, `${t.testdir()}/data`, {
    sink: { url: sink.url, contentMode: 'batch', batch: { count: 3, wait: 'PT5S' } },
    events: { rules: [{ topic: 'k/{key}', partitionKey: '{key}' }] },
    tracing: { endpoint: receiver.url }
  })
  await Promise.all(['a', 'b', 'c'].map((key) => device.publishAsync(`k/${key}`, key, { qos: 1 })))
  const publishes = await receiver.named('publish', 3)
  const [batch] = await receiver.named('deliver default', 1)
  t.equal(sink.requests[0]?.mode, 'batch')
  t.match(batch, { parentSpanId: '', kind: 'client', attributes: { 'messaging.batch.message_count': 3, 'http.response.status_code': 202 } })
  const sorted = (spans: ReadonlyArray<{ spanId: string, traceId: string }>) => spans.map(({ spanId }) => spanId).sort()
  t.strictSame(sorted(batch!.links), sorted(publishes))
  t.strictSame(contextOf(sink.requests[0]!), { traceId: batch!.traceId, spanId: batch!.spanId, flags: '01' })
})

test('events of one lane go into one batch, traced or not', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  let open = () => {}
  const gate = new Promise<void>((resolve) => { open = resolve })
  sink.script({ after: gate })
  const { device } = await start(t, `${t.testdir()}/data`, {
    sink: { url: sink.url, contentMode: 'batch', batch: { count: 10, wait: 'PT0S' } }, tracing: { endpoint: receiver.url }
  })
  await device.publishAsync('a', '0', { qos: 1 })
  await sink.waitFor(1)
  for (let at = 1; at <= 10; at++) await device.publishAsync('a', String(at), { qos: 1 })
  open()
  await sink.waitFor(2)
  t.equal(sink.requests[1]?.events().length, 10)
})

test('headers that a user has set at a sink are sent as they are, and once', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  const { source, device } = await start(t, `${t.testdir()}/data`, {
    sink: { url: sink.url, headers: { Traceparent: DEVICE } }, tracing: { endpoint: receiver.url }
  })
  await device.publishAsync('a', 'x', { qos: 1 })
  await sink.waitFor(1)
  t.equal(sink.requests[0]?.header('traceparent'), DEVICE)
  t.equal(sink.requests[0]?.header('tracestate'), undefined)
  await device.endAsync()
  await source.close()
})

test('a publish that is refused is a span with the error, and what a rule drops is none', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  const { source, device } = await start(t, `${t.testdir()}/data`, {
    sink: { url: sink.url },
    events: { rules: [{ topic: 'drop/#', drop: true }, { topic: 'strict/#', schema: { inline: { type: 'object' }, otherwise: 'refuse' } }] },
    tracing: { endpoint: receiver.url }
  })
  await device.publishAsync('drop/a', 'x', { qos: 1 })
  device.publish('strict/a', '1', { qos: 1 }) // is never answered
  const [refused] = await receiver.named('publish', 1)
  t.match(refused, { status: 'error', attributes: { 'error.type': 'MBS_ERR_MAPPING_REFUSED', 'messaging.destination.name': 'strict/a' } })
  await source.close()
  t.equal(receiver.spans.length, 1)
})

test('what an attempt fails of is in its span: nobody listens', async (t) => {
  const receiver = await startOtlpReceiver(t)
  const sink = await startHttpSink(t)
  const { url } = sink
  await sink.stop()
  const { device } = await start(t, `${t.testdir()}/data`, { sink: { url }, tracing: { endpoint: receiver.url } })
  await device.publishAsync('a', 'x', { qos: 1 })
  const [failed] = await receiver.named('deliver default', 1)
  t.match(failed, { status: 'error', attributes: { 'error.type': 'ECONNREFUSED' }, statusMessage: /ECONNREFUSED/ })
  t.notOk('http.response.status_code' in failed!.attributes)
})

test('headers with credentials come from files, and are read again', async (t) => {
  const receiver = await startOtlpReceiver(t)
  const directory = t.testdir({ key: 'first\n' })
  const { writeFile } = await import('node:fs/promises')
  const { source, device } = await start(t, `${directory}/data`, {
    sink: { kind: 'http' },
    tracing: { endpoint: receiver.url, headers: { 'X-Key': { file: `${directory}/key` }, tenant: 'a' } }
  })
  await device.publishAsync('a', 'x', { qos: 1 })
  await receiver.asked(1)
  await writeFile(`${directory}/key`, 'second')
  t.strictSame(await source.reload(), [])
  await writeFile(`${directory}/key`, 'not a header\u0001')
  t.match(await source.reload(), [{ code: 'MBS_ERR_RELOAD_FAILED' }])
  await device.publishAsync('a', 'y', { qos: 1 })
  await receiver.asked(2)
  t.strictSame(receiver.requests.map(({ headers }) => [headers['x-key'], headers['tenant']]), [['first', 'a'], ['second', 'a']])
  await writeFile(`${directory}/key`, 'x')
})

test('a header file that cannot be read keeps the program from starting', async (t) => {
  const source = createSource({
    env: {},
    settings: {
      dataDir: `${t.testdir()}/data`,
      listeners: [{ port: 0 }],
      http: { port: 0 },
      log: { level: 'silent' },
      tracing: { endpoint: 'http://127.0.0.1:9/', headers: { a: { file: '/nonexistent' } } }
    }
  })
  await t.rejects(source.start(), { code: 'MBS_ERR_TRACING_HEADERS' })
})

test('a receiver that is down costs neither publishes, nor deliveries, nor memory; what is lost is counted', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  const { url } = receiver
  await receiver.stop()
  const { source, device } = await start(t, `${t.testdir()}/data`, {
    sink: { url: sink.url }, limits: { messagesPerSecond: 0 }, tracing: { endpoint: url, timeout: 'PT1S' }
  })
  const count = 10_000
  for (let from = 0; from < count; from += 500) {
    await Promise.all(Array.from({ length: 500 }, (_, at) => device.publishAsync(`k/${at}`, String(from + at), { qos: 1 })))
  }
  await sink.waitFor(count)
  t.equal(new Set(sink.requests.map(({ body }) => body.toString())).size, count, 'every one is delivered')
  const families = await metricsOf(source)
  const dropped = (reason: string) => sampleOf(families, `mqtt_broker_source_spans_dropped_total{reason="${reason}"}`) ?? 0
  const kept = 2 * count - dropped('queue') - dropped('network')
  t.ok(dropped('queue') > 0)
  t.ok(kept <= 4096 + 512, `no more than the bound are kept: ${kept}`)
  t.equal(sampleOf(families, 'mqtt_broker_source_spans_sent_total'), 0)
  await device.endAsync()
  const startedAt = performance.now()
  await source.close()
  t.ok(performance.now() - startedAt < 5000)
})

test('a receiver that never answers does not hold up the shutdown beyond tracing.timeout', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  receiver.answer = () => {}
  const { source, device } = await start(t, `${t.testdir()}/data`, { sink: { url: sink.url }, tracing: { endpoint: receiver.url, timeout: 'PT0.3S' } })
  await device.publishAsync('a', 'x', { qos: 1 })
  await sink.waitFor(1)
  await device.endAsync()
  const startedAt = performance.now()
  await source.close()
  t.ok(performance.now() - startedAt < 2500)
  t.ok(receiver.requests.length > 0)
})

test('what is left is sent at shutdown', async (t) => {
  const [receiver, sink] = [await startOtlpReceiver(t), await startHttpSink(t)]
  const { source, device } = await start(t, `${t.testdir()}/data`, { sink: { url: sink.url }, tracing: { endpoint: receiver.url } })
  await device.publishAsync('a', 'x', { qos: 1 })
  await sink.waitFor(1)
  await device.endAsync()
  await source.close()
  t.strictSame(receiver.spans.map(({ name }) => name).sort(), ['deliver default', 'publish'])
})

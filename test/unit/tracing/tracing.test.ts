import { test } from 'tap'
import { createError } from '../../../lib/errors.ts'
import type { Event, Publish } from '../../../lib/message.ts'
import { Tracing } from '../../../lib/tracing/tracing.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'
import { startOtlpReceiver } from '../../support/otlp-receiver.ts'

const publish: Publish = {
  client: { id: 'c' }, topic: 'a', payload: Buffer.from('x'), qos: 1, retain: false, dup: false, messageId: 1, will: false, receivedAt: Date.now()
}
const event: Event = { id: '1', source: '/s', type: 't', time: '', extensions: {}, partitionKey: 'c', data: publish.payload }
const TRACE = '0af7651916cd43dd8448eb211c80319c'

type Teardown = { teardown (fn: () => Promise<void>): void }

async function start (t: Teardown, more: { extension?: boolean, samplingRate?: number } = {}) {
  const receiver = await startOtlpReceiver(t)
  const { telemetry, lines } = createTestTelemetry()
  const tracing = new Tracing({
    endpoint: receiver.url, samplingRate: 1, headers: {}, serviceName: 's', timeoutMs: 1000, instance: 'i', namespace: undefined, extension: false, telemetry, ...more
  })
  await tracing.start()
  return { receiver, tracing, lines }
}

test('before the start, and after the end, nothing is traced and everything goes on', async (t) => {
  const { tracing, receiver } = await start(t)
  await tracing.close()
  const map = tracing.mapper(() => event)
  t.equal(map(publish, '1'), event)
  t.strictSame(await tracing.publisher(async () => ({ kind: 'stored' as const }))(publish), { kind: 'stored' })
  const span = tracing.attempts('default', 'http://sink/').begin(event)
  t.strictSame(span.headers, [])
  span.end({ kind: 'aborted' })
  t.equal(receiver.requests.length, 0)
})

test('what becomes no event, and mistakes of the mapper, pass as they are', async (t) => {
  const { tracing } = await start(t)
  const refusal = createError('MBS_ERR_MAPPING_REFUSED', { index: 0, reason: 'a test' })
  t.equal(tracing.mapper(() => 'drop' as const)(publish, '1'), 'drop')
  t.equal(tracing.mapper(() => refusal)(publish, '1'), refusal)
  t.throws(() => tracing.mapper(() => { throw new Error('a defect') })(publish, '1'), { message: 'a defect' })
  const later = tracing.mapper<never>(async () => event)(publish, '1')
  t.match(await later, { handling: { trace: { traceparent: /^00-/ } } })
  await tracing.close()
})

test('the event carries where its publish stands, beside how it is handled, recorded or not', async (t) => {
  for (const [samplingRate, flags] of [[1, '01'], [0, '00']] as const) {
    const { tracing } = await start(t, { samplingRate, extension: true })
    const given: Event = { ...event, handling: { ack: 'received' } }
    const traced = tracing.mapper(() => given)(publish, '1') as Event
    t.match(traced.handling, { ack: 'received', trace: { traceparent: new RegExp(`^00-[0-9a-f]{32}-[0-9a-f]{16}-${flags}$`) } })
    t.equal(traced.extensions['traceparent'], traced.handling?.trace?.traceparent)
    t.strictSame(given, { ...event, handling: { ack: 'received' } }, 'what was given is left as it was')
    await tracing.close()
  }
})

test('a traceparent that is none begins a trace, one of a later version goes on', async (t) => {
  const { tracing } = await start(t)
  const trace = (traceparent: string, more = {}) => {
    const own: Event = { ...event, extensions: { traceparent, ...more } }
    return (tracing.mapper(() => own)(publish, '1') as Event).handling?.trace
  }
  for (const wrong of ['', 'x', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, `ff-${TRACE}-b7ad6b7169203331-01`, `00-${TRACE}-b7ad6b7169203331-01-x`]) {
    t.notMatch(trace(wrong)?.traceparent, TRACE, wrong)
  }
  t.match(trace(`cc-${TRACE}-b7ad6b7169203331-01-more`)?.traceparent, new RegExp(`^00-${TRACE}-`))
  t.equal(trace(`00-${TRACE}-b7ad6b7169203331-01`, { tracestate: 'a=1,B B=2,c=\r\nevil: 1' })?.tracestate, 'a=1', 'nothing that is no header')
  await tracing.close()
})

test('an attempt belongs to its publish, or else to what the event says; or it begins a trace', async (t) => {
  const { tracing, receiver } = await start(t)
  const tracer = tracing.attempts('default', 'https://[::1]/events')
  const begin = (of: Event) => tracer.begin(of)
  const context = { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` }
  const own = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01' }
  begin({ ...event, extensions: own, handling: { trace: context } }).end({ kind: 'answer', status: 202, body: Buffer.alloc(0) })
  begin({ ...event, extensions: own }).end({ kind: 'network', code: 'X', reason: 'late', timedOut: true })
  begin(event).end({ kind: 'aborted' })
  await tracing.close()
  t.match(receiver.spans, [
    { traceId: TRACE, parentSpanId: '00f067aa0ba902b7', attributes: { 'server.address': '::1', 'server.port': 443 } },
    { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', attributes: { 'error.type': 'timeout' }, statusMessage: 'late' },
    { parentSpanId: '', status: 'error', attributes: { 'error.type': 'aborted' } }
  ])
})

test('texts that a device chooses are cut', async (t) => {
  const { tracing, receiver } = await start(t)
  const long: Publish = { ...publish, client: { id: 'c'.repeat(60_000) } }
  await tracing.mapper<never>(() => event)(long, '1')
  await tracing.publisher(async () => ({ kind: 'stored' as const }))(long)
  await tracing.close()
  t.equal(String(receiver.spans[0]?.attributes['messaging.client.id']).length, 1024)
})

import { test } from 'tap'
import { flood, drip } from '../../support/asked-service.ts'
import { partialSuccess, startOtlpReceiver, type OtlpReceiver } from '../../support/otlp-receiver.ts'
import { SpanExporter } from '../../../lib/tracing/span-exporter.ts'

const NEVER = new AbortController().signal
const send = async (receiver: OtlpReceiver, timeoutMs = 2000, signal = NEVER) =>
  await new SpanExporter({ endpoint: `${receiver.url}?key=secret`, headers: () => ({ 'x-key': 'a' }), timeoutMs }).send([], signal)

test('spans are POSTed as protobuf, with the headers', async (t) => {
  const receiver = await startOtlpReceiver(t)
  t.strictSame(await send(receiver), { kind: 'sent', rejected: 0 })
  t.match(receiver.requests[0], { path: '/v1/traces?key=secret', headers: { 'content-type': 'application/x-protobuf', 'x-key': 'a' } })
})

test('what may pass is told from what does not [OTLP/HTTP]', async (t) => {
  const receiver = await startOtlpReceiver(t)
  const kinds = { 200: 'sent', 204: 'sent', 301: 'refused', 400: 'refused', 401: 'refused', 429: 'network', 500: 'refused', 502: 'network', 503: 'network', 504: 'network' }
  for (const [status, kind] of Object.entries(kinds)) {
    receiver.answer = (response) => { response.writeHead(Number(status), { location: receiver.url }).end() }
    const result = await send(receiver)
    t.equal(result.kind, kind, status)
    if (result.kind === 'sent') continue
    t.equal(result.error.code, 'MBS_ERR_TRACING_EXPORT')
    t.match(result.error.message, status)
    t.notMatch(result.error.message, 'secret')
  }
  t.equal(receiver.requests.length, Object.keys(kinds).length, 'no redirect is followed')
})

test('an answer that lies is bounded: never ending, too large, nonsense', async (t) => {
  const receiver = await startOtlpReceiver(t)
  receiver.answer = (response) => { drip(response, { method: '', headers: {}, body: '' }, 0) }
  t.match(await send(receiver, 100), { kind: 'network', error: { message: /no answer within 100 ms/ } })
  const sent = { bytes: 0 }
  receiver.answer = (response) => { flood(sent)(response, { method: '', headers: {}, body: '' }, 0) }
  t.match(await send(receiver), { kind: 'refused', error: { message: /larger than/ } })
  t.ok(sent.bytes < 64 * 1024 ** 2)
  for (const body of [Buffer.from('nonsense'), Buffer.from([0x0a, 0xff, 0xff]), partialSuccess(127)]) {
    receiver.answer = (response) => { response.writeHead(200).end(body) }
    t.strictSame(await send(receiver), { kind: 'sent', rejected: 0 }, 'no more are lost than were sent')
  }
})

test('nobody there, and nobody waiting', async (t) => {
  const receiver = await startOtlpReceiver(t)
  receiver.answer = () => {}
  const controller = new AbortController()
  const sending = send(receiver, 5000, controller.signal)
  await receiver.asked(1)
  controller.abort()
  t.match(await sending, { kind: 'aborted' })
  await receiver.stop()
  t.match(await send(receiver), { kind: 'network', error: { message: /ECONNREFUSED/ } })
})

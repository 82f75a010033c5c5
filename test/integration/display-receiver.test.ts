import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { CloudEvent, HTTP } from 'cloudevents'
import { test, type Test } from 'tap'
import { formatEvent } from '../../lib/sink/display-format.ts'
import { createDisplayReceiver } from '../../lib/sink/display-receiver.ts'
import { event } from '../support/http-sink-events.ts'
import { httpSink, noAbort } from '../support/http-sink-client.ts'

async function start (t: Test) {
  const stream = new PassThrough({ highWaterMark: 64 * 1024 * 1024 })
  const receiver = createDisplayReceiver({ host: '127.0.0.1', port: 0, stream })
  const url = `http://${await receiver.start()}/`
  t.teardown(async () => { await receiver.close() })
  return { receiver, url, printed: () => String(stream.read() as Buffer ?? '') }
}

const BINARY = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }

test('what our own sink sends in either mode is printed as the display sink prints it', async (t) => {
  const { url, printed } = await start(t)
  for (const contentMode of ['binary', 'structured', 'auto'] as const) {
    const sent = event({ subject: 'küche 1', extensions: { site: 'north' }, data: Buffer.from('{"a":1.0}') })
    t.match(await httpSink(t, url, { contentMode }).send(sent, noAbort()), { kind: 'answer', status: 202 })
    t.equal(printed(), formatEvent(sent))
  }
})

test('what the SDK sends in either mode is printed', async (t) => {
  const { url, printed } = await start(t)
  const sent = new CloudEvent({ id: '1', source: '/s', type: 't', time: '2023-11-14T22:13:20.123Z', data: { a: 1 } })
  for (const message of [HTTP.binary(sent), HTTP.structured(sent)]) {
    const response = await fetch(url, {
      method: 'POST', headers: message.headers as Record<string, string>, body: message.body as string
    })
    t.equal(response.status, 202)
    t.match(printed(), /^☁️ {2}cloudevents.Event\nValidation: valid\n[^]* {2}id: 1\n[^]*Data,\n {2}\{\n {4}"a": 1\n {2}\}\n$/)
  }
})

test('a batch is printed event by event', async (t) => {
  const { url, printed } = await start(t)
  const one = (id: string) => ({ specversion: '1.0', id, source: '/s', type: 't' })
  const response = await fetch(url, {
    method: 'POST', headers: { 'content-type': 'application/cloudevents-batch+json' }, body: JSON.stringify([one('1'), one('2')])
  })
  t.equal(response.status, 202)
  t.same(printed().match(/ {2}id: ./g), ['  id: 1', '  id: 2'])
})

test('what is no CloudEvent is answered 400 with code, reason and remedy, and not printed', async (t) => {
  const { url, printed } = await start(t)
  const cases: [headers: Record<string, string>, body: string, reason: RegExp][] = [
    [{ 'content-type': 'application/json' }, '{}', /no header ce-specversion/],
    [{ ...BINARY, 'ce-specversion': '0.3' }, '', /0.3 is not supported/],
    [{ 'content-type': 'application/cloudevents+json' }, '{', /not JSON/],
    [{ 'content-type': 'application/cloudevents-batch+json' },
      '[{"specversion":"1.0","id":"1","source":"/s","type":"t"},{}]', /specversion is missing/]
  ]
  for (const [headers, body, reason] of cases) {
    const response = await fetch(url, { method: 'POST', headers, body })
    t.equal(response.status, 400)
    const text = await response.text()
    t.match(text, /^MBS_ERR_DISPLAY_EVENT: The request is not a CloudEvent: .+\n.+\n$/)
    t.match(text, reason)
  }
  t.equal(printed(), '')
})

test('OPTIONS tells that events are POSTed, and every other method is not allowed', async (t) => {
  const { url } = await start(t)
  const options = await fetch(url, { method: 'OPTIONS' })
  t.equal(options.status, 200)
  t.match(options.headers.get('allow'), 'POST')
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH']) {
    const response = await fetch(url, { method, headers: BINARY })
    t.equal(response.status, 405, method)
    t.match(response.headers.get('allow'), 'POST')
  }
})

test('a body of more than 4 MiB is answered 413, whether its length was told or not', async (t) => {
  const { url, printed } = await start(t)
  const body = Buffer.alloc(4 * 1024 * 1024 + 1, 'x')
  t.equal((await fetch(url, { method: 'POST', headers: BINARY, body })).status, 413)
  const stream = new ReadableStream({
    start (controller) {
      controller.enqueue(body)
      controller.close()
    }
  })
  t.equal((await fetch(url, { method: 'POST', headers: BINARY, body: stream, duplex: 'half' } as RequestInit)).status, 413)
  t.equal((await fetch(url, { method: 'POST', headers: BINARY, body: body.subarray(1) })).status, 202)
  t.match(printed(), 'id: 1')
})

test('a sender that goes away in the middle harms no one else', async (t) => {
  const { url } = await start(t)
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {})
  await new Promise<void>((resolve) => {
    socket.write('POST / HTTP/1.1\r\nhost: x\r\nce-id: 1\r\ncontent-length: 100\r\n\r\nabc', () => { resolve() })
  })
  socket.resetAndDestroy()
  t.equal((await fetch(url, { method: 'POST', headers: BINARY })).status, 202)
})

test('an address that is taken is an error with the address and the reason', async (t) => {
  const { url } = await start(t)
  const second = createDisplayReceiver({ host: '127.0.0.1', port: Number(new URL(url).port), stream: new PassThrough() })
  await t.rejects(second.start(), { code: 'MBS_ERR_HTTP_BIND', message: /127\.0\.0\.1:\d+: .*EADDRINUSE/ })
  await second.close()
})

test('closing ends open connections, and start and close are idempotent', async (t) => {
  const { receiver, url } = await start(t)
  t.equal(`http://${await receiver.start()}/`, url)
  await fetch(url, { method: 'POST', headers: BINARY }) // leaves a connection open
  await Promise.all([receiver.close(), receiver.close()])
  await t.rejects(fetch(url, { method: 'OPTIONS' }))
})

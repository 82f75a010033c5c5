/** The HTTP binding for CloudEvents: what is on the wire, and what the SDK reads from it. */
import { createServer, type AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { createMapper } from '../../lib/mapping/mapper.ts'
import type { Event } from '../../lib/message.ts'
import { event, publish } from '../support/http-sink-events.ts'
import { httpSink, noAbort } from '../support/http-sink-client.ts'
import { startHttpSink } from '../support/http-sink.ts'

/** Everything that may be in an attribute, and what a header carries instead [CE-HTTP 3.1.3.2]. */
const ENCODINGS: [character: string, encoded: string][] = [
  [' ', '%20'], ['"', '%22'], ['%', '%25'], ['%41', '%2541'], ['\u00a0', '%C2%A0'], ['ü', '%C3%BC'], ['€', '%E2%82%AC'],
  ['温', '%E6%B8%A9'], ['😀', '%F0%9F%98%80'], ['\u{10fffd}', '%F4%8F%BF%BD'], ['\u200b', '%E2%80%8B'],
  // Everything else in ASCII is carried as it is.
  ...[...'!#$&\'()*+,-./0129:;<=>?@AZ[\\]^_`az{|}~'].map((character): [string, string] => [character, character])
]

/** Sends an event and gives the bytes of the request. */
async function onTheWire (t: Test, sent: Event): Promise<Buffer> {
  const chunks: Buffer[] = []
  const server = createServer((socket) => {
    socket.on('data', (chunk) => {
      chunks.push(chunk)
      const text = Buffer.concat(chunks).toString('latin1')
      const end = text.indexOf('\r\n\r\n') + 4
      const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1])
      if (end > 3 && text.length >= end + length) socket.end('HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n')
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/default/broker`
  t.match(await httpSink(t, url, { contentMode: 'binary' }).send(sent, noAbort()), { kind: 'answer', status: 202 })
  return Buffer.concat(chunks)
}

test('the bytes of a request in binary mode', async (t) => {
  const wire = await onTheWire(t, event({
    subject: 'küche 1', extensions: { mqttretain: true, mqttqos: 2 }, data: Buffer.from([0x7b, 0x7d, 0, 0xff])
  }))
  const host = /host: (127\.0\.0\.1:\d+)/.exec(wire.toString('latin1'))?.[1]
  t.same(wire.toString('latin1').split('\r\n'), [
    'POST /default/broker HTTP/1.1',
    `host: ${host}`,
    'connection: keep-alive',
    'ce-specversion: 1.0',
    'ce-id: 01',
    'ce-source: /mqtt-broker-source/gw/clients/c1',
    'ce-type: dev.mqttbrokersource.publish',
    'ce-time: 2023-11-14T22:13:20.123Z',
    'ce-subject: k%C3%BCche%201',
    'content-type: application/json',
    'ce-mqttretain: true',
    'ce-mqttqos: 2',
    'user-agent: mqtt-broker-source/test',
    'content-length: 4',
    '',
    '{}\u0000\u00ff'
  ])
})

test('forced binary mode percent-encodes attributes as UTF-8 in upper case [CE-HTTP 3.1.3.2]', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url, { contentMode: 'binary' })
  for (const [character, encoded] of ENCODINGS) {
    await sink.send(event({ subject: `a${character}b`, extensions: { x: `${character}` } }), noAbort())
    const request = server.requests.at(-1)
    t.equal(request?.mode, 'binary')
    t.equal(request?.header('ce-subject'), `a${encoded}b`)
    t.equal(request?.header('ce-x'), encoded)
    // The SDK does not decode: this is what a Knative Trigger would have to match.
    t.equal(request?.event().subject, `a${encoded}b`)
  }
})

test('auto sends exactly the attributes that need escaping in structured mode, and every reader sees them as they are', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  for (const [character, encoded] of ENCODINGS) {
    await sink.send(event({ subject: `a${character}b` }), noAbort())
    const request = server.requests.at(-1)
    t.equal(request?.mode, encoded === character ? 'binary' : 'structured', encoded)
    t.equal(request?.event().subject, `a${character}b`)
    t.equal(request?.header('ce-id'), encoded === character ? '01' : undefined, 'no ce- headers beside a document')
  }
})

test('the SDK reads every attribute back, in both modes', async (t) => {
  const server = await startHttpSink(t)
  const sent = event({
    dataschema: 'https://example.com/schema', extensions: { partitionkey: 'c1', mqttqos: 2, mqttretain: true }
  })
  const attributes = {
    specversion: '1.0',
    id: sent.id,
    source: sent.source,
    type: sent.type,
    subject: sent.subject,
    time: sent.time,
    dataschema: sent.dataschema,
    datacontenttype: sent.datacontenttype
  }
  for (const contentMode of ['binary', 'structured'] as const) {
    await httpSink(t, server.url, { contentMode }).send(sent, noAbort())
    const request = server.requests.at(-1)
    t.equal(request?.mode, contentMode)
    t.match(request?.event(), attributes)
    t.same([request?.event()['mqttqos'], request?.event()['mqttretain']], contentMode === 'binary' ? ['2', 'true'] : [2, true])
    t.equal(request?.header('ce-datacontenttype'), undefined, 'Content-Type carries it [CE-HTTP 3.1.1]')
    t.same(request?.payload(), sent.data)
  }
})

test('whatever a device calls itself and its topics, its event is delivered and valid', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url)
  const map = createMapper({ name: 'gw', overrides: {} })
  for (const name of ['plain', 'a b', '100%', '"q"', 'ü/温/😀', '\u0001\u007f\u0085', '\ufffe', '\ud800', '\u2028', 'x'.repeat(20_000)]) {
    const mapped = map(publish({ topic: name, client: { id: name } }), '1')
    t.match(await sink.send(mapped, noAbort()), { kind: 'answer', status: 202 })
    t.match(server.requests.at(-1)?.event(), { id: '1', source: mapped.source, subject: mapped.subject as string })
  }
})

/** Content type and payload -> what a structured event carries, and what arrives, byte for byte, in both modes. */
import { test } from 'tap'
import { encodeStructured } from '../../lib/cloudevent/encode.ts'
import { createMapper } from '../../lib/mapping/mapper.ts'
import { event, publish, untyped } from '../support/http-sink-events.ts'
import { httpSink, noAbort } from '../support/http-sink-client.ts'
import { startHttpSink } from '../support/http-sink.ts'

const BYTES = [0, 0x1b, 0x7f, 0x80, 0xff, 0xfe]

/** The member that carries the payload, as it stands in the document [CE-JSON 3.1]. */
const TABLE: [type: string | undefined, payload: string | number[], member: string][] = [
  // JSON is spliced in as it was written: numbers, duplicate keys, white space and escapes are the device's.
  ['application/json', '{"a":1}', '"data":{"a":1}'],
  ['application/json', '1.0', '"data":1.0'],
  ['application/json', '12345678901234567890', '"data":12345678901234567890'],
  ['application/json', '-0', '"data":-0'],
  ['application/json', '1E400', '"data":1E400'],
  ['application/json', '{"a":1,"a":2}', '"data":{"a":1,"a":2}'],
  ['application/json', ' [ 1 , 2 ]\n', '"data": [ 1 , 2 ]\n'],
  ['application/json', '"\\u00fc\\ud83d\\/"', '"data":"\\u00fc\\ud83d\\/"'],
  ['application/json', '"ü😀"', '"data":"ü😀"'],
  ['application/json', 'null', '"data":null'],
  ['application/json', 'false', '"data":false'],
  ['application/json; charset=utf-8', '{}', '"data":{}'],
  ['application/vnd.example+json', '[]', '"data":[]'],
  ['APPLICATION/JSON', '0', '"data":0'],
  // Declared JSON that does not parse is bytes.
  ['application/json', '{"a":1', '"data_base64":"eyJhIjox"'],
  ['application/json', 'text', '"data_base64":"dGV4dA=="'],
  ['application/json', '\ufeff{}', '"data_base64":"77u/e30="'],
  ['application/json', [0x22, 0xff, 0x22], '"data_base64":"Iv8i"'],
  ['application/json; charset=utf-16le', '{}', '"data_base64":"e30="'],
  // Text is a string.
  ['text/plain', 'on', '"data":"on"'],
  ['text/plain', '{"a":1}', '"data":"{\\"a\\":1}"'],
  ['text/plain', 'ü😀\u0000\n"\\', '"data":"ü😀\\u0000\\n\\"\\\\"'],
  ['text/plain', '\ufefftext', '"data":"\ufefftext"'],
  ['text/csv; header=present', 'a,b', '"data":"a,b"'],
  ['text/plain', [0xe4], '"data_base64":"5A=="'],
  ['text/plain; charset=iso-8859-1', 'on', '"data_base64":"b24="'],
  // Everything else is bytes, and so is what has no type.
  ['application/octet-stream', BYTES, '"data_base64":"ABt/gP/+"'],
  ['application/octet-stream', '{"a":1}', '"data_base64":"eyJhIjoxfQ=="'],
  ['application/xml', '<a/>', '"data_base64":"PGEvPg=="'],
  ['image/png', [0x89, 0x50], '"data_base64":"iVA="'],
  [undefined, '{"a":1}', '"data_base64":"eyJhIjoxfQ=="'],
  [undefined, 'on', '"data_base64":"b24="']
]

const eventOf = (type: string | undefined, payload: string | number[]) => {
  const data = Buffer.from(payload as string)
  return type === undefined ? untyped({ data }) : event({ datacontenttype: type, data })
}

test('a structured event carries the payload as its content type says [CE-JSON 3.1]', async (t) => {
  for (const [type, payload, member] of TABLE) {
    const text = encodeStructured(eventOf(type, payload)).body.toString()
    t.ok(text.endsWith(`,${member}}`), `${type} ${JSON.stringify(payload)}: ${text.slice(-60)}`)
    t.doesNotThrow(() => { JSON.parse(text) })
    t.equal(text.split(/"data(?:_base64)?":/).length, 2, 'one member')
  }
})

test('no payload is no data', async (t) => {
  for (const type of ['application/json', 'text/plain', 'application/octet-stream', undefined]) {
    t.notMatch(encodeStructured(eventOf(type, '')).body.toString(), /"data(_base64)?":/)
  }
})

test('the payload arrives byte for byte in binary mode, with its type', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url, { contentMode: 'binary' })
  for (const [type, payload] of TABLE) {
    await sink.send(eventOf(type, payload), noAbort())
    const request = server.requests.at(-1)
    t.same(request?.body, Buffer.from(payload as string), `${type} ${JSON.stringify(payload)}`)
    t.equal(request?.header('content-type'), type)
    t.equal(request?.header('content-length'), String(request?.body.length))
    t.equal(request?.event().datacontenttype, type)
  }
})

test('the SDK reads the same value from a structured event', async (t) => {
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url, { contentMode: 'structured' })
  for (const [type, payload, member] of TABLE) {
    if (payload === '1E400') continue // too large for a number of JavaScript; in the document it is what it was
    await sink.send(eventOf(type, payload), noAbort())
    const read = server.requests.at(-1)?.event()
    const label = `${type} ${JSON.stringify(payload)}`
    if (member.startsWith('"data_base64"')) {
      t.same(Buffer.from(read?.data_base64 as string, 'base64'), Buffer.from(payload as string), label)
    } else {
      // The SDK drops data that is null, 0, false or empty; what is there has to be equal.
      const value = (JSON.parse(`{${member}}`) as { data: unknown }).data
      t.same(read?.data, value === null || value === 0 || value === false ? undefined : value, label)
    }
  }
})

test('what a device sends without a content type is found by its bytes and arrives unchanged, in both modes', async (t) => {
  const server = await startHttpSink(t)
  const map = createMapper({ name: 'gw', overrides: {} })
  const payloads: [payload: string | number[], type: string | undefined][] = [
    ['74.12', 'application/json'], ['{"a":1.0}', 'application/json'], ['on', 'text/plain'], ['ü', 'text/plain'],
    [BYTES, 'application/octet-stream'], ['', undefined]
  ]
  for (const contentMode of ['binary', 'structured'] as const) {
    const sink = httpSink(t, server.url, { contentMode })
    for (const [payload, type] of payloads) {
      const data = Buffer.from(payload as string)
      await sink.send(map(publish({ payload: data }), '1'), noAbort())
      const request = server.requests.at(-1)
      t.equal(request?.event().datacontenttype, type)
      if (contentMode === 'binary' || type !== 'application/json') t.same(request?.payload(), data)
      else t.match(request?.body.toString(), `"data":${payload as string}}`)
    }
  }
})

import { test, type Test } from 'tap'
import { decode } from '../../../lib/cloudevent/decode.ts'
import { encodeBinary, encodeStructured } from '../../../lib/cloudevent/encode.ts'
import { event, untyped } from '../../support/http-sink-events.ts'

const BINARY = ['ce-specversion', '1.0', 'ce-id', '1', 'ce-source', '/s', 'ce-type', 't']
const structured = (text: string, type = 'application/cloudevents+json') => decode(['Content-Type', type], Buffer.from(text))
const one = (members: string) => structured(`{"specversion":"1.0","id":"1","source":"/s","type":"t"${members}}`)

const refused = (t: Test, fn: () => unknown, reason: RegExp) => {
  t.throws(fn, { code: 'MBS_ERR_DISPLAY_EVENT', message: reason })
}

test('what was encoded is decoded, in both modes', async (t) => {
  for (const sent of [
    event(), untyped({ data: Buffer.from([0, 255]) }), event({ data: Buffer.alloc(0) }),
    event({ subject: 'a b/ü"%', dataschema: 'https://example.com/%20', datacontenttype: 'text/plain', data: Buffer.from('ü\n') }),
    event({ source: '/clients/a%20b', extensions: { b: 'true', n: '1', u: '😀' } })
  ]) {
    const { partitionKey: _, ...expected } = sent
    const binary = encodeBinary(sent)
    const texts = Object.entries(sent.extensions).map(([name, value]) => [name, String(value)])
    t.strictSame(decode(binary.headers, binary.body), [{ ...expected, extensions: Object.fromEntries(texts) }])
    const document = encodeStructured(sent)
    t.strictSame(decode(document.headers, document.body), [expected])
  }
})

test('header names are read in any case, and other headers are ignored', async (t) => {
  const headers = ['Host', 'x', 'CE-SpecVersion', '1.0', 'Ce-Id', '1', 'CE-SOURCE', '/s', 'ce-type', 't', 'X-Other', 'y', 'Ce-Site', 'n']
  t.same(decode(headers, Buffer.alloc(0)), [{ id: '1', source: '/s', type: 't', extensions: { site: 'n' }, data: Buffer.alloc(0) }])
})

test('a batch is any number of events', async (t) => {
  const batch = (text: string) => structured(text, 'application/cloudevents-batch+json; charset=utf-8')
  t.same(batch('[]'), [])
  const events = batch('[{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1.0},' +
    '{"specversion":"1.0","id":"2","source":"/s","type":"t"}]')
  t.same(events.map(({ id, data }) => [id, data.toString()]), [['1', '1.0'], ['2', '']])
  refused(t, () => batch('{}'), /batch is a JSON array/)
  refused(t, () => batch('[1]'), /JSON object/)
  refused(t, () => batch('[{"specversion":"1.0","id":"1","source":"/s"}]'), /type is missing/)
})

test('data keeps the text and the bytes that were sent', async (t) => {
  const data = (members: string) => (one(members)[0] as { data: Buffer }).data.toString()
  t.equal(data(',"data":1.0'), '1.0')
  t.equal(data(',"data":12345678901234567890,"datacontenttype":"application/json"'), '12345678901234567890')
  t.equal(data(',"data":{"a": 1.0, "a":2}'), '{"a": 1.0, "a":2}')
  t.equal(data(',"data":"text"'), '"text"', 'without a type it is JSON [CE-JSON 3.1.1]')
  t.equal(data(',"data":"text","datacontenttype":"text/plain"'), 'text')
  t.equal(data(',"data":false'), 'false')
  t.equal(data(',"data":0'), '0')
  t.equal(data(',"data":""'), '""')
  t.equal(data(',"data_base64":"w7w="'), 'ü')
  t.equal(data(',"data":null'), '')
  t.equal(data(''), '')
})

test('a member that is null is as good as absent [CE-JSON 2.2]', async (t) => {
  t.same(one(',"subject":null,"ext":null'), [{ id: '1', source: '/s', type: 't', extensions: {}, data: Buffer.alloc(0) }])
})

test('what is no CloudEvent is refused with the reason', async (t) => {
  const binary = (headers: string[]) => () => decode(headers, Buffer.alloc(0))
  const without = (name: string) => BINARY.filter((_, at) => BINARY[at - at % 2] !== name)
  refused(t, binary([]), /no header ce-specversion/)
  refused(t, binary(['content-type', 'application/json']), /no header ce-specversion/)
  for (const name of ['id', 'source', 'type']) refused(t, binary(without(`ce-${name}`)), new RegExp(`${name} is missing`))
  refused(t, binary([...without('ce-specversion'), 'ce-specversion', '0.3']), /specversion 0.3 is not supported/)
  refused(t, binary([...without('ce-id'), 'ce-id', '']), /id is missing/)
  refused(t, binary([...without('ce-source'), 'ce-source', 'not a uri <>']), /source/)
  refused(t, binary([...BINARY, 'ce-time', 'yesterday']), /time/)
  refused(t, binary([...BINARY, 'ce-id', '2']), /ce-id appears twice/)
  refused(t, binary([...BINARY, 'ce-datacontenttype', 'text/plain']), /ce-datacontenttype/)
  refused(t, binary([...BINARY, 'ce-with-dash', 'x']), /with-dash/)
  refused(t, binary([...BINARY, 'ce-data', 'x']), /data/)
  refused(t, binary([...BINARY, 'ce-x', 'a%00b']), /control character/)
})

test('attributes that the SDK lets pass and the specification does not are refused', async (t) => {
  for (const text of ['a\u0001b', 'a\nb', '\ud800', '\ufffe', '\u{1ffff}']) {
    const member = (name: string) => () => structured(JSON.stringify({ specversion: '1.0', id: '1', source: '/s', type: 't', [name]: text }))
    for (const name of ['id', 'type', 'subject']) refused(t, member(name), new RegExp(`${name}: it contains a control character`))
  }
  refused(t, () => decode([...BINARY, 'ce-subject', 'a%00b'], Buffer.alloc(0)), /subject: it contains/)
  for (const type of ['x', 'text/plain\r\nx: y', ' application/json', 'a/b c', '/', 'text/']) {
    refused(t, () => one(`,"datacontenttype":${JSON.stringify(type)}`), /datacontenttype/)
  }
  refused(t, () => decode([...BINARY, 'content-type', 'x'], Buffer.from('x')), /datacontenttype is no media type/)
  for (const time of ['2026-01-01 00:00:00Z', '2026-01-01T24:00:00Z', '2026-02-30T00:00:00Z', '2026-01-01T00:00:00', '']) {
    refused(t, () => one(`,"time":${JSON.stringify(time)}`), /time/)
  }
  for (const time of ['2026-01-01t00:00:00z', '2016-12-31T23:59:60Z', '2026-01-01T00:00:00.123456789+23:59']) {
    t.match(one(`,"time":"${time}"`), [{ time }])
  }
  for (const datacontenttype of ['text/plain', 'application/vnd.x+json; charset="utf-8"', 'multipart/mixed;boundary=a;x=y']) {
    t.match(one(`,"datacontenttype":${JSON.stringify(datacontenttype)},"subject":"\u{1f600} \u20ac"`), [{ datacontenttype }])
  }
})

test('an extension may have any legal name, also that of a member of the SDK', async (t) => {
  t.match(one(',"validate":"x","emit":"y","constructor":"z"'), [{ extensions: { validate: 'x', emit: 'y', constructor: 'z' } }])
})

test('a document that is none is refused with the reason', async (t) => {
  refused(t, () => structured(''), /not JSON/)
  refused(t, () => structured('{"specversion":"1.0"'), /not JSON/)
  refused(t, () => structured('[]'), /JSON object/)
  refused(t, () => structured('"{}"'), /JSON object/)
  refused(t, () => structured('{}', 'application/cloudevents+avro'), /cloudevents\+avro is not supported/)
  refused(t, () => structured('{}', 'application/cloudevents+json; charset=iso-8859-1'), /not UTF-8/)
  refused(t, () => decode(['content-type', 'application/cloudevents+json'], Buffer.from([0x22, 0xff, 0x22])), /not UTF-8/)
  refused(t, () => structured('{"specversion":"1.0","source":"/s","type":"t"}'), /id is missing/)
  refused(t, () => structured('{"specversion":1.0,"id":"1","source":"/s","type":"t"}'), /specversion 1 is not supported/)
  refused(t, () => structured('{"specversion":"1.0","id":1,"source":"/s","type":"t"}'), /id is not a string/)
  refused(t, () => one(',"id":"2"'), /id appears twice/)
  refused(t, () => one(',"data":1,"data_base64":"AA=="'), /both data and data_base64/)
  refused(t, () => one(',"data_base64":"?"'), /base64/)
  refused(t, () => one(',"data_base64":1'), /base64/)
  refused(t, () => one(',"ext":{"a":1}'), /ext: a value is/)
  refused(t, () => one(',"ext":1.5'), /32-bit integer/)
  refused(t, () => one(',"Ext":"x"'), /Ext: a name/)
  refused(t, () => one(',"time":"tomorrow"'), /time/)
})

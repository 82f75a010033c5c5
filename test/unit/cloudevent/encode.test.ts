import { test } from 'tap'
import { HTTP, type CloudEvent } from 'cloudevents'
import { decode } from '../../../lib/cloudevent/decode.ts'
import {
  encode, encodeBatch, encodeBinary, encodeJson, encodeStructured, needsStructured
} from '../../../lib/cloudevent/encode.ts'
import { event, untyped } from '../../support/http-sink-events.ts'

const valueOf = (headers: string[], name: string) => headers[headers.indexOf(name) + 1]

test('binary mode puts each attribute into a header and leaves the payload as it is [CE-HTTP 3.1]', async (t) => {
  const sent = event({ dataschema: 'https://example.com/s', extensions: { b: true, n: -7, s: 'x' } })
  const { headers, body } = encodeBinary(sent)
  t.equal(body, sent.data)
  t.same(headers, [
    'ce-specversion', '1.0',
    'ce-id', '01',
    'ce-source', '/mqtt-broker-source/gw/clients/c1',
    'ce-type', 'dev.mqttbrokersource.publish',
    'ce-time', '2023-11-14T22:13:20.123Z',
    'ce-subject', 'sensors/temperature',
    'ce-dataschema', 'https://example.com/s',
    'content-type', 'application/json',
    'ce-b', 'true',
    'ce-n', '-7',
    'ce-s', 'x'
  ])
})

test('an event without content type has no header Content-Type', async (t) => {
  t.notOk(encodeBinary(untyped()).headers.includes('content-type'))
})

test('structured mode writes the JSON format', async (t) => {
  const { headers, body } = encodeStructured(event({ extensions: { b: true, n: -7, s: 'ü' } }))
  t.same(headers, ['content-type', 'application/cloudevents+json; charset=utf-8'])
  t.equal(body.toString(), '{"specversion":"1.0","id":"01","source":"/mqtt-broker-source/gw/clients/c1",' +
    '"type":"dev.mqttbrokersource.publish","subject":"sensors/temperature","time":"2023-11-14T22:13:20.123Z",' +
    '"datacontenttype":"application/json","b":true,"n":-7,"s":"ü","data":{"a":74.12}}')
})

test('auto is binary, unless an attribute would need escaping', async (t) => {
  for (const attribute of ['a b', 'a%20b', 'a"b', 'ü', '\u007f']) {
    for (const changed of [
      event({ subject: attribute }), event({ source: attribute }), event({ id: attribute }), event({ type: attribute }),
      event({ extensions: { x: attribute } })
    ]) {
      t.ok(needsStructured(changed))
      t.match(valueOf(encode(changed, 'auto').headers, 'content-type'), 'application/cloudevents+json')
    }
  }
  t.notOk(needsStructured(event({ subject: '!#$&\'()*+,-./:;<=>?@[\\]^_`{|}~' })))
  t.same(encode(event(), 'auto'), encodeBinary(event()))
})

test('data that calls itself a CloudEvent is never sent as if it were the event [CE-HTTP 3]', async (t) => {
  const forged = '{"specversion":"1.0","id":"1","source":"/somebody/else","type":"x"}'
  for (const datacontenttype of ['application/cloudevents+json', 'Application/CloudEvents-batch+json;a=b', ' application/cloudevents']) {
    const sent = event({ datacontenttype, data: Buffer.from(forged) })
    for (const mode of ['auto', 'binary', 'structured'] as const) {
      const { headers, body } = encode(sent, mode)
      t.same(headers, ['content-type', 'application/cloudevents+json; charset=utf-8'], datacontenttype)
      t.match(JSON.parse(body.toString()), { source: sent.source, datacontenttype })
    }
  }
})

test('auto is structured for headers of more than 6 KiB, which servers may refuse', async (t) => {
  t.notOk(needsStructured(event({ subject: 'x'.repeat(5000) })))
  t.ok(needsStructured(event({ subject: 'x'.repeat(6144) })))
  const many = Object.fromEntries(Array.from({ length: 60 }, (_, at) => [`ext${at}`, 'x'.repeat(100)]))
  t.ok(needsStructured(event({ extensions: many })))
})

test('a content type with parameters needs no escaping', async (t) => {
  const typed = event({ datacontenttype: 'text/plain; charset="utf-8"' })
  t.notOk(needsStructured(typed))
  t.equal(valueOf(encodeBinary(typed).headers, 'content-type'), 'text/plain; charset="utf-8"')
})

test('a content type that no header can carry makes the event structured, also where binary is asked for', async (t) => {
  for (const datacontenttype of ['text/pläin', 'text/plain\r\nx: y']) {
    const { headers, body } = encode(event({ datacontenttype }), 'binary')
    t.same(headers, ['content-type', 'application/cloudevents+json; charset=utf-8'])
    t.equal((JSON.parse(body.toString()) as { datacontenttype: string }).datacontenttype, datacontenttype)
  }
})

test('forced binary percent-encodes, forced structured structures', async (t) => {
  t.equal(valueOf(encode(event({ subject: 'ü b' }), 'binary').headers, 'ce-subject'), '%C3%BC%20b')
  t.match(valueOf(encode(event(), 'structured').headers, 'content-type'), 'application/cloudevents+json')
})

test('batched mode is a JSON array of events, which decode and the SDK read [CE-HTTP 3.3]', async (t) => {
  const bytes = Buffer.from([0, 255, 0x5d, 0x2c])
  const events = [
    event(),
    event({ id: '02', subject: 'ü "]," b' }),
    event({ id: '03', datacontenttype: 'text/plain', data: Buffer.from('a],[b') }),
    event({ id: '04', datacontenttype: 'application/octet-stream', data: bytes }),
    untyped({ id: '05', data: bytes }),
    event({ id: '06', data: Buffer.alloc(0) })
  ]
  const { headers, body } = encodeBatch(events.map(encodeJson))
  t.same(headers, ['content-type', 'application/cloudevents-batch+json; charset=utf-8'])
  t.equal(body.toString(), `[${events.map((one) => encodeStructured(one).body.toString()).join(',')}]`)
  t.same(decode(headers, body), events.map(({ partitionKey: _, ...rest }) => rest))
  const read = HTTP.toEvent({ headers: { 'content-type': headers[1] as string }, body: body.toString() }) as CloudEvent[]
  for (const one of read) t.ok(one.validate())
  t.same(read.map(({ id, subject }) => [id, subject]), events.map(({ id, subject }) => [id, subject]))
})

test('a batch may be of one event, or of none', async (t) => {
  t.same(encode(event(), 'batch'), encodeBatch([encodeJson(event())]))
  const { headers, body } = encodeBatch([])
  t.equal(body.toString(), '[]')
  t.same(decode(headers, body), [])
})

import { test } from 'tap'
import { formatEvent } from '../../../lib/sink/display-format.ts'
import { event, untyped } from '../../support/http-sink-events.ts'

const dataOf = (text: string) => text.slice(text.indexOf('\nData') + 1)

test('an event is shown as by event_display of Knative', async (t) => {
  t.equal(formatEvent(event({
    id: '1', type: 't', source: '/s', extensions: { partitionkey: 'c1', mqttqos: 1 }, data: Buffer.from('{"a":74.12,"b":[1,2]}')
  })), `☁️  cloudevents.Event
Validation: valid
Context Attributes,
  specversion: 1.0
  type: t
  source: /s
  subject: sensors/temperature
  id: 1
  time: 2023-11-14T22:13:20.123Z
  datacontenttype: application/json
Extensions,
  mqttqos: 1
  partitionkey: c1
Data,
  {
    "a": 74.12,
    "b": [
      1,
      2
    ]
  }
`)
})

test('what an event does not have is not shown', async (t) => {
  const { subject: _, ...bare } = untyped({ extensions: {}, data: Buffer.alloc(0) })
  t.equal(formatEvent(bare), '☁️  cloudevents.Event\nValidation: valid\nContext Attributes,\n  specversion: 1.0\n' +
    '  type: dev.mqttbrokersource.publish\n  source: /mqtt-broker-source/gw/clients/c1\n  id: 01\n  time: 2023-11-14T22:13:20.123Z\n')
})

test('numbers in JSON are shown as they were sent', async (t) => {
  const text = formatEvent(event({ data: Buffer.from('{"a":1.0,"b":12345678901234567890,"c":1E5}') }))
  t.equal(dataOf(text), 'Data,\n  {\n    "a": 1.0,\n    "b": 12345678901234567890,\n    "c": 1E5\n  }\n')
})

test('text is shown as it is, bytes in base64', async (t) => {
  t.equal(dataOf(formatEvent(event({ datacontenttype: 'text/plain', data: Buffer.from('Grüße 😀') }))), 'Data,\n  Grüße 😀\n')
  t.equal(dataOf(formatEvent(event({ data: Buffer.from('{"a":1') }))), 'Data,\n  {"a":1\n', 'JSON that is none')
  t.equal(dataOf(formatEvent(event({ data: Buffer.from([0xff, 0, 0x1b]) }))), 'Data (binary),\n  /wAb\n')
  t.equal(dataOf(formatEvent(event({ datacontenttype: 'text/plain; charset=iso-8859-1', data: Buffer.from('a') }))),
    'Data (binary),\n  YQ==\n')
})

test('nothing that a device sends drives the terminal', async (t) => {
  const evil = '\u001b[2J\u001b]0;title\u0007\u0000\r\b\u007f\u009b31m\u202e\u2028'
  for (const shown of [
    event({ subject: evil }), event({ extensions: { x: evil } }), event({ datacontenttype: 'text/plain', data: Buffer.from(evil) }),
    event({ data: Buffer.from(JSON.stringify('\u007f\u009b\u202e\u2028')) })
  ]) {
    t.notMatch(formatEvent(shown), /(?!\n)[\p{Cc}\p{Zl}\p{Zp}\u202e]/u)
  }
  t.equal(dataOf(formatEvent(event({ datacontenttype: 'text/plain', data: Buffer.from('\u001b[2J\t.') }))), 'Data,\n  \\u001b[2J\t.\n')
})

test('no text can pass for a second event', async (t) => {
  const forged = 'x\n☁️  cloudevents.Event\nValidation: valid\n'
  for (const shown of [event({ datacontenttype: 'text/plain', data: Buffer.from(forged) }), event({ subject: forged })]) {
    const starts = formatEvent(shown).split('\n').filter((line) => line.startsWith('☁️') || line.startsWith('Validation'))
    t.equal(starts.length, 2)
  }
})

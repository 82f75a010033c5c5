import { test } from 'tap'
import { CONTEXT_ATTRIBUTES } from '../../../lib/cloudevent/attributes.ts'
import { isField, readerOf, textOf } from '../../../lib/mapping/filter-value.ts'
import type { Event } from '../../../lib/message.ts'
import { event, untyped } from '../../support/http-sink-events.ts'

function read (name: string, given: Event, json?: unknown): unknown {
  const reader = readerOf(name)
  if (typeof reader === 'string') throw new Error(`${name}: ${reader}`)
  return reader({ event: given, json: () => json })
}

test('every context attribute can be asked for [CE 3.1]', async (t) => {
  const given = event({ dataschema: 'https://example.com/schema' })
  const values: Readonly<Record<string, string>> = {
    specversion: '1.0',
    id: given.id,
    source: given.source,
    type: given.type,
    subject: 'sensors/temperature',
    time: given.time,
    datacontenttype: 'application/json',
    dataschema: 'https://example.com/schema'
  }
  t.strictSame(new Set(Object.keys(values)), CONTEXT_ATTRIBUTES)
  for (const [name, value] of Object.entries(values)) t.equal(read(name, given), value, name)
})

test('an attribute that the event has not is undefined', async (t) => {
  const { subject: _, ...bare } = untyped()
  for (const name of ['subject', 'datacontenttype', 'dataschema', 'site', 'constructor']) t.equal(read(name, bare), undefined, name)
})

test('an extension is found as the type it has', async (t) => {
  const given = event({ extensions: { site: 'north', mqttqos: 1, mqttretain: true } })
  t.equal(read('site', given), 'north')
  t.equal(read('mqttqos', given), 1)
  t.equal(read('mqttretain', given), true)
})

test('a name that no attribute can have is refused', async (t) => {
  for (const name of ['', 'Type', 'partitionKey', 'a-b', 'toString', '__proto__', 'x'.repeat(21), 'schemaurl', 'Data.a', 'data.', 'data[']) {
    t.type(readerOf(name), 'string', name)
  }
  t.type(readerOf('x'.repeat(20)), 'function')
})

test('names that begin with data are fields, or extensions that only look like it', async (t) => {
  for (const name of ['data', 'data.a', 'data[0]', 'data["a"]']) t.equal(isField(name), true, name)
  for (const name of ['database', 'dat', '', 'xdata', 'data-a']) t.equal(isField(name), false, name)
  t.equal(read('database', event({ extensions: { database: 'orders' } })), 'orders')
  t.equal(read('data', event(), 5), 5)
  t.equal(read('data[1]', event(), [1, 2]), 2)
  t.equal(read('data["a"]', event(), { a: 1 }), 1)
  t.equal(read('data.data', event(), { data: 1 }), 1)
})

test('scalars have a canonical text, and nothing else has [CE 3.1]', async (t) => {
  for (const [value, text] of [
    ['', ''], ['74.50', '74.50'], [74.5, '74.5'], [1.0, '1'], [-0, '0'], [-2147483648, '-2147483648'], [1e21, '1e+21'], [1e-7, '1e-7'],
    [true, 'true'], [false, 'false'], [null, undefined], [undefined, undefined], [{}, undefined], [['a'], undefined],
    [NaN, undefined], [Infinity, undefined], [-Infinity, undefined], [1n, undefined], [Symbol('x'), undefined]
  ] as const) {
    t.equal(textOf(value), text)
    if (typeof value === 'number' && text !== undefined) t.equal(text, JSON.stringify(value))
  }
})

/** Property bags: the documented form, garbage, and random ones; MBS_TEST_SEED repeats a run. */
import { CloudEvent } from 'cloudevents'
import { test } from 'tap'
import { encode } from '../../../lib/cloudevent/encode.ts'
import { compileRule, compileRules, type EventRule } from '../../../lib/mapping/event-rules.ts'
import { createMapper } from '../../../lib/mapping/mapper.ts'
import { extensionsOf, MAX_PROPERTIES, parseProperties } from '../../../lib/mapping/properties.ts'
import type { Event } from '../../../lib/message.ts'
import { publish } from '../../support/http-sink-events.ts'
import { seededRandom } from '../../support/random.ts'

type Attributes = ConstructorParameters<typeof CloudEvent>[0]

const read = (bag: string | undefined) => Object.fromEntries(parseProperties(bag))

test('a bag is pairs of names and values, percent-encoded', async (t) => {
  t.same(read('a=1&b=x%20y&%24.ct=text%2Fcsv'), { a: '1', b: 'x y', '$.ct': 'text/csv' })
  t.same(read('?a=1'), { a: '1' }, 'with the mark in front or without')
  t.same(read('a&b=&c=1=2'), { a: '', b: '', c: '1=2' })
  t.same(read('k%C3%BCche=%F0%9F%98%80'), { küche: '😀' })
})

test('what cannot be read is left out', async (t) => {
  for (const bag of [undefined, '', '?', '&', '&&&', '=', '=x', '%zz=1', 'a=%zz', 'a=%', 'a=%ff', '%=1', 'a=1&a=1', 'a=1&b&a=2&b', 'a=%C3']) {
    t.same(read(bag), {}, bag ?? 'none')
  }
  t.same(read('x=%zz&good=1&a=1&a=2'), { good: '1' })
  t.same(read('a=%zz&a=1'), { a: '1' }, 'what could not be read does not count')
  t.same(read('__proto__=1&constructor=2'), Object.fromEntries([['__proto__', '1'], ['constructor', '2']]))
})

test('what is behind the bound is left out', async (t) => {
  const bag = Array.from({ length: 100_000 }, (_, at) => `p${at}=${at}`).join('&')
  t.equal(parseProperties(bag).size, MAX_PROPERTIES)
  t.equal(parseProperties('&'.repeat(MAX_PROPERTIES) + 'a=1').size, 0)
})

test('properties become extensions where their names allow', async (t) => {
  const extensions = (bag: string) => Object.fromEntries(extensionsOf(parseProperties(bag)))
  t.same(extensions('Site=north&level3=1&a%20b=x&my-name=x&k%C3%BC=x'), { site: 'north', level3: '1' })
  t.same(extensions(`${'a'.repeat(20)}=1&${'b'.repeat(21)}=1`), { ['a'.repeat(20)]: '1' })
  for (const name of ['id', 'source', 'TYPE', 'specversion', 'subject', 'time', 'datacontenttype', 'dataschema', 'data', 'partitionkey', 'mqttqos', 'MqttRetain', 'recordedtime', 'knativeerrorcode', 'traceparent']) {
    t.same(extensions(`${name}=x`), {}, name)
  }
  t.same(extensions('Foo=1&foo=2&FOO=3&bar=1'), { bar: '1' }, 'nobody can say which foo is meant')
  t.same(extensions(`a=&b=${'x'.repeat(1025)}&c=${'x'.repeat(1024)}`), { c: 'x'.repeat(1024) })
  t.same(extensions('a=x%0Ay'), { a: 'x%0Ay' }, 'no String of CloudEvents has control characters')
  t.same(extensions('toString=1&hasOwnProperty=2'), { tostring: '1', hasownproperty: '2' })
})

test('a rule takes a bag apart, wherever it stands', async (t) => {
  const rule = { topic: 'a/{bag}/b', drop: false, extensions: { x: '{property.x|none}' }, properties: { from: '{bag}', extensions: false } }
  const map = createMapper({ name: 'gw', overrides: { y: 'override' }, rules: compileRules([rule, { ...rule, topic: 'c/{?bag}', properties: { from: '{bag}', extensions: true } }]) })
  const at = (topic: string) => (map(publish({ topic }), '7') as Event).extensions
  t.match(at('a/x=1&y=2/b'), { x: '1', y: 'override' })
  t.match(at('a//b'), { x: 'none' })
  t.match(at('c/?y=2&z=3'), { x: 'none', y: 'override', z: '3' })
  t.notOk('z' in at('c'))
})

test('no property takes the place of a member of the SDK, which would throw for its neighbors as well', async (t) => {
  t.same(extensionsOf(parseProperties('validate=1&Validate2=2&EMIT=3&constructor=4&name=5&length=6')), [
    ['validate2', '2'], ['name', '5'], ['length', '6']
  ])
})

test('what is wrong with it is said with its place', async (t) => {
  const rule: EventRule = { topic: 'a/{bag}', drop: false, extensions: {}, properties: { from: 'bag', extensions: false } }
  t.match(compileRule(rule, 0), [{ path: ['properties', 'from'], reason: /named level or rest of the topic: \{bag\}/ }])
  t.match(compileRule({ ...rule, topic: 'a' }, 0), [{ path: ['properties', 'from'], reason: /there is none here/ }])
  const { properties: _, ...without } = rule
  t.match(compileRule({ ...without, subject: '{property.a}' }, 0), [{ path: ['subject'], reason: /the rule has no properties/ }])
  t.match(compileRule({ ...without, contentType: 'text' }, 0), [{ path: ['contentType'], reason: /media type/ }])
  t.ok('pattern' in compileRule({ ...without, contentType: 'text/plain; charset="utf-8"' }, 0))
})

test('whatever a device puts into a bag, the event is valid, and is its own', async (t) => {
  const seed = Number(process.env['MBS_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}: MBS_TEST_SEED=${seed} repeats it`)
  const random = seededRandom(seed)
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T
  const map = createMapper({ name: 'gw', overrides: {}, rules: compileRules([], ['azure-iot-hub', 'hono']) })
  const names = [
    '$.ct', '%24.ct', '$.mid', '$.cid', '$.ce', '$.uid', '$.sub', 'content-type', 'hono-ttl', 'correlation-id', 'id', 'Source', 'type',
    'partitionkey', 'mqttqos', 'Site', 'site', 'validate', 'Emit', 'datacontenttype', 'data', '', '__proto__', 'constructor', '%zz', 'x'.repeat(21), 'k\u00fc'
  ]
  const values = [
    '', 'x', 'text/plain', 'application%2Fjson', 'application/cloudevents+json', 'application%2Fcloudevents-batch%2Bjson', '%zz', '%ff',
    '%00', '%0d%0aevil:%201', '%EF%BF%BF', 'a/b;c', 'text/plain;charset=utf-16', 'x'.repeat(1500), '%22', '%F0%9F%98%80', '\ud800', '/', '?', '=='
  ]
  const pieceOf = () => random() < 0.1 ? pick(['&', '=', '%', '?', '/', '&&']) : `${pick(names)}${pick(['=', '=', '=', ''])}${pick(values)}`
  const before = ['devices/d/messages/events/', 'devices/d/messages/events/?', 't/?', 'event/T/D/?', 'c///s/1/200/?', '$iothub/twin/GET/?']
  let found = 0
  for (let round = 0; round < 5000; round++) {
    const bag = Array.from({ length: Math.floor(random() * 8) }, pieceOf).join(pick(['&', '&', '&', '']))
    const topic = pick(before) + bag
    const event = map(publish({ topic, payload: Buffer.from(pick(['{"a":1}', 'x', '', '\xff'])) }), '7') as Event
    const { partitionKey, extensions, data, ...context } = event
    const values = [...Object.values(context), ...Object.values(extensions)].map(String)
    const said = new CloudEvent({ specversion: '1.0', ...context, ...extensions } as Attributes, true)
    const { headers } = encode(event, pick(['auto', 'binary']))
    const contentType = headers.includes('content-type') ? headers[headers.indexOf('content-type') + 1] as string : ''
    const isStructured = contentType.startsWith('application/cloudevents+json; charset=utf-8')
    if (!said.validate() || partitionKey !== 'c1' || extensions['partitionkey'] !== 'c1' || extensions['mqttqos'] !== 1 ||
      event.id !== '7' || !/^\/(azure-iot-hub\/devices|hono\/tenants|mqtt-broker-source\/gw)\//.test(event.source) ||
      values.some((value) => value === '' || /[\p{Cc}\p{Cs}\p{NChar}]/u.test(value)) ||
      Object.keys(extensions).some((name) => !/^[a-z0-9]{1,20}$/.test(name) || name in CloudEvent.prototype) ||
      (headers.includes('ce-id') && contentType.includes('cloudevents')) || (!headers.includes('ce-id') && !isStructured)) {
      t.fail(JSON.stringify(topic), { event })
    }
    if ('site' in extensions) found++
  }
  t.ok(found > 100, `${found} events have an extension of the device`)
})

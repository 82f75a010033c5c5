import { test } from 'tap'
import { compileRule, compileRules, type EventRule } from '../../../lib/mapping/event-rules.ts'
import { createMapper } from '../../../lib/mapping/mapper.ts'
import type { MbsError } from '../../../lib/errors.ts'
import type { Event } from '../../../lib/message.ts'
import { publish } from '../../support/http-sink-events.ts'

const rule: EventRule = {
  topic: 'ce/{device}',
  drop: false,
  type: 'of.the.rule',
  source: '/rule/{device}',
  subject: '{device}',
  extensions: { site: 'north' },
  cloudevents: { trustSource: ['/devices/{clientid}', '/devices/{clientid}/*'], invalid: 'data' }
}

/** What client c1 gets of its payload. */
function map (payload: string | object, given: Partial<EventRule> = {}, overrides = {}, id = 'c1'): Event | string | MbsError {
  const mapper = createMapper({ name: 'gw', overrides, rules: compileRules([{ ...rule, ...given }]) })
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
  const mapped = mapper(publish({ topic: 'ce/d7', payload: Buffer.from(text), client: { id } }), '9')
  if (mapped instanceof Promise) throw new Error('nothing here takes a while')
  return mapped
}

const made = { specversion: '1.0', id: 'own-1', source: '/devices/c1/pump', type: 'com.example.own' }

test('an event that a device has made goes on with its own attributes and data', async (t) => {
  const payload = '{"specversion":"1.0","id":"own-1","source":"/devices/c1/pump","type":"com.example.own","subject":"s",' +
    '"time":"2020-01-02T03:04:05Z","datacontenttype":"application/json","dataschema":"urn:x","myext":5,"data":{"v": 1.0}}'
  t.same(map(payload), {
    id: 'own-1',
    source: '/devices/c1/pump',
    type: 'com.example.own',
    subject: 's',
    time: '2020-01-02T03:04:05Z',
    datacontenttype: 'application/json',
    dataschema: 'urn:x',
    extensions: { myext: 5, recordedtime: '2023-11-14T22:13:20.123Z', partitionkey: 'c1', mqttqos: 1, site: 'north' },
    partitionKey: 'c1',
    data: Buffer.from('{"v": 1.0}')
  })
})

test('what it leaves out is not made up, but for the time', async (t) => {
  const event = map(` \n${JSON.stringify({ ...made, data_base64: 'AP8=' })}`) as Event
  t.same(Object.keys(event).sort(), ['data', 'extensions', 'id', 'partitionKey', 'source', 'time', 'type'])
  t.equal(event.time, '2023-11-14T22:13:20.123Z')
  t.notOk('recordedtime' in event.extensions)
  t.same([...event.data], [0, 255])
})

test('data that goes without a type is JSON, also where it is not sent as such [CE-JSON 3.1]', async (t) => {
  t.match(map({ ...made, data: { v: 1 } }), { datacontenttype: 'application/json', data: Buffer.from('{"v":1}') })
  t.match(map({ ...made, data: 'text' }), { datacontenttype: 'application/json', data: Buffer.from('"text"') })
  t.notOk('datacontenttype' in (map(made) as Event), 'no data has no type')
})

test('an extension that is a member of the SDK is left out, and the event goes on', async (t) => {
  const event = map({ ...made, validate: 'x', emit: 'y', constructor: 'z', name: 'n' }) as Event
  t.equal(event.id, 'own-1')
  t.same(Object.keys(event.extensions).sort(), ['mqttqos', 'name', 'partitionkey', 'site'])
})

test('what breaks the specification is none of its own', async (t) => {
  for (const wrong of [{ subject: 'a\nb' }, { type: '\ud800' }, { time: '2026-01-01 00:00:00Z' }, { datacontenttype: 'x', data: 'x' }]) {
    t.match(map({ ...made, ...wrong }), { id: '9', source: '/rule/d7' }, JSON.stringify(wrong))
    t.equal(map({ ...made, ...wrong }, { cloudevents: { ...rule.cloudevents!, invalid: 'drop' } }), 'invalid')
  }
})

test('no device speaks for another, orders its events with those of another, or says what the broker says', async (t) => {
  for (const source of [
    '/devices/c2', '/devices/c1x', '/devices/c1/../c2', '/devices/c1/%2e%2E/c2', '/devices/c1/.', '/devices/c1/a/..?x', 'x', '/',
    '/devices/c1/%2e%2e%2fc2', '/devices/c1/a%2Fb', '/devices/c1/a%5C..%5cb'
  ]) t.match(map({ ...made, source }), { id: '9', source: '/rule/d7', type: 'of.the.rule' }, source)
  t.match(map({ ...made, source: '/devices/c1' }), { id: 'own-1' })
  t.match(map({ ...made, source: '/devices/c1/a..b/c' }), { id: 'own-1' })
  t.match(map({ ...made, source: '/devices/a%2Fb/c' }, {}, {}, 'a/b'), { id: 'own-1' }, 'the slash of its own identifier')
  t.match(map({ ...made, source: '/devices/../x' }, {}, {}, '..'), { id: '9' })
  t.match(map({ ...made, partitionkey: 'c2', site: 'south', mqttqos: 7, recordedtime: 'x', env: 'y' }, {}, { env: 'z' }), {
    partitionKey: 'c1', extensions: { partitionkey: 'c1', site: 'north', mqttqos: 1, env: 'z' }
  })
})

test('what is no valid event is data, or none', async (t) => {
  for (const payload of [
    '', '5', 'text', '[]', '{}', '{"specversion":"1.0"}', { ...made, specversion: '0.3' }, { ...made, id: '' }, { ...made, time: 'now' },
    { ...made, UPPER: 1 }, { ...made, nested: {} }, { ...made, data: 1, data_base64: 'AA==' }, '{"specversion":"1.0",',
    '{"specversion":"1.0","specversion":"1.0","id":"1","source":"/devices/c1","type":"t"}'
  ]) {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
    t.match(map(payload), { id: '9', type: 'of.the.rule', data: Buffer.from(text) }, text)
    t.equal(map(payload, { cloudevents: { ...rule.cloudevents!, invalid: 'drop' } }), 'invalid', text)
  }
  t.equal(map({ ...made, source: '/x' }, { cloudevents: { trustSource: ['/y'], invalid: 'drop' } }), 'invalid')
})

test('what is no valid event is refused, or a dead letter, without a word of it', async (t) => {
  const table: Array<[payload: string | object, detail: string]> = [
    ['SECRET', 'it is no CloudEvent in JSON'],
    ['{"specversion":"1.0","SECRET":1,"SECRET":2}', 'it is no CloudEvent as the specification has them'],
    [{ ...made, SECRET: 1 }, 'it is no CloudEvent as the specification has them'],
    [{ ...made, source: '/SECRET' }, 'its source is not one that the device may claim']
  ]
  for (const [payload, detail] of table) {
    const cloudevents = { trustSource: ['/devices/{clientid}/*'] }
    t.match(map(payload, { cloudevents: { ...cloudevents, invalid: 'deadLetter' } }), {
      id: '9', type: 'of.the.rule', handling: { aside: { reason: 'invalid', detail, topic: 'ce/d7', clientId: 'c1' } }
    })
    t.match(map(payload, { cloudevents: { ...cloudevents, invalid: 'refuse' } }), {
      code: 'MBS_ERR_MAPPING_REFUSED', retryable: false, details: { index: 0, reason: detail }
    })
  }
})

test('a filter sees the event that the device has made, and the data in it', async (t) => {
  const filter = [{ greaterThan: { 'data.v': 1 } }, { exact: { type: 'com.example.own' } }]
  t.match(map({ ...made, data: { v: 2 } }, { filter }), { id: 'own-1' })
  t.equal(map({ ...made, data: { v: 1 } }, { filter }), 'filter')
  t.equal(map({ ...made, v: 2 }, { filter }), 'filter')
})

test('a source that is no template is a mistake with its place', async (t) => {
  t.match(compileRule({ ...rule, cloudevents: { trustSource: ['/a', '/{nothing}/*'], invalid: 'data' } }, 0), [
    { path: ['cloudevents', 'trustSource', 1], reason: /no placeholder/ }
  ])
})

import { test } from 'tap'
import { compileRule, compileRules, type EventRule } from '../../../lib/mapping/event-rules.ts'
import { createMapper } from '../../../lib/mapping/mapper.ts'
import type { Event, Publish } from '../../../lib/message.ts'
import { publish } from '../../support/http-sink-events.ts'

const rule = (given: Partial<EventRule>): EventRule => ({ topic: '#', drop: false, extensions: {}, ...given })

/** What a publish becomes by these rules. */
function map (rules: ReadonlyArray<Partial<EventRule>>, given: Partial<Publish> = {}, overrides = {}): Event | string {
  return createMapper({ name: 'gw', overrides, rules: compileRules(rules.map(rule)) })(publish(given), '7') as Event | string
}

const telemetry = rule({
  topic: 'sites/{site}/devices/{device}/telemetry',
  type: 'com.example.telemetry',
  source: '/sites/{site}/devices/{device}',
  subject: '{payload.sensor}',
  partitionKey: '{device}',
  contentType: 'application/senml+json',
  dataschema: 'https://example.com/{site}.json',
  extensions: { site: '{site}', unit: '{payload.unit|Cel}', operator: '{username}', mqttqos: '{qos}' }
})

test('a rule says what the event of its topics is', async (t) => {
  const payload = Buffer.from('{"sensor":"t1","v":21}')
  t.same(map([telemetry], { topic: 'sites/north/devices/p 7/telemetry', payload, qos: 1 }), {
    id: '7',
    source: '/sites/north/devices/p%207',
    type: 'com.example.telemetry',
    subject: 't1',
    time: '2023-11-14T22:13:20.123Z',
    datacontenttype: 'application/senml+json',
    dataschema: 'https://example.com/north.json',
    extensions: { partitionkey: 'p 7', mqttqos: '1', site: 'north', unit: 'Cel' },
    partitionKey: 'p 7',
    data: payload
  })
})

test('what a rule does not say, and topics without one, are as without rules', async (t) => {
  const without = createMapper({ name: 'gw', overrides: {} })
  t.same(map([telemetry], { topic: 'other' }), without(publish({ topic: 'other' }), '7'))
  t.same(map([{ topic: 'a' }], { topic: 'a', retain: true }), without(publish({ topic: 'a', retain: true }), '7'))
})

test('without a value, type and source and key are the default ones, and what may be absent is', async (t) => {
  const event = map([{
    type: '{payload.type}',
    source: '/{payload.x}',
    subject: '{payload.x}',
    partitionKey: '{payload.x}',
    dataschema: 'https://example.com/{payload.x}',
    extensions: { one: '{payload.x}', mqttqos: '{payload.x}' },
    contentType: 'a/b'
  }], { payload: Buffer.alloc(0) }) as Event
  t.match(event, { type: 'dev.mqttbrokersource.publish', source: '/mqtt-broker-source/gw/clients/c1', partitionKey: 'c1' })
  t.same(event.extensions, { partitionkey: 'c1' })
  for (const name of ['subject', 'dataschema', 'datacontenttype']) t.notOk(name in event, name)
})

test('dataschema is an absolute URI, whatever the values are', async (t) => {
  const problems = (dataschema: string) => compileRule({ topic: '#', drop: false, extensions: {}, dataschema }, 0)
  for (const text of ['schema.json', '/schemas/{clientid}', '{payload.schema}', '{payload.schema|https://a/b}', '{payload.s}://a', '//a/b', 'h[:', 'https://a:x/', '1a:b']) {
    t.match(problems(text), [{ path: ['dataschema'], reason: /scheme/ }], text)
  }
  for (const text of ['https://a/{payload.s}', 'urn:{payload.s}', 'https://{clientid}:{payload.s}/', 'urn:x:y', 'https://[::1]:8080/a?b#c']) {
    t.ok('pattern' in problems(text), text)
  }
  const at = (dataschema: string, s: string) =>
    (map([{ topic: '#', dataschema }], { payload: Buffer.from(JSON.stringify({ s })) }) as Event).dataschema
  t.equal(at('https://a/{payload.s}?x', 'b c'), 'https://a/b%20c?x')
  t.equal(at('https://a:{payload.s}/', '80'), 'https://a:80/')
  t.equal(at('https://a:{payload.s}/', 'b'), undefined, 'no port, no URI')
})

test('the first rule that matches decides; a later one is not asked', async (t) => {
  const rules = [{ topic: 'a/secret/#', drop: true }, { topic: 'a/+', type: 'one' }, { topic: 'a/b', type: 'two' }]
  t.equal(map(rules, { topic: 'a/secret/x' }), 'drop')
  t.match(map(rules, { topic: 'a/b' }), { type: 'one' })
})

test('a filter leaves events out, by what the rule has made of them and by the payload', async (t) => {
  const filter = [{ not: { exact: { site: 'south' } } }, { any: [{ greaterThan: { 'data.t': 30 } }, { prefix: { type: 'alarm' } }] }]
  const rules = [{ topic: '{site}/{kind}', type: '{kind}', extensions: { site: '{site}' }, filter }]
  const at = (topic: string, payload: string) => map(rules, { topic, payload: Buffer.from(payload) })
  t.equal(at('north/data', '{"t":30}'), 'filter')
  t.match(at('north/data', '{"t":30.5}'), { type: 'data' })
  t.match(at('north/alarm-1', 'no JSON'), { type: 'alarm-1' })
  t.equal(at('south/alarm-1', '{"t":99}'), 'filter')
})

test('overrides stand above what rules say', async (t) => {
  const event = map([{ extensions: { env: 'rule', own: 'x' } }], {}, { env: 'override' }) as Event
  t.match(event.extensions, { env: 'override', own: 'x' })
})

test('whatever a device puts into a payload, the event stays valid', async (t) => {
  const event = map([{ type: '{payload.a}', subject: '{payload.a}', extensions: { own: '{payload.a}' }, partitionKey: '{payload.a}' }], {
    payload: Buffer.from('{"a":"x\\n\\u0000\\ud800y"}')
  }) as Event
  t.match(event, { type: 'x%0A%00%EF%BF%BDy', subject: 'x%0A%00%EF%BF%BDy', extensions: { own: 'x%0A%00%EF%BF%BDy' } })
})

test('all that is wrong with a rule is said, with its place', async (t) => {
  t.match(compileRule(rule({ topic: 'a/{b' }), 0), [{ path: ['topic'] }])
  t.match(compileRule(rule({
    type: '{x}', source: 'a b', extensions: { one: '{y}' }, filter: [{ exact: { subject: '' } }, { sql: 'x' }]
  }), 0), [{ path: ['type'] }, { path: ['source'] }, { path: ['extensions', 'one'] }, { path: ['filter'], reason: /^\[\d\]/ }])
  t.throws(() => compileRules([rule({}), rule({ topic: '' })]), { code: 'MBS_ERR_MAPPING_RULE', details: { index: 1 } })
})

test('a transform, a schema and what belongs to them are held against what they can be', async (t) => {
  const problems = (given: Partial<EventRule>) => compileRule(rule(given), 0)
  t.match(problems({ transform: '{ "a": ' }), [{ path: ['transform'], reason: /at character \d+$/ }])
  t.match(problems({ transform: '$', contentType: 'text/plain' }), [{ path: ['contentType'], reason: /no type of JSON/ }])
  t.match(problems({ transform: '$', contentType: 'application/senml+json' }), { index: 0 })
  t.match(problems({ schema: { otherwise: 'drop' } }), [{ path: ['schema'], reason: /either a file/ }])
  t.match(problems({ schema: { otherwise: 'drop', file: 'x', inline: {} } }), [{ path: ['schema'], reason: /either a file/ }])
  t.match(problems({ schema: { otherwise: 'drop', inline: { requierd: [] } } }), [{ path: ['schema', 'inline'], reason: /requierd/ }])
})

test('the schemas that rules name are read when the rules are compiled', async (t) => {
  const directory = t.testdir({ 'ok.json': '{ "type": "object" }', 'broken.json': '{', 'wrong.json': '{ "type": "x" }', 'list.json': '[]' })
  const compile = (file: string) => compileRules([rule({ schema: { file: `${directory}/${file}`, otherwise: 'drop' } })])
  t.equal(compile('ok.json').find(['a'])?.schema?.compiled.mistakeIn(1), 'type at the top')
  for (const file of ['broken.json', 'wrong.json', 'list.json', 'missing.json']) {
    t.throws(() => compile(file), { code: 'MBS_ERR_MAPPING_SCHEMA', exitCode: 78, message: file }, file)
  }
})

test('rules that never decide are found', async (t) => {
  const rules = compileRules(['a/{x}', 'a/b', 'c/#', 'c', 'c/+/d', '{y}/e'].map((topic) => rule({ topic })))
  t.same(rules.unreachable().map(({ rule: { index }, behind }) => [index, behind.index]), [[1, 0], [3, 2], [4, 2]])
})

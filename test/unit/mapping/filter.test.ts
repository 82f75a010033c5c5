import { test } from 'tap'
import { compileFilter, MAX_FILTER_DEPTH, MAX_FILTER_NODES, neededFields, type Filter } from '../../../lib/mapping/filter.ts'
import type { Event } from '../../../lib/message.ts'
import { event } from '../../support/http-sink-events.ts'

function compiled (source: unknown): Filter {
  const filter = compileFilter(source, '')
  if (typeof filter !== 'function') throw new Error(`${filter.path}: ${filter.reason}`)
  return filter
}

/** What a filter says of an event with this payload; no text: one that is no JSON. */
function says (source: unknown, given: Event, json?: string): boolean {
  return compiled(source)({ event: given, json: () => json === undefined ? undefined : JSON.parse(json) })
}

function problemOf (source: unknown, path = '') {
  const found = compileFilter(source, path)
  if (typeof found === 'function') throw new Error('it was compiled')
  return found
}

/** As the examples of the specification have it. */
const PUSH = event({
  id: 'A234-1',
  source: '/cloudevents/spec',
  type: 'com.github.push',
  subject: 'https://github.com/cloudevents/spec',
  dataschema: 'https://example.com/schema',
  extensions: { site: 'north', mqttqos: 1, mqttretain: true, big: -2147483648, empty: '' }
})

const YES = { exact: { type: 'com.github.push' } }
const NO = { exact: { type: 'com.github.issue' } }

/** Filter, and what it says of PUSH. */
const CONFORMANCE: Readonly<Record<string, ReadonlyArray<readonly [source: unknown, expected: boolean]>>> = {
  exact: [
    [{ exact: { type: 'com.github.push', subject: 'https://github.com/cloudevents/spec' } }, true],
    [{ exact: { type: 'com.github.push', subject: 'https://github.com/cloudevents' } }, false],
    [{ exact: { type: 'com.github.PUSH' } }, false],
    [{ exact: { type: 'com.github.pus' } }, false],
    [{ exact: { id: 'A234-1' } }, true],
    [{ exact: { source: '/cloudevents/spec' } }, true],
    [{ exact: { specversion: '1.0' } }, true],
    [{ exact: { specversion: '0.3' } }, false],
    [{ exact: { time: '2023-11-14T22:13:20.123Z' } }, true],
    [{ exact: { datacontenttype: 'application/json' } }, true],
    [{ exact: { dataschema: 'https://example.com/schema' } }, true],
    [{ exact: { site: 'north' } }, true],
    [{ exact: { site: 'south' } }, false],
    [{ exact: { mqttqos: '1' } }, true],
    [{ exact: { mqttqos: 1 } }, true],
    [{ exact: { mqttqos: 1.0 } }, true],
    [{ exact: { mqttqos: '01' } }, false],
    [{ exact: { mqttretain: 'true' } }, true],
    [{ exact: { mqttretain: true } }, true],
    [{ exact: { mqttretain: false } }, false],
    [{ exact: { big: '-2147483648' } }, true],
    [{ exact: { notthere: 'north' } }, false],
    [{ exact: { type: 'com.github.push', notthere: 'north' } }, false]
  ],
  prefix: [
    [{ prefix: { type: 'com.github.', subject: 'https://github.com/cloudevents' } }, true],
    [{ prefix: { type: 'com.github.', subject: 'https://gitlab.com' } }, false],
    [{ prefix: { type: 'com.github.push' } }, true],
    [{ prefix: { type: 'com.github.push.more' } }, false],
    [{ prefix: { type: 'COM' } }, false],
    [{ prefix: { type: 'github' } }, false],
    [{ prefix: { type: 'com?github' } }, false],
    [{ prefix: { big: '-21' } }, true],
    [{ prefix: { big: -21 } }, true],
    [{ prefix: { mqttretain: 't' } }, true],
    [{ prefix: { notthere: 'n' } }, false]
  ],
  suffix: [
    [{ suffix: { type: '.push', subject: '/cloudevents/spec' } }, true],
    [{ suffix: { type: '.push', subject: '/cloudevents' } }, false],
    [{ suffix: { type: 'com.github.push' } }, true],
    [{ suffix: { type: '.PUSH' } }, false],
    [{ suffix: { type: 'github' } }, false],
    [{ suffix: { time: 'Z' } }, true],
    [{ suffix: { big: '648' } }, true],
    [{ suffix: { notthere: 'e' } }, false]
  ],
  all: [
    [{ all: [YES] }, true],
    [{ all: [NO] }, false],
    [{ all: [YES, { exact: { subject: 'https://github.com/cloudevents/spec' } }] }, true],
    [{ all: [YES, NO] }, false],
    [{ all: [NO, YES] }, false],
    [{ all: [YES, { all: [YES, { any: [NO, YES] }] }] }, true]
  ],
  any: [
    [{ any: [YES] }, true],
    [{ any: [NO] }, false],
    [{ any: [YES, NO] }, true],
    [{ any: [NO, YES] }, true],
    [{ any: [NO, NO, { prefix: { notthere: 'x' } }] }, false]
  ],
  not: [
    [{ not: YES }, false],
    [{ not: NO }, true],
    [{ not: { not: YES } }, true],
    [{ not: { exact: { notthere: 'x' } } }, true],
    [{ not: { any: [NO, YES] } }, false],
    [{ not: { all: [NO, YES] } }, true]
  ],
  'a list': [
    [[], true],
    [[YES], true],
    [[YES, YES], true],
    [[YES, NO], false],
    [[{ prefix: { type: 'com.' } }, { suffix: { type: '.push' } }, { not: NO }], true]
  ]
}

for (const [dialect, rows] of Object.entries(CONFORMANCE)) {
  void test(`${dialect} is what the Subscriptions API says [CE-SUBS 3.2.4.1.1]`, async (t) => {
    for (const [source, expected] of rows) t.equal(says(source, PUSH), expected, JSON.stringify(source))
  })
}

test('what is not an attribute of the event is not one of the filter: partitionKey, data, extensions', async (t) => {
  t.equal(problemOf({ exact: { partitionKey: 'c1' } }).path, 'exact.partitionKey')
  t.equal(says({ exact: { extensions: 'x' } }, PUSH), false, 'could be an extension')
  t.equal(says({ exact: { data: '{"a":74.12}' } }, PUSH), false, 'the payload is JSON or nothing')
})

/** Payload, filter and what it says. */
const FIELDS: ReadonlyArray<readonly [json: string | undefined, source: unknown, expected: boolean]> = [
  ['{"temperature":74.5}', { exact: { 'data.temperature': 74.5 } }, true],
  ['{"temperature":74.5}', { exact: { 'data.temperature': '74.5' } }, true],
  ['{"temperature":74.50}', { exact: { 'data.temperature': '74.5' } }, true],
  ['{"temperature":1.0}', { exact: { 'data.temperature': 1 } }, true],
  ['{"temperature":1.0}', { exact: { 'data.temperature': '1.0' } }, false],
  ['{"temperature":1e21}', { exact: { 'data.temperature': '1e+21' } }, true],
  ['{"temperature":-0}', { exact: { 'data.temperature': 0 } }, true],
  ['{"temperature":1e999}', { exact: { 'data.temperature': 'Infinity' } }, false],
  ['{"on":true}', { exact: { 'data.on': true } }, true],
  ['{"on":"true"}', { exact: { 'data.on': true } }, true],
  ['{"on":false}', { exact: { 'data.on': true } }, false],
  ['{"unit":"Celsius"}', { prefix: { 'data.unit': 'Cel' } }, true],
  ['{"unit":"Celsius"}', { suffix: { 'data.unit': 'ius' } }, true],
  ['{"code":4711}', { prefix: { 'data.code': 47 } }, true],
  ['{"code":4711}', { suffix: { 'data.code': '11' } }, true],
  ['{"unit":null}', { exact: { 'data.unit': 'null' } }, false],
  ['{"unit":{}}', { prefix: { 'data.unit': '[' } }, false],
  ['{"unit":[1]}', { exact: { 'data.unit': '1' } }, false],
  ['{"unit":""}', { prefix: { 'data.unit': 'C' } }, false],
  ['{"readings":[{"value":3}]}', { exact: { 'data.readings[0].value': 3 } }, true],
  ['{"readings":[{"value":3}]}', { exact: { 'data.readings[1].value': 3 } }, false],
  ['{"a.b":{"c":1}}', { exact: { 'data["a.b"].c': 1 } }, true],
  ['[5]', { exact: { 'data[0]': 5 } }, true],
  ['74.5', { exact: { data: 74.5 } }, true],
  ['"on"', { exact: { data: 'on' } }, true],
  ['{}', { exact: { data: '[object Object]' } }, false],
  ['null', { exact: { data: 'null' } }, false],
  [undefined, { exact: { data: 'undefined' } }, false],
  [undefined, { exact: { 'data.temperature': 1 } }, false],
  [undefined, { not: { exact: { 'data.temperature': 1 } } }, true],
  ['{"data":1}', { exact: { 'data.data': 1 } }, true],
  ['{"type":"x"}', { exact: { type: 'x' } }, false],
  ['{"a":1,"b":2}', { exact: { 'data.a': 1, 'data.b': 2 } }, true],
  ['{"a":1,"b":2}', { exact: { 'data.a': 1, 'data.b': 3 } }, false],
  ['{"a":1}', { exact: { 'data.a': 1, type: 'com.github.push' } }, true],
  ['{"length":1}', { exact: { 'data.length': 1 } }, true],
  ['[1]', { exact: { 'data.length': 1 } }, false]
]

test('fields of a JSON payload compare by their text', async (t) => {
  for (const [json, source, expected] of FIELDS) t.equal(says(source, PUSH, json), expected, `${json} ${JSON.stringify(source)}`)
})

test('greaterThan and lessThan compare numbers of the payload, and nothing else', async (t) => {
  for (const [json, greater, less] of [
    ['{"t":20}', false, true], ['{"t":21}', false, false], ['{"t":21.0001}', true, false], ['{"t":-1}', false, true],
    ['{"t":1e999}', true, false], ['{"t":"30"}', false, false], ['{"t":true}', false, false], ['{"t":null}', false, false],
    ['{"t":[30]}', false, false], ['{}', false, false], ['30', false, false], [undefined, false, false]
  ] as const) {
    t.equal(says({ greaterThan: { 'data.t': 21 } }, PUSH, json), greater, `${json} > 21`)
    t.equal(says({ lessThan: { 'data.t': 21 } }, PUSH, json), less, `${json} < 21`)
  }
  t.equal(says({ greaterThan: { 'data.a': 0, 'data.b': 1 } }, PUSH, '{"a":1,"b":2}'), true)
  t.equal(says({ greaterThan: { 'data.a': 0, 'data.b': 2 } }, PUSH, '{"a":1,"b":2}'), false)
  t.equal(says({ lessThan: { data: 0.5 } }, PUSH, '0.25'), true)
  t.equal(says([{ greaterThan: { 'data.t': 0 } }, { lessThan: { 'data.t': 10 } }], PUSH, '{"t":5}'), true)
})

test('the payload is parsed only for one of its fields, and not once the attributes have decided', async (t) => {
  let asked = 0
  const input = { event: PUSH, json: () => { asked++; return { a: 1 } } }
  for (const source of [YES, { not: NO }, { any: [YES, { exact: { 'data.a': 1 } }] }, [NO, { exact: { 'data.a': 1 } }]]) {
    compiled(source)(input)
  }
  t.equal(compiled({ exact: { 'data.a': 1, type: 'other' } })(input), false)
  t.equal(asked, 0)
  t.equal(compiled({ exact: { 'data.a': 1 } })(input), true)
  t.equal(asked, 1)
})

test('a name of a prototype is a name like others', async (t) => {
  for (const name of ['constructor', 'data.constructor', 'data.__proto__', 'data.toString', 'data.__proto__.x', 'data.constructor.name']) {
    for (const json of ['{"a":1}', '[]', '"text"', '1', undefined]) {
      t.equal(says(JSON.parse(`{"prefix":{${JSON.stringify(name)}:"f"}}`), PUSH, json), false, `${name} in ${json}`)
    }
  }
  t.equal(says({ exact: { constructor: 'x' } }, event({ extensions: { constructor: 'x' } as never })), true)
  t.equal(says({ exact: { 'data.__proto__': 'x' } }, PUSH, '{"__proto__":"x"}'), true)
  for (const name of ['__proto__', 'toString', 'hasOwnProperty']) {
    t.equal(problemOf(JSON.parse(`{"exact":{"${name}":"x"}}`)).path, `exact.${name}`, 'no attribute can be called so')
    t.equal(problemOf(JSON.parse(`{"${name}":{"type":"x"}}`)).path, name, 'no dialect')
  }
  t.equal(problemOf(JSON.parse('{"constructor":{"type":"x"}}')).path, 'constructor')
})

test('a problem says where, and what is wrong', async (t) => {
  const ok = { exact: { type: 'a' } }
  for (const [source, path, reason] of [
    [[ok, { any: [{ prefix: { subject: '' } }] }], '[1].any[0].prefix.subject', /must not be empty/],
    [{ suffix: { type: '' } }, 'suffix.type', /must not be empty/],
    [{ exact: { type: '' } }, 'exact.type', /must not be empty/],
    [{ exact: { '': 'x' } }, 'exact[""]', /neither an attribute nor a path/],
    [{ exact: { Subject: 'x' } }, 'exact.Subject', /a-z and 0-9/],
    [{ exact: { 'temperature.x': 'x' } }, 'exact.temperature.x', /path from data/],
    [{ exact: { database64: 'x' } }, 'exact.database64', /reserved/],
    [{ exact: { 'data.': 'x' } }, 'exact.data.', /at character 5/],
    [{ exact: { 'data.a[': 'x' } }, 'exact.data.a[', /at character 7/],
    [{ exact: { 'data.a b': null } }, 'exact["data.a b"]', /text, a number, true or false/],
    [{ exact: { type: ['a'] } }, 'exact.type', /text, a number, true or false/],
    [{ exact: { type: NaN } }, 'exact.type', /text, a number, true or false/],
    [{ exact: { type: 1n } }, 'exact.type', /text, a number, true or false/],
    [{ exact: {} }, 'exact', /at least one name/],
    [{ exact: null }, 'exact', /at least one name/],
    [{ prefix: 'type' }, 'prefix', /at least one name/],
    [{ suffix: [['type', 'x']] }, 'suffix', /at least one name/],
    [{ greaterThan: { 'data.t': '21' } }, 'greaterThan.data.t', /is a number/],
    [{ greaterThan: { 'data.t': Infinity } }, 'greaterThan.data.t', /is a number/],
    [{ lessThan: { mqttqos: 1 } }, 'lessThan.mqttqos', /fields of the payload/],
    [{ all: [] }, 'all', /at least one filter/],
    [{ any: [] }, 'any', /at least one filter/],
    [{ all: ok }, 'all', /list/],
    [{ any: [ok, null] }, 'any[1]', /a filter is an object/],
    [{ all: [[ok]] }, 'all[0]', /a filter is an object/],
    [{ not: [ok] }, 'not', /a filter is an object/],
    [{ not: {} }, 'not', /one dialect/],
    [{}, '', /one dialect/],
    [[{}], '[0]', /one dialect/],
    [{ exact: { type: 'a' }, prefix: { type: 'a' } }, '', /one dialect .* here are 2/],
    [{ sql: "type = 'a'" }, 'sql', /no dialect; there are exact, prefix, suffix, greaterThan, lessThan, all, any, not/],
    [undefined, '', /a filter is an object/],
    ['type', '', /a filter is an object/]
  ] as const) {
    const problem = problemOf(source)
    t.equal(problem.kind, 'problem')
    t.equal(problem.path, path, JSON.stringify(source, (_, value) => typeof value === 'bigint' ? String(value) : value as unknown))
    t.match(problem.reason, reason, path)
    t.match(problem.reason, /^[^\n]{10,160}$/, 'one sentence')
    t.equal(problemOf(source, 'rules[0].when').path, `rules[0].when${path === '' || path.startsWith('[') ? '' : '.'}${path}`)
  }
})

test('depth and size are bounded', async (t) => {
  const nested = (depth: number, dialect: 'not' | 'all') => {
    let filter: unknown = YES
    for (let level = 1; level < depth; level++) filter = dialect === 'not' ? { not: filter } : { all: [filter] }
    return filter
  }
  for (const dialect of ['not', 'all'] as const) {
    t.equal(says(nested(MAX_FILTER_DEPTH, dialect), PUSH), dialect === 'all' || MAX_FILTER_DEPTH % 2 === 1)
    t.match(problemOf(nested(MAX_FILTER_DEPTH + 1, dialect)).reason, /16 deep/)
    t.match(problemOf(nested(10_000, dialect)).reason, /16 deep/)
  }
  t.equal(says([nested(MAX_FILTER_DEPTH, 'all')], PUSH), true, 'the list at the top is no level')

  const many = (count: number) => Array.from({ length: count }, () => YES)
  t.equal(says(many(MAX_FILTER_NODES), PUSH), true)
  t.match(problemOf(many(MAX_FILTER_NODES + 1)), { path: '[256].exact.type', reason: /at most 256/ })
  t.equal(says({ all: many(MAX_FILTER_NODES - 1) }, PUSH), true)
  t.match(problemOf({ all: many(MAX_FILTER_NODES) }).reason, /at most 256/)
  const names = Object.fromEntries(many(MAX_FILTER_NODES + 1).map((_, index) => [`data.f${index}`, 1]))
  t.match(problemOf({ exact: names }).reason, /at most 256/)
  t.match(problemOf({ any: new Array(4_000_000_000) }).path, 'any[0]')
})

test('one object that stands in many places, as YAML aliases make it, is counted in each', async (t) => {
  let filter: unknown = YES
  for (let level = 1; level < MAX_FILTER_DEPTH; level++) filter = { any: Array(10).fill(filter) }
  t.match(problemOf(filter).reason, /at most 256/)
  const cycle: Record<string, unknown> = {}
  cycle['not'] = cycle
  t.match(problemOf(cycle).reason, /16 deep/)
})

test('what is no data is a problem, and no exception', async (t) => {
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const getter = Object.defineProperty({}, 'exact', { enumerable: true, get () { throw new Error('no') } })
  for (const source of [
    revoked.proxy, [revoked.proxy], getter, { all: [getter] }, { exact: revoked.proxy }, Symbol('x'), () => true, 1n, new Map([['exact', 1]]),
    new Proxy({}, { ownKeys () { throw new Error('no') } }), { exact: { type: Symbol('x') } }, { exact: { type: () => 'x' } },
    Object.create(null), { [Symbol('exact')]: {} }, new Date(), Buffer.from('exact'), /exact/
  ]) {
    t.match(problemOf(source, 'when'), { kind: 'problem', path: /^when/ })
  }
  t.equal(says(Object.assign(Object.create(null), YES), PUSH), true)
})

test('a problem is short, however long the name, and of one line', async (t) => {
  for (const name of ['x'.repeat(1_000_000), '\n\u001b[31m', 'data.' + 'y'.repeat(1_000_000)]) {
    const { path, reason } = problemOf({ exact: { [name]: 'x'.repeat(1_000_000) } })
    t.match(path, /^exact\["\P{Cc}{1,80}"\]$/u)
    t.match(reason, /^\P{Cc}{1,200}$/u)
    t.ok(problemOf({ [name]: {} }).path.length < 100)
  }
})

test('later changes of what was handed in change no filter', async (t) => {
  const source = { any: [{ exact: { type: 'com.github.push' } }] }
  const filter = compiled(source)
  source.any[0]!.exact.type = 'other'
  source.any.length = 0
  t.equal(filter({ event: PUSH, json: () => undefined }), true)
})

test('fields without which a filter is false are found, where only they decide', async (t) => {
  for (const [filters, fields] of [
    [[{ greaterThan: { 'data.x': 0 } }], ['data.x']],
    [[{ exact: { type: 'a' } }, { lessThan: { 'data.x': 0 } }, { exact: { 'data.x': 1 } }], ['data.x']],
    [[{ exact: { type: 'a', 'data.x': 1, 'data.y': 2 } }], ['data.x', 'data.y']],
    [[{ all: [{ exact: { type: 'a' } }, { all: [{ prefix: { 'data[0]': 'a' } }] }] }], ['data[0]']],
    [[{ any: [{ exact: { 'data.x': 1 } }, { exact: { 'data.y': 1 } }] }], ['data.x', 'data.y']],
    [[{ any: [{ exact: { type: 'a' } }, { exact: { 'data.y': 1 } }] }], []],
    [[{ any: [{ not: { exact: { 'data.x': 1 } } }, { exact: { 'data.y': 1 } }] }], []],
    [[{ not: { lessThan: { 'data.x': 0 } } }], []],
    [[{ not: { not: { exact: { 'data.x': 0 } } } }], ['data.x']],
    [[{ exact: { datax: '1' } }], []],
    [[], []]
  ] as Array<[object[], string[]]>) t.same(neededFields(filters), fields, JSON.stringify(filters))
})

import { test, type Test } from 'tap'
import { compileRules, type EventRule } from '../../../lib/mapping/event-rules.ts'
import { createMapper, type Mapped } from '../../../lib/mapping/mapper.ts'
import { createTransformer, type Transformer } from '../../../lib/mapping/transformer.ts'
import type { Event, Publish } from '../../../lib/message.ts'
import { publish } from '../../support/http-sink-events.ts'

type Given = Partial<EventRule>

/** What a payload becomes by a rule, with transforms that are really run. */
function create (t: Test) {
  const transformer = createTransformer({
    timeoutMs: 2000,
    resultBytes: 100_000,
    memoryBytes: 64 * 1024 * 1024,
    telemetry: { transformStopped: () => {}, transformPaused: () => {} },
    now: () => performance.now()
  })
  t.teardown(() => transformer.close())
  return async (given: Given, payload: unknown) => await mapped(given, payload, {}, transformer)
}

function mapped (
  given: Given, payload: unknown, fields: Partial<Publish> = {}, transformer?: Transformer
): Mapped | Promise<Mapped> {
  const rules = compileRules([{ topic: '{site}/#', drop: false, extensions: {}, ...given }])
  const map = createMapper({ name: 'gw', overrides: {}, rules, ...(transformer !== undefined && { transformer }) })
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(text)
  return map(publish({ topic: 'north/a', ...fields, payload: bytes }), '7')
}

const aside = (reason: string, detail: string | RegExp) => ({ handling: { aside: { reason, detail } } })

test('a template without a value makes a dead letter where the rule says so, and names attribute and placeholder', async (t) => {
  const missing = 'deadLetter'
  const table: Array<[given: Given, detail: string]> = [
    [{ type: 'x.{payload.kind}' }, 'type has no value for {payload.kind}'],
    [{ source: '/{site}/{payload["a.b"]}' }, 'source has no value for {payload["a.b"]}'],
    [{ subject: '{username}' }, 'subject has no value for {username}'],
    [{ partitionKey: '{topic[7]}' }, 'partitionKey has no value for {topic[7]}'],
    [{ dataschema: 'https://example.com/{cert.cn}' }, 'dataschema has no value for {cert.cn}'],
    [{ extensions: { unit: '{payload.list}', other: '{site}' } }, 'unit has no value for {payload.list}'],
    [{ subject: '{payload.long}' }, 'subject has no value for {payload.long}']
  ]
  const payload = { list: [1], long: 'SECRET'.repeat(1000) }
  for (const [given, detail] of table) {
    t.match(mapped({ ...given, missing }, payload), aside('missing', detail), detail)
    t.notOk('handling' in (await mapped({ ...given, missing: 'omit' }, payload) as Event), 'which it does not do by itself')
    t.notOk('handling' in (await mapped(given, payload) as Event))
  }
  for (const given of [{ subject: '{payload.x|none}' }, { subject: '{payload.x|}' }, { subject: '{site}' }, { type: 'fixed' }, {}]) {
    t.notOk('handling' in (await mapped({ ...given, missing }, payload) as Event), 'a text behind the bar is a value')
  }
})

test('what a filter leaves out is no dead letter, and of an event that a device makes only what the rule says is asked for', async (t) => {
  const missing = 'deadLetter'
  t.equal(mapped({ missing, subject: '{payload.x}', filter: [{ exact: { 'data.kind': 'reading' } }] }, { kind: 'other' }), 'filter')
  const own = { specversion: '1.0', id: '1', source: '/d', type: 't' }
  const cloudevents = { trustSource: ['/d'], invalid: 'data' } as const
  t.match(mapped({ missing, cloudevents, subject: '{payload.x}', type: '{payload.x}' }, own), { id: '1', handling: undefined })
  t.match(mapped({ missing, cloudevents, extensions: { unit: '{payload.x}' } }, own), aside('missing', 'unit has no value for {payload.x}'))
  t.match(mapped({ missing, cloudevents, partitionKey: '{payload.x}' }, own), aside('missing', /^partitionKey/))
})

test('a transform makes the data; templates see the payload, filters and schema what it makes', async (t) => {
  const map = create(t)
  const rule: Given = {
    subject: '{payload.sensor}',
    extensions: { site: '{site}' },
    transform: '{ "celsius": (fahrenheit - 32) * 5 / 9, "from": $event.subject, "site": $event.site, "at": $topic }',
    filter: [{ greaterThan: { 'data.celsius': 30 } }],
    schema: { inline: { required: ['celsius'] }, otherwise: 'deadLetter' }
  }
  const event = await map(rule, { fahrenheit: 212, sensor: 's1' }) as Event
  t.match(event, { subject: 's1', datacontenttype: 'application/json', handling: undefined })
  t.equal(event.data.toString(), '{"celsius":100,"from":"s1","site":"north","at":"north/a"}')
  t.equal(await map(rule, { fahrenheit: 32 }), 'filter')
  t.match(await map({ transform: '$', contentType: 'application/senml+json' }, [1]), { datacontenttype: 'application/senml+json' })
  t.match(await map({ transform: 'a.b', schema: { inline: { type: 'number' }, otherwise: 'deadLetter' } }, { a: { b: 'x' } }),
    aside('schema', 'the data does not fit the schema: type at the top'))
  const own = { specversion: '1.0', id: '1', source: '/d', type: 't', data: { v: 2 } }
  const made = await map({ transform: 'v * 2', cloudevents: { trustSource: ['/d'], invalid: 'data' } }, own) as Event
  t.match(made, { id: '1', datacontenttype: 'application/json' })
  t.equal(made.data.toString(), '4', 'of an event that a device makes, its data')
})

test('what cannot be transformed is set aside as it arrived', async (t) => {
  const map = create(t)
  const table: Array<[expression: string, payload: unknown, detail: string | RegExp]> = [
    ['$', 'no JSON', 'the payload is no JSON'],
    ['$', Buffer.from([0xff]), 'the payload is no JSON'],
    ['$', '', 'the payload is no JSON'],
    ['missing', { a: 1 }, 'its result is nothing'],
    ['$error("x")', { a: 1 }, /^it failed with D3137/]
  ]
  for (const [transform, payload, detail] of table) {
    const event = await map({ transform, type: 'of.the.rule', contentType: 'application/senml+json' }, payload) as Event
    t.match(event, { type: 'of.the.rule', ...aside('transform', detail) }, String(detail))
    t.not(event.datacontenttype, 'application/senml+json', 'the type is that of the payload')
  }
  t.match(await map({ transform: '$', missing: 'deadLetter', subject: '{username}' }, {}), aside('missing', /^subject/))
})

test('only a rule with a transform takes a while', async (t) => {
  const transformer: Transformer = { run: async () => ({ kind: 'done', data: Buffer.from('1') }), close: async () => {} }
  t.notOk(mapped({}, {}, {}, transformer) instanceof Promise)
  t.ok(mapped({ transform: '$' }, {}, {}, transformer) instanceof Promise)
  t.notOk(mapped({ transform: '$' }, 'no JSON', {}, transformer) instanceof Promise)
})

test('data that does not fit the schema is a dead letter, refused or dropped', async (t) => {
  const inline = { type: 'object', required: ['t'], properties: { t: { type: 'number' } } }
  const table: Array<[payload: unknown, mistake: string]> = [
    [{}, 'the data does not fit the schema: required "t" at the top'],
    [{ t: 'SECRET' }, 'the data does not fit the schema: type at /t'],
    ['SECRET', 'the data does not fit the schema: it is no JSON'],
    ['', 'the data does not fit the schema: it is no JSON'],
    [Buffer.from('{"t":1,"x":"\xff"}', 'latin1'), 'the data does not fit the schema: it is no JSON']
  ]
  for (const [payload, mistake] of table) {
    t.match(mapped({ schema: { inline, otherwise: 'deadLetter' } }, payload), aside('schema', mistake), mistake)
    t.match(mapped({ schema: { inline, otherwise: 'refuse' } }, payload), {
      code: 'MBS_ERR_MAPPING_REFUSED', retryable: false, details: { index: 0, reason: mistake }
    })
    t.equal(mapped({ schema: { inline, otherwise: 'drop' } }, payload), 'schema')
  }
  t.match(mapped({ schema: { inline, otherwise: 'refuse' } }, { t: 1 }), { id: '7', handling: undefined })
  t.equal(mapped({ schema: { inline, otherwise: 'deadLetter' }, filter: [{ exact: { type: 'x' } }] }, {}), 'filter')
})

test('data that is nested deeper than a schema can follow does not fit', async (t) => {
  const inline = { items: { $ref: '#' } }
  const payload = '['.repeat(100_000) + ']'.repeat(100_000)
  t.match(mapped({ schema: { inline, otherwise: 'deadLetter' } }, payload), aside('schema', /nested too deeply$/))
})

test('an event whose data fits says which schema that is, where nothing else does', async (t) => {
  const inline = { $id: 'https://example.com/t.json', type: 'object' }
  const schema = { inline, otherwise: 'deadLetter' } as const
  t.match(mapped({ schema }, {}), { dataschema: 'https://example.com/t.json' })
  t.match(mapped({ schema, dataschema: 'https://example.com/{site}' }, {}), { dataschema: 'https://example.com/north' })
  t.notOk('dataschema' in (await mapped({ schema }, '5') as Event), 'nor one that does not fit')
  t.notOk('dataschema' in (await mapped({ schema: { ...schema, inline: { $id: 't.json' } } }, {}) as Event))
})

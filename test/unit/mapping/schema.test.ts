import { test } from 'tap'
import { Schemas, type CompiledSchema } from '../../../lib/mapping/schema.ts'

const DRAFT_07 = 'http://json-schema.org/draft-07/schema#'
const DRAFT_2020 = 'https://json-schema.org/draft/2020-12/schema'

function compile (schema: unknown): CompiledSchema {
  const compiled = new Schemas().compile(schema)
  if (typeof compiled === 'string') throw new Error(compiled)
  return compiled
}

test('what is wrong with data is said by place and keyword, without the data', async (t) => {
  const { mistakeIn } = compile({
    type: 'object',
    required: ['t'],
    properties: { t: { type: 'number', maximum: 100 }, list: { items: { enum: ['a'] } }, id: { pattern: '^x' } },
    additionalProperties: { const: 1 }
  })
  const table: Array<[data: unknown, mistake: string | undefined]> = [
    [{ t: 1 }, undefined],
    [{ t: 1, list: ['a'], id: 'x', other: 1 }, undefined],
    [{}, 'required "t" at the top'],
    [{ t: 'SECRET' }, 'type at /t'],
    [{ t: 101 }, 'maximum at /t'],
    [{ t: 1, list: ['a', 'SECRET'] }, 'enum at /list/1'],
    [{ t: 1, id: 'SECRET' }, 'pattern at /id'],
    [{ t: 1, 'a/\n': 'SECRET' }, 'const at /a~1%0A'],
    [{ t: 1, ['k'.repeat(1000)]: 2 }, `const at /${'k'.repeat(119)}…`],
    [[], 'type at the top'],
    [undefined, 'type at the top']
  ]
  for (const [data, mistake] of table) t.equal(mistakeIn(data), mistake, JSON.stringify(data)?.slice(0, 60))
  const several = compile({ anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'null' }, { type: 'boolean' }] })
  t.equal(several.mistakeIn([]), 'type at the top, type at the top, type at the top')
})

test('a schema says by $schema which draft it is; without one it is of 2020-12', async (t) => {
  const tuple2020 = { prefixItems: [{ type: 'string' }] }
  const tuple07 = { items: [{ type: 'string' }] }
  for (const $schema of [undefined, DRAFT_2020, `${DRAFT_2020}#`]) {
    t.equal(compile({ ...($schema !== undefined && { $schema }), ...tuple2020 }).mistakeIn([1]), 'type at /0')
  }
  t.equal(compile({ $schema: DRAFT_07, ...tuple07 }).mistakeIn([1]), 'type at /0')
  const schemas = new Schemas()
  t.match(schemas.compile({ $schema: DRAFT_07, ...tuple2020 }), /unknown keyword: "prefixItems"/)
  t.match(schemas.compile({ $schema: 'http://json-schema.org/draft-04/schema#' }), /draft-07 or 2020-12/)
})

test('what is no schema is said in words', async (t) => {
  const schemas = new Schemas()
  const table: Array<[schema: unknown, reason: RegExp]> = [
    [true, /a JSON object/],
    [[], /a JSON object/],
    [undefined, /a JSON object/],
    [{ type: 'strin' }, /must be equal to one of the allowed values/],
    [{ requierd: ['a'] }, /unknown keyword: "requierd"/],
    [{ format: 'iban' }, /unknown format "iban"/],
    [{ pattern: '(' }, /regular expression|pattern|format/],
    [{ $ref: 'https://example.com/other.json' }, /refers to https:\/\/example\.com\/other\.json, which is not in it/],
    [{ $ref: '#/$defs/none' }, /refers to #\/\$defs\/none|can't resolve/],
    [{ $async: true, type: 'string' }, /\$async/]
  ]
  for (const [schema, reason] of table) t.match(schemas.compile(schema), reason, JSON.stringify(schema))
})

test('a schema refers to its own parts, and may have an $id that another one has', async (t) => {
  const schema = { $id: 'https://example.com/a.json', $ref: '#/$defs/t', $defs: { t: { type: 'number' } } }
  const schemas = new Schemas()
  const first = schemas.compile(schema)
  t.equal(schemas.compile({ ...schema }), first, 'compiled once')
  const other = schemas.compile({ $id: 'https://example.com/a.json', type: 'string' })
  t.match(first, { id: 'https://example.com/a.json' })
  t.type(other, 'object')
  t.equal((other as CompiledSchema).mistakeIn('x'), undefined)
  t.equal((first as CompiledSchema).mistakeIn('x'), 'type at the top')
  for (const $id of ['a.json', '/b']) t.match(compile({ $id, type: 'string' }), { id: undefined }, 'no URI, no dataschema')
})

test('formats are held, each with what fits and what does not', async (t) => {
  const table: Record<string, [fits: string[], other: string[]]> = {
    'date-time': [['2024-02-29T23:59:60.5Z', '2024-01-01t00:00:00+01:00', '0001-01-01T00:00:00Z'],
      ['2023-02-29T00:00:00Z', '2024-01-01', '2024-01-01T24:00:00Z', '2024-01-01T00:00:00', '2024-13-01T00:00:00Z']],
    date: [['2024-02-29', '2000-02-29'], ['1900-02-29', '2024-00-01', '2024-01-00', '2024-1-1', '2024-01-01T']],
    time: [['00:00:00Z', '23:59:59.123-08:00'], ['24:00:00Z', '00:00:00', '00:00Z']],
    duration: [['P1D', 'PT0S', 'P1Y2M3DT4H5M6S', 'P2W'], ['P', 'PT', '1D', 'P1W2D', 'P1S']],
    uuid: [['123e4567-e89b-12d3-a456-426614174000'], ['123e4567e89b12d3a456426614174000', 'x']],
    email: [['a@b', 'a.b+c@example.com'], ['a', 'a@', '@b', 'a@b@c', 'a b@c']],
    hostname: [['a', 'a-b.example.com'], ['-a', 'a..b', 'a_b', 'a'.repeat(64), '']],
    ipv4: [['127.0.0.1'], ['127.0.0.256', '127.1']],
    ipv6: [['::1', 'fe80::1'], ['::g', '127.0.0.1']],
    uri: [['https://a/b?c#d', 'urn:x:y', 'https://u:p@a:1//b/', 'x://[::1]:1', 'x:/', 'file:///a'], ['/a', 'x:', 'x:?a', 'https://a b', 'a%', '', 'https://a:b/', 'x:[', 'x:a#b#c', '1:a']],
    'uri-reference': [['/a', '', '../b?c'], ['a b', '%zz']],
    'json-pointer': [['', '/a/~0~1/0'], ['a', '/~2']],
    regex: [['^a+$'], ['(']]
  }
  for (const [format, [fits, other]] of Object.entries(table)) {
    const { mistakeIn } = compile({ format })
    for (const text of fits) t.equal(mistakeIn(text), undefined, `${format}: ${text}`)
    for (const text of other) t.equal(mistakeIn(text), 'format at the top', `${format}: ${text}`)
    t.equal(mistakeIn(1), undefined, 'only texts have a format')
  }
})

test('no text makes a format slow', async (t) => {
  const texts = ['a', '1', '-', 'a.', 'a@', '/', '~0', '%20', '1.', ':', 'a-', '(a+)+'].flatMap((piece) => [
    `${piece.repeat(100_000)}!`, `P${piece.repeat(100_000)}`, `a@${piece.repeat(100_000)} `, `a:${piece.repeat(100_000)}|`
  ])
  for (const format of ['date-time', 'date', 'time', 'duration', 'uuid', 'email', 'hostname', 'ipv4', 'ipv6', 'uri', 'uri-reference', 'json-pointer', 'regex']) {
    const { mistakeIn } = compile({ format })
    const begun = performance.now()
    for (const text of texts) mistakeIn(text)
    t.ok(performance.now() - begun < 2000, `${format} ${Math.round(performance.now() - begun)} ms`)
  }
})

/** How the chart's values.yaml becomes its schema and README; and that nothing stands in it which nobody reads. */
import { test } from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import { patternForGo, programSchema } from '../../bin/chart/program-schema.ts'
import { chartReadme } from '../../bin/chart/readme.ts'
import { readValues, valuesSchema, type Value } from '../../bin/chart/values.ts'

const chart = join(import.meta.dirname, '../../charts/mqtt-broker-source')
const values = readValues(readFileSync(join(chart, 'values.yaml'), 'utf8'))
const leavesOf = (value: Value): Value[] => value.children?.flatMap(leavesOf) ?? [value]
const schemaFor = (text: string) => valuesSchema(readValues(text)).properties!

test('a comment says what a value is, over several lines, and @schema what it may be', async (t) => {
  const text = 'image:\n  # not this\n\n  # @schema {enum: [a, b]}\n  # -- The first line,\n  # and the second.\n  name: a\n'
  t.strictSame(schemaFor(text)['image'], {
    type: 'object',
    additionalProperties: false,
    properties: { name: { type: 'string', enum: ['a', 'b'], description: 'The first line, and the second.', default: 'a' } }
  })
})

test('a setting of the program brings its type, bounds and description', async (t) => {
  const [own, other] = ['# @schema {program: delivery.retry}\nretry: 3\n', '# -- Mine.\n# @schema {program: delivery.retry}\nretry: 3\n'].map(schemaFor)
  t.match(own!['retry'], { type: 'integer', minimum: 0, maximum: 1000, default: 3, description: /^How often an event is tried again/ })
  t.match(other!['retry'], { description: 'Mine.' })
  t.throws(() => schemaFor('# @schema {program: delivery.retries}\nretry: 3\n'), /the program has no setting delivery\.retries/)
})

test('an entry is like others, without their defaults', async (t) => {
  const text = '# @schema {entry: [ports.a, ports.b]}\nports:\n  a:\n    # -- One.\n    x: 1\n  b:\n    # -- Two.\n    y: true\n'
  t.match(schemaFor(text)['ports'], { additionalProperties: { properties: { x: { type: 'integer', description: 'One.' }, y: { type: 'boolean' } }, additionalProperties: false } })
  t.notMatch(JSON.stringify(schemaFor(text)), /default/)
})

test('a value without a default needs a type', async (t) => {
  t.throws(() => schemaFor('# -- Nothing.\nx: null\n'), /x: a value without a default needs a type/)
})

test('patterns: what Go does not know is left out, what is left still means the same', async (t) => {
  t.equal(patternForGo('^(?!(?:a|[)]b)$)[a-z]+$'), '^[a-z]+$')
  t.equal(patternForGo('^P(?=[\\dT])(?:\\d+D)?\\)$'), '^P(?:\\d+D)?\\)$')
  t.equal(patternForGo('^[^\\u0000-\\u001f]*$'), '^[^\u0000-\u001f]*$')
  const { pattern } = programSchema('delivery.grace')
  for (const text of ['PT5S', 'PT1M30S', 'P1D', 'PT0.2S']) t.ok(new RegExp(String(pattern)).test(text), text)
  for (const text of ['5s', '1H', 'PT5']) t.notOk(new RegExp(String(pattern)).test(text), text)
})

test('the schema is one of draft-07 that takes the defaults, without what Go does not know', async (t) => {
  const schema = valuesSchema(values)
  const ajv = new Ajv({ strict: false, allErrors: true })
  t.ok(ajv.validateSchema(schema), JSON.stringify(ajv.errors))
  const defaults = Object.fromEntries(values.map((value) => [value.path, value.default]))
  t.ok(ajv.validate(schema, defaults), JSON.stringify(ajv.errors))
  t.notOk(ajv.validate(schema, { ...defaults, other: 1 }))
  t.notMatch(JSON.stringify(schema), /\(\?[=!]/)
})

test('every value has a description, and the README has them all', async (t) => {
  const leaves = values.flatMap(leavesOf)
  t.ok(leaves.length > 100, `${leaves.length}`)
  t.strictSame(leaves.filter(({ description }) => !/^[A-Z`].*[.…`]$/s.test(description)).map(({ path }) => path), [])
  const readme = chartReadme(values, '1.2.3')
  for (const { path } of leaves) t.match(readme, `| \`${path}\` |`)
  for (const [, file] of readme.matchAll(/\]\((ci\/[^)]+)\)/g)) t.ok(readdirSync(join(chart, 'ci')).includes(file!.slice(3)), String(file))
})

test('every value is read by a template', async (t) => {
  const templates = readdirSync(join(chart, 'templates'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8')).join('\n')
  const asked = ({ path, annotation }: Value) => {
    const names = [path.split('.').at(-1)!, ...Object.keys(annotation.fields ?? {})]
    const asAWhole = templates.includes(`toYaml .Values.${path.split('.').slice(0, -1).join('.')} `)
    return asAWhole || names.every((name) => new RegExp(`[.$" ]${name}\\b`).test(templates))
  }
  t.strictSame(values.flatMap(leavesOf).filter((value) => !asked(value)).map(({ path }) => path), [])
})

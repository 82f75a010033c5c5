import { test } from 'tap'
import { isJson, MAX_JSON_DEPTH } from '../../../lib/cloudevent/json-grammar.ts'
import { seededRandom } from '../../support/random.ts'

const json = (text: string) => isJson(Buffer.from(text))

/** Text fragments out of which nearly everything can be made that is or is nearly JSON. */
const FRAGMENTS = [
  '{', '}', '[', ']', ',', ':', '"', '"a"', '"a":', '1', '-', '0', '.', 'e', 'E5', '+', 'true', 'false', 'null', 'tru', ' ',
  '\n', '\t', '\r', '\\', '\\u00', '\\uD83d', '\\n', '\\x', 'ü', '\u0001', '\u007f', '\u2028', '{"a":1}', '[1,2]', '01', '\ufeff'
]

test('takes for JSON what JSON.parse takes, over random texts', async (t) => {
  const seed = Number(process.env['TEST_SEED'] ?? 20231114)
  const random = seededRandom(seed)
  let valid = 0
  for (let round = 0; round < 200_000; round++) {
    let text = ''
    for (let parts = 1 + Math.floor(random() * 8); parts > 0; parts--) {
      text += FRAGMENTS[Math.floor(random() * FRAGMENTS.length)] as string
    }
    let expected = true
    try { JSON.parse(text) } catch { expected = false }
    if (expected) valid++
    if (json(text) !== expected) return t.fail(`${JSON.stringify(text)} is ${expected ? '' : 'no '}JSON (seed ${seed})`)
  }
  t.ok(valid > 1000, `${valid} were JSON`)
})

test('every kind of value, with white space around it, is JSON [RFC 8259 2]', async (t) => {
  for (const text of [
    '0', '-0', '1.0', '-1.5e+10', '12345678901234567890', '1E400', 'true', 'false', 'null', '""', '"ü\\u00fc\\ud83d"',
    '{}', '[]', ' \t\r\n[ ] ', '{"a":{"b":[1,{}]},"a":2}', '[[],[[]]]', '{"":0}'
  ]) t.ok(json(text), text)
})

test('what is nearly JSON is none', async (t) => {
  for (const text of [
    '', ' ', '\ufeff{}', '01', '+1', '1.', '.5', '1e', '1e+', '--1', '0x1', 'NaN', 'Infinity', 'tru', 'truex', 'True', "'a'", '"a',
    '"\t"', '"\\x"', '"\\u12g4"', '"\\', '{', '}', '[1,]', '[,1]', '{"a":1,}', '{"a"}', '{"a":}', '{a:1}', '{1:1}', '[1}', '{"a":1]',
    '[1 2]', '1 2', '{} {}', '[]]', '74,12', '12 degrees', '// c\n1'
  ]) t.notOk(json(text), JSON.stringify(text))
})

test('bytes that are not UTF-8 are no JSON', async (t) => {
  t.notOk(isJson(Buffer.from([0x22, 0xff, 0x22])))
  t.notOk(isJson(Buffer.from([0x22, 0xc3, 0x22])), 'cut within a character')
  t.notOk(isJson(Buffer.from('{"a":1}', 'utf16le')))
})

test('nesting is followed to a bound', async (t) => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  t.ok(json(nested(MAX_JSON_DEPTH)))
  t.notOk(json(nested(MAX_JSON_DEPTH + 2)))
  t.notOk(json('{"a":'.repeat(MAX_JSON_DEPTH + 1) + '1' + '}'.repeat(MAX_JSON_DEPTH + 1)))
})

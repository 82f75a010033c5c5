import { test } from 'tap'
import { MAX_PATH_LENGTH, parsePath, valueAt } from '../../../lib/mapping/json-path.ts'

/** What stands at the path in a JSON text. */
function at (json: string, path: string): unknown {
  const parsed = parsePath(path)
  if (typeof parsed === 'string') throw new Error(`${path}: ${parsed}`)
  return valueAt(JSON.parse(json), parsed)
}

test('a path is names, places in lists and quoted names', async (t) => {
  t.strictSame(parsePath('temperature'), ['temperature'])
  t.strictSame(parsePath('readings[0].value'), ['readings', 0, 'value'])
  t.strictSame(parsePath('[2][10]'), [2, 10])
  t.strictSame(parsePath('["a.b"].c["d]e"]["f\\"\\u00fc"]'), ['a.b', 'c', 'd]e', 'f"ü'])
  t.strictSame(parsePath('a.0.b-c.d e.$x.温度'), ['a', '0', 'b-c', 'd e', '$x', '温度'])
  t.strictSame(parsePath('[""]'), [''], 'JSON has an empty name')
  t.strictSame(parsePath(''), [], 'the value itself')
})

test('what is no path is said with its place', async (t) => {
  for (const [text, character] of [
    ['.a', 1], ['a.', 2], ['a..b', 2], ['a.[0]', 2], ['a[0]b', 5], ['a[]', 2], ['a[-1]', 2], ['a[01]', 2], ['a[1.5]', 2],
    ['a[x]', 2], ['a[0', 2], ['a]', 2], ['a"b"', 2], ['["a]', 1], ['["a"', 1], ["['a']", 1], ['["\\x"]', 1], ['["\n"]', 1],
    ['a[12345678901]', 2], ['[*]', 1]
  ] as const) {
    const problem = parsePath(text)
    t.type(problem, 'string', text)
    t.match(problem, new RegExp(` at character ${character}$`), text)
  }
})

test('a path has a bounded length', async (t) => {
  t.strictSame(parsePath('a'.repeat(MAX_PATH_LENGTH)), ['a'.repeat(MAX_PATH_LENGTH)])
  t.type(parsePath('a'.repeat(MAX_PATH_LENGTH + 1)), 'string')
  t.type(parsePath('["' + '\\"'.repeat(10_000_000)), 'string')
})

test('finds what is there, of any type', async (t) => {
  const json = '{"t":74.5,"readings":[{"value":1},{"value":null}],"a.b":{"":true},"0":"zero"}'
  t.equal(at(json, 't'), 74.5)
  t.equal(at(json, 'readings[0].value'), 1)
  t.equal(at(json, 'readings[1].value'), null)
  t.strictSame(at(json, 'readings[0]'), { value: 1 })
  t.equal(at(json, '["a.b"][""]'), true)
  t.equal(at(json, '0'), 'zero')
  t.equal(at('[[1,2],[3]]', '[1][0]'), 3)
  t.equal(at('"scalar"', ''), 'scalar')
})

test('finds nothing where nothing is, and goes through no scalar', async (t) => {
  const json = '{"s":"text","n":null,"l":[1],"o":{"0":1}}'
  for (const path of ['x', 'x.y', 's.x', 's[0]', 's.length', 'n.x', 'n[0]', 'l[1]', 'l.0', 'l.length', 'o[0]', '[0]']) {
    t.equal(at(json, path), undefined, path)
  }
  for (const value of [undefined, null, 1, 'text', true]) t.equal(valueAt(value, ['length']), undefined)
})

test('only own members are found', async (t) => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '__proto__.x', 'constructor.name']) {
    t.equal(at('{"a":1}', name), undefined, name)
    t.equal(at('[1]', name), undefined, name)
  }
  t.equal(at('{"__proto__":{"x":1}}', '__proto__.x'), 1, 'JSON may have a member of this name')
  t.equal(at('{"constructor":"c"}', 'constructor'), 'c')
})

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import jsonata from 'jsonata'
import { test } from 'tap'
import { BUILT_IN, unknownFunctionIn } from '../../../lib/mapping/transform-functions.ts'
import { parseTransform } from '../../../lib/mapping/transform.ts'

const unknownIn = (text: string) => unknownFunctionIn(jsonata(text).ast())

test('a function that nobody has is found, wherever it is called', async (t) => {
  for (const text of [
    '$rond(x)', '{ "a": [ $sum(v), $rond(v) ] }', 'a.b.$rond()', 'a[$rond(b)]', 'a^(>$rond(b))', 'a{ b: $rond(c) }', 'x ~> $rond',
    '$rond(?, 1)', '$map(a, function($x) { $rond($x) })', 'a ? b : $rond(c)', '($f := $rond(a); $f)', 'a ~> |b|{ "c": $rond(d) }|',
    '(function() { $rond() })()'
  ]) t.match(unknownIn(text), { name: 'rond' }, text)
  t.same(unknownIn('$second(1) + $first($second(2))'), { name: 'second', position: 7 }, 'the first one')
  t.same(parseTransform('$rond(x)'), 'there is no function $rond, at character 5')
})

test('what can be evaluated is not refused', async (t) => {
  for (const text of [
    '$round(x)', '($rond := $round; $rond(1.2))', '($twice := function($f, $x) { $f($f($x)) }; $twice($sqrt, 16))',
    'a@$rond.$map(b, $rond)', 'a#$i.$string($i)', 'a[0]#$rond.$rond', '$rond', '$topic & $event.type', '$count(?)', 'x ~> $sum',
    '$now() & $millis()', 'x ~> $uppercase ~> $trim', '($eval("$rond := function($x) { 1 }"); $rond(1))', '$.a + $$.b', '(function($rond) { $rond() })($now)',
    '($f := function($n) { $n = 0 ? 1 : $n * $f($n - 1) }; $f(3))'
  ]) t.type(parseTransform(text), 'object', text)
})

test('the functions are those of the library', async (t) => {
  const source = readFileSync(createRequire(import.meta.url).resolve('jsonata'), 'utf8')
  const bound = [...source.matchAll(/\b(?:staticFrame|environment)\.bind\('(\w+)',/g)].map(([, name]) => name!)
  t.ok(bound.length > 60, 'they were found')
  t.same([...BUILT_IN].sort(), bound.sort())
  for (const name of BUILT_IN) t.equal(await jsonata(`$type($${name})`).evaluate({}), 'function', name)
})

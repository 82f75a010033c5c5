import { test } from 'tap'
import { capturedBy, parseRulePattern, patternsOverlap, type RulePattern } from '../../../lib/mapping/rule-pattern.ts'

test('a pattern is a topic filter with names', async (t) => {
  t.same(parseRulePattern('sites/{site}/+/telemetry'), {
    text: 'sites/{site}/+/telemetry',
    levels: ['sites', '+', '+', 'telemetry'],
    captures: [{ name: 'site', level: 1, tail: false }]
  })
  t.match(parseRulePattern('{a}/{rest...}'), {
    levels: ['+', '#'], captures: [{ name: 'a', level: 0, tail: false }, { name: 'rest', level: 1, tail: true }]
  })
  t.match(parseRulePattern('$aws/{?bag}'), { levels: ['$aws', '?#'], captures: [{ name: 'bag', level: 1, tail: true }] })
  t.match(parseRulePattern('#'), { levels: ['#'], captures: [] })
  t.match(parseRulePattern('/a//b'), { levels: ['', 'a', '', 'b'] })
})

test('what is no pattern is said in a sentence', async (t) => {
  for (const [text, reason] of [
    ['', /empty/], ['a/{b', /whole level/], ['a/x{b}', /whole level/], ['a/{b}{c}', /whole level/],
    ['a/{}', /whole level/], ['a/{1}', /whole level/], ['a/b#', /level of its own/], ['a/#/b', /last level/],
    ['{a...}/b', /last level/], ['{a}/{a}', /two levels/], ['{clientid}/a', /a meaning already/], ['a\0', /NUL/],
    [Array(102).join('a/'), /100 levels/],
    ['a/{?b}/c', /last level/], ['{?b}', /first level/], ['a/{?b...}', /no dots/], ['a/{?property}', /a meaning already/],
    ['a/?{b}', /whole level/]
  ] as const) t.match(parseRulePattern(text), reason, text)
})

test('a name stands for its level, or for all that is left', async (t) => {
  const { captures } = parseRulePattern('a/{one}/{rest...}') as RulePattern
  const captured = (topic: string) => captures.map((capture) => capturedBy(capture, topic.split('/')))
  t.same(captured('a/b/c/d'), ['b', 'c/d'])
  t.same(captured('a/b'), ['b', undefined])
  t.same(captured('a//'), ['', ''])
  const bag = (parseRulePattern('a/{?bag}') as RulePattern).captures[0]
  t.equal(bag === undefined ? bag : capturedBy(bag, ['a', '?x=1', 'y']), '?x=1/y', 'a slash that is not encoded belongs to it')
})

test('two patterns overlap where a topic matches both', async (t) => {
  const pattern = (text: string) => parseRulePattern(text) as RulePattern
  for (const [a, b, expected] of [
    ['{channel}/{device}', 'zigbee2mqtt/{device...}', true], ['{a}', 'z/{rest...}', true], ['{a}', 'z/{b}', false],
    ['{a}/{b}', '$aws/{c}', false], ['a/{b}/c', 'a/d/{e}', true], ['a/{b}/c', 'a/{b}/d', false],
    ['t/{?bag}', '{a}', true], ['t/{?bag}', '{a}/{b}', true], ['t/{?bag}', '{a}/{b}/c/{d...}', true], ['t/{?bag}', 't/x', false],
    ['t/{?bag}', 't/?x', true], ['t/{?bag}', 't/{?properties}', true], ['t/{?bag}', 't/{x}/{?bag}', true], ['t/{?bag}', 's/{?bag}', false],
    ['t/{?bag}', 't/#', true]
  ] as const) {
    t.equal(patternsOverlap(pattern(a), pattern(b)), expected, `${a} ${b}`)
    t.equal(patternsOverlap(pattern(b), pattern(a)), expected, `${b} ${a}`)
  }
})

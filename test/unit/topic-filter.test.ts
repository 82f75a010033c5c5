import { test } from 'tap'
import { containsFilter, levelsOf, matchesTopic, overlaps } from '../../lib/topic-filter.ts'

const matches = (filter: string, topic: string) => matchesTopic(levelsOf(filter), topic)
const contains = (pattern: string, filter: string) => containsFilter(levelsOf(pattern), levelsOf(filter))
const meet = (a: string, b: string) => overlaps(levelsOf(a), levelsOf(b))

/** All sequences of one to `most` of these levels. */
function sequences (levels: readonly string[], most: number): string[] {
  let last: string[] = [...levels]
  const all = [...last]
  for (let length = 2; length <= most; length++) {
    last = last.flatMap((before) => levels.map((level) => `${before}/${level}`))
    all.push(...last)
  }
  return all
}

/** One letter more than filters have, and one level more: whatever two filters differ in, some topic shows it. */
const topics = sequences(['a', 'b', '', '$s'], 4).filter((topic) => topic !== '')
const filters = sequences(['a', '', '+', '#', '$s'], 3).filter((filter) => filter !== '' && !/#\//.test(filter))

test('a filter matches what MQTT says [MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.2-1]', async (t) => {
  for (const [filter, topic] of [
    ['a', 'a'], ['a/b', 'a/b'], ['#', 'a/b/c'], ['a/#', 'a'], ['a/#', 'a/'], ['a/#', 'a/b/c'], ['+', 'a'], ['+/+', '/a'], ['/+', '/a'],
    ['a/+', 'a/'], ['a/+/c', 'a/b/c'], ['+/#', 'a'], ['a//b', 'a//b'], ['$s/#', '$s/x'], ['$s/+', '$s/x']
  ] as const) t.equal(matches(filter, topic), true, `${filter} matches ${topic}`)
  for (const [filter, topic] of [
    ['a', 'b'], ['a', 'ab'], ['ab', 'a'], ['a', 'a/'], ['a/', 'a'], ['a', 'A'], ['a/+', 'a'], ['a/+', 'a/b/c'], ['+', '/a'], ['a/b/#', 'a'],
    ['a/#', 'ab'], ['#', '$s/x'], ['+/x', '$s/x'], ['a//b', 'a/b']
  ] as const) t.equal(matches(filter, topic), false, `${filter} does not match ${topic}`)
})

test('a filter is held against all that it asks for, not compared with what is allowed', async (t) => {
  for (const [pattern, filter] of [
    ['a/#', 'a'], ['a/#', 'a/#'], ['a/#', 'a/+'], ['a/#', 'a/+/b/#'], ['#', '+/+'], ['a/+', 'a/b'], ['+/+', 'a/+'], ['#', '#'], ['+/#', '#'],
    ['#', '+/#'], ['a', 'a'], ['$s/#', '$s/+']
  ] as const) t.equal(contains(pattern, filter), true, `${pattern} holds ${filter}`)
  for (const [pattern, filter] of [
    ['devices/a/#', 'devices/#'], ['devices/a', 'devices/+'], ['a/+', 'a/#'], ['a/+/#', 'a/#'], ['+', '#'], ['a/b', 'a'], ['a', 'a/b'],
    ['+/+/#', '#'], ['+', '+/+'], ['#', '$s/#'], ['+/x', '$s/x'], ['a', 'A']
  ] as const) t.equal(contains(pattern, filter), false, `${pattern} does not hold ${filter}`)
})

test('containment and overlap are what the topics themselves say, for every pair of filters', async (t) => {
  const matched = new Map(filters.map((filter) => [filter, topics.map((topic) => matches(filter, topic))]))
  const wrong: string[] = []
  for (const pattern of filters) {
    const allowed = matched.get(pattern)!
    for (const filter of filters) {
      const asked = matched.get(filter)!
      if (contains(pattern, filter) !== asked.every((hit, at) => !hit || allowed[at])) wrong.push(`${pattern} holds ${filter}`)
      if (meet(pattern, filter) !== asked.some((hit, at) => hit && allowed[at])) wrong.push(`${pattern} meets ${filter}`)
    }
  }
  t.ok(filters.length > 100 && topics.length > 300, `${filters.length} filters, ${topics.length} topics`)
  t.strictSame(wrong, [])
})

test('matching is what a regular expression makes of the filter, for every topic', async (t) => {
  const wrong: string[] = []
  for (const filter of filters) {
    const body = filter.replace(/\$/g, '\\$').replace(/\+/g, '[^/]*').replace(/^#$/, '.*').replace(/\/#$/, '(/.*)?')
    const expression = new RegExp(`^${/^[+#]/.test(filter) ? '(?!\\$)' : ''}${body}$`)
    for (const topic of topics) if (matches(filter, topic) !== expression.test(topic)) wrong.push(`${filter} and ${topic}`)
  }
  t.strictSame(wrong, [])
})

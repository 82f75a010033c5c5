import { test } from 'tap'
import { RuleIndex } from '../../../lib/mapping/rule-index.ts'
import { containsFilter, levelsOf, matchesTopic } from '../../../lib/topic-filter.ts'
import { seededRandom } from '../../support/random.ts'

function indexOf (filters: readonly string[]): RuleIndex {
  const index = new RuleIndex()
  for (const filter of filters) index.add(levelsOf(filter))
  return index
}

test('the first rule that matches decides, however special a later one is', async (t) => {
  const index = indexOf(['a/+', 'a/b', 'a/#', '#', '+/b'])
  const find = (topic: string) => index.find(topic.split('/'))
  t.equal(find('a/b'), 0)
  t.equal(find('a/b/c'), 2)
  t.equal(find('a'), 2, 'the rest may be nothing [MQTT-4.7.1-2]')
  t.equal(find('x'), 3)
  t.equal(indexOf(['a/b']).find(['a']), undefined)
  t.equal(indexOf([]).find(['a']), undefined)
})

test('a wildcard at the first level matches no topic that begins with $ [MQTT-4.7.2-1]', async (t) => {
  const index = indexOf(['#', '+/a', '$x/+', '$x/?#'])
  t.equal(index.find(['$x', 'a']), 2)
  t.equal(index.find(['$y', 'a']), undefined)
  t.equal(index.find(['$x']), 3)
  t.equal(index.find(['x', '$a']), 0, 'at the first level alone')
  t.equal(index.findContaining(['$x', 'a']), 2)
  t.equal(index.findContaining(['$x', '?#']), 3, '# does not hold it, and $x/+ not all of it')
})

test('a property bag begins with ?, reaches to the end, and may be absent', async (t) => {
  const index = indexOf(['a/?#', 'a/+', 'a/#', 'a/?x'])
  const find = (topic: string) => index.find(topic.split('/'))
  t.equal(find('a'), 0)
  t.equal(find('a/?x=1'), 0)
  t.equal(find('a/?x=1/b/c'), 0)
  t.equal(find('a/x'), 1)
  t.equal(find('a/x/?y'), 2)
  t.equal(find('a/'), 1)
  t.equal(index.findContaining(['a', '?x']), 0)
  t.equal(index.findContaining(['a']), 0)
  t.equal(indexOf(['a/+', 'a/?#']).findContaining(['a', '?#']), 1, 'a/+ does not match a')
  t.equal(indexOf(['a/#', 'a/?#']).findContaining(['a', '?#']), 0)
})

test('it finds what looking at one rule after the other finds', async (t) => {
  const seed = Number(process.env['MBS_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}: MBS_TEST_SEED=${seed} repeats it`)
  const random = seededRandom(seed)
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T
  const topicOf = () => Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick(['a', 'b', '', 'c', '$a']))
  const filterOf = (): string[] => {
    const levels = topicOf().map((level) => random() < 0.3 ? '+' : level)
    return random() < 0.3 ? [...levels.slice(0, -1), '#'] : levels
  }
  for (let round = 0; round < 300; round++) {
    const filters = Array.from({ length: Math.floor(random() * 30) }, filterOf)
    const index = indexOf(filters.map((levels) => levels.join('/')))
    for (let count = 0; count < 30; count++) {
      const levels = topicOf()
      const topic = levels.join('/')
      if (topic === '') continue
      const expected = filters.findIndex((filter) => matchesTopic(filter, topic))
      t.equal(index.find(levels), expected === -1 ? undefined : expected) || t.comment(topic, filters)
    }
    for (const [at, filter] of filters.entries()) {
      const found = index.findContaining(filter)
      t.ok(found <= at && containsFilter(filters[found] as string[], filter), `${filter.join('/')} is held by rule ${found}`)
    }
  }
})

test('ten thousand rules cost a topic about what ten do', async (t) => {
  const filters = (count: number) => Array.from({ length: count }, (_, at) => `sites/site-${at}/+/telemetry`)
  const timeOf = (index: RuleIndex, count: number): number => {
    const topics = Array.from({ length: 1000 }, (_, at) => `sites/site-${at % count}/device/telemetry`.split('/'))
    const begun = performance.now()
    for (let round = 0; round < 100; round++) for (const topic of topics) index.find(topic)
    return performance.now() - begun
  }
  const [few, many] = [indexOf(filters(10)), indexOf(filters(10_000))]
  timeOf(few, 10)
  timeOf(many, 10_000)
  const ratio = Math.min(...Array.from({ length: 5 }, () => timeOf(many, 10_000) / timeOf(few, 10)))
  t.comment(`${ratio.toFixed(1)} times as long`)
  t.ok(ratio < 5)
})

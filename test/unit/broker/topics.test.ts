import { test } from 'tap'
import { filterProblem, hasWildcard, isReserved, topicProblem } from '../../../lib/broker/topics.ts'

const limits = { topicBytes: 20, topicLevels: 4 }

test('topics that may be published to', async (t) => {
  for (const topic of ['a', '/', 'a/b/c/d', '/a/', 'a$', 'sensors/küche', 'x'.repeat(20), 'ü'.repeat(10), ' ', '\u0001']) {
    t.equal(topicProblem(topic, limits), undefined, topic)
  }
})

test('topics that may not, and why', async (t) => {
  const cases = {
    '': /empty/,
    '$SYS/a': /reserved/,
    $x: /reserved/,
    'a/#': /wildcard/,
    '+': /wildcard/,
    'a+b': /wildcard/,
    'a\0': /NUL/,
    '\ufffd': /UTF-8/,
    'a/b/c/d/e': /5 levels of 4/,
    ['x'.repeat(21)]: /21 bytes of 20/,
    ['ü'.repeat(11)]: /22 bytes of 20/
  }
  for (const [topic, reason] of Object.entries(cases)) t.match(topicProblem(topic, limits), reason, topic)
})

test('filters that may be subscribed [MQTT-4.7.1]', async (t) => {
  for (const filter of ['#', '+', 'a/#', '+/b/#', '/+', '+/+/+/+', 'a/+/b', '/', 'a b']) {
    t.equal(filterProblem(filter, limits), undefined, filter)
  }
})

test('filters that may not, and why [MQTT-4.7.1-2, MQTT-4.7.1-3]', async (t) => {
  const cases = {
    '': /empty/,
    '$SYS/#': /\$SYS/,
    '$share/g/t': /\$share/,
    'a#': /level of its own/,
    'x+': /level of its own/,
    '+x': /level of its own/,
    'a/#/b': /last level/,
    '#/a': /last level/,
    '##': /level of its own/,
    'a\0': /NUL/,
    'a/b/c/d/#': /5 levels of 4/,
    ['x'.repeat(21)]: /21 bytes/
  }
  for (const [filter, reason] of Object.entries(cases)) t.match(filterProblem(filter, limits), reason, filter)
})

test('reserved topics begin with $', async (t) => {
  t.ok(isReserved('$SYS/x'))
  t.notOk(isReserved('a/$SYS'))
})

test('wildcards are told from letters', async (t) => {
  t.ok(hasWildcard('a/+') && hasWildcard('#'))
  t.notOk(hasWildcard('a/b'))
})

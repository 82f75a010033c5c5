import { test } from 'tap'
import { filterProblem, hasWildcard, isReserved, topicProblem } from '../../../lib/broker/topics.ts'
import { reservedTopics } from '../../../lib/mapping/event-rules.ts'

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

test('topics that begin with $ are in use as far as presets ask for them, and no further', async (t) => {
  const open = { topicBytes: 100, topicLevels: 10, reserved: reservedTopics(['aws-iot', 'azure-iot-hub']) }
  for (const topic of ['$aws/things/lamp/shadow/update', '$aws/things/lamp/shadow', '$aws/rules/r/a/b', '$iothub/twin/GET/?$rid=1', '$iothub/methods/res/200/?$rid=1']) {
    t.equal(topicProblem(topic, open), undefined, topic)
    t.match(topicProblem(topic, { ...open, reserved: reservedTopics(['hono']) }), /reserved/, topic)
    t.match(topicProblem(topic, limits), /reserved/, topic)
  }
  for (const topic of ['$SYS/a', '$aws', '$aws/things/lamp', '$aws/things/a/b/shadow/x', '$aws/events/presence/connected/a', '$share/g/$aws/rules/a', '$iothub', '$iothub/other', '$AWS/rules/r', '$']) {
    t.match(topicProblem(topic, open), /reserved/, topic)
  }
  t.match(topicProblem('$aws/rules/#', open), /wildcard/)
  for (const filter of ['$aws/things/lamp/shadow/#', '$aws/things/+/shadow/+/accepted', '$iothub/twin/res/#', '$iothub/methods/POST/#']) {
    t.equal(filterProblem(filter, open), undefined, filter)
    t.match(filterProblem(filter, limits), /cannot be subscribed/, filter)
  }
  for (const filter of ['$SYS/#', '$share/g/t', '$aws/#', '$aws/things/#', '$aws/rules/#', '$iothub/#', '$#', '$share/g/$aws/things/lamp/shadow/#']) {
    t.match(filterProblem(filter, open), /cannot be subscribed/, filter)
  }
  t.match(filterProblem('$aws/things/lamp/shadow/#/x', open), /last level/)
  t.notOk(isReserved('$aws/things/lamp/shadow/update/delta', open.reserved))
  t.ok(isReserved('$aws/rules/r', open.reserved), 'published, and received by no one')
  t.ok(isReserved('$SYS/x', open.reserved))
})

test('wildcards are told from letters', async (t) => {
  t.ok(hasWildcard('a/+') && hasWildcard('#'))
  t.notOk(hasWildcard('a/b'))
})

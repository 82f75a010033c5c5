import { test } from 'tap'
import { RuleStrikes } from '../../../lib/mapping/rule-strikes.ts'

const options = { devices: 5, ratio: 4, windowMs: 60_000, pauseMs: 30_000, remembered: 64 }

function create () {
  const rules = new RuleStrikes(options)
  const fail = (count: number, now = 0, rule = 1) => {
    return Array.from({ length: count }, (_, n) => rules.failed(rule, `bad-${n}`, now)).reduce((sum, ms) => sum + ms, 0)
  }
  const succeed = (count: number, now = 0) => {
    for (let n = 0; n < count; n++) rules.succeeded(1, `good-${n}`, now)
  }
  return { rules, fail, succeed }
}

test('a rule is left alone when it takes too long for five devices, and the other rules are not', (t) => {
  const { rules, fail } = create()
  t.equal(fail(4), 0)
  t.equal(fail(5), 30_000)
  t.same([rules.isOut(1, 29_999), rules.isOut(1, 30_000), rules.isOut(2, 0)], [true, false, false])
  t.equal(fail(4, 30_000), 0, 'then five are needed again')
  t.equal(fail(5, 30_000), 30_000)
  t.end()
})

test('four devices do not bring that about, however often they strike', (t) => {
  const { fail } = create()
  for (let time = 0; time < 1000; time++) t.equal(fail(4, time), 0)
  t.end()
})

test('strikes that are older than the window do not count', (t) => {
  const { rules, fail } = create()
  fail(4, 0)
  t.equal(rules.failed(1, 'fifth', 60_000), 0)
  t.equal(fail(4, 60_001), 30_000)
  t.end()
})

test('devices with which it works are in its favor, each once and as long as the window', (t) => {
  const { rules, fail, succeed } = create()
  succeed(2)
  t.equal(fail(8), 0)
  rules.succeeded(1, 'good-0', 10)
  t.equal(fail(9, 10), 30_000, 'more than four times as many')

  const late = create()
  late.succeed(2)
  t.equal(late.fail(5, 60_001), 30_000)
  t.end()
})

test('with many honest devices no number of others puts the rule out, and no more than so many are remembered', (t) => {
  const { fail, succeed } = create()
  succeed(16)
  t.equal(fail(10_000), 0)
  t.end()
})

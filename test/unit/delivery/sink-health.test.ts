import { test } from 'tap'
import { SinkHealth, type FailedAttempt } from '../../../lib/delivery/sink-health.ts'

const failure = (sequence: number, more: Partial<FailedAttempt> = {}): FailedAttempt =>
  ({ sequence, first: true, suspect: false, allFailing: false, ...more })

function down (concurrency: number): SinkHealth {
  const health = new SinkHealth(concurrency)
  for (let i = 0; i < Math.max(3, concurrency); i++) health.failed(0, failure(i))
  return health
}

void test('goes down when a whole round of attempts fails, of more than one lane', async (t) => {
  const health = new SinkHealth(4)
  for (let i = 0; i < 3; i++) t.equal(health.failed(0, failure(i)), false)
  t.equal(health.failed(0, failure(3)), true)
  t.equal(health.state, 'down')
  t.equal(health.limit, 0)
  t.equal(health.failed(0, failure(4)), false, 'only once')
})

void test('one lane failing does not take it down while there are others', async (t) => {
  const health = new SinkHealth(4)
  for (let i = 0; i < 50; i++) health.failed(0, failure(1, { first: i === 0 }))
  t.equal(health.state, 'up')
})

void test('three failures take it down when every lane has failed', async (t) => {
  const health = new SinkHealth(32)
  health.failed(0, failure(1, { allFailing: true }))
  health.failed(0, failure(1, { allFailing: true }))
  t.equal(health.state, 'up')
  health.failed(0, failure(1, { allFailing: true }))
  t.equal(health.state, 'down')
})

void test('events under suspicion do not take it down for others', async (t) => {
  const health = new SinkHealth(2)
  for (let i = 0; i < 50; i++) health.failed(0, failure(i, { first: false, suspect: true }))
  t.equal(health.state, 'up')
})

void test('a success in between begins the row anew', async (t) => {
  const health = new SinkHealth(4)
  for (let i = 0; i < 100; i++) {
    health.failed(0, failure(i))
    if (i % 3 === 2) health.succeeded(0)
  }
  t.equal(health.state, 'up')
})

void test('returns with one attempt at a time, doubled with every round, to full concurrency', async (t) => {
  const health = down(10)
  t.equal(health.succeeded(1), true, 'it is back')
  t.equal(health.state, 'recovering')
  const limits = [health.limit]
  for (let i = 0; i < 15; i++) {
    t.equal(health.succeeded(2), false)
    limits.push(health.limit)
  }
  t.same(limits, [1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 10])
  t.equal(health.state, 'up')
})

void test('thin traffic returns by time', async (t) => {
  const health = down(32)
  for (let i = 0; i < 6; i++) health.succeeded(i * 60_000)
  t.equal(health.state, 'up')
})

void test('halves its concurrency while failures outnumber successes, and goes down again', async (t) => {
  const health = down(32)
  for (let i = 0; i < 8; i++) health.succeeded(1)
  t.equal(health.limit, 8)
  health.failed(1, failure(1))
  health.succeeded(1)
  t.equal(health.limit, 8, 'one failure is none')
  for (let i = 0; i < 3; i++) health.failed(1, failure(i))
  t.equal(health.limit, 4)
  health.failed(1, failure(9))
  t.equal(health.state, 'down')
})

void test('a refusal ends an outage, but proves nothing against others', async (t) => {
  const health = down(4)
  t.equal(health.answered(1000), true)
  t.equal(health.state, 'recovering')
  t.equal(health.judge(1010, 1005, -1), 'unproven')
})

void test('a failure counts with a success during the attempt or at most 250 ms before it', async (t) => {
  const health = new SinkHealth(4)
  t.equal(health.judge(10, 0, -1), 'unproven', 'nothing was ever taken')
  health.succeeded(1000)
  t.equal(health.judge(2000, 900, -1), 'counted', 'during')
  t.equal(health.judge(2000, 1250, -1), 'counted', 'just before')
  t.equal(health.judge(2000, 1251, -1), 'unproven', 'too long ago')
})

void test('one success does not prove two failures of the same event', async (t) => {
  const health = new SinkHealth(4)
  health.succeeded(1000)
  t.equal(health.judge(1010, 1000, -1), 'counted')
  const countedAt = health.successes
  t.equal(health.judge(1030, 1020, countedAt), 'unproven')
  health.succeeded(1035)
  t.equal(health.judge(1050, 1040, countedAt), 'counted')
})

void test('nothing counts while many of the events fail at first, until seconds later', async (t) => {
  const health = new SinkHealth(100)
  for (let i = 0; i < 60; i++) {
    health.succeeded(1000)
    if (i % 2 === 0) health.failed(1000, failure(i))
  }
  t.equal(health.judge(1010, 1005, -1), 'excused')
  for (let i = 0; i < 40; i++) health.succeeded(9000 + i * 200)
  t.equal(health.judge(16_910, 16_905, -1), 'counted')
})

void test('the share of failing events is kept over thin traffic, but not for ever', async (t) => {
  const health = new SinkHealth(100)
  for (let i = 0; i < 6; i++) {
    health.failed(0, failure(i))
    health.succeeded(0)
  }
  health.succeeded(60_000)
  t.equal(health.judge(60_010, 60_005, -1), 'excused', 'a minute later')
  health.succeeded(600_000)
  health.succeeded(1_200_000)
  t.equal(health.judge(1_200_010, 1_200_005, -1), 'counted', 'twenty minutes later')
})

void test('known bad events do not excuse each other', async (t) => {
  const health = new SinkHealth(100)
  for (let i = 0; i < 90; i++) {
    health.succeeded(1000)
    for (let j = 0; j < 5; j++) health.failed(1000, failure(j, { first: false, suspect: true }))
  }
  t.equal(health.judge(1010, 1005, -1), 'counted')
})

void test('only the first few events that were never tried are probed at once', async (t) => {
  const health = down(4)
  t.equal(health.promptProbe, false, 'four have failed')
  health.succeeded(1)
  t.equal(health.promptProbe, true)
  for (let i = 0; i < 30; i++) health.failed(2, failure(7, { first: false, suspect: true, allFailing: true }))
  t.equal(health.state, 'down')
  t.equal(health.promptProbe, true, 'down for known bad events only')
})

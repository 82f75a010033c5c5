import { test } from 'tap'
import { Rate } from '../../../lib/listener/rate.ts'

test('a second\'s worth at once, then so many a second', async (t) => {
  let now = 0
  const rate = new Rate(10, () => now)
  for (let index = 0; index < 10; index++) t.ok(rate.takeOne())
  t.notOk(rate.takeOne())
  t.equal(rate.waitMs(1), 100)
  now = 99
  rate.refill()
  t.notOk(rate.takeOne())
  now = 100
  rate.refill()
  t.ok(rate.takeOne())
  t.notOk(rate.takeOne())
})

test('no more than a second\'s worth is saved up', async (t) => {
  let now = 0
  const rate = new Rate(10, () => now)
  now = 3_600_000
  rate.refill()
  let taken = 0
  while (rate.takeOne()) taken++
  t.equal(taken, 10)
})

test('what is overdrawn is waited for', async (t) => {
  let now = 0
  const rate = new Rate(1000, () => now)
  rate.spend(4000)
  t.ok(rate.overdrawn)
  t.equal(rate.waitMs(0), 3000)
  now = 3000
  rate.refill()
  t.notOk(rate.overdrawn)
})

test('at a high rate a wait is for many', async (t) => {
  const rate = new Rate(100_000, () => 0)
  rate.spend(100_000)
  t.ok(rate.waitMs(1) >= 50)
})

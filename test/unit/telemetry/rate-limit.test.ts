import { test } from 'tap'
import { RateLimit } from '../../../lib/telemetry/rate-limit.ts'

test('lets the first of a kind through and holds the others back until the interval is over', async (t) => {
  let now = 0
  const limit = new RateLimit(1000, () => now)
  t.equal(limit.take('a'), 0)
  now = 999
  t.equal(limit.take('a'), false)
  now = 1000
  t.not(limit.take('a'), false)
})

test('says how many were held back since the last one, once', async (t) => {
  let now = 0
  const limit = new RateLimit(1000, () => now)
  limit.take('a')
  for (let i = 0; i < 7; i++) limit.take('a')
  now = 1000
  t.equal(limit.take('a'), 7)
  now = 2000
  t.equal(limit.take('a'), 0)
})

test('an interval begins with what was let through, not with what was held back', async (t) => {
  let now = 0
  const limit = new RateLimit(1000, () => now)
  limit.take('a')
  now = 900
  limit.take('a')
  now = 1100
  t.equal(limit.take('a'), 1)
})

test('kinds do not silence each other', async (t) => {
  const limit = new RateLimit(1000, () => 0)
  t.equal(limit.take('a'), 0)
  t.equal(limit.take('b'), 0)
  t.equal(limit.take('a'), false)
})

test('a wall clock that is set back silences nothing', async (t) => {
  let now = 1_000_000
  t.intercept(Date, 'now', { value: () => now })
  const limit = new RateLimit(0)
  t.equal(limit.take('a'), 0)
  now = 0
  t.equal(limit.take('a'), 0)
})

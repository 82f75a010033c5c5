import { test } from 'tap'
import { backoffMs } from '../../../lib/delivery/backoff.ts'

const exponential = { policy: 'exponential', delayMs: 200, maxMs: 30_000 } as const
const linear = { policy: 'linear', delayMs: 200, maxMs: 1000 } as const

void test('exponential is delay * 2^n from n = 0, up to the cap', async (t) => {
  const waits = [0, 1, 2, 3, 7, 8, 100, 5000].map((n) => backoffMs(exponential, n, 0))
  t.same(waits, [200, 400, 800, 1600, 25_600, 30_000, 30_000, 30_000])
})

void test('linear is delay * n from n = 0: the first retry comes at once', async (t) => {
  t.same([0, 1, 2, 5, 6].map((n) => backoffMs(linear, n, 0)), [0, 200, 400, 1000, 1000])
})

void test('jitter takes up to a fifth off, at the cap as well, and never adds', async (t) => {
  t.equal(backoffMs(exponential, 1, 0.5), 360)
  t.equal(backoffMs(exponential, 50, 0.5), 27_000)
  for (let random = 0; random < 1; random += 0.01) {
    const wait = backoffMs(exponential, 50, random)
    t.ok(wait > 24_000 && wait <= 30_000)
  }
})

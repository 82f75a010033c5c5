import { test } from 'tap'
import { classify, retryAfterMs } from '../../../lib/delivery/classify.ts'
import { answer, unreachable } from '../../support/delivery-sink.ts'

void test('Retry-After is heard on 429 and 503 only', async (t) => {
  t.equal(retryAfterMs(answer(429, 1500), 60_000), 1500)
  t.equal(retryAfterMs(answer(503, 1500), 60_000), 1500)
  for (const status of [404, 408, 409, 500, 502]) t.equal(retryAfterMs(answer(status, 1500), 60_000), 0, String(status))
})

void test('Retry-After is capped, never negative, and 0 as cap ignores it', async (t) => {
  t.equal(retryAfterMs(answer(503, 1e12), 60_000), 60_000)
  t.equal(retryAfterMs(answer(503, -5), 60_000), 0)
  t.equal(retryAfterMs(answer(503, 1500), 0), 0)
})

void test('without Retry-After, or without an answer, the sink asked for nothing', async (t) => {
  t.equal(retryAfterMs(answer(503), 60_000), 0)
  t.equal(retryAfterMs(unreachable, 60_000), 0)
  t.equal(retryAfterMs({ kind: 'aborted' }, 60_000), 0)
})

void test('401 is final, unless it is an answer to credentials: these are no fault of the event', async (t) => {
  t.equal(classify(answer(401)), 'refused')
  t.equal(classify({ kind: 'answer', status: 401, body: Buffer.alloc(0), unauthorized: true }), 'retry')
  t.equal(classify(answer(403)), 'refused')
})

void test('what was not tried, and what was given up, are told apart and say nothing of the event', async (t) => {
  t.equal(classify({ kind: 'untried' }), 'untried')
  t.equal(classify({ kind: 'aborted' }), 'aborted')
})

/** What a program knows of a partition, out of answers that may be handled in another order than they came. */
import { test } from 'tap'
import { PartitionState } from '../../../../lib/outbox/redis/partition-state.ts'

/** As a script says it. */
const told = (last: number, nowMs: number, trimmed = 0) => [last, 1000, trimmed, 0, 0, last, nowMs, 1]

test('an answer that was overtaken by a later one tells of no loss, and changes nothing', (t) => {
  const state = new PartitionState()
  t.equal(state.update(told(10, 100_000)), 0)
  t.equal(state.update(told(20, 100_012, 500)), 0)
  t.equal(state.update(told(15, 100_005)), 0, 'older')
  t.equal(state.update(told(15, 100_012)), 0, 'of the same millisecond')
  t.strictSame([state.last, state.events, state.bytes], [20, 20, 500])
  t.equal(state.update(told(21, 100_020)), 0)
  t.end()
})

test('a server that has less than the one before tells of a loss, also where its clock is behind', (t) => {
  for (const nowMs of [100_001, 200_000, 100_000 - 5001, 5]) {
    const state = new PartitionState()
    state.update(told(10, 100_000))
    t.equal(state.update(told(7, nowMs)), 3)
    t.equal(state.last, 7)
  }
  t.end()
})

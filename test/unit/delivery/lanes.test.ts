import { test } from 'tap'
import { loadedHead, runOf, sequenceAt, waiting, type Lane, type Trouble } from '../../../lib/delivery/lane.ts'
import { Lanes } from '../../../lib/delivery/lanes.ts'
import { deliveryLimits } from '../../../lib/delivery/options.ts'
import type { StoredEvent } from '../../../lib/message.ts'
import { createEvent } from '../../support/delivery-rig.ts'

const limits = { ...deliveryLimits, laneEvents: 3, loadedEvents: 12 }

const stored = (sequence: number, key: string): StoredEvent =>
  ({ sequence, storedAt: 0, event: createEvent(key, String(sequence)) })

const trouble = (failures: number, attemptedAt = 0): Trouble => ({
  failures,
  attemptedAt,
  counted: 0,
  countedAt: -1,
  alone: 0,
  successes: 0,
  retryAt: 0,
  earliestAt: 0,
  unproven: false,
  run: [],
  storedAt: 0
})

function laneOf (lanes: Lanes, key: string): Lane {
  const lane = [...lanes.all()].find((one) => one.key === key)
  if (lane === undefined) throw new Error(`no lane ${key}`)
  return lane
}

/** Takes the next lane and lets its head fail. */
function fail (lanes: Lanes, failures = 1, attemptedAt = 0): Lane {
  const lane = lanes.take() as Lane
  lane.trouble = trouble(failures, attemptedAt)
  lanes.park(lane)
  return lane
}

void test('a run is what is loaded at the front of a lane, within its bounds, and as far as nothing can become obsolete', async (t) => {
  const lanes = new Lanes({ ...limits, laneEvents: 100, loadedEvents: 1000 })
  const more = { count: 100, bytes: 1_000_000 }
  const traced = (sequence: number) => {
    const plain = stored(sequence, 'a')
    return { ...plain, event: { ...plain.event, handling: { trace: { traceparent: 'x' }, only: 'default' } } }
  }
  for (let sequence = 1; sequence <= 6; sequence++) lanes.add(sequence < 4 ? stored(sequence, 'a') : traced(sequence))
  const handled = stored(7, 'a')
  lanes.add({ ...handled, event: { ...handled.event, handling: { supersede: 'x' } } })
  lanes.add(stored(8, 'a'))
  const lane = laneOf(lanes, 'a')
  const numbers = (limit: Parameters<typeof runOf>[1]) => runOf(lane, limit).map(({ sequence }) => sequence)
  t.same(numbers(more), [1, 2, 3, 4, 5, 6])
  t.same(numbers({ ...more, count: 4 }), [1, 2, 3, 4])
  t.same(numbers({ ...more, bytes: 1 }), [1], 'one in any case')
  lanes.claim(lane)
  for (let sequence = 1; sequence <= 6; sequence++) {
    lanes.advance(lane)
    lanes.claim(lane)
  }
  t.same(numbers(more), [7, 8])
  lane.trouble = trouble(1)
  t.same(numbers(more), [7], 'what has failed is sent alone')
})

void test('lanes take turns, each with one head at a time', async (t) => {
  const lanes = new Lanes(limits)
  for (const [i, key] of ['a', 'b', 'a', 'c', 'b'].entries()) lanes.add(stored(i + 1, key))
  const taken: Array<number | undefined> = []
  for (let lane = lanes.take(); lane !== undefined; lane = lanes.take()) taken.push(loadedHead(lane)?.sequence)
  t.same(taken, [1, 2, 4], 'busy lanes are not taken')
  for (const lane of [...lanes.all()]) lanes.advance(lane)
  t.equal(lanes.size, 2, 'an empty lane is gone')
  t.same([lanes.take(), lanes.take()].map((lane) => lane && loadedHead(lane)?.sequence), [3, 5])
})

void test('behind the loaded events of a lane only numbers are kept, and a refill is asked for in time', async (t) => {
  const lanes = new Lanes(limits)
  for (let i = 1; i <= 8; i++) lanes.add(stored(i, 'a'))
  t.equal(lanes.loadedEvents, 3)
  const lane = lanes.take() as Lane
  t.same([0, 2, 3, 7].map((offset) => sequenceAt(lane, offset)), [1, 3, 4, 8])
  lanes.advance(lane)
  t.equal(lanes.hungry, 0, 'two of three are left')
  lanes.take()
  lanes.advance(lane)
  t.equal(lanes.hungry, 1)
  const requests = lanes.requests(100)
  t.same(requests.map(({ sequences }) => sequences), [[4, 5]])
  t.equal(lanes.hungry, 0, 'asked once')
  t.same(lanes.fill(requests, new Map([[4, stored(4, 'a')], [5, stored(5, 'a')]])), [])
  t.equal(lanes.loadedEvents, 3)
  t.equal(lane.loaded, 3)
})

void test('a lane whose head fails gives everything back and asks for its head only', async (t) => {
  const lanes = new Lanes(limits)
  for (let i = 1; i <= 3; i++) lanes.add(stored(i, 'a'))
  const lane = fail(lanes)
  t.equal(lanes.loadedEvents, 0)
  t.equal(lanes.loadedBytes, 0)
  lanes.add(stored(4, 'a'))
  t.equal(lanes.loadedEvents, 0, 'and loads nothing new')
  t.equal(lanes.take(), undefined)
  lanes.resume(lane)
  t.equal(lanes.retrying, 1)
  const requests = lanes.requests(100)
  t.same(requests.map(({ sequences }) => sequences), [[1]])
  lanes.fill(requests, new Map([[1, stored(1, 'a')]]))
  t.equal(lanes.take(), lane)
  lanes.advance(lane)
  t.same(lanes.requests(100).map(({ sequences }) => sequences), [[2, 3, 4]], 'afterwards it fills up again')
})

void test('without room for more events, lanes with nothing loaded get their heads and no more', async (t) => {
  const lanes = new Lanes({ ...limits, laneEvents: 4, loadedEvents: 5 })
  for (let i = 1; i <= 12; i++) lanes.add(stored(i, `k${i % 3}`))
  t.equal(lanes.loadedEvents, 12)
  for (const key of ['k0', 'k1']) {
    const lane = laneOf(lanes, key)
    lanes.claim(lane)
    lanes.park(lane)
    lanes.resume(lane)
  }
  t.equal(lanes.loadedEvents, 4)
  t.same(lanes.requests(100).map(({ sequences }) => sequences), [[3], [1]])
  const other = lanes.take() as Lane
  lanes.advance(other)
  t.equal(lanes.hungry, 0)
})

void test('what cannot be read any more is dropped, and the lane goes on or ends', async (t) => {
  const lanes = new Lanes(limits)
  for (let i = 1; i <= 4; i++) lanes.add(stored(i, i < 4 ? 'a' : 'b'))
  for (const lane of [fail(lanes), fail(lanes)]) lanes.resume(lane)
  const requests = lanes.requests(100)
  t.same(lanes.fill(requests, new Map()), [1, 4])
  t.same([...lanes.all()].map((lane) => [lane.key, waiting(lane), lane.trouble]), [['a', 2, undefined]])
  const more = lanes.requests(100)
  lanes.fill(more, new Map([[2, stored(2, 'a')], [3, stored(3, 'a')]]))
  t.equal(loadedHead(lanes.take() as Lane)?.sequence, 2)
})

void test('events that arrive for a lane which failed or was taken meanwhile do no harm', async (t) => {
  const lanes = new Lanes(limits)
  lanes.add(stored(1, 'a'))
  const lane = fail(lanes)
  lanes.resume(lane)
  const requests = lanes.requests(100)
  lanes.park(lane)
  lanes.fill(requests, new Map([[1, stored(1, 'a')]]))
  t.equal(lanes.loadedEvents, 0, 'parked: it waits')
  lanes.claim(lane)
  lanes.fill(requests, new Map())
  t.equal(sequenceAt(lane, 0), 1, 'taken by a probe: its head is in other hands')
  lanes.advance(lane)
  lanes.fill(requests, new Map([[1, stored(1, 'a')]]))
  t.equal(lanes.loadedEvents, 0)
  t.equal(lanes.size, 0)
})

void test('requests that could not be served are asked for again', async (t) => {
  const lanes = new Lanes(limits)
  lanes.add(stored(1, 'a'))
  lanes.resume(fail(lanes))
  const requests = lanes.requests(100)
  lanes.retryRequests(requests)
  t.same(lanes.requests(100), requests)
})

void test('retries and events that were never tried take turns', async (t) => {
  const lanes = new Lanes(limits)
  for (let i = 1; i <= 3; i++) lanes.add(stored(i, `bad${i}`))
  const bad = [fail(lanes), fail(lanes), fail(lanes)]
  for (let i = 4; i <= 6; i++) lanes.add(stored(i, `new${i}`))
  for (const lane of bad) lanes.resume(lane)
  lanes.fill(lanes.requests(100), new Map([1, 2, 3].map((i) => [i, stored(i, `bad${i}`)])))
  t.equal(lanes.untried, 3)
  const keys: string[] = []
  for (let lane = lanes.take(); lane !== undefined; lane = lanes.take()) keys.push(lane.key)
  t.same(keys, ['bad1', 'new4', 'bad2', 'new5', 'bad3', 'new6'])
})

void test('a probe takes what was never tried, then the fewest failures, then the longest wait', async (t) => {
  const lanes = new Lanes(limits)
  for (const [i, key] of ['a', 'b', 'c', 'b', 'd'].entries()) lanes.add(stored(i + 1, key))
  fail(lanes, 2, 10)
  fail(lanes, 90, 5)
  fail(lanes, 3, 9)
  t.equal(lanes.probeCandidate()?.key, 'd')
  t.equal(lanes.take()?.key, 'd')
  t.equal(lanes.probeCandidate()?.key, 'a')
  lanes.claim(laneOf(lanes, 'a'))
  t.equal(lanes.probeCandidate()?.key, 'b', 'three failures are like ninety')
  lanes.claim(laneOf(lanes, 'b'))
  t.equal(lanes.probeCandidate()?.key, 'c')
  lanes.claim(laneOf(lanes, 'c'))
  t.equal(lanes.probeCandidate(), undefined)
})

void test('everything about to be sent again is parked when the sink goes down', async (t) => {
  const lanes = new Lanes(limits)
  for (let i = 1; i <= 4; i++) lanes.add(stored(i, `k${i}`))
  const bad = [fail(lanes), fail(lanes)]
  for (const lane of bad) lanes.resume(lane)
  lanes.fill(lanes.requests(1), new Map([[1, stored(1, 'k1')]]))
  t.same(bad.map((lane) => lane.state), ['ready', 'fetching'])
  lanes.parkRetrying()
  t.same(bad.map((lane) => lane.state), ['failing', 'failing'])
  t.equal(lanes.retrying, 0)
  t.equal(lanes.hungry, 0)
  t.equal(lanes.loadedEvents, 2, 'the others stay')
})

void test('an event from behind the head is removed, loaded or not', async (t) => {
  const lanes = new Lanes(limits)
  for (let i = 1; i <= 5; i++) lanes.add(stored(i, 'a'))
  const lane = lanes.take() as Lane
  lanes.remove(lane, 2)
  lanes.remove(lane, 5)
  lanes.remove(lane, 99)
  lanes.remove(lane, 1)
  t.same([0, 1, 2].map((offset) => sequenceAt(lane, offset)), [1, 3, 4])
  t.equal(lanes.loadedEvents, 2)
})

void test('a long lane does not keep what was delivered', async (t) => {
  const lanes = new Lanes(deliveryLimits)
  for (let i = 1; i <= 1000; i++) lanes.add(stored(i, 'a'))
  const lane = laneOf(lanes, 'a')
  for (let i = 1; i <= 900; i++) {
    lanes.take()
    lanes.advance(lane)
  }
  t.equal(waiting(lane), 100)
  t.ok(lane.queue.length < 300, `${lane.queue.length}`)
})

void test('few lanes share a quarter of what may be loaded', async (t) => {
  const lanes = new Lanes(deliveryLimits)
  for (let i = 1; i <= 2000; i++) lanes.add(stored(i, 'a'))
  t.equal(lanes.loadedEvents, deliveryLimits.loadedEvents / 4)
})

import { test } from 'tap'
import { Checkpoint } from '../../../lib/delivery/checkpoint.ts'
import { Lanes } from '../../../lib/delivery/lanes.ts'
import { Loader } from '../../../lib/delivery/loader.ts'
import { deliveryLimits, type DeliveryLimits } from '../../../lib/delivery/options.ts'
import type { StoredEvent } from '../../../lib/message.ts'
import type { Outbox, Page } from '../../../lib/outbox/outbox.ts'
import { FakeClock } from '../../support/delivery-clock.ts'
import { createEvent } from '../../support/delivery-rig.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

const stored = (sequence: number): StoredEvent =>
  ({ sequence, storedAt: 0, event: createEvent(`k${sequence % 3}`, String(sequence)) })

/** A loader over a log that holds what `read` says; the real stores do not have gaps on demand. */
function createLoader (outbox: Partial<Outbox>, limits: Partial<DeliveryLimits> = {}) {
  const clock = new FakeClock()
  const stop = new AbortController()
  const { lines, telemetry } = createTestTelemetry('silent')
  const lanes = new Lanes(deliveryLimits)
  const whole = {
    async saveCursor () {},
    async trim () {},
    waitFor: (_: number, signal: AbortSignal) => new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => { resolve() })
    }),
    ...outbox
  } as Outbox
  const checkpoint = new Checkpoint({ outbox: whole, sink: 'sink', saved: async () => {}, onPassed: () => {}, telemetry })
  const loader = new Loader({
    outbox: whole,
    lanes,
    checkpoint,
    limits: { ...deliveryLimits, ...limits },
    telemetry,
    clock,
    signal: stop.signal,
    isWanted: (stored) => !stored.event.id.startsWith('unwanted'),
    isDown: () => false,
    onLoaded: () => {}
  })
  return { checkpoint, clock, lanes, lines, loader, stop }
}

/** Reads from a log with these sequences, of which `next` follows the last. */
function logOf (sequences: readonly number[], next: number): (from: number) => Promise<Page> {
  return async (from) => ({ events: sequences.filter((s) => s >= from).map(stored), next, lost: 0 })
}

void test('the cursor passes what is missing in the log: trimmed, damaged, at the end', async (t) => {
  const { checkpoint, clock, lanes, loader, stop } = createLoader({ read: logOf([5, 6, 9], 12) })
  const running = loader.run()
  await clock.pass(10)
  t.equal(checkpoint.cursor.lowest, 5)
  t.equal(lanes.loadedEvents, 3)
  for (const sequence of [5, 6, 9]) checkpoint.passed(sequence)
  t.equal(checkpoint.cursor.lowest, 12)
  stop.abort()
  await running
})

void test('a gap wider than the look-ahead is passed in steps', async (t) => {
  const read = logOf([1, 1_000_000], 1_000_001)
  const { checkpoint, clock, loader, stop } = createLoader({ read }, { lookAhead: 1000 })
  const running = loader.run()
  await clock.pass(10)
  t.equal(checkpoint.cursor.lowest, 1, 'not beyond an undelivered event')
  t.equal(checkpoint.cursor.beyond, 999)
  checkpoint.passed(1)
  loader.wake()
  await clock.pass(10)
  t.equal(checkpoint.cursor.lowest, 1_000_000)
  stop.abort()
  loader.stop()
  await running
})

void test('an outbox that says there is more, and then has nothing, is not asked in a tight circle', async (t) => {
  let reads = 0
  const { clock, loader, stop } = createLoader({
    async read (from) {
      reads++
      return { events: [], next: from, lost: 0 }
    },
    async waitFor () {}
  })
  const running = loader.run()
  await clock.pass(1000)
  t.ok(reads > 10 && reads < 100, `${reads} reads in a second`)
  stop.abort()
  await running
})

void test('one event is read however long that takes, unless delivery ends', async (t) => {
  let fails = true
  const { clock, loader, stop } = createLoader({
    async readMany (sequences) {
      if (fails) throw new Error('not now')
      return sequences.map(stored)
    }
  })
  let found: StoredEvent | undefined
  const reading = loader.one(7).then((event) => { found = event })
  await clock.pass(3000)
  fails = false
  await clock.pass(1000)
  await reading
  t.equal(found?.sequence, 7)
  fails = true
  const never = loader.one(8)
  await clock.pass(10)
  stop.abort()
  t.equal(await never, undefined)
})

void test('what was asked for by number and cannot be read is passed', async (t) => {
  const { checkpoint, clock, lanes, loader } = createLoader({ async readMany () { return [] } })
  lanes.add(stored(1))
  const lane = lanes.take()
  if (lane === undefined) throw new Error('no lane')
  lanes.park(lane)
  lanes.resume(lane)
  loader.wake()
  await clock.pass(10)
  t.equal(checkpoint.cursor.lowest, 2)
  t.equal(lanes.size, 0)
})

/** The log between a faulty store and its callers: when it writes, and what it does when it cannot. */
import { test, type Test } from 'tap'
import { LogOutbox, type OutboxOptions } from '../../../lib/outbox/log-outbox.ts'
import { MemoryStore } from '../../../lib/outbox/memory-store.ts'
import {
  ALL, appendAll, eventOf, idOf, idsOf, letterOf, outboxOptions, rangeOf, readAll, receiptOf, RecordedTelemetry
} from '../../support/outbox-fixtures.ts'
import { FaultyStore, ioError } from '../../support/outbox-faulty-store.ts'

const CURSOR = { lowest: 1, beyond: new Uint8Array(0) }

async function openFaulty (t: Test, overrides: Partial<OutboxOptions> = {}) {
  const store = new FaultyStore(new MemoryStore())
  const telemetry = new RecordedTelemetry()
  const outbox = new LogOutbox(store, outboxOptions({ telemetry, ...overrides }))
  await outbox.open()
  t.teardown(() => outbox.close())
  return { store, telemetry, outbox }
}

void test('appends of one turn, and those that come during a write, are one synced write', async (t) => {
  const { store, outbox } = await openFaulty(t)
  store.batches = store.synced = 0
  const release = store.stop()
  const first = Promise.all(rangeOf(1, 100).map((number) => outbox.append(eventOf(number), receiptOf(number))))
  await store.nextWrite()
  const second = Promise.all(rangeOf(101, 200).map((number) => outbox.append(eventOf(number))))
  const cursor = outbox.saveCursor('main', CURSOR)
  release()
  await Promise.all([first, second, cursor])
  t.same([store.batches, store.synced], [2, 2])
  await outbox.saveCursor('main', CURSOR)
  t.same([store.batches, store.synced], [3, 2], 'a cursor alone is not synced')
  await outbox.putDeadLetter(letterOf(1))
  t.same([store.batches, store.synced], [4, 3], 'a dead letter is')
  t.same((await readAll(outbox)).ids, idsOf(1, 200))
})

void test('never has two writes under way at once, whatever is written', async (t) => {
  const { store, outbox } = await openFaulty(t)
  await Promise.all(rangeOf(1, 300).map(async (number) => {
    await outbox.append(eventOf(number))
    await Promise.all([
      outbox.saveCursor('main', CURSOR), outbox.append(eventOf(1000 + number)),
      outbox.trim(number / 2), outbox.putDeadLetter(letterOf(number))
    ])
  }))
  t.equal(store.mostAtOnce, 1)
  t.equal(outbox.stats().nextSequence, 601)
})

void test('a block is bounded in events and bytes', async (t) => {
  const { store, outbox } = await openFaulty(t)
  store.batches = 0
  await appendAll(outbox, 1, 5000)
  t.equal(store.batches, 3, '2048 events at most')
  store.batches = 0
  const data = Buffer.alloc(400_000)
  await Promise.all(rangeOf(1, 5).map((number) => outbox.append(eventOf(number, { data }))))
  t.equal(store.batches, 3, 'about a mebibyte at most')
})

void test('a failed write rejects what it held and what waits with MBS_ERR_OUTBOX_WRITE, and later appends at once', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t, { reopenMinMs: 1_000_000 })
  await appendAll(outbox, 1, 3)
  store.fault = () => 'before'
  const inFlight = outbox.append(eventOf(4))
  await store.nextWrite()
  const waiting = outbox.append(eventOf(5))
  const results = await Promise.allSettled([inFlight, waiting, outbox.settled()])
  t.match(results, [
    { status: 'rejected', reason: { code: 'MBS_ERR_OUTBOX_WRITE', retryable: true } },
    { status: 'rejected', reason: { code: 'MBS_ERR_OUTBOX_WRITE', message: /No space left on device/ } },
    { status: 'fulfilled' }
  ])
  t.equal(outbox.stats().status, 'failed')
  t.equal(telemetry.failures.length, 1)
  await t.rejects(outbox.append(eventOf(6)), { code: 'MBS_ERR_OUTBOX_WRITE' })
  await t.rejects(outbox.saveCursor('main', CURSOR), { code: 'MBS_ERR_OUTBOX_WRITE' })
  await t.rejects(outbox.trim(3), { code: 'MBS_ERR_OUTBOX_WRITE' })
  await t.rejects(outbox.putDeadLetter(letterOf(1)), { code: 'MBS_ERR_OUTBOX_WRITE' })
  await t.rejects(outbox.deleteDeadLetters([idOf(1)]), { code: 'MBS_ERR_OUTBOX_WRITE' })
  t.same((await readAll(outbox)).ids, idsOf(1, 3), 'what is in memory is still read')
})

void test('opens again until a write works, and then stores as before', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t, { tailCacheBytes: 0 })
  await appendAll(outbox, 1, 3)
  let faults = 4
  store.fault = () => faults-- > 0 ? 'before' : 'none'
  const recovery = telemetry.nextRecovery()
  await t.rejects(outbox.append(eventOf(4)), { code: 'MBS_ERR_OUTBOX_WRITE' })
  const read = readAll(outbox)
  const cursor = outbox.loadCursor('main')
  await recovery
  t.same((await read).ids, idsOf(1, 3), 'a read waits for the recovery')
  t.equal(await cursor, undefined)
  t.equal(telemetry.failures.length, 4)
  t.equal(outbox.stats().status, 'ready')
  t.equal(store.repairs, 0)
  await appendAll(outbox, 4, 6)
  const { ids, sequences, lost } = await readAll(outbox)
  t.same(ids, idsOf(1, 6))
  t.same(sequences, rangeOf(1, 6))
  t.equal(lost, 0)
  t.same(telemetry.losses, [])
})

void test('events of a write that failed after all was on disk are found again, and their sequences not given twice', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t)
  await appendAll(outbox, 1, 3)
  let faults = 1
  store.fault = () => faults-- > 0 ? 'after' : 'none'
  const recovery = telemetry.nextRecovery()
  const woken = outbox.waitFor(5, new AbortController().signal)
  await t.rejects(appendAll(outbox, 4, 5), { code: 'MBS_ERR_OUTBOX_WRITE' })
  await recovery
  await woken
  t.equal(outbox.stats().nextSequence, 6)
  await appendAll(outbox, 6, 7)
  const { ids, sequences } = await readAll(outbox)
  t.same(ids, idsOf(1, 7), 'not acknowledged, and there: at least once')
  t.same(sequences, rangeOf(1, 7))
})

void test('a failed trim or dead letter has not happened, and happens when it is asked for again', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t, { tailCacheBytes: 0 })
  for (const number of rangeOf(1, 10)) await outbox.append(eventOf(number))
  let faults = 1
  store.fault = () => faults-- > 0 ? 'before' : 'none'
  let recovery = telemetry.nextRecovery()
  await t.rejects(outbox.trim(6), { code: 'MBS_ERR_OUTBOX_WRITE' })
  await recovery
  t.same((await readAll(outbox)).ids, idsOf(1, 10))
  faults = 1
  recovery = telemetry.nextRecovery()
  await t.rejects(outbox.putDeadLetter(letterOf(3)), { code: 'MBS_ERR_OUTBOX_WRITE' })
  await recovery
  t.equal(outbox.stats().deadLetters, 0)
  await outbox.putDeadLetter(letterOf(3))
  await outbox.trim(6)
  t.equal(outbox.stats().deadLetters, 1)
  t.same((await readAll(outbox)).ids, idsOf(6, 10))
})

void test('repairs where the failure was damage, and says what opening failed with', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t)
  store.fault = () => {
    store.fault = () => 'none'
    throw Object.assign(new Error('Corruption: bad entry in block'), { code: 'LEVEL_CORRUPTION' })
  }
  const recovery = telemetry.nextRecovery()
  await t.rejects(outbox.append(eventOf(1)), { code: 'MBS_ERR_OUTBOX_WRITE', message: /bad entry in block/ })
  await recovery
  t.equal(store.repairs, 1)
})

void test('closes while it is failed, without waiting for the disk', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t, { reopenMinMs: 1 })
  store.fault = () => 'before'
  store.openError = ioError('Read-only file system')
  await t.rejects(outbox.append(eventOf(1)), { code: 'MBS_ERR_OUTBOX_WRITE' })
  const reading = outbox.read(1, ALL)
  await outbox.close()
  t.same(await reading, { events: [], next: 1, lost: 0 })
  t.equal(outbox.stats().status, 'closed')
  await t.rejects(outbox.append(eventOf(2)), { code: 'MBS_ERR_OUTBOX_CLOSED' })
  t.equal(telemetry.recovered, 0)
})

void test('a read that fails for the moment is tried again, and nothing counts as lost', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t, { tailCacheBytes: 0, reopenMinMs: 1, reopenMaxMs: 1 })
  await appendAll(outbox, 1, 10)
  for (const [reason, times] of [['Too many open files', 20], ['Input/output error', 3]] as const) {
    let faults = times
    store.readFault = () => {
      if (faults-- > 0) throw ioError(reason)
    }
    const { ids, lost } = await readAll(outbox)
    t.same(ids, idsOf(1, 10))
    t.equal(lost, 0)
  }
  t.equal(telemetry.unexpectedErrors.length, 23)
})

void test('what cannot be read time after time is passed over, counted and reported once', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t, { tailCacheBytes: 0, reopenMinMs: 1, reopenMaxMs: 1 })
  for (let batch = 0; batch < 3; batch++) await appendAll(outbox, batch * 10 + 1, batch * 10 + 10)
  await outbox.putDeadLetter(letterOf(2))
  store.readFault = () => { throw ioError('Input/output error') }
  const page = await outbox.read(5, ALL)
  t.same(page, { events: [], next: 31, lost: 26 })
  t.same(telemetry.losses, [{ count: 26, reason: 'events: sequences 5 to 30' }])
  t.ok(telemetry.unexpectedErrors.length >= 5, 'after several tries')
  await outbox.read(5, ALL)
  t.equal(telemetry.losses.length, 1)
  store.readFault = () => {}
  t.equal((await readAll(outbox)).ids.length, 30, 'and read where it can be')
})

void test('opening fails with MBS_ERR_OUTBOX_DIRECTORY where nothing can be written', async (t) => {
  const store = new FaultyStore(new MemoryStore())
  store.fault = () => 'before'
  const outbox = new LogOutbox(store, outboxOptions())
  await t.rejects(outbox.open(), { code: 'MBS_ERR_OUTBOX_DIRECTORY', message: /No space left on device/ })
  await outbox.close()
})

void test('opening repairs where the first write comes across damage', async (t) => {
  const store = new FaultyStore(new MemoryStore())
  store.fault = () => {
    store.fault = () => 'none'
    throw Object.assign(new Error('Corruption: bad block'), { code: 'LEVEL_CORRUPTION' })
  }
  const outbox = new LogOutbox(store, outboxOptions())
  t.teardown(() => outbox.close())
  await outbox.open()
  t.equal(store.repairs, 1)
  await outbox.append(eventOf(1))
})

void test('counts nothing as lost that a trim takes away before it is known to be written', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t, { tailCacheBytes: 0 })
  for (let batch = 0; batch < 4; batch++) await appendAll(outbox, batch * 10 + 1, batch * 10 + 10)
  const release = store.stopAnswers()
  const written = store.nextWritten()
  const trim = outbox.trim(21)
  await written
  const { ids, lost } = await readAll(outbox)
  t.same(ids, idsOf(21, 40))
  t.equal(lost, 0)
  release()
  await trim
  t.same(telemetry.losses, [])
})

void test('counts nothing as lost that a trim takes away under a reader', async (t) => {
  const { store, telemetry, outbox } = await openFaulty(t, { tailCacheBytes: 0 })
  for (let batch = 0; batch < 4; batch++) await appendAll(outbox, batch * 10 + 1, batch * 10 + 10)
  store.readFault = () => {
    store.readFault = () => {}
    return outbox.trim(21)
  }
  const page = await outbox.read(1, ALL)
  t.same(page.events.map(({ event }) => event.id), idsOf(21, 40))
  t.equal(page.lost, 0)
  t.same(telemetry.losses, [])
})

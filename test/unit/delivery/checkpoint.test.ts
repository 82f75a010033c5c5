import { test } from 'tap'
import { Checkpoint } from '../../../lib/delivery/checkpoint.ts'
import { SharedTrim } from '../../../lib/delivery/shared-trim.ts'
import { createWatchedOutbox } from '../../support/delivery-rig.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

async function createCheckpoint (t: Parameters<typeof createWatchedOutbox>[0]) {
  const watched = await createWatchedOutbox(t)
  const { lines, telemetry } = createTestTelemetry('info')
  const trim = new SharedTrim(watched.outbox, ['sink'])
  const passed: Array<readonly [number, number]> = []
  const { outbox } = watched
  const checkpoint = new Checkpoint({
    outbox,
    sink: 'sink',
    saved: (lowest) => trim.saved('sink', lowest),
    onPassed: (from, to) => { passed.push([from, to]) },
    telemetry
  })
  return { ...watched, checkpoint, lines, passed }
}

void test('is saved after so many deliveries, without being asked', async (t) => {
  const { calls, checkpoint, outbox } = await createCheckpoint(t)
  for (let sequence = 1; sequence <= 8191; sequence++) checkpoint.passed(sequence)
  t.same(calls, [])
  checkpoint.passed(8192)
  await checkpoint.flush()
  t.equal((await outbox.loadCursor('sink'))?.lowest, 8193)
})

void test('trims after the cursor is saved, and only when it has moved', async (t) => {
  const { calls, checkpoint } = await createCheckpoint(t)
  checkpoint.passed(1)
  await checkpoint.save()
  checkpoint.passed(3)
  await checkpoint.save()
  await checkpoint.save()
  t.same(calls, ['saveCursor', 'trim', 'saveCursor'])
})

void test('what could not be saved is saved the next time', async (t) => {
  const { calls, checkpoint, failing, lines, outbox } = await createCheckpoint(t)
  failing.add('saveCursor')
  checkpoint.passed(1)
  await checkpoint.save()
  t.same(calls, ['saveCursor'], 'and nothing is trimmed')
  t.equal(lines.of('unexpected failure: save the cursor').length, 1)
  failing.clear()
  await checkpoint.save()
  t.equal((await outbox.loadCursor('sink'))?.lowest, 2)
})

void test('begins where it was saved, with what was delivered beyond', async (t) => {
  const { checkpoint, outbox } = await createCheckpoint(t)
  for (const sequence of [1, 2, 4, 7]) checkpoint.passed(sequence)
  await checkpoint.save()
  const { telemetry } = createTestTelemetry('silent')
  const again = new Checkpoint({ outbox, sink: 'sink', saved: async () => {}, onPassed: () => {}, telemetry })
  await again.load()
  t.equal(again.cursor.lowest, 3)
  t.same([3, 4, 5, 6, 7, 8].map((sequence) => again.cursor.has(sequence)), [false, true, false, false, true, false])
})

void test('a flush waits for the save under way and saves what came after it', async (t) => {
  const { checkpoint, outbox } = await createCheckpoint(t)
  checkpoint.passed(1)
  void checkpoint.save()
  checkpoint.passed(2)
  await checkpoint.flush()
  t.equal((await outbox.loadCursor('sink'))?.lowest, 3)
})

void test('tells of everything that is passed, one by one or as a range', async (t) => {
  const { checkpoint, passed } = await createCheckpoint(t)
  checkpoint.passed(2)
  checkpoint.passedRange(5, 9)
  checkpoint.passedRange(9, 9)
  t.same(passed, [[2, 3], [5, 9]])
})

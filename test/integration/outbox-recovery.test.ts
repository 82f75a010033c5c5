/** What the outbox on disk finds when it is opened again: after closing, after a crash, and where files are damaged. */
import { rmSync, statSync, truncateSync, writeFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { test } from 'tap'
import { appendAll, ALL, eventOf, idsOf, letterOf, rangeOf, readAll, receiptOf } from '../support/outbox-fixtures.ts'
import { crashCopy, filesOf, flipByte, openDisk, walOf } from '../support/outbox-files.ts'

t.jobs = 1

void test('finds after closing what was there: events, cursors, receipts, dead letters', async (t) => {
  const directory = join(t.testdir(), 'made', 'by', 'opening')
  const first = await openDisk(t, directory, { receiptLimit: 50 })
  for (let number = 1; number <= 200; number += 10) {
    await Promise.all(rangeOf(number, number + 9).map((n) => first.outbox.append(eventOf(n), receiptOf(n))))
  }
  const cursor = { lowest: 31, beyond: Uint8Array.of(0b100) }
  await first.outbox.saveCursor('main', cursor)
  await first.outbox.trim(31)
  await first.outbox.putDeadLetter(letterOf(12))
  const stats = first.outbox.stats()
  await first.outbox.close()

  const { outbox, recovery, telemetry } = await openDisk(t, directory)
  t.match(recovery, { firstSequence: 31, nextSequence: 201, lostEvents: 0, unclean: false })
  t.same(recovery.receipts, rangeOf(151, 200).map(receiptOf), 'the newest receipts, oldest first')
  t.same(outbox.stats(), stats)
  t.same((await readAll(outbox)).ids, idsOf(31, 200))
  t.same(await outbox.loadCursor('main'), cursor)
  t.same(await outbox.readDeadLetters(1, ALL), [letterOf(12)])
  t.same(telemetry.losses, [])
  await outbox.append(eventOf(201))
  t.equal(outbox.stats().nextSequence, 202)
})

void test('finds after a crash everything that was acknowledged, and says that it was not closed', async (t) => {
  const directory = t.testdir()
  const before = await openDisk(t, join(directory, 'a'))
  await appendAll(before.outbox, 1, 500)
  await before.outbox.saveCursor('main', { lowest: 100, beyond: new Uint8Array(0) })
  const { outbox, recovery } = await openDisk(t, crashCopy(join(directory, 'a'), join(directory, 'b')))
  t.match(recovery, { nextSequence: 501, lostEvents: 0, unclean: true })
  t.notOk('damage' in recovery)
  t.same((await readAll(outbox)).ids, idsOf(1, 500))
  t.equal((await outbox.loadCursor('main'))?.lowest, 100)
})

void test('never uses a sequence twice, also when all events have been trimmed', async (t) => {
  const directory = t.testdir()
  for (let round = 0; round < 3; round++) {
    const { outbox, recovery } = await openDisk(t, directory)
    t.match(recovery, { firstSequence: round * 10 + 1, nextSequence: round * 10 + 1, lostEvents: 0 })
    await appendAll(outbox, 1, 10)
    await outbox.saveCursor('main', { lowest: round * 10 + 11, beyond: new Uint8Array(0) })
    await outbox.trim(round * 10 + 11)
    t.equal(outbox.stats().bytes, 0)
    await outbox.close()
  }
})

void test('counts exactly what a damaged byte in the last batch cost, and recovers everything before it', async (t) => {
  const directory = t.testdir()
  const before = await openDisk(t, join(directory, 'a'))
  for (let number = 1; number <= 100; number += 10) await appendAll(before.outbox, number, number + 9)
  await appendAll(before.outbox, 101, 117)
  const copy = crashCopy(join(directory, 'a'), join(directory, 'b'))
  flipByte(walOf(copy), -300)

  const { outbox, recovery, telemetry } = await openDisk(t, copy)
  t.match(recovery, { nextSequence: 118, lostEvents: 17, unclean: true, damage: 'lost: sequences 101 to 117' })
  const { ids, lost } = await readAll(outbox)
  t.same(ids, idsOf(1, 100))
  t.equal(lost, 17, 'a reader passes the hole')
  t.same(telemetry.losses, [], 'what opening has reported is not reported again')
  await outbox.append(eventOf(118))
  t.equal(outbox.stats().nextSequence, 119, 'the lost sequences are not used again')
  await outbox.close()

  const again = await openDisk(t, copy)
  t.match(await readAll(again.outbox), { lost: 17 })
  await again.outbox.trim(118)
  t.equal(again.outbox.stats().events, 1)
  const trimmed = await openDisk(t, crashCopy(copy, join(directory, 'c')))
  t.match(trimmed.recovery, { firstSequence: 118, lostEvents: 0 }, 'what has been passed is not missed any more')
  t.same((await readAll(trimmed.outbox)).ids, ['event-118'])
})

void test('never uses a sequence twice where the marks alone know of it', async (t) => {
  const directory = t.testdir()
  const first = await openDisk(t, join(directory, 'a'))
  await appendAll(first.outbox, 1, 10)
  await first.outbox.trim(11)
  const second = await openDisk(t, crashCopy(join(directory, 'a'), join(directory, 'b')))
  t.equal(second.recovery.nextSequence, 11)
  const third = await openDisk(t, crashCopy(join(directory, 'b'), join(directory, 'c')))
  t.match(third.recovery, { firstSequence: 11, nextSequence: 11, lostEvents: 0, unclean: true })
})

void test('counts what a damaged byte in the middle of the log cost, behind it as well', async (t) => {
  const directory = t.testdir()
  const before = await openDisk(t, join(directory, 'a'))
  const data = Buffer.alloc(3000, 88)
  for (let number = 1; number <= 40; number++) await before.outbox.append(eventOf(number, { data }))
  const copy = crashCopy(join(directory, 'a'), join(directory, 'b'))
  flipByte(walOf(copy), Math.floor(statSync(walOf(copy)).size / 2))
  const { outbox, recovery } = await openDisk(t, copy)
  const { ids, lost } = await readAll(outbox)
  t.ok(recovery.lostEvents > 0 && recovery.lostEvents < 15, `${recovery.lostEvents} lost`)
  t.equal(lost, recovery.lostEvents)
  t.equal(ids.length + lost, 40)
  t.equal(ids.at(-1), 'event-40')
})

void test('misses nothing where a crash cut the last batch off, which was never acknowledged', async (t) => {
  const directory = t.testdir()
  const before = await openDisk(t, join(directory, 'a'))
  await appendAll(before.outbox, 1, 100)
  const { size } = statSync(walOf(join(directory, 'a')))
  await appendAll(before.outbox, 101, 200)
  for (const cut of [1, 50, 3000]) {
    const copy = crashCopy(join(directory, 'a'), join(directory, `cut-${cut}`))
    truncateSync(walOf(copy), Math.max(size, statSync(walOf(copy)).size - cut))
    const { outbox, recovery } = await openDisk(t, copy)
    t.match(recovery, { nextSequence: 101, lostEvents: 0, unclean: true }, `${cut} bytes cut off`)
    t.same((await readAll(outbox)).ids, idsOf(1, 100))
  }
})

void test('counts what is missing at the end of an outbox that was closed', async (t) => {
  const directory = t.testdir()
  const before = await openDisk(t, directory)
  await appendAll(before.outbox, 1, 100)
  const { size } = statSync(walOf(directory))
  await appendAll(before.outbox, 101, 130)
  await before.outbox.close()
  t.ok(existsSync(join(directory, 'closed.json')))
  truncateSync(walOf(directory), size)
  const { outbox, recovery } = await openDisk(t, directory)
  t.notOk(existsSync(join(directory, 'closed.json')))
  t.match(recovery, { nextSequence: 131, lostEvents: 30, unclean: false })
  t.same((await readAll(outbox)).ids, idsOf(1, 100))
})

for (const [what, damage] of [
  ['CURRENT is gone', (directory: string) => { rmSync(join(directory, 'CURRENT')) }],
  ['CURRENT is empty', (directory: string) => { truncateSync(join(directory, 'CURRENT')) }],
  ['CURRENT names a manifest that is not there', (directory: string) => {
    writeFileSync(join(directory, 'CURRENT'), 'MANIFEST-999999\n')
  }],
  ['the manifest is damaged', (directory: string) => {
    for (const name of filesOf(directory, '').filter((file) => file.includes('MANIFEST'))) flipByte(name, 20)
  }]
] as const) {
  void test(`repairs the database where ${what}, and loses nothing`, async (t) => {
    const directory = t.testdir()
    for (const round of [0, 1]) {
      const { outbox } = await openDisk(t, directory)
      const start = round * 100
      for (let first = start + 1; first <= start + 100; first += 10) await appendAll(outbox, first, first + 9)
      await outbox.trim(21)
      await outbox.putDeadLetter(letterOf(round + 1))
      await outbox.close()
    }
    damage(directory)
    const { outbox, recovery } = await openDisk(t, directory)
    t.match(recovery, { firstSequence: 21, nextSequence: 201, lostEvents: 0, damage: /^the database was repaired/ })
    t.same((await readAll(outbox)).ids, idsOf(21, 200))
    t.equal(outbox.stats().deadLetters, 2)
    await outbox.append(eventOf(201))
  })
}

for (const [what, position] of [['its data', 100_000], ['its footer', -3], ['its index', -400]] as const) {
  void test(`reads past a table with a damaged byte in ${what}, counts what is gone, and goes on storing`, async (t) => {
    const directory = t.testdir()
    const data = Buffer.alloc(10_000, 88)
    const total = 1000
    const before = await openDisk(t, directory)
    for (let number = 1; number <= total; number += 10) {
      await Promise.all(rangeOf(number, number + 9).map((n) => before.outbox.append(eventOf(n, { data }))))
    }
    await before.outbox.close()
    const tables = filesOf(directory, '.ldb')
    t.ok(tables.length > 0, `${tables.length} tables`)
    flipByte(tables[0] as string, position)

    const { outbox, recovery, telemetry } = await openDisk(t, directory)
    t.equal(recovery.nextSequence, total + 1)
    const { ids, lost } = await readAll(outbox, 1, { events: 64, bytes: 1024 * 1024 })
    t.equal(ids.length + lost, total)
    t.ok(lost > 0 || position === -400, `${lost} lost`)
    t.equal(ids.at(-1), `event-${total}`)
    t.same(ids, [...new Set(ids)].sort((one, other) => Number(one.slice(6)) - Number(other.slice(6))), 'in order')
    const reported = telemetry.losses.reduce((sum, { count }) => sum + count, recovery.lostEvents)
    t.equal(reported, lost)
    await appendAll(outbox, total + 1, total + 10)
    t.equal(outbox.stats().nextSequence, total + 11)
  })
}

void test('finds a table that is gone, and keeps what the others hold', async (t) => {
  const directory = t.testdir()
  const data = Buffer.alloc(10_000, 88)
  const before = await openDisk(t, directory)
  for (let number = 1; number <= 1000; number += 10) {
    await Promise.all(rangeOf(number, number + 9).map((n) => before.outbox.append(eventOf(n, { data }))))
  }
  await before.outbox.close()
  // One that a compaction has replaced may still lie there; nobody misses it.
  let opened: Awaited<ReturnType<typeof openDisk>> | undefined
  for (const table of filesOf(directory, '.ldb').slice(1)) {
    await opened?.outbox.close()
    rmSync(table, { force: true })
    opened = await openDisk(t, directory)
    if (opened.recovery.damage !== undefined) break
  }
  const { outbox, recovery } = opened!
  t.match(recovery, { nextSequence: 1001, damage: /repaired/ })
  const { ids, lost } = await readAll(outbox)
  t.ok(lost > 0 && ids.length > 0)
  t.equal(ids.length + lost, 1000)
})

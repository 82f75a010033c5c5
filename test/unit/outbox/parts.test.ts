import { test } from 'tap'
import { Access } from '../../../lib/outbox/access.ts'
import { Append, AppendQueue } from '../../../lib/outbox/append-queue.ts'
import type { Database } from '../../../lib/outbox/database.ts'
import { Fifo } from '../../../lib/outbox/fifo.ts'
import { parseReceiptsKey } from '../../../lib/outbox/keys.ts'
import { describeRun, Losses } from '../../../lib/outbox/losses.ts'
import { ReceiptLog } from '../../../lib/outbox/receipt-log.ts'
import { TailCache } from '../../../lib/outbox/tail-cache.ts'
import { ALL, eventOf, rangeOf } from '../../support/outbox-fixtures.ts'

const storedOf = (sequence: number) => ({ sequence, storedAt: 0, event: eventOf(sequence) })

/** Pushes blocks of ten events of ten bytes each. */
function pushBlocks (cache: TailCache, from: number, blocks: number): void {
  for (let block = 0; block < blocks; block++) {
    const sequences = rangeOf(from + block * 10, from + block * 10 + 9)
    cache.push(sequences[0] as number, sequences.map(storedOf), sequences.map(() => 10), 100)
  }
}

void test('the tail cache holds the newest blocks within its bytes', async (t) => {
  const cache = new TailCache(350)
  pushBlocks(cache, 1, 3)
  t.ok(cache.has(1))
  pushBlocks(cache, 31, 2)
  t.notOk(cache.has(20))
  t.same([cache.has(21), cache.has(50), cache.has(51)], [true, true, false])
  t.equal(cache.get(20), undefined)
  t.equal(cache.get(37)?.sequence, 37)
  t.equal(cache.page(20, ALL), undefined)
  t.same(cache.page(28, ALL)?.events.map(({ sequence }) => sequence), rangeOf(28, 50))
  cache.trimBefore(39)
  t.same([cache.has(30), cache.has(31)], [false, true], 'whole blocks go')
  cache.clear()
  t.notOk(cache.has(45))
  pushBlocks(cache, 101, 1)
  t.ok(cache.has(105))
  new TailCache(0).trimBefore(5)
})

void test('the tail cache stays right over many blocks', async (t) => {
  const cache = new TailCache(1000)
  for (let block = 0; block < 5000; block++) pushBlocks(cache, 1 + block * 10, 1)
  t.same([cache.has(49_900), cache.has(49_901), cache.has(50_000)], [false, true, true])
  t.equal(cache.get(49_955)?.sequence, 49_955)
})

void test('a loss is counted once', async (t) => {
  const losses = new Losses()
  t.equal(losses.add(10, 20), 10)
  t.equal(losses.add(10, 20), 0)
  t.equal(losses.add(5, 12), 5)
  t.equal(losses.add(30, 31), 1)
  t.equal(losses.add(18, 40), 19)
  t.equal(losses.add(5, 40), 0)
  t.equal(losses.add(7, 7), 0)
  losses.trimBefore(40)
  t.equal(losses.add(5, 6), 1, 'forgotten')
  t.equal(describeRun({ from: 3, to: 4 }), 'sequence 3')
  t.equal(describeRun({ from: 3, to: 6 }), 'sequences 3 to 5')
})

void test('receipts beyond the limit are removed by the write that adds others', async (t) => {
  const log = new ReceiptLog(10)
  const kept: number[] = []
  log.load([{ first: 1, count: 4, receipts: 4 }])
  kept.push(1)
  for (let first = 5; first < 20_000; first += 4) {
    const key = { first, count: 4, receipts: 4 }
    for (const operation of log.operations(key, Buffer.alloc(0))) {
      const { first } = parseReceiptsKey(operation.key) ?? { first: -1 }
      if (operation.type === 'put') kept.push(first)
      else t.equal(kept.shift(), first, 'the oldest one')
    }
    log.wrote(key)
    if (kept.length > 3) t.fail(`${kept.length} kept`)
  }
  t.equal(kept.length, 3, 'as many as the limit needs')
})

void test('a queue gives back what it was given, in order', async (t) => {
  const queue = new Fifo<number>()
  t.equal(queue.shift(), undefined)
  let next = 1
  for (let number = 1; number <= 20_000; number++) {
    queue.push(number)
    if (number % 3 !== 0 && queue.shift() !== next++) t.fail('out of order')
  }
  t.equal(queue.size, 20_001 - next)
  t.equal(queue.peek(), next)
  t.same([...queue], rangeOf(next, 20_000))
})

void test('a read that fails is tried again, waits for the next database, and ends when the outbox is closed', async (t) => {
  const errors: unknown[] = []
  const access = new Access({ minMs: 1, maxMs: 2 }, (error) => errors.push(error))
  const [first, second] = [{} as Database, {} as Database]
  let calls = 0
  access.open(first)
  t.equal(await access.read(async () => {
    if (++calls < 4) throw new Error('too many open files')
    return calls
  }), 4)
  t.equal(errors.length, 3)

  const read = access.read(async (database) => {
    if (database === first) {
      access.suspend()
      setImmediate(() => { access.open(second) })
      throw new Error('iterator is not open')
    }
    return database
  })
  t.equal(await read, second)
  t.equal(errors.length, 3, 'the database was closed under it: no failure')

  access.suspend()
  const waiting = access.read(async () => 1)
  access.close()
  await t.rejects(waiting, { code: 'MBS_ERR_OUTBOX_CLOSED' })
  access.open(first)
  await t.rejects(access.read(async () => 1), { code: 'MBS_ERR_OUTBOX_CLOSED' })
})

void test('closing ends a pause between two tries', async (t) => {
  const access = new Access({ minMs: 1_000_000, maxMs: 1_000_000 }, () => { access.close() })
  access.open({} as Database)
  await t.rejects(access.read(async () => { throw new Error('no memory') }), { code: 'MBS_ERR_OUTBOX_CLOSED' })
})

void test('an append is held once, however often room comes and goes', async (t) => {
  let held = 0
  const queue = new AppendQueue({ maxBytes: 1, holdTimeoutMs: 60_000, onHeld: () => { held++ }, onExpired: () => {} })
  t.teardown(() => { queue.release() })
  const push = (ticket: number) => { queue.push(new Append(eventOf(ticket), undefined, ticket, () => {}, () => {})) }
  push(1)
  push(2)
  t.equal(queue.held, 0)
  queue.hold()
  t.same([queue.held, held], [2, 2])
  const since = queue.peek()?.heldSince
  push(3)
  queue.release()
  t.same([queue.held, held], [0, 3])
  queue.hold()
  t.same([queue.held, held], [3, 3])
  t.equal(queue.peek()?.heldSince, since, 'its time has gone on')
})

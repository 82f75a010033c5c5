import { test } from 'tap'
import { MemoryLevel } from 'memory-level'
import { Journal } from '../../../lib/broker/journal.ts'
import { levelDatabase } from '../../../lib/level/level-database.ts'
import type { BatchOperation } from '../../../lib/level/database.ts'
import { ioError } from '../../support/outbox-faulty-store.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

const key = (name: string): Buffer => Buffer.from(name)

function setUp () {
  const level = new MemoryLevel<Buffer, Buffer>({ keyEncoding: 'buffer', valueEncoding: 'buffer' })
  const state = { failing: false, opened: 0, batches: [] as string[][], gate: Promise.resolve() }
  const { telemetry, lines } = createTestTelemetry()
  const store = {
    location: 'memory',
    open: async () => {
      state.opened++
      await level.open()
      const database = levelDatabase(level)
      return {
        repaired: undefined,
        database: {
          ...database,
          batch: async (operations: BatchOperation[], options: { sync: boolean }) => {
            await state.gate
            if (state.failing) throw ioError('No space left on device')
            state.batches.push(operations.map(({ type, key }) => `${type} ${key.toString()}`))
            await database.batch(operations, options)
          },
          close: async () => {}
        }
      }
    }
  }
  const journal = new Journal({ store, reopenMinMs: 1, reopenMaxMs: 4, telemetry })
  return { journal, state, lines, level }
}

test('what changes in one step is one batch, and what changes meanwhile the next', async (t) => {
  const { journal, state } = setUp()
  await journal.open()
  journal.put(key('a'), key('1'))
  journal.put(key('b'), key('1'))
  const first = journal.written()
  await Promise.resolve()
  await Promise.resolve()
  journal.put(key('c'), key('1'))
  journal.delete(key('a'))
  await Promise.all([first, journal.written()])
  t.strictSame(state.batches, [['put \0mark', 'put a', 'put b'], ['put c', 'del a']], 'with its mark in the first')
  await journal.written()
  t.equal(state.batches.length, 2, 'with nothing to write, nothing is')
})

test('what is deleted before it was written, and was never there, is not written at all', async (t) => {
  const { journal, state } = setUp()
  await journal.open()
  journal.put(key('a'), key('1'), true)
  const waiting = journal.written()
  journal.delete(key('a'))
  await waiting
  t.strictSame(state.batches, [])
  journal.put(key('b'), key('1'))
  journal.delete(key('b'))
  await journal.written()
  t.strictSame(state.batches, [['put \0mark', 'del b']], 'it may have been there')
})

test('after a failure everything is refused until a reopened database has taken what was left', async (t) => {
  const { journal, state, lines } = setUp()
  await journal.open()
  state.failing = true
  journal.put(key('a'), key('1'), true)
  await t.rejects(journal.written(), { code: 'MBS_ERR_SESSIONS_WRITE' })
  t.match(journal.failure, { code: 'MBS_ERR_SESSIONS_WRITE' })
  journal.put(key('b'), key('1'))
  journal.delete(key('a'))
  await t.rejects(journal.written(), { code: 'MBS_ERR_SESSIONS_WRITE' }, 'at once')
  state.failing = false
  while (journal.failure !== undefined) await new Promise((resolve) => { setTimeout(resolve, 1) })
  t.ok(state.opened >= 2)
  t.strictSame(state.batches, [['put \0mark', 'del a', 'put b']], 'the one that failed may have been written')
  t.match(lines.objects.at(-1), { msg: 'sessions are written again' })
  journal.put(key('c'), key('1'))
  await journal.written()
})

test('closing writes what is left, also where the disk failed just before', async (t) => {
  const { journal, state } = setUp()
  await journal.open()
  journal.put(key('a'), key('1'))
  await journal.close()
  t.strictSame(state.batches, [['put \0mark', 'put a']])

  const failed = setUp()
  await failed.journal.open()
  failed.state.failing = true
  failed.journal.put(key('a'), key('1'))
  await t.rejects(failed.journal.written())
  failed.state.failing = false
  await failed.journal.close()
  t.strictSame(failed.state.batches, [['put \0mark', 'put a']])
})

test('another database in its place is not written to, until the one that was opened is there again', async (t) => {
  const { journal, state, lines, level } = setUp()
  await journal.open()
  journal.put(key('a'), key('1'))
  await journal.written()
  const mark = await level.get(key('\0mark')) as Buffer
  await level.clear()
  state.failing = true
  journal.put(key('b'), key('1'))
  await t.rejects(journal.written(), { code: 'MBS_ERR_SESSIONS_WRITE' })
  state.failing = false
  const { opened } = state
  while (state.opened < opened + 3) await new Promise((resolve) => { setTimeout(resolve, 1) })
  await t.rejects(journal.written(), { code: 'MBS_ERR_SESSIONS_WRITE' }, 'still')
  t.match(lines.objects.filter(({ code }) => code === 'MBS_ERR_SESSIONS_REPLACED'), [{ level: 'error' }])
  t.equal(await level.get(key('b')), undefined)
  await level.put(key('\0mark'), mark)
  while (journal.failure !== undefined) await new Promise((resolve) => { setTimeout(resolve, 1) })
  t.same(await level.get(key('b')), key('1'))
  await journal.close()
})

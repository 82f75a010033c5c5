/** The numbers of each source over failures, restarts, crashes and damage; see also the contract and the model test. */
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { blockAt } from '../../../lib/outbox/blocks.ts'
import { Counters } from '../../../lib/outbox/counters.ts'
import type { Range, Store } from '../../../lib/outbox/database.ts'
import { DiskStore } from '../../../lib/outbox/disk-store.ts'
import { blockKey, COUNTERS_ALL, COUNTERS_MARK_KEY, countersKey } from '../../../lib/outbox/keys.ts'
import { LogOutbox, type OutboxOptions } from '../../../lib/outbox/log-outbox.ts'
import { MemoryStore } from '../../../lib/outbox/memory-store.ts'
import type { Outbox } from '../../../lib/outbox/outbox.ts'
import { eventOf, outboxOptions, RecordedTelemetry } from '../../support/outbox-fixtures.ts'
import { crashCopy } from '../../support/outbox-files.ts'
import { FaultyStore } from '../../support/outbox-faulty-store.ts'

const sequences = { limit: 100, unsavedEvents: 1000 }

async function open (t: Test, store: Store, overrides: Partial<OutboxOptions> = { sequences }) {
  const telemetry = new RecordedTelemetry()
  const outbox = new LogOutbox(store, outboxOptions({ telemetry, ...overrides }))
  await outbox.open()
  t.teardown(() => outbox.close())
  return { outbox, telemetry }
}

let numbers = 0

/** Appends events of these sources at once; what they are numbered. */
async function append (outbox: Outbox, ...sources: string[]): Promise<Array<number | undefined>> {
  const places = await Promise.all(sources.map((source) => outbox.append(eventOf(++numbers, { source }))))
  return (await outbox.readMany(places)).map(({ event: { extensions: { sequence } } }) =>
    sequence === undefined ? undefined : Number(sequence))
}

/** The keys of a store that is not open. */
async function keysOf (store: Store, range: Range): Promise<Buffer[]> {
  const { database } = await store.open(false)
  const iterator = database.keys(range)
  const keys = await iterator.nextv(100_000)
  await iterator.close()
  return keys
}

void test('a failed write uses up no number, and one that was written all the same does', async (t) => {
  const store = new FaultyStore(new MemoryStore())
  const { outbox, telemetry } = await open(t, store)
  t.same(await append(outbox, '/a', '/a'), [1, 2])
  for (const [fault, next] of [['before', 3], ['after', 5]] as const) {
    let faults = 1
    store.fault = () => faults-- > 0 ? fault : 'none'
    await t.rejects(append(outbox, '/a'), { code: 'MBS_ERR_OUTBOX_WRITE' })
    await telemetry.nextRecovery()
    t.same(await append(outbox, '/a'), [next], fault)
  }
})

void test('closed while the disk fails, it saves no number that was not stored', async (t) => {
  const memory = new MemoryStore()
  const store = new FaultyStore(memory)
  const { outbox } = await open(t, store, { sequences, reopenMinMs: 60_000 })
  await append(outbox, '/a')
  let faults = 1
  store.fault = () => faults-- > 0 ? 'before' : 'none'
  await t.rejects(append(outbox, '/a', '/a'), { code: 'MBS_ERR_OUTBOX_WRITE' })
  await outbox.close()
  t.same(await append((await open(t, memory)).outbox, '/a'), [2])
})

void test('numbers go on after closing and after a crash, whatever has been trimmed', async (t) => {
  const directory = t.testdir()
  const at = (name: string) => join(directory, name)
  const first = await open(t, new DiskStore(at('a')))
  await append(first.outbox, '/a', '/b', '/a')
  await first.outbox.close()
  const second = await open(t, new DiskStore(at('a')))
  t.same(await append(second.outbox, '/b', '/c'), [2, 1])
  await second.outbox.trim(5)
  t.same(await append(second.outbox, '/a'), [3])

  const third = await open(t, new DiskStore(crashCopy(at('a'), at('b'))))
  t.same(await append(third.outbox, '/a', '/b', '/c'), [4, 3, 2], 'saved with the trim, and read from what is left')
  await third.outbox.trim(100)
  const fourth = await open(t, new DiskStore(crashCopy(at('b'), at('c'))))
  t.same(await append(fourth.outbox, '/a', '/b', '/c'), [5, 4, 3], 'nothing is left to read')
})

void test('what is appended without numbers changes nothing, also where a crash came before', async (t) => {
  const directory = t.testdir()
  const at = (name: string) => join(directory, name)
  const first = await open(t, new DiskStore(at('a')))
  await append(first.outbox, '/a', '/a')
  const off = await open(t, new DiskStore(crashCopy(at('a'), at('b'))), {})
  t.same(await append(off.outbox, '/a', '/b'), [undefined, undefined])
  await off.outbox.append(eventOf(1, { source: '/a', extensions: { sequence: '0000000000000099' } }))
  await off.outbox.trim(100)
  const on = await open(t, new DiskStore(crashCopy(at('b'), at('c'))))
  t.same(await append(on.outbox, '/a', '/b'), [3, 1])
})

void test('switched on later it begins at 1, and reads nothing of what is there', async (t) => {
  const store = new MemoryStore()
  const { outbox } = await open(t, store, {})
  await outbox.append(eventOf(1, { source: '/a', extensions: { sequence: '0000000000000099' } }))
  await outbox.close()
  t.same(await keysOf(store, COUNTERS_ALL), [], 'nothing is kept where nothing was numbered')
  t.same(await append((await open(t, store)).outbox, '/a'), [1])
})

void test('opening reads no more events than may be unsaved', async (t) => {
  const memory = new MemoryStore()
  const { outbox } = await open(t, memory, { sequences: { limit: 100, unsavedEvents: 50 } })
  for (let number = 0; number < 400; number++) await outbox.append(eventOf(number, { source: `/${number % 10}` }))
  const { database } = await memory.open()
  let asked = 0
  const counting: Store = {
    ...memory,
    kind: 'memory',
    location: 'memory',
    inspect: () => memory.inspect(),
    closed: () => memory.closed(),
    open: async () => ({
      repaired: undefined,
      database: {
        ...database,
        getMany: (keys) => {
          asked += keys.filter(([prefix]) => prefix === 0x45).length
          return database.getMany(keys)
        }
      }
    })
  }
  const again = await open(t, counting)
  t.ok(asked > 0 && asked <= 51, `${asked} blocks`)
  t.same(await append(again.outbox, '/0', '/9'), [41, 41])
})

void test('the source whose last event is oldest is forgotten where there is no room, and told of', async (t) => {
  const store = new MemoryStore()
  const options = { sequences: { limit: 3, unsavedEvents: 1000 } }
  const { outbox, telemetry } = await open(t, store, options)
  t.same(await append(outbox, '/a', '/b', '/c', '/a'), [1, 1, 1, 2])
  t.same(telemetry.forgotten, [])
  t.same(await append(outbox, '/d', '/a', '/c'), [1, 3, 2])
  t.same(telemetry.forgotten, ['limit'])
  t.same(await append(outbox, '/b'), [1], 'it begins again')
  await outbox.close()
  t.same(await append((await open(t, store, options)).outbox, '/a', '/c', '/b'), [4, 3, 2], 'also after a restart')
})

void test('sources of any length are told apart', async (t) => {
  const store = new MemoryStore()
  const { outbox } = await open(t, store)
  const long = `/${'x'.repeat(100_000)}`
  t.same(await append(outbox, long, `${long}a`, long), [1, 1, 2])
  await outbox.close()
  t.same(await append((await open(t, store)).outbox, `${long}a`, long), [2, 3])
})

void test('what is saved stays small, however often it is', async (t) => {
  const store = new MemoryStore()
  const { outbox } = await open(t, store)
  for (let number = 1; number <= 2500; number++) {
    await outbox.append(eventOf(number, { source: `/${number % 7}` }))
    await outbox.trim(number + 1)
  }
  await outbox.close()
  const keys = await keysOf(store, COUNTERS_ALL)
  t.ok(keys.length > 0 && keys.length <= 1025, `${keys.length} values`)
  t.same(await append((await open(t, store)).outbox, ...Array.from({ length: 7 }, (_, at) => `/${at}`)),
    Array.from({ length: 7 }, (_, at) => Math.ceil((2500 - (at + 6) % 7) / 7) + 1))
})

void test('more sources than one value holds are saved and found', async (t) => {
  const store = new MemoryStore()
  const options = { sequences: { limit: 20_000, unsavedEvents: 1_000_000 } }
  const { outbox } = await open(t, store, options)
  const sources = Array.from({ length: 9000 }, (_, at) => `/${at}`)
  await append(outbox, ...sources)
  await outbox.trim(9001)
  await outbox.close()
  t.equal((await keysOf(store, COUNTERS_ALL)).length, 3)
  t.ok((await append((await open(t, store, options)).outbox, ...sources)).every((number) => number === 2))
})

void test('where events are lost, numbers are passed over and never given twice', async (t) => {
  const store = new MemoryStore()
  const { outbox } = await open(t, store)
  await append(outbox, '/a', '/b')
  await append(outbox, '/a', '/a')
  const { database } = await store.open()
  const lost = await blockAt(database, 3)
  await database.batch([{ type: 'put', key: blockKey(lost!), value: Buffer.alloc(lost!.bytes) }], { sync: true })
  const again = await open(t, store)
  t.same(await append(again.outbox, '/a', '/b'), [4, 4], 'of whom they were is not known')
  await again.outbox.close()
  t.same(await append((await open(t, store)).outbox, '/a', '/b'), [5, 5], 'passed over once')
})

void test('damaged counters are told of, and read from the events that there are', async (t) => {
  for (const key of [countersKey(1), COUNTERS_MARK_KEY]) {
    const store = new MemoryStore()
    const first = await open(t, store)
    await append(first.outbox, '/a', '/b')
    await first.outbox.close()
    const second = await open(t, store)
    await append(second.outbox, '/a')
    await second.outbox.close()
    const { database } = await store.open()
    await database.batch([{ type: 'put', key, value: Buffer.from('damaged') }], { sync: true })
    const { outbox, telemetry } = await open(t, store)
    t.same(telemetry.forgotten, ['damage'])
    t.same(await append(outbox, '/a', '/b'), [3, 2])
    await outbox.close()
    t.same((await open(t, store)).telemetry.forgotten, [], 'written anew')
  }
})

void test('counters are in the order of their last events', async (t) => {
  const counters = new Counters(3)
  const set = (source: string, value: number, at: number) => counters.set(counters.of(source), value, at)
  t.same([set('a', 1, 1), set('b', 1, 2), set('a', 2, 3), set('c', 1, 4), set('b', 2, 5)], [false, false, false, false, false])
  const since = (at: number) => [...counters.since(at)].map(({ source, value }) => `${source}${value}`)
  t.same([since(0), since(4), since(6)], [['b2', 'c1', 'a2'], ['b2', 'c1'], []])
  t.equal(set('d', 1, 6), true)
  t.same([since(0), counters.of('a').value, counters.size], [['d1', 'b2', 'c1'], 0, 3])
  counters.skip(10)
  t.same(since(0), ['d11', 'b12', 'c11'])
  counters.clear()
  t.same([since(0), counters.size, counters.of('d').value], [[], 0, 0])
})

import t, { test, type Test } from 'tap'
import type { Event, Handling } from '../../../lib/message.ts'
import { createEvent, createRig, createWatchedOutbox, type RigOptions } from '../../support/delivery-rig.ts'
import { answer, unreachable } from '../../support/delivery-sink.ts'
import { seededRandom } from '../../support/random.ts'

t.jobs = 1

/** A rig to which events are given with how they are handled. */
async function create (t: Test, options: RigOptions = {}) {
  const rig = await createRig(t, { supersede: true, sampledrate: true, ...options })
  const store = async (id: string, handling?: Handling, more: Partial<Event> = {}) => {
    const key = id.split('-')[0] as string
    const event = { ...createEvent(key, id), ...more }
    return await rig.outbox.outbox.append(handling === undefined ? event : { ...event, handling })
  }
  /** How many events each of those that were taken says that it stands for. */
  const rates = () => rig.sink.events.map(({ id, extensions }) => [id, extensions['sampledrate'] ?? 1])
  return { ...rig, store, rates }
}

void test('what a filter leaves out is passed over, and never read again', async (t) => {
  const { dispatcher, drained, outbox, sink, store } = await create(t, { filter: (event) => event.type === 'wanted' })
  for (let i = 0; i < 50; i++) await store(`a-${i}`, undefined, { type: i % 10 === 0 ? 'wanted' : 'other' })
  await dispatcher.start()
  await drained()
  t.same(sink.taken, ['a-0', 'a-10', 'a-20', 'a-30', 'a-40'])
  await dispatcher.close(0)
  t.equal((await outbox.outbox.loadCursor('sink'))?.lowest, 51)
})

void test('what was set aside, or is for another sink, is not sent; what is for none that is known is', async (t) => {
  const { dispatcher, drained, sink, store, deadLetters } = await create(t, { known: new Set(['archive', 'sink']) })
  await store('a-0', { aside: { reason: 'schema', detail: 'no' } })
  await store('a-1', { only: 'archive' })
  await store('a-2', { only: 'sink' })
  await store('a-3')
  await store('a-4', { only: 'gone' })
  await dispatcher.start()
  await drained()
  t.same(sink.taken, ['a-2', 'a-3', 'a-4'])
  t.same((await deadLetters()).map(({ sink, reason, code }) => [sink, reason, code]), [['mapping', 'schema', 422]])
})

void test('an event that has expired is not sent, whether it waited in the log, in a lane, or for its retry', async (t) => {
  const { clock, dispatcher, drained, sink, store, deadLetters } = await create(t, { concurrency: 1 })
  const at = clock.wallNow()
  await store('a-0', { expiresAt: at - 1 })
  await store('a-1', { expiresAt: at + 10_000 })
  await store('b-0', { expiresAt: at + 60_000 })
  await store('c-0')
  sink.script = (event) => event.id === 'a-1' || event.id === 'b-0' ? 503 : 202
  await dispatcher.start()
  await clock.pass(1000)
  t.ok(sink.attempts.some(({ id }) => id === 'b-0'))
  await clock.pass(120_000)
  await drained()
  t.same(sink.taken, ['c-0'])
  t.same(sink.attempts.filter(({ id, endedAt }) => (id === 'b-0' && endedAt > 60_100) || (id === 'a-1' && endedAt > 10_100)), [])
  t.notOk(sink.attempts.some(({ id }) => id === 'a-0'))
  t.same(await deadLetters(), [], 'and is no dead letter')
})

void test('what expires while the sink is down is not sent when it is back, nor as a probe', async (t) => {
  const { clock, dispatcher, drained, sink, store } = await create(t)
  const at = clock.wallNow()
  let down = true
  sink.script = () => down ? unreachable : 202
  for (let i = 0; i < 300; i++) await store(`k${i % 7}-${i}`, { expiresAt: at + (i % 3 === 0 ? 3_600_000 : 30_000) })
  await dispatcher.start()
  await clock.pass(60_000)
  const late = sink.attempts.length
  down = false
  await drained()
  t.same(new Set(sink.taken), new Set(Array.from({ length: 100 }, (_, i) => `k${(3 * i) % 7}-${3 * i}`)))
  t.ok(sink.attempts.slice(late).every(({ id }) => Number(id.split('-')[1]) % 3 === 0))
})

void test('of a key that is superseded only the newest is sent, and says for how many it stands', async (t) => {
  const { dispatcher, drained, rates, store } = await create(t)
  for (let i = 0; i < 10; i++) await store(`a-${i}`, { supersede: 'a' })
  await store('a-10')
  for (let i = 0; i < 3; i++) await store(`b-${i}`, { supersede: `b${i % 2}` })
  await store('c-0', { supersede: 'c' }, { extensions: { sampledrate: 5 } })
  await store('c-1', { supersede: 'c' })
  for (let i = 0; i < 3; i++) await store(`d-${i}`, { supersede: 'd' }, { extensions: { sampledrate: 2 ** 31 - 1 } })
  await dispatcher.start()
  await drained()
  t.same(new Map(rates() as Array<[string, number]>), new Map([
    ['a-9', 10], ['a-10', 1], ['b-1', 1], ['b-2', 2], ['c-1', 6], ['d-2', 2 ** 31 - 1]
  ]), 'an Integer is no larger [CE 3.1]')
})

void test('a backlog of a long outage comes down to one event per key, however far it is read ahead', async (t) => {
  const { clock, dispatcher, drained, outbox, rates, sink, store } = await create(t)
  let down = true
  sink.script = () => down ? unreachable : 202
  await dispatcher.start()
  const count = 20_000
  const stores = []
  for (let i = 0; i < count; i++) stores.push(store(`k${i % 50}-${i}`, { supersede: `k${i % 50}` }))
  await Promise.all(stores)
  await clock.pass(60_000)
  down = false
  await drained()
  const sent = rates()
  t.ok(sink.attempts.filter(({ status }) => status === 202).length <= 60, `${sink.taken.length} were sent`)
  t.equal(sent.reduce((sum, [, rate]) => sum + Number(rate), 0), count, 'none is missing in the counts')
  t.equal(outbox.outbox.stats().nextSequence, count + 1)
})

void test('what is superseded while it waits for its retry is not tried again', async (t) => {
  const { clock, dispatcher, drained, rates, sink, store } = await create(t)
  sink.script = (event) => event.id === 'a-0' ? 503 : 202
  await store('a-0', { supersede: 'a' })
  await store('b-0')
  await dispatcher.start()
  await clock.pass(50)
  await store('a-1', { supersede: 'a' })
  await drained()
  t.same(new Map(rates() as Array<[string, number]>), new Map([['b-0', 1], ['a-1', 2]]))
})

void test('what comes behind the newest that was delivered is sent, and counts anew', async (t) => {
  const { dispatcher, drained, rates, store } = await create(t)
  await dispatcher.start()
  for (let i = 0; i < 5; i++) {
    await store(`a-${i}`, { supersede: 'a' })
    await drained()
  }
  t.same(rates(), [0, 1, 2, 3, 4].map((i) => [`a-${i}`, 1]))
})

void test('one that the filter leaves out makes no other irrelevant', async (t) => {
  const { dispatcher, drained, sink, store } = await create(t, {
    filter: (event) => event.type !== 'other', known: new Set(['archive', 'sink'])
  })
  await store('a-0', { supersede: 'a' })
  await store('a-1', { supersede: 'a' }, { type: 'other' })
  await store('a-2', { supersede: 'a', only: 'archive' })
  await dispatcher.start()
  await drained()
  t.same(sink.taken, ['a-0'])
})

void test('a refused survivor is a dead letter, and the next one counts anew', async (t) => {
  const { dispatcher, drained, deadLetters, rates, sink, store } = await create(t)
  sink.script = (event) => event.id === 'a-1' ? answer(400) : 202
  await store('a-0', { supersede: 'a' })
  await store('a-1', { supersede: 'a' })
  await dispatcher.start()
  await drained()
  await store('a-2', { supersede: 'a' })
  await drained()
  t.same(rates(), [['a-2', 1]])
  t.same((await deadLetters()).map(({ stored }) => stored.event.id), ['a-1'])
})

void test('says nothing of how many it stands for where that is switched off', async (t) => {
  const { dispatcher, drained, rates, store } = await create(t, { sampledrate: false })
  for (let i = 0; i < 3; i++) await store(`a-${i}`, { supersede: 'a' })
  await dispatcher.start()
  await drained()
  t.same(rates(), [['a-2', 1]])
})

void test('after a restart what waits is superseded as before', async (t) => {
  const outbox = await createWatchedOutbox(t)
  const first = await create(t, { outbox })
  first.sink.script = () => unreachable
  for (let i = 0; i < 500; i++) await first.store(`a-${i}`, { supersede: 'a' })
  await first.dispatcher.start()
  await first.clock.pass(10_000)
  await first.dispatcher.close(0)
  const second = await create(t, { outbox })
  await second.dispatcher.start()
  await second.drained()
  t.same(second.sink.taken, ['a-499'])
})

void test('random traffic, failures and outages: the newest of each key arrives, order holds, nothing expired is sent', async (t) => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = seededRandom(seed)
    const { clock, dispatcher, drained, sink, store, deadLetters } = await create(t, { retry: 1000 })
    let down = false
    sink.script = () => down ? unreachable : random() < 0.1 ? 503 : 202
    await dispatcher.start()
    const newest = new Map<string, string>()
    const expiry = new Map<string, number>()
    let plain = 0
    for (let i = 0; i < 400; i++) {
      const key = `k${Math.floor(random() * 9)}`
      const id = `${key}-${i}`
      const kind = random()
      if (kind < 0.5) {
        await store(id, { supersede: key })
        newest.set(key, id)
      } else if (kind < 0.7) {
        const expiresAt = clock.wallNow() + Math.floor(random() * 20_000)
        expiry.set(id, expiresAt)
        await store(id, { expiresAt })
      } else {
        await store(id)
        plain++
      }
      if (random() < 0.05) down = !down
      if (random() < 0.3) await clock.pass(Math.floor(random() * 4000))
    }
    down = false
    await drained(10_000_000)
    const offset = clock.wallNow() - clock.now()
    t.same(await deadLetters(), [], `seed ${seed}`)
    for (const id of newest.values()) t.ok(sink.taken.includes(id), `seed ${seed}: ${id}`)
    t.equal(sink.events.filter(({ handling }) => handling === undefined).length, plain, `seed ${seed}`)
    t.equal(new Set(sink.taken).size, sink.taken.length, `seed ${seed}: nothing twice`)
    for (const { id, startedAt } of sink.attempts) {
      t.ok(startedAt + offset < (expiry.get(id) ?? Infinity) + 20, `seed ${seed}: ${id} was sent after it had expired`)
    }
    for (let key = 0; key < 9; key++) {
      const order = sink.takenOf(`k${key}`).map((id) => Number(id.split('-')[1]))
      t.same(order, [...order].sort((a, b) => a - b), `seed ${seed}: order of k${key}`)
    }
    t.same(sink.overlapped, [], `seed ${seed}`)
  }
})

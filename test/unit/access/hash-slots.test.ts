import { setMaxListeners } from 'node:events'
import { test } from 'tap'
import { HashSlots } from '../../../lib/access/hash-slots.ts'

const never = new AbortController().signal
setMaxListeners(0, never) // any number of tests may wait

/** Work that a test lets end, in the order in which it began. */
function createWork () {
  const begun: string[] = []
  const ends: Array<() => void> = []
  return {
    begun,
    work: (name: string) => async () => {
      begun.push(name)
      await new Promise<void>((resolve) => { ends.push(resolve) })
      return name
    },
    async endOne () {
      ends.shift()?.()
      for (let turn = 0; turn < 10; turn++) await Promise.resolve()
    }
  }
}

test('no more run at a time than allowed', async (t) => {
  const slots = new HashSlots({ concurrency: 2, waiting: 10 })
  const { begun, work, endOne } = createWork()
  const all = ['a', 'b', 'c', 'd'].map(async (name) => await slots.run('lane', never, work(name)))
  t.strictSame(begun, ['a', 'b'])
  t.equal(slots.waiting, 2)
  await endOne()
  t.strictSame(begun, ['a', 'b', 'c'])
  for (let count = 0; count < 3; count++) await endOne()
  t.strictSame(await Promise.all(all), ['a', 'b', 'c', 'd'].map((value) => ({ kind: 'done', value })))
  t.equal(slots.waiting, 0)
})

test('one lane that asks for much delays another by one piece of work', async (t) => {
  const slots = new HashSlots({ concurrency: 1, waiting: 100 })
  const { begun, work, endOne } = createWork()
  for (let count = 0; count < 50; count++) void slots.run('flood', never, work('flood'))
  void slots.run('honest', never, work('honest'))
  await endOne()
  await endOne()
  t.ok(begun.indexOf('honest') <= 2 && begun.includes('honest'), begun.join())
})

test('full, the newest of the longest lane is sent away, and never who comes alone', async (t) => {
  const slots = new HashSlots({ concurrency: 1, waiting: 3 })
  const { work, endOne } = createWork()
  const flood = Array.from({ length: 5 }, async () => await slots.run('flood', never, work('flood')))
  t.strictSame(await flood[4], { kind: 'busy' })
  const honest = slots.run('honest', never, work('honest'))
  t.strictSame(await flood[3], { kind: 'busy' })
  for (let count = 0; count < 5; count++) await endOne()
  t.strictSame(await honest, { kind: 'done', value: 'honest' })
})

test('who gives up waiting takes no slot, and who has given up never waits', async (t) => {
  const slots = new HashSlots({ concurrency: 1, waiting: 3 })
  const { begun, work, endOne } = createWork()
  const first = slots.run('a', never, work('first'))
  const controller = new AbortController()
  const second = slots.run('a', controller.signal, work('second'))
  controller.abort()
  t.strictSame(await second, { kind: 'aborted' })
  t.strictSame(await slots.run('a', controller.signal, work('third')), { kind: 'aborted' })
  t.equal(slots.waiting, 0)
  await endOne()
  await first
  const last = slots.run('a', never, work('last'))
  await endOne()
  t.strictSame(await last, { kind: 'done', value: 'last' })
  t.strictSame(begun, ['first', 'last'])
})

test('work that fails gives its slot back', async (t) => {
  const slots = new HashSlots({ concurrency: 1, waiting: 3 })
  await t.rejects(slots.run('a', never, async () => { throw new Error('broken') }), /broken/)
  t.strictSame(await slots.run('a', never, async () => 1), { kind: 'done', value: 1 })
})

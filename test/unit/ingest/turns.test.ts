import { test } from 'tap'
import { Turns } from '../../../lib/ingest/turns.ts'

/** A promise that the test settles. */
function latch<T> () {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((_resolve, _reject) => { resolve = _resolve; reject = _reject })
  return { promise, resolve, reject }
}

const turn = () => new Promise(setImmediate)

test('those of one client are taken in the order in which they came, whatever is there first', async (t) => {
  const turns = new Turns<string>()
  const taken: unknown[] = []
  const [first, second] = [latch<string>(), latch<string>()]
  turns.wait('c', first.promise, (settled) => { taken.push(settled) })
  turns.wait('c', 'at once', (settled) => { taken.push(settled) })
  turns.wait('c', second.promise, (settled) => { taken.push(settled) })
  turns.wait('c', 'at last', (settled) => { taken.push(settled) })
  second.reject('no')
  await turn()
  t.same(taken, [])
  t.ok(turns.has('c'))
  first.resolve('slow')
  await turn()
  t.same(taken, [{ value: 'slow' }, { value: 'at once' }, { error: 'no' }, { value: 'at last' }])
  t.notOk(turns.has('c'), 'nobody waits, nothing is kept')
})

test('no client waits for another', async (t) => {
  const turns = new Turns<string>()
  const taken: unknown[] = []
  const slow = latch<string>()
  turns.wait('a', slow.promise, (settled) => { taken.push(settled) })
  t.notOk(turns.has('b'))
  turns.wait('b', 'b', (settled) => { taken.push(settled) })
  t.same(taken, [{ value: 'b' }])
  turns.wait('b', Promise.resolve('b2'), (settled) => { taken.push(settled) })
  await turn()
  t.same(taken, [{ value: 'b' }, { value: 'b2' }])
  slow.resolve('a')
  await turn()
  t.equal(taken.length, 3)
})

test('what is taken may lead to the next one of the same client', async (t) => {
  const turns = new Turns<number>()
  const taken: number[] = []
  const go = (n: number): void => turns.wait('c', n, (settled) => {
    taken.push('value' in settled ? settled.value : -1)
    if (n < 3) go(n + 1)
  })
  go(1)
  t.same(taken, [1, 2, 3])
})

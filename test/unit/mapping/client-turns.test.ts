import { test } from 'tap'
import { ClientTurns } from '../../../lib/mapping/client-turns.ts'

function create (...names: string[]) {
  const turns = new ClientTurns<{ clientId: string, name: string }>()
  const add = (...more: string[]) => { for (const name of more) turns.add({ clientId: name.charAt(0), name }) }
  add(...names)
  return { turns, add, take: () => turns.take()?.name }
}

test('clients take turns, one job each at a time, and their jobs keep their order', (t) => {
  const { turns, take, add } = create('a1', 'a2', 'a3', 'b1', 'b2')
  t.same([take(), take(), take()], ['a1', 'b1', undefined], 'the rest is not due while these are under way')
  add('c1')
  turns.done('a')
  turns.done('b')
  t.same([take(), take(), take(), take()], ['c1', 'a2', 'b2', undefined])
  for (const client of ['a', 'b', 'c']) turns.done(client)
  t.same([take(), take()], ['a3', undefined])
  turns.done('a')
  add('a4')
  t.equal(take(), 'a4', 'who had nothing waiting is in turn at once')
  t.end()
})

test('what a client has waiting can be taken away, and the others go on', (t) => {
  const { turns, take, add } = create('a1', 'a2', 'b1', 'c1', 'c2')
  t.equal(take(), 'a1')
  t.same(turns.removeOf('a').map(({ name }) => name), ['a2'])
  t.same(turns.removeOf('c').map(({ name }) => name), ['c1', 'c2'], 'also of one that has nothing under way')
  t.same(turns.removeOf('x'), [])
  add('a3')
  t.same([take(), take()], ['b1', undefined], 'what it has under way still is')
  turns.done('a')
  add('c3')
  t.same([take(), take()], ['a3', 'c3'])
  t.end()
})

test('clearing gives all that waits, and leaves nothing behind', (t) => {
  const { turns, take, add } = create('a1', 'a2', 'b1')
  take()
  t.same(turns.clear().map(({ name }) => name), ['a2', 'b1'])
  t.equal(take(), undefined)
  turns.done('a')
  add('a3')
  t.equal(take(), 'a3')
  t.end()
})

/** Who gets a message, told from the filters of all sessions: as `matchesTopic` says, and each of them once. */
import { test } from 'tap'
import { SubscriptionTree } from '../../../../lib/broker/redis/subscription-tree.ts'
import { levelsOf, matchesTopic } from '../../../../lib/topic-filter.ts'

const filters = [
  'a', 'a/b', 'a/+', 'a/#', '#', '+', '+/+', '+/b', '/', '/+', '+/#', '$aws/#', '$aws/+', 'a//b', 'a/+/b', '+/b/#', 'A', 'a/b/c'
]
const topics = ['a', 'a/b', 'a/', '/', '/a', 'a//b', 'a/b/c', 'b', '$aws/x', '$aws', 'x/b', 'x/b/c/d', 'A', '']

test('each filter matches what it should, alone and among the others', async (t) => {
  const all = new SubscriptionTree()
  for (const filter of filters) all.set(filter, new Set([filter]))
  for (const topic of topics.filter((topic) => topic !== '')) {
    const expected = filters.filter((filter) => matchesTopic(levelsOf(filter), topic))
    t.strictSame(all.match(topic).map(({ clientId }) => clientId).toSorted(), expected.toSorted(), topic)
  }
})

test('a client stands in the answer once, and is gone with its last filter', async (t) => {
  const tree = new SubscriptionTree()
  tree.set('one', new Set(['a/#', 'a/b', '+/b']))
  tree.set('other', new Set(['a/b']))
  t.strictSame(tree.match('a/b').map(({ clientId }) => clientId).toSorted(), ['one', 'other'])
  tree.set('one', new Set(['+/b']))
  t.strictSame(tree.match('a/b').length, 2)
  t.strictSame(tree.match('a').length, 0)
  tree.set('one', new Set())
  t.strictSame([...tree.clientIds()], ['other'])
  t.notOk(tree.has('one'))
  tree.set('other', new Set())
  t.equal(tree.bytes, 0)
  t.strictSame(tree.match('a/b'), [])
})

test('what anyone subscribes and unsubscribes in any order leaves what is there', async (t) => {
  const tree = new SubscriptionTree()
  const held = new Map<string, Set<string>>()
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31
    return seed % below
  }
  for (let step = 0; step < 2000; step++) {
    const clientId = `c${random(8)}`
    const its = new Set(filters.filter(() => random(4) === 0))
    held.set(clientId, its)
    tree.set(clientId, its)
  }
  for (const topic of topics.filter((topic) => topic !== '')) {
    const expected = [...held].filter(([, its]) => [...its].some((filter) => matchesTopic(levelsOf(filter), topic)))
    const found = tree.match(topic).map(({ clientId }) => clientId)
    t.strictSame(found.toSorted(), expected.map(([id]) => id).toSorted(), topic)
  }
})

import { test } from 'tap'
import { Draft } from '../../../lib/config/draft.ts'

test('sections are merged; lists and values are replaced by what is laid over them', async (t) => {
  const draft = new Draft()
  draft.merge({ sink: { url: 'a', kind: 'http' }, listeners: [1, 2] }, () => 'lower')
  draft.merge({ sink: { url: 'b' }, listeners: [3] }, () => 'higher')
  t.strictSame(draft.values, { sink: { url: 'b', kind: 'http' }, listeners: [3] })
})

test('every value remembers who gave it last', async (t) => {
  const draft = new Draft()
  draft.merge({ sink: { url: 'a', kind: 'http' } }, (path) => `file:${path.length}`)
  draft.set(['sink', 'url'], 'b', 'environment')
  t.equal(draft.originOf(['sink', 'url']), 'environment')
  t.equal(draft.originOf(['sink', 'kind']), 'file:2')
  t.equal(draft.originOf(['sink', 'ca']), 'file:1', 'a missing one: where it would stand')
  t.equal(draft.exactOriginOf(['sink', 'ca']), 'default')
  t.equal(draft.originOf(['log', 'level']), 'default')
})

test('a list that is replaced takes the origins of its items with it', async (t) => {
  const draft = new Draft()
  draft.merge({ listeners: [{ port: 1 }, { port: 2 }] }, () => 'file')
  draft.set(['listeners'], [{ host: 'a' }], 'environment')
  t.equal(draft.exactOriginOf(['listeners', 0, 'host']), 'environment')
  t.equal(draft.exactOriginOf(['listeners', 0, 'port']), 'default')
  t.equal(draft.originOf(['listeners', 1, 'port']), 'environment')
})

test('a value makes the sections and lists on its way', async (t) => {
  const draft = new Draft()
  t.equal(draft.set(['listeners', 0, 'port'], 1, 'x'), true)
  t.equal(draft.set(['listeners', 1, 'port'], 2, 'x'), true)
  t.strictSame(draft.values, { listeners: [{ port: 1 }, { port: 2 }] })
  draft.merge({ limits: null }, () => 'file')
  t.equal(draft.set(['limits', 'connections'], 3, 'x'), true)
  t.strictSame(draft.values['limits'], { connections: 3 }, 'an empty section is one')
})

test('a place beyond the end of a list is refused, not filled up', async (t) => {
  const draft = new Draft()
  t.equal(draft.set(['listeners', 9999, 'port'], 1, 'x'), false)
  t.strictSame(draft.values, {}, 'nor begun')
  t.equal(draft.set(['listeners', 0, 'port'], 1, 'x'), true)
  t.equal(draft.set(['listeners', 2, 'port'], 1, 'x'), false)
  t.strictSame(draft.values, { listeners: [{ port: 1 }] })
})

test('nothing is laid into a value that should have been a section', async (t) => {
  const draft = new Draft()
  draft.merge({ limits: 'none' }, () => 'file')
  t.equal(draft.set(['limits', 'connections'], 3, 'x'), true)
  t.strictSame(draft.values, { limits: 'none' })
})

test('what was given is copied, and a key like __proto__ is only a key', async (t) => {
  const given = JSON.parse('{"sink":{"url":"a"},"__proto__":{"polluted":true},"constructor":{"prototype":{"x":1}}}') as Record<string, unknown>
  const draft = new Draft()
  draft.merge(given, () => 'file')
  draft.set(['sink', 'url'], 'b', 'x')
  draft.set(['__proto__', 'polluted'], 'b', 'x')
  t.strictSame(given['sink'], { url: 'a' })
  t.equal(({} as Record<string, unknown>)['polluted'], undefined)
  t.ok(Object.hasOwn(draft.values, '__proto__'))
})

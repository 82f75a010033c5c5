import { test } from 'tap'
import { EventIds } from '../../../lib/ingest/event-ids.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('every id is a UUID, and none comes twice, over starts of the program too', async (t) => {
  const seen = new Set<string>()
  for (let start = 0; start < 100; start++) {
    const ids = new EventIds()
    for (let count = 0; count < 20; count++) {
      const id = ids.textOf(ids.next())
      t.match(id, UUID)
      seen.add(id)
    }
  }
  t.equal(seen.size, 2000)
})

test('a number has one id, up to the largest', async (t) => {
  const ids = new EventIds()
  t.equal(ids.textOf(7), ids.textOf(7))
  t.match(ids.textOf(2 ** 48 - 1), UUID)
})

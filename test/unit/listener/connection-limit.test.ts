import { test } from 'tap'
import { ConnectionLimit } from '../../../lib/listener/connection-limit.ts'

test('places are taken, refused and given back', async (t) => {
  const limit = new ConnectionLimit(2)
  t.ok(limit.take())
  t.ok(limit.take())
  t.notOk(limit.take())
  t.equal(limit.open, 2)
  limit.release()
  t.ok(limit.take())
  t.notOk(limit.take())
})

import { test } from 'tap'
import type { AedesClient } from '../../../lib/broker/aedes-types.ts'
import { UnreleasedPublishes } from '../../../lib/broker/unreleased-publishes.ts'

const client = { id: 'device', closed: false } as AedesClient
const other = { id: 'other', closed: false } as AedesClient

test('an identifier is known from PUBREC to PUBREL, in its own session', async (t) => {
  const unreleased = new UnreleasedPublishes()
  await t.rejects(unreleased.incomingGetPacket(client, { messageId: 1 }))
  await unreleased.incomingStorePacket(client, { messageId: 1 })
  t.ok(unreleased.has('device', 1))
  t.notOk(unreleased.has('device', 2))
  t.notOk(unreleased.has('other', 1))
  await t.resolves(unreleased.incomingGetPacket(client, { messageId: 1 }))
  await t.rejects(unreleased.incomingDelPacket(other, { messageId: 1 }))
  await unreleased.incomingDelPacket(client, { messageId: 1 })
  t.notOk(unreleased.has('device', 1))
  await t.rejects(unreleased.incomingDelPacket(client, { messageId: 1 }), 'Aedes expects it of the second PUBREL')
})

test('a session that begins anew knows none', async (t) => {
  const unreleased = new UnreleasedPublishes()
  await unreleased.incomingStorePacket(client, { messageId: 1 })
  await unreleased.incomingStorePacket(other, { messageId: 1 })
  await unreleased.cleanIncoming(client)
  t.notOk(unreleased.has('device', 1))
  t.ok(unreleased.has('other', 1))
})

test('a connection that has closed adds none', async (t) => {
  const unreleased = new UnreleasedPublishes()
  await t.rejects(unreleased.incomingStorePacket({ ...client, closed: true } as AedesClient, { messageId: 1 }))
  t.notOk(unreleased.has('device', 1))
})

test('names of objects are client identifiers like any other', async (t) => {
  const unreleased = new UnreleasedPublishes()
  t.notOk(unreleased.has('__proto__', 1))
  await unreleased.incomingStorePacket({ id: '__proto__', closed: false } as AedesClient, { messageId: 1 })
  t.ok(unreleased.has('__proto__', 1))
  t.notOk(unreleased.has('constructor', 1))
})

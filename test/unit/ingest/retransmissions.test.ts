import { test } from 'tap'
import { Retransmissions } from '../../../lib/ingest/retransmissions.ts'
import type { Publish } from '../../../lib/message.ts'
import type { Receipt } from '../../../lib/outbox/outbox.ts'

function create (limit = 100, receipts: Receipt[] = []) {
  let ids = 0
  return new Retransmissions({ limit, receipts, newId: () => `id-${++ids}` })
}

function publishOf (fields: Partial<Publish> = {}): Publish {
  return {
    client: { id: 'device' },
    topic: 'a',
    payload: Buffer.from('x'),
    qos: 1,
    retain: false,
    dup: false,
    will: false,
    receivedAt: 0,
    ...fields
  }
}

/** Sees a publish and has it answered. */
function see (known: Retransmissions, messageId: number, fields: Partial<Publish> = {}): string {
  const receipt = known.receiptOf(publishOf(fields), messageId)
  known.answered(receipt)
  return receipt.eventId
}

test('with DUP the same message has the same id, as often as it comes', async (t) => {
  const known = create()
  const id = see(known, 1)
  for (let count = 0; count < 3; count++) t.equal(see(known, 1, { dup: true }), id)
})

test('with DUP another message under the same identifier has an id of its own', async (t) => {
  const known = create()
  const id = see(known, 1)
  const others = [
    see(known, 1, { dup: true, payload: Buffer.from('y') }),
    see(known, 1, { dup: true, topic: 'b' }),
    see(known, 1, { dup: true, client: { id: 'other' } }),
    see(known, 2, { dup: true })
  ]
  t.equal(new Set([id, ...others]).size, 5)
})

test('topic and payload are told apart from each other', async (t) => {
  const known = create()
  const id = see(known, 1, { topic: 'ab', payload: Buffer.from('c') })
  t.not(see(known, 1, { topic: 'a', payload: Buffer.from('bd'), dup: true }), id)
})

test('without DUP what was answered is another message', async (t) => {
  const known = create()
  t.not(see(known, 1), see(known, 1))
})

test('without DUP what was not answered is the same message: its identifier is still in use', async (t) => {
  const known = create()
  const first = known.receiptOf(publishOf(), 1)
  const again = known.receiptOf(publishOf(), 1)
  t.equal(again.eventId, first.eventId)
  known.answered(again)
  t.not(known.receiptOf(publishOf(), 1).eventId, first.eventId)
})

test('client identifiers and packet identifiers do not run together', async (t) => {
  const known = create()
  const id = see(known, 1, { client: { id: '1/x' } })
  t.not(see(known, 11, { client: { id: '/x' }, dup: true }), id)
})

test('remembers at least half of the limit and never more than the limit', async (t) => {
  const known = create(10)
  const ids = []
  for (let messageId = 1; messageId <= 103; messageId++) {
    ids.push(see(known, messageId))
    t.ok(known.size <= 10, `${known.size} after ${messageId}`)
  }
  for (const messageId of [99, 100, 101, 102, 103]) t.equal(see(known, messageId, { dup: true }), ids[messageId - 1])
  t.not(see(known, 50, { dup: true }), ids[49])
})

test('knows what was kept over a restart', async (t) => {
  const receipt = create().receiptOf(publishOf(), 7)
  const known = create(100, [receipt])
  t.equal(see(known, 7, { dup: true }), receipt.eventId)
  t.equal(known.size, 1)
})

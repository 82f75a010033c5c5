import { test } from 'tap'
import { EventIds } from '../../../lib/ingest/event-ids.ts'
import { Retransmissions } from '../../../lib/ingest/retransmissions.ts'
import type { Publish } from '../../../lib/message.ts'
import type { Receipt } from '../../../lib/outbox/outbox.ts'
import { seededRandom } from '../../support/random.ts'

function create (limit = 100, receipts: Receipt[] = []) {
  return new Retransmissions({ limit, receipts, ids: new EventIds() })
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

test('a byte that moves from the topic to the payload makes another message', async (t) => {
  const known = create()
  const id = see(known, 1, { topic: 's/1', payload: Buffer.from('12') })
  t.not(see(known, 1, { dup: true, topic: 's/11', payload: Buffer.from('2') }), id)
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

test('remembers the newest `limit` publishes and no more', async (t) => {
  for (const limit of [1, 2, 10, 16]) {
    const known = create(limit)
    const ids = Array.from({ length: 100 }, (_, index) => see(known, index + 1))
    for (let messageId = 100 - limit + 1; messageId <= 100; messageId++) {
      t.equal(see(known, messageId, { dup: true }), ids[messageId - 1], `${messageId} of the newest ${limit}`)
    }
    t.not(see(known, 100 - limit, { dup: true }), ids[100 - limit - 1])
  }
})

test('finds the newest publish under an identifier, whatever else was there before', async (t) => {
  // Against a Map that does the same, over a long run of random publishes of few clients and identifiers.
  const limit = 50
  const next = seededRandom(4711)
  const random = (below: number) => Math.floor(next() * below)
  const known = create(limit)
  let model: Array<{ key: string, payload: string, id: string }> = []
  for (let step = 0; step < 5000; step++) {
    const client = { id: `client-${random(3)}` }
    const messageId = random(20) + 1
    const payload = String(random(2))
    const dup = random(2) === 1
    const key = `${client.id} ${messageId}`
    const last = model.findLast((one) => one.key === key)
    const id = see(known, messageId, { client, dup, payload: Buffer.from(payload) })
    if (dup && last?.payload === payload) {
      if (id !== last.id) t.fail(`step ${step}: not recognized`)
    } else {
      if (model.some((one) => one.id === id)) t.fail(`step ${step}: an id was given twice`)
      model = [...model, { key, payload, id }].slice(-limit)
    }
  }
  t.pass()
})

test('an answer to what has been forgotten changes nothing', async (t) => {
  const known = create(2)
  const old = known.receiptOf(publishOf(), 1)
  known.receiptOf(publishOf(), 2)
  const newer = known.receiptOf(publishOf(), 3)
  known.answered(old)
  t.equal(known.receiptOf(publishOf(), 3).eventId, newer.eventId, 'that one is still not answered')
})

test('what is sent again and again can be answered each time', async (t) => {
  const known = create(4)
  for (let messageId = 1; messageId <= 7; messageId++) known.receiptOf(publishOf(), messageId)
  const again = known.receiptOf(publishOf(), 5)
  known.answered(again)
  t.not(known.receiptOf(publishOf(), 5).eventId, again.eventId)
})

test('knows what was kept over a restart', async (t) => {
  const receipt = create().receiptOf(publishOf(), 7)
  const known = create(100, [receipt])
  t.equal(see(known, 7, { dup: true }), receipt.eventId)
  t.not(see(known, 7), receipt.eventId)
})

test('of what was kept over a restart, the newest count', async (t) => {
  const receipts = [1, 2, 3].map((messageId) => ({ ...create().receiptOf(publishOf(), messageId), eventId: `id-${messageId}` }))
  const known = create(2, receipts)
  t.equal(see(known, 3, { dup: true }), 'id-3')
  t.equal(see(known, 2, { dup: true }), 'id-2')
  t.notMatch(see(known, 1, { dup: true }), /^id/)
})

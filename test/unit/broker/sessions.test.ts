import { EventEmitter, once } from 'node:events'
import { test } from 'tap'
import type { AedesClient, SubscriptionStore } from '../../../lib/broker/aedes-types.ts'
import { Sessions } from '../../../lib/broker/sessions.ts'

function clientOf (id: string): AedesClient & { conn: EventEmitter } {
  return { id, clean: false, conn: new EventEmitter() } as unknown as AedesClient & { conn: EventEmitter }
}

function sessionsWith (options: { max?: number, expiryMs?: number, now?: () => number } = {}) {
  const expired = new EventEmitter()
  const ended: string[] = []
  const sessions = new Sessions({
    max: options.max ?? 10,
    expiryMs: options.expiryMs ?? 60_000,
    isEmpty: (id) => id.startsWith('empty'),
    forget: (id) => { ended.push(id) },
    expired: (id) => { expired.emit('expired', id) },
    ...(options.now !== undefined && { now: options.now })
  })
  return { sessions, expired, ended }
}

test('who leaves during a takeover does not end the session of who took over', async (t) => {
  const { sessions, ended } = sessionsWith()
  const before = clientOf('a')
  const after = clientOf('a')
  t.equal(sessions.take(before), undefined)
  sessions.started(before)
  t.equal(sessions.take(after), undefined)
  sessions.started(after)
  before.conn.emit('close')
  t.ok(sessions.has('a'))
  t.same(ended, [])
})

test('a connection that never became a session leaves the one that has it alone', async (t) => {
  const { sessions } = sessionsWith()
  const before = clientOf('empty')
  const failed = clientOf('empty')
  sessions.take(before)
  sessions.started(before)
  sessions.take(failed)
  failed.conn.emit('close')
  t.ok(sessions.has('empty'))
  before.conn.emit('close')
  t.notOk(sessions.has('empty'))
})

test('beyond the maximum only sessions that are there already begin', async (t) => {
  const { sessions } = sessionsWith({ max: 1 })
  const client = clientOf('a')
  sessions.take(client)
  sessions.started(client)
  client.conn.emit('close')
  t.match(sessions.take(clientOf('b')), { code: 'MBS_ERR_LIMIT_SESSIONS' })
  t.equal(sessions.take(clientOf('a')), undefined)
})

test('many sessions that are due end, over several turns', async (t) => {
  const { sessions, expired } = sessionsWith({ max: 1000, expiryMs: 20 })
  const gone: string[] = []
  expired.on('expired', (id: string) => { gone.push(id) })
  for (let index = 0; index < 250; index++) {
    const client = clientOf(`client-${index}`)
    sessions.take(client)
    sessions.started(client)
    client.conn.emit('close')
  }
  const alive = setInterval(() => {}, 1000) // the timer under test does not keep a program alive
  while (gone.length < 250) await once(expired, 'expired')
  clearInterval(alive)
  t.equal(sessions.count, 0)
  sessions.close()
})

test('what a connection asks for after a clean session took over is deleted', async (t) => {
  const { sessions, ended } = sessionsWith()
  const deleted: string[] = []
  const store = { cleanSubscriptions: async ({ id }: { id: string }) => { deleted.push(id) } } as SubscriptionStore
  sessions.attach(store)
  const before = clientOf('a')
  sessions.take(before)
  sessions.started(before)
  await store.cleanSubscriptions({ id: 'a' })
  before.conn.emit('close')
  t.same(deleted, ['a', 'a'])
  t.same(ended, ['a', 'a'])
})

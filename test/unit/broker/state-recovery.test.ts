import { test } from 'tap'
import { MemoryLevel } from 'memory-level'
import * as records from '../../../lib/broker/journal-records.ts'
import { recover } from '../../../lib/broker/state-recovery.ts'
import { levelDatabase } from '../../../lib/level/level-database.ts'
import { seal } from '../../../lib/level/sealed.ts'

const message = { topic: 'a/ü', payload: Buffer.from('x'), qos: 2 as const, retain: true }
const empty = { ...message, retain: false, payload: Buffer.alloc(0) }

async function databaseOf (entries: Array<[Buffer, Buffer]>) {
  const level = new MemoryLevel<Buffer, Buffer>({ keyEncoding: 'buffer', valueEncoding: 'buffer' })
  await level.open()
  await level.batch(entries.map(([key, value]) => ({ type: 'put' as const, key, value })))
  return levelDatabase(level)
}

test('what was written is read back as it was', async (t) => {
  const database = await databaseOf([
    [records.sessionKey('ü'), records.encodeSession({ awaySince: 5, owner: '' })],
    [records.sessionKey('b'), records.encodeSession({ awaySince: undefined, owner: undefined })],
    [records.subscriptionKey('ü', 'a/#'), records.encodeQos(1)],
    [records.unreleasedKey('ü', 256), records.encodeNothing()],
    [records.messageKey(300), records.encodeMessage(message)],
    [records.messageKey(2), records.encodeMessage(empty)],
    [records.queuedKey('ü', 300), records.encodeQueued({ isReleased: false, messageId: undefined })],
    [records.queuedKey('ü', 2), records.encodeQueued({ isReleased: false, messageId: 0x0100 })],
    [records.queuedKey('ü', 301), records.encodeQueued({ isReleased: true, messageId: 7 })],
    [records.retainedKey('r'), records.encodeRetained({ qos: 1, payload: Buffer.from('y') })]
  ])
  const { sessions, retained, ...rest } = await recover(database, '/data')
  t.strictSame(rest, { lastSerial: 301, lost: 0, useless: [] })
  t.strictSame(sessions.get('b'), { awaySince: undefined, owner: undefined, subscriptions: [], unreleased: [], queue: [] })
  t.strictSame(sessions.get('ü'), {
    awaySince: 5,
    owner: '',
    subscriptions: [{ topic: 'a/#', qos: 1 }],
    unreleased: [256],
    queue: [
      { isReleased: false, messageId: 256, serial: 2, message: empty },
      { isReleased: false, messageId: undefined, serial: 300, message },
      { isReleased: true, messageId: 7, serial: 301, message: undefined }
    ]
  })
  t.strictSame([...retained], [['r', { qos: 1, payload: Buffer.from('y') }]])
})

test('a damaged record costs itself, and what means nothing without it', async (t) => {
  const damaged = records.encodeMessage(message)
  damaged[damaged.length - 1]! ^= 1
  const queued = records.encodeQueued({ isReleased: false, messageId: undefined })
  const database = await databaseOf([
    [records.sessionKey('a'), records.encodeSession({ awaySince: 5, owner: undefined })],
    [records.sessionKey('broken'), Buffer.from('?')],
    [records.subscriptionKey('a', 'f'), records.encodeQos(1)],
    [records.subscriptionKey('broken', 'f'), records.encodeQos(1)],
    [records.messageKey(1), damaged],
    [records.messageKey(2), records.encodeMessage(message)],
    [records.messageKey(3), records.encodeMessage(message)],
    [records.queuedKey('a', 1), queued],
    [records.queuedKey('a', 2), queued],
    [records.retainedKey('r'), seal(Buffer.of(1))]
  ])
  const { sessions, retained, lost, useless } = await recover(database, '/data')
  t.strictSame([...sessions.keys()], ['a'])
  t.strictSame(sessions.get('a')?.queue.map(({ serial }) => serial), [2])
  t.equal(lost, 3, 'a session, a message, a retained one')
  t.equal(retained.size, 0)
  t.strictSame(new Set(useless.map(String)), new Set([
    records.sessionKey('broken'), records.subscriptionKey('broken', 'f'), records.messageKey(1), records.queuedKey('a', 1),
    records.retainedKey('r'), records.messageKey(3)
  ].map(String)), 'all of it is deleted, and the message that nobody waits for')
})

test('what a later version wrote is left alone', async (t) => {
  const database = await databaseOf([[records.sessionKey('a'), seal(Buffer.of(2), Buffer.from('new'))]])
  await t.rejects(recover(database, '/data'), { code: 'MBS_ERR_SESSIONS_VERSION' })
})

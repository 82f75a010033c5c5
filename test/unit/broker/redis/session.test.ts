/** What a connection has told its client: packet identifiers are given once, and what comes late is no new message. */
import { test } from 'tap'
import type { AedesClient } from '../../../../lib/broker/aedes-types.ts'
import { Keys } from '../../../../lib/broker/redis/keys.ts'
import { RedisSession } from '../../../../lib/broker/redis/session.ts'

const create = (sent: string[] = []) => new RedisSession({} as AedesClient, 1, new Keys('p:').session('c'), sent)

test('a packet identifier that another message has is not given again', async (t) => {
  const session = create(['b:1', 'p7', 'b:2', 'r8', 'b:3', 'p65535'])
  t.equal(session.freeId(7, 'b:9'), 9)
  t.equal(session.freeId(7, 'b:1'), 7, 'but to the message that has it')
  t.equal(session.freeId(65_535, 'b:9'), 1)
  t.equal(session.freeId(100, 'b:9'), 100)
  t.strictSame(session.sent.get('b:2'), { messageId: 8, isReleased: true })
  session.forget('b:1')
  t.equal(session.freeId(7, 'b:9'), 7)
})

test('a message that was acknowledged a moment ago is known, and later forgotten', async (t) => {
  const session = create()
  session.handed.add('b:1')
  session.note('b:1', 5, false)
  session.forget('b:1')
  t.ok(session.has('b:1'))
  session.age()
  t.ok(session.has('b:1'))
  session.age()
  t.notOk(session.has('b:1'))
})

test('the keys of a session have one tag, whatever its identifier is', async (t) => {
  const { all } = new Keys('p:').session('a{b}c:d/é')
  const tags = all.map((key) => /\{([^}]*)\}/.exec(key)?.[1] ?? key)
  t.strictSame([...new Set(tags)], ['p:client:a%7Bb%7Dc%3Ad%2F%C3%A9'])
})

import { Duplex } from 'node:stream'
import { test } from 'tap'
import type { AedesClient, ConnectPacket, PublishPacket } from '../../../lib/broker/aedes-types.ts'
import { Identities } from '../../../lib/broker/identities.ts'
import { LifecycleWatch } from '../../../lib/broker/lifecycle-watch.ts'

function setUp () {
  const told: string[] = []
  const watch = new LifecycleWatch((change) => {
    told.push(change.kind === 'disconnected' ? `${change.kind} ${change.end.reason} ${change.end.messagesReceived}` : change.kind)
  }, new Identities())
  return { told, watch }
}

/** A client as far as the watch looks at it, over a real stream. */
function createClient (id = 'device') {
  const conn = Object.assign(new Duplex({ read () {}, write () {} }), { facts: { listener: 'l', address: 'a' } })
  const client = { id, clean: true, closed: false, _disconnected: false, subscriptions: {}, conn }
  return { conn, client: client as unknown as AedesClient, state: client }
}

const packet = { protocolVersion: 4, keepalive: 10 } as ConnectPacket

test('an end is told once', async (t) => {
  const { told, watch } = setUp()
  const { conn, client } = createClient()
  watch.accepted(client, packet)
  watch.connected(client, false)
  conn.destroy()
  watch.ended(client)
  watch.ended(client)
  t.same(told, ['connected', 'disconnected connection-lost 0'])
})

test('a client that closed while its CONNACK went out was never connected', async (t) => {
  const { told, watch } = setUp()
  const { client, state } = createClient()
  watch.accepted(client, packet)
  state.closed = true
  watch.connected(client, false)
  watch.ended(client)
  t.same(told, [])
})

test('it is settled when every session has been told as disconnected', async (t) => {
  const { told, watch } = setUp()
  await watch.settled()
  const clients = ['a', 'b'].map((id) => createClient(id).client)
  for (const client of clients) {
    watch.accepted(client, packet)
    watch.connected(client, false)
  }
  watch.closing()
  let isSettled = false
  const settled = watch.settled().then(() => { isSettled = true })
  watch.ended(clients[0]!)
  await new Promise((resolve) => { setImmediate(resolve) })
  t.notOk(isSettled)
  watch.ended(clients[1]!)
  await settled
  t.same(told.slice(2), ['disconnected server-shutdown 0', 'disconnected server-shutdown 0'])
})

test('publishes are counted, wills are not', async (t) => {
  const { told, watch } = setUp()
  const { client } = createClient()
  watch.accepted(client, packet)
  watch.connected(client, false)
  const seen: unknown[] = []
  const authorize = watch.counting((_client, { cmd }, callback) => {
    seen.push(cmd)
    callback(null)
  })
  const of = (cmd?: string) => ({ cmd, topic: 'a' }) as unknown as PublishPacket
  authorize(client, of('publish'), () => {})
  authorize(client, of(), () => {})
  authorize(null, of(), () => {})
  t.same(seen, ['publish', undefined, undefined])
  watch.ended(client)
  t.equal(told[1], 'disconnected takenover 1')
})

import { Duplex } from 'node:stream'
import { test } from 'tap'
import { createAdmission } from '../../../lib/broker/admission.ts'
import type { AedesClient, SessionBooks } from '../../../lib/broker/aedes-types.ts'
import { Identities } from '../../../lib/broker/identities.ts'
import { IdentityLimit } from '../../../lib/broker/identity-limit.ts'
import { OpenSessions } from '../../../lib/broker/open-sessions.ts'
import { Sessions } from '../../../lib/broker/sessions.ts'
import { until } from '../../support/broker.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

/** The books as Aedes keeps them. */
function setUp () {
  const told: string[] = []
  const clients: Record<string, AedesClient> = {}
  const nameOf = (client: AedesClient) => (client as unknown as { name: string }).name
  const books: SessionBooks = {
    clients,
    registerClient: () => { throw new Error('it was replaced') },
    _finishRegisterClient: (client) => {
      clients[client.id] = client
      told.push(`began ${nameOf(client)}`)
    },
    unregisterClient: (client) => {
      delete clients[client.id]
      told.push(`ended ${nameOf(client)}`)
    }
  }
  const openSessions = new OpenSessions()
  openSessions.attach(books)
  return { told, books, openSessions }
}

/** A client as far as it is looked at, over a real stream. */
function createClient (name: string) {
  const conn = new Duplex({ read () {}, write () {} })
  const state = {
    name, id: 'device', clean: false, closed: false, connecting: true, will: {}, conn, close: () => { state.closed = true }
  }
  return { state, conn, client: state as unknown as AedesClient }
}

test('a late clean-up ends its own session and leaves the next one in the books', async (t) => {
  const { told, books, openSessions } = setUp()
  const [one, two] = [createClient('one'), createClient('two')]
  for (const { client } of [one, two]) {
    openSessions.take(client)
    books.registerClient(client)
  }
  t.ok(one.state.closed)
  books.unregisterClient(one.client)
  books.unregisterClient(one.client)
  t.same(told, ['began one', 'began two', 'ended one'])
  t.equal(books.clients['device'], two.client)
})

test('an end of which Aedes says nothing is told once the connection has closed', async (t) => {
  const { told, books, openSessions } = setUp()
  const { client, conn } = createClient('one')
  openSessions.take(client)
  books.registerClient(client)
  conn.destroy()
  await until(() => told.length === 2)
  books.unregisterClient(client)
  t.same(told, ['began one', 'ended one'])
})

test('one that closed before its session began has none, with neither CONNACK nor will', async (t) => {
  const { told, books, openSessions } = setUp()
  const [before, after] = [createClient('before'), createClient('after')]
  openSessions.take(before.client)
  openSessions.take(after.client)
  books.registerClient(after.client)
  books.registerClient(before.client)
  books.unregisterClient(before.client)
  t.match(before.state, { closed: true, connecting: false, will: null })
  t.notOk(after.state.closed)
  t.same(told, ['began after'])
})

test('who has gone before it is let in takes no place and takes nothing over', async (t) => {
  const { openSessions } = setUp()
  const identities = new Identities()
  const identityLimit = new IdentityLimit(10)
  const sessions = new Sessions({ max: 10, expiryMs: 1000, isEmpty: () => true, forget: () => {}, expired: () => {} })
  const { telemetry } = createTestTelemetry()
  const authenticate = createAdmission({ identities, identityLimit, openSessions, sessions, telemetry })
  const [open, gone] = [createClient('open'), createClient('gone')]
  gone.state.closed = true
  identities.set(open.client, { clientId: 'device', username: 'a', method: 'password' })
  identities.set(gone.client, { clientId: 'device', username: 'b', method: 'password' })
  const called: unknown[] = []
  authenticate(open.client, 'a', undefined, (error) => { called.push(error) })
  authenticate(gone.client, 'b', undefined, (error) => { called.push(error) })
  t.same(called, [null])
  t.equal(identityLimit.users, 1)
  t.notOk(open.state.closed)
})

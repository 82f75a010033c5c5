import { CloudEvent } from 'cloudevents'
import { test } from 'tap'
import { createLifecycleMapper } from '../../../lib/mapping/lifecycle-event.ts'
import type { LifecycleChange, SessionFacts } from '../../../lib/message.ts'

type Attributes = ConstructorParameters<typeof CloudEvent>[0]

const mark = { id: 'id-1', sequence: '0000000000000007', at: Date.parse('2023-11-14T22:13:20.123Z') }
const session: SessionFacts = {
  client: { id: 'dev' },
  authMethod: 'anonymous',
  protocolVersion: 4,
  cleanSession: true,
  sessionPresent: false,
  keepAliveSeconds: 0,
  listener: 'l',
  address: 'a'
}
const connected: LifecycleChange = { kind: 'connected', session }
const map = createLifecycleMapper({ name: 'gw', overrides: {} })

test('an event is marked as it is told, and the same each time', async (t) => {
  const event = map(connected, mark)
  t.same(event, map(connected, mark))
  t.match(event, {
    id: 'id-1',
    time: '2023-11-14T22:13:20.123Z',
    source: '/mqtt-broker-source/gw/clients/dev',
    extensions: { partitionkey: 'dev', sequence: '0000000000000007' }
  })
})

test('without a number of its own, it is left to the numbers of all events', async (t) => {
  t.same(createLifecycleMapper({ name: 'gw', overrides: {}, sequence: false })(connected, mark).extensions, { partitionkey: 'dev' })
})

test('a source of your own, and the default one where it has no value', async (t) => {
  const own = createLifecycleMapper({ name: 'gw', overrides: {}, source: '/users/{username}' })
  t.equal(own({ kind: 'connected', session: { ...session, client: { id: 'dev', username: 'a b' } } }, mark).source, '/users/a%20b')
  t.equal(own(connected, mark).source, '/mqtt-broker-source/gw/clients/dev')
  t.throws(() => createLifecycleMapper({ name: 'gw', overrides: {}, source: '{topic}' }), { code: 'MBS_ERR_MAPPING_SOURCE' })
})

test('overrides stand above all', async (t) => {
  const { extensions, partitionKey } = createLifecycleMapper({
    name: 'gw', overrides: { site: 'north', sequence: 'none', partitionkey: 'all' }
  })(connected, mark)
  t.same(extensions, { site: 'north', sequence: 'none', partitionkey: 'all' })
  t.equal(partitionKey, 'dev')
  t.throws(() => createLifecycleMapper({ name: 'gw', overrides: { Site: 'x' } }), { code: 'MBS_ERR_CLOUDEVENT_ATTRIBUTE' })
})

test('no client identifier and no name makes an event invalid', async (t) => {
  for (const id of ['plain', 'a b', 'a%b', 'ü/温/😀', '\u0001\u001f', '\u007f\u0085', '\ufdd0\uffff', '\ud800', '?#[]', '\u{10ffff}']) {
    for (const change of [
      { kind: 'connected', session: { ...session, client: { id, username: id } } },
      { kind: 'subscribed', session: { ...session, client: { id } }, subscriptions: [{ filter: id, qos: 0 }] }
    ] as const) {
      const made = createLifecycleMapper({ name: id, overrides: {} })(change, mark)
      const { partitionKey, extensions, data, ...context } = made
      const json: unknown = JSON.parse(data.toString())
      t.doesNotThrow(() => new CloudEvent({ specversion: '1.0', ...context, ...extensions, data: json } as Attributes, true))
      t.equal(partitionKey, id)
      t.notMatch(`${context.subject}${context.source}`, /[\p{Cc}\p{Cs}\p{NChar}]/u)
    }
  }
})

import { CloudEvent } from 'cloudevents'
import { test } from 'tap'
import { createMapper } from '../../../lib/mapping/mapper.ts'
import { publish } from '../../support/http-sink-events.ts'

type Attributes = ConstructorParameters<typeof CloudEvent>[0]

const map = createMapper({ name: 'gateway-1', overrides: {} })

test('a publish becomes the event of the default rule', async (t) => {
  const payload = Buffer.from('{"a":1.0}')
  t.same(map(publish({ payload, client: { id: 'dev-7', username: 'u' }, qos: 2, topic: 'a/b' }), '42'), {
    id: '42',
    source: '/mqtt-broker-source/gateway-1/clients/dev-7',
    type: 'dev.mqttbrokersource.publish',
    subject: 'a/b',
    time: '2023-11-14T22:13:20.123Z',
    datacontenttype: 'application/json',
    extensions: { partitionkey: 'dev-7', mqttqos: 2 },
    partitionKey: 'dev-7',
    data: payload
  })
})

test('the payload is handed on, not copied and not changed', async (t) => {
  const payload = Buffer.from([0xff, 0, 1])
  t.equal(map(publish({ payload }), '1').data, payload)
})

test('an empty payload has no content type', async (t) => {
  t.notOk('datacontenttype' in map(publish({ payload: Buffer.alloc(0) }), '1'))
})

test('mqttretain is there only for a retained publish', async (t) => {
  t.same(map(publish({ retain: true }), '1').extensions, { partitionkey: 'c1', mqttqos: 1, mqttretain: true })
  t.notOk('mqttretain' in map(publish({ retain: false }), '1').extensions)
})

test('the time is that of the arrival, to the millisecond', async (t) => {
  const at = (iso: string) => map(publish({ receivedAt: Date.parse(iso) }), '1').time
  for (const iso of ['2023-11-14T22:13:20.123Z', '2023-11-14T22:13:20.123Z', '2023-11-14T22:13:20.124Z', '1970-01-01T00:00:00.000Z']) {
    t.equal(at(iso), iso)
  }
})

test('client id and name are percent-encoded as path segments of the source [RFC 3986 3.3]', async (t) => {
  const source = (id: string, name = 'gw') => createMapper({ name, overrides: {} })(publish({ client: { id } }), '1').source
  t.equal(source('a/b c?d#e'), '/mqtt-broker-source/gw/clients/a%2Fb%20c%3Fd%23e')
  t.equal(source('küche'), '/mqtt-broker-source/gw/clients/k%C3%BCche')
  t.equal(source('a%2Fb'), '/mqtt-broker-source/gw/clients/a%252Fb')
  t.equal(source('a\u0001\ud800'), '/mqtt-broker-source/gw/clients/a%01%EF%BF%BD')
  t.equal(source('x', 'Halle 1/2'), '/mqtt-broker-source/Halle%201%2F2/clients/x')
})

test('events are ordered by the client id as it is, whatever the partitionkey says', async (t) => {
  const event = map(publish({ client: { id: 'a\u0001b' } }), '1')
  t.equal(event.partitionKey, 'a\u0001b')
  t.equal(event.extensions['partitionkey'], 'a%01b')
  const overridden = createMapper({ name: 'gw', overrides: { partitionkey: 'all' } })(publish(), '1')
  t.equal(overridden.partitionKey, 'c1')
  t.equal(overridden.extensions['partitionkey'], 'all')
})

test('no topic and no client id makes an event invalid', async (t) => {
  const names = [
    'plain', 'a b', 'a%b', '"q"', 'ü/温/😀', '\u0001\u001f', '\u007f\u0085\u009f', '\ufdd0\uffff', '\ud800', '//', '?#[]@!$&\'()*+,;=',
    '\u2028', ' ', '\u{10ffff}'
  ]
  for (const name of names) {
    const { partitionKey, extensions, data, ...context } = map(publish({ topic: name, client: { id: name } }), '1')
    t.doesNotThrow(() => new CloudEvent({ specversion: '1.0', ...context, ...extensions } as Attributes, true), Buffer.from(name).toString('hex'))
    // The SDK does not look at the characters of a String.
    for (const value of [context.subject ?? '', context.source, String(extensions['partitionkey'])]) {
      t.notMatch(value, /[\p{Cc}\p{Cs}\p{NChar}]/u, Buffer.from(value).toString('hex'))
    }
  }
})

test('overrides are put over the extensions of the rule', async (t) => {
  const overridden = createMapper({ name: 'gw', overrides: { site: 'north', mqttqos: 'hidden' } })(publish(), '1')
  t.same(overridden.extensions, { partitionkey: 'c1', mqttqos: 'hidden', site: 'north' })
})

test('an override cannot be a context attribute or an illegal extension', async (t) => {
  for (const overrides of [{ source: '/x' }, { id: 'x' }, { data: 'x' }, { 'Not-Legal': 'x' }, { site: 'a\u0000' }]) {
    t.throws(() => createMapper({ name: 'gw', overrides }), { code: 'MBS_ERR_CLOUDEVENT_ATTRIBUTE' })
  }
})

test('later changes of the overrides handed in change no event', async (t) => {
  const overrides: Record<string, string> = { site: 'north' }
  const mapper = createMapper({ name: 'gw', overrides })
  overrides['site'] = 'south'
  t.equal(mapper(publish(), '1').extensions['site'], 'north')
})

/** Which extensions an event has, by switch, rule, override and device. */
import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'
import { compileRules, type EventRule } from '../../../lib/mapping/event-rules.ts'
import { DEFAULT_EXTENSIONS, type ExtensionSwitches } from '../../../lib/mapping/extensions.ts'
import { createMapper } from '../../../lib/mapping/mapper.ts'
import { isTraceparent } from '../../../lib/mapping/trace-context.ts'
import type { Event, ExtensionValue, Publish } from '../../../lib/message.ts'
import { publish } from '../../support/http-sink-events.ts'

const ARRIVAL = '2023-11-14T22:13:20.123Z'
const SWITCHES = Object.keys(DEFAULT_EXTENSIONS)
const OFF = Object.fromEntries(SWITCHES.map((name) => [name, false])) as unknown as ExtensionSwitches

interface Given {
  readonly on?: Partial<ExtensionSwitches>
  readonly rule?: Partial<EventRule>
  readonly overrides?: Record<string, string>
  readonly publish?: Partial<Publish>
}

/** The event of a publish, with nothing switched on but what is given. */
function map ({ on = {}, rule, overrides = {}, publish: given = {} }: Given): Event {
  const rules = rule === undefined ? {} : { rules: compileRules([{ topic: '#', drop: false, extensions: {}, ...rule }]) }
  return createMapper({ name: 'gw', overrides, extensions: { ...OFF, ...on }, ...rules })(publish(given), '9') as Event
}

const cloudevents = { trustSource: ['/d'], invalid: 'drop' } as const
const VALID = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'

/** The event that a device has made with these attributes. */
function own (attributes: Record<string, unknown>, { rule, ...given }: Given = {}): Event {
  const payload = Buffer.from(JSON.stringify({ specversion: '1.0', id: '1', source: '/d', type: 't', ...attributes }))
  return map({ ...given, rule: { cloudevents, ...rule }, publish: { payload, ...given.publish } })
}

test('without anything said, the mapper sets what the configuration does', async (t) => {
  // These two are set where events are stored, and where they are delivered.
  const { sequence, sampledrate, ...switches } = loadConfig({ env: {} }).config.events.extensions
  t.same(switches, DEFAULT_EXTENSIONS)
  t.equal(sequence, false)
  t.equal(sampledrate, true)
})

test('each switch sets its extension, and no other one', async (t) => {
  const expected: Record<string, Record<string, ExtensionValue>> = {
    partitionkey: { partitionkey: 'c1' },
    mqttqos: { mqttqos: 1 },
    mqttretain: { mqttretain: true },
    recordedtime: {},
    expirytime: { expirytime: '2023-11-14T23:13:20.123Z' },
    authtype: { authtype: 'user' },
    authid: { authid: 'u' }
  }
  const given = { rule: { expiry: 3_600_000 }, publish: { retain: true, client: { id: 'c1', username: 'u', method: 'password' } } } as const
  for (const [name, extensions] of Object.entries(expected)) {
    t.same(map({ on: { [name]: true }, ...given }).extensions, extensions, name)
  }
  t.same(map(given).extensions, {})
  t.same(Object.keys(map({ on: { traceparent: true }, ...given }).extensions), ['traceparent'])
  const elsewhere = { traceparent: true, beginTraces: false }
  t.same(map({ on: elsewhere, ...given }).extensions, {}, 'the span of a publish begins it')
  t.same(own({ traceparent: VALID }, { on: elsewhere }).extensions, { traceparent: VALID })
  t.same(own({ traceparent: 'x' }, { on: elsewhere }).extensions, {})
  t.same(own({ time: '2020-01-01T00:00:00Z' }, { on: { recordedtime: true } }).extensions, { recordedtime: ARRIVAL })
})

test('what is off is still there where a rule or an override names it, and the key still orders', async (t) => {
  const names = { mqttqos: '{qos}', partitionkey: '{clientid}', expirytime: 'never', traceparent: 'x', authid: '{username|nobody}' }
  const event = map({ rule: { partitionKey: 'k', extensions: names }, overrides: { mqttretain: 'perhaps' } })
  t.same(event.extensions, { mqttqos: '1', partitionkey: 'c1', expirytime: 'never', traceparent: 'x', authid: 'nobody', mqttretain: 'perhaps' })
  t.equal(event.partitionKey, 'k')
})

test('what a rule names is as the rule says, also where it is on', async (t) => {
  const on = { traceparent: true, authtype: true, authid: true, expirytime: true }
  const names = { traceparent: 'x', authtype: 'system', authid: '{payload.no}', expirytime: 'y' }
  t.same(map({ on, rule: { expiry: 1000, extensions: names } }).extensions, { traceparent: 'x', authtype: 'system', expirytime: 'y' })
  const device = { traceparent: VALID, tracestate: 'a=1', authid: 'me', authtype: 'user', expirytime: '2023-11-14T22:13:20Z' }
  t.same(own(device, { on, rule: { extensions: names } }).extensions, { traceparent: 'x', authtype: 'system', expirytime: 'y' })
})

test('a device keeps what it says where nothing is set, but for the key that orders', async (t) => {
  const said = {
    mqttqos: 7,
    mqttretain: false,
    recordedtime: 'x',
    expirytime: 'y',
    traceparent: 'z',
    tracestate: '!',
    authtype: 'a',
    authid: 'b',
    authclaims: 'c',
    sequence: '5'
  }
  t.same(own({ ...said, partitionkey: 'other' }).extensions, said)
})

test('who a device is, it does not say itself where it is told', async (t) => {
  const said = { authtype: 'system', authid: 'root', authclaims: '{}' }
  t.same(own(said, { on: { authtype: true, authid: true } }).extensions, { authtype: 'unauthenticated' })
  t.same(own(said, { on: { authtype: true } }).extensions, { authtype: 'unauthenticated', authid: 'root' })
  const publish = { client: { id: 'c1', username: 'a\u0001b', method: 'jwt' } } as const
  t.same(own(said, { on: { authtype: true, authid: true }, publish }).extensions, { authtype: 'app_user', authid: 'a%01b' })
})

test('a trace begins with each publish, or goes on as the device has it', async (t) => {
  const on = { traceparent: true }
  const first = map({ on }).extensions['traceparent']
  t.ok(isTraceparent(first))
  t.not(map({ on }).extensions['traceparent'], first)
  t.same(own({ traceparent: VALID, tracestate: 'a=1' }, { on }).extensions, { traceparent: VALID, tracestate: 'a=1' })
  t.same(own({ traceparent: VALID, tracestate: '!' }, { on }).extensions, { traceparent: VALID })
  for (const traceparent of ['x', VALID.toUpperCase(), 5, undefined]) {
    const { extensions } = own({ traceparent, tracestate: 'a=1' }, { on })
    t.ok(isTraceparent(extensions['traceparent']) && extensions['traceparent'] !== VALID, String(traceparent))
    t.notOk('tracestate' in extensions, 'it goes with its own traceparent only')
  }
})

test('when it was recorded is the arrival, unless the device says so itself', async (t) => {
  const on = { recordedtime: true }
  const time = '2020-01-01T00:00:00Z'
  t.same(own({ time, recordedtime: '2020-01-01T00:00:01Z' }, { on }).extensions, { recordedtime: '2020-01-01T00:00:01Z' })
  t.same(own({ time, recordedtime: 'x' }, { on }).extensions, { recordedtime: ARRIVAL })
  t.same(own({ recordedtime: 'x' }, { on }).extensions, {})
  t.same(own({}, { on }).extensions, {}, 'it would say the same as time')
})

test('an event expires as its rule says, or before where its device says so', async (t) => {
  const on = { expirytime: true }
  const rule = { expiry: 60_000 }
  const byRule = Date.parse(ARRIVAL) + 60_000
  const early = '2023-11-14T23:13:21+01:00'
  const late = '2030-01-01T00:00:00Z'
  const told = new Date(byRule).toISOString()
  /** When it expires, and what the event says of it. */
  const of = ({ handling, extensions }: Event) => [handling?.expiresAt, extensions['expirytime']]
  t.same(of(map({ on, rule })), [byRule, told])
  t.same(of(map({ rule })), [byRule, undefined])
  t.notOk('handling' in map({ on, rule: {} }))
  t.same(of(own({ expirytime: early }, { on, rule })), [Date.parse(early), early])
  t.same(of(own({ expirytime: late }, { on, rule })), [byRule, told])
  t.same(of(own({ expirytime: late }, { on })), [Date.parse(late), late])
  t.same(of(own({ expirytime: early }, { rule })), [Date.parse(early), early])
  t.same(of(own({ expirytime: 'x' }, { on, rule })), [byRule, told])
  t.same(of(own({ expirytime: 'x' }, { on })), [undefined, undefined])
})

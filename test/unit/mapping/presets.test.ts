/**
 * The documented topics of each platform as tables: what is published there, and the whole event that becomes of it but
 * for what every event has. docs/presets.md names the documents.
 */
import { CloudEvent } from 'cloudevents'
import { test } from 'tap'
import { compilePresets, compileRules, EventRules, type PresetName } from '../../../lib/mapping/event-rules.ts'
import { createMapper } from '../../../lib/mapping/mapper.ts'
import { PRESETS } from '../../../lib/mapping/presets/presets.ts'
import type { ClientIdentity, Event } from '../../../lib/message.ts'
import { publish } from '../../support/http-sink-events.ts'

type Attributes = ConstructorParameters<typeof CloudEvent>[0]

const NAMES = Object.keys(PRESETS) as PresetName[]
const JSON_PAYLOAD = '{"t":5}'
const PROTOBUF = Buffer.from([0x08, 0xff, 0x01])

interface Case {
  readonly topic: string
  readonly payload?: string | Buffer
  readonly client?: ClientIdentity
  /** `drop`, or type, source, subject, content type and extensions beside `partitionkey` and `mqttqos`. */
  readonly becomes: string | readonly [
    type: string, source: string, subject: string | undefined, contentType: string | undefined,
    extensions: Record<string, string>
  ]
}

/** What a publish becomes with these presets, alone. */
function map (presets: readonly PresetName[], given: Omit<Case, 'becomes'>): Event | string {
  const { topic, payload = JSON_PAYLOAD, client = { id: 'c1' } } = given
  const mapper = createMapper({ name: 'gw', overrides: {}, rules: compileRules([], presets) })
  // No preset has a transform, or refuses anything.
  return mapper(publish({ topic, payload: Buffer.from(payload), client }), '7') as Event | string
}

function holds (preset: PresetName, cases: readonly Case[]): void {
  test(`${preset}: the documented topics`, async (t) => {
    for (const { becomes, ...given } of cases) {
      const made = map([preset], given)
      if (typeof becomes === 'string' || typeof made === 'string') {
        t.equal(made, becomes, given.topic)
        continue
      }
      const [type, source, subject, datacontenttype, extensions] = becomes
      const id = given.client?.id ?? 'c1'
      t.same(made, {
        id: '7',
        time: '2023-11-14T22:13:20.123Z',
        type,
        source,
        ...(subject !== undefined && { subject }),
        ...(datacontenttype !== undefined && { datacontenttype }),
        extensions: { partitionkey: id, mqttqos: 1, ...extensions },
        partitionKey: id,
        data: Buffer.from(given.payload ?? JSON_PAYLOAD)
      }, given.topic)
      assertValid(made)
    }
  })
}

function assertValid ({ partitionKey, extensions, data, ...context }: Event): void {
  const made = new CloudEvent({ specversion: '1.0', ...context, ...extensions } as Attributes, true)
  if (!made.validate()) throw new Error('the SDK takes it for invalid')
}

const sensor = { id: 'c1', username: 'sensor1@DEFAULT_TENANT' }
const H = 'dev.mqttbrokersource.hono'
const ofSensor = { tenantid: 'DEFAULT_TENANT', deviceid: 'sensor1' }
const of4712 = { tenantid: 'DEFAULT_TENANT', deviceid: '4712' }
const SENSOR1 = '/hono/tenants/DEFAULT_TENANT/devices/sensor1'
const D4712 = '/hono/tenants/DEFAULT_TENANT/devices/4712'

holds('hono', [
  ...['telemetry', 't'].map((topic) => ({ topic, client: sensor, becomes: [`${H}.telemetry`, SENSOR1, 'sensor1', 'application/json', ofSensor] as const })),
  ...['event', 'e'].map((topic) => ({ topic, client: sensor, becomes: [`${H}.event`, SENSOR1, 'sensor1', 'application/json', ofSensor] as const })),
  { topic: 't/?content-type=application%2Fjson', client: sensor, payload: 'x', becomes: [`${H}.telemetry`, SENSOR1, 'sensor1', 'application/json', ofSensor] },
  { topic: 'telemetry/?content-type=text/csv', client: sensor, becomes: [`${H}.telemetry`, SENSOR1, 'sensor1', 'text/csv', ofSensor] },
  { topic: 't/?correlation-id=123', client: sensor, becomes: [`${H}.telemetry`, SENSOR1, 'sensor1', 'application/json', { ...ofSensor, correlationid: '123' }] },
  { topic: 'telemetry/DEFAULT_TENANT/4712', becomes: [`${H}.telemetry`, D4712, '4712', 'application/json', of4712] },
  { topic: 't//4712', client: sensor, becomes: [`${H}.telemetry`, D4712, '4712', 'application/json', of4712] },
  { topic: 'e/?hono-ttl=10', client: sensor, becomes: [`${H}.event`, SENSOR1, 'sensor1', 'application/json', { ...ofSensor, honottl: '10' }] },
  { topic: 'e/DEFAULT_TENANT/4712/?hono-ttl=15', becomes: [`${H}.event`, D4712, '4712', 'application/json', { ...of4712, honottl: '15' }] },
  { topic: 'event//4712/?content-type=text%2Fplain&hono-ttl=15', client: sensor, becomes: [`${H}.event`, D4712, '4712', 'text/plain', { ...of4712, honottl: '15' }] },
  { topic: 't/?content-type=nonsense', client: sensor, becomes: [`${H}.telemetry`, SENSOR1, 'sensor1', 'application/json', ofSensor] },
  { topic: 'event', client: sensor, payload: '', becomes: [`${H}.event`, SENSOR1, 'sensor1', undefined, ofSensor] },
  { topic: 'telemetry', client: { id: 'c1' }, becomes: [`${H}.telemetry`, '/mqtt-broker-source/gw/clients/c1', undefined, 'application/json', {}] },
  { topic: 'c///s/1010/200', client: sensor, becomes: [`${H}.command.response`, SENSOR1, 'sensor1', 'application/json', { ...ofSensor, requestid: '1010', status: '200' }] },
  { topic: 'command//4712/res/1010/200', client: sensor, becomes: [`${H}.command.response`, D4712, '4712', 'application/json', { ...of4712, requestid: '1010', status: '200' }] },
  { topic: 'c/DEFAULT_TENANT/4712/s/1010/503/?content-type=text%2Fplain', becomes: [`${H}.command.response`, D4712, '4712', 'text/plain', { ...of4712, requestid: '1010', status: '503' }] },
  { topic: 'command///req/1010/setBrightness', becomes: 'drop' },
  { topic: 'c//4712/q//setBrightness', becomes: 'drop' },
  { topic: 'sensors/x', becomes: ['dev.mqttbrokersource.publish', '/mqtt-broker-source/gw/clients/c1', 'sensors/x', 'application/json', {}] }
])

const A = 'dev.mqttbrokersource.aws-iot'
holds('aws-iot', [
  ...['update', 'get', 'delete'].flatMap((action) => [
    { topic: `$aws/things/lamp/shadow/${action}`, becomes: [`${A}.shadow.${action}`, '/aws-iot/things/lamp', 'lamp', 'application/json', { thing: 'lamp' }] as const },
    { topic: `$aws/things/la mp/shadow/name/main/${action}`, becomes: [`${A}.shadow.${action}`, '/aws-iot/things/la%20mp', 'la mp/main', 'application/json', { thing: 'la mp', shadow: 'main' }] as const },
    ...['accepted', 'rejected'].flatMap((answer) => [`shadow/${action}/${answer}`, `shadow/name/main/${action}/${answer}`])
      .map((end) => ({ topic: `$aws/things/lamp/${end}`, becomes: 'drop' }))
  ]),
  { topic: '$aws/things/lamp/shadow/get', payload: '', becomes: [`${A}.shadow.get`, '/aws-iot/things/lamp', 'lamp', undefined, { thing: 'lamp' }] },
  { topic: '$aws/things/lamp/shadow/update/delta', becomes: 'drop' },
  { topic: '$aws/things/lamp/shadow/name/main/update/documents', becomes: 'drop' },
  {
    topic: '$aws/rules/BuildingManager/Buildings/Building5/Floor2/Room201/Lights',
    client: { id: 'light 1' },
    becomes: [`${A}.ingest`, '/aws-iot/clients/light%201', 'Buildings/Building5/Floor2/Room201/Lights', 'application/json', { rule: 'BuildingManager' }]
  }
])

const Z = 'dev.mqttbrokersource.azure-iot-hub'
const PUMP = '/azure-iot-hub/devices/pump'
const pump = { id: 'pump', username: 'contoso.azure-devices.net/pump/?api-version=2021-04-12' }
holds('azure-iot-hub', [
  ...['devices/pump/messages/events/', 'devices/pump/messages/events'].map((topic) => ({ topic, client: pump, becomes: [`${Z}.telemetry`, PUMP, 'devices/pump', 'application/json', {}] as const })),
  { topic: 'devices/pump/messages/events/$.ct=application%2Fjson%3Bcharset%3Dutf-8', client: pump, becomes: [`${Z}.telemetry`, PUMP, 'devices/pump', 'application/json;charset=utf-8', {}] },
  {
    // As the SDK for C writes it.
    topic: 'devices/pump/messages/events/%24.mid=m-1&%24.cid=c%201&%24.uid=u&%24.ct=text%2Fcsv&%24.ce=utf-8&%24.sub=thermostat1&Site=north&level=3',
    client: pump,
    becomes: [`${Z}.telemetry`, PUMP, 'devices/pump', 'text/csv', {
      messageid: 'm-1', correlationid: 'c 1', userid: 'u', contentencoding: 'utf-8', component: 'thermostat1', site: 'north', level: '3'
    }]
  },
  { topic: 'devices/pump/messages/events/?prop1&prop2=&prop3=a%20string', client: pump, becomes: [`${Z}.telemetry`, PUMP, 'devices/pump', 'application/json', { prop3: 'a string' }] },
  {
    topic: 'devices/pump/messages/events/source=%2Fforged&type=x&partitionkey=other&mqttqos=9&my-name=x&' +
      'averyveryverylongname=x&messageid=forged&a=%zz&b=1&b=2&data=1&%24.mid=true&on=%00',
    client: pump,
    becomes: [`${Z}.telemetry`, PUMP, 'devices/pump', 'application/json', { messageid: 'true', on: '%00' }]
  },
  { topic: 'devices/pump/messages/events/messageid=forged&$.ct=no%20type', client: pump, becomes: [`${Z}.telemetry`, PUMP, 'devices/pump', 'application/json', {}] },
  { topic: 'devices/pump/modules/vision/messages/events/$.mid=1', client: { id: 'pump/vision' }, becomes: [`${Z}.telemetry`, `${PUMP}/modules/vision`, 'devices/pump/modules/vision', 'application/json', { messageid: '1' }] },
  { topic: '$iothub/twin/PATCH/properties/reported/?$rid=1', client: pump, becomes: [`${Z}.twin.reported`, PUMP, 'devices/pump', 'application/json', { requestid: '1' }] },
  { topic: '$iothub/twin/GET/?$rid=abc', client: pump, payload: '', becomes: [`${Z}.twin.get`, PUMP, 'devices/pump', undefined, { requestid: 'abc' }] },
  { topic: '$iothub/methods/res/200/?$rid=2', client: pump, becomes: [`${Z}.method.response`, PUMP, 'devices/pump', 'application/json', { requestid: '2', status: '200' }] },
  { topic: 'devices/pump/messages/devicebound/$.mid=1', becomes: 'drop' },
  { topic: '$iothub/twin/res/204/?$rid=1&$version=6', becomes: 'drop' },
  { topic: '$iothub/twin/PATCH/properties/desired/?$version=8', becomes: 'drop' },
  { topic: '$iothub/methods/POST/reboot/?$rid=2', becomes: 'drop' }
])

const S = 'dev.mqttbrokersource.sparkplug-b'
holds('sparkplug-b', [
  ...['NBIRTH', 'NDEATH', 'NDATA', 'NCMD'].map((message) => ({
    topic: `spBv1.0/Plant 1/${message}/edge`,
    payload: PROTOBUF,
    becomes: [`${S}.${message.toLowerCase()}`, '/sparkplug-b/groups/Plant%201/nodes/edge', 'edge', 'application/x-protobuf', { group: 'Plant 1', node: 'edge' }] as const
  })),
  ...['DBIRTH', 'DDEATH', 'DDATA', 'DCMD'].map((message) => ({
    topic: `spBv1.0/G/${message}/edge/motor`,
    payload: PROTOBUF,
    becomes: [`${S}.${message.toLowerCase()}`, '/sparkplug-b/groups/G/nodes/edge/devices/motor', 'edge/motor', 'application/x-protobuf', { group: 'G', node: 'edge', device: 'motor' }] as const
  })),
  { topic: 'spBv1.0/STATE/scada', payload: '{"online":true,"timestamp":1}', becomes: [`${S}.state`, '/sparkplug-b/hosts/scada', 'scada', 'application/json', {}] },
  { topic: 'STATE/scada', payload: 'ONLINE', becomes: [`${S}.state`, '/sparkplug-b/hosts/scada', 'scada', 'text/plain', {}] }
])

const HA = 'dev.mqttbrokersource.home-assistant'
holds('home-assistant', [
  { topic: 'homeassistant/status', payload: 'online', becomes: [`${HA}.status`, '/home-assistant', 'status', 'text/plain', {}] },
  { topic: 'homeassistant/sensor/hall/config', becomes: [`${HA}.discovery`, '/home-assistant/sensor/hall', 'sensor.hall', 'application/json', { component: 'sensor' }] },
  { topic: 'homeassistant/device/hall/config', payload: '', becomes: [`${HA}.discovery`, '/home-assistant/device/hall', 'device.hall', undefined, { component: 'device' }] },
  { topic: 'homeassistant/sensor/node1/hall/config', becomes: [`${HA}.discovery`, '/home-assistant/sensor/node1/hall', 'sensor.hall', 'application/json', { component: 'sensor', node: 'node1' }] },
  { topic: 'homeassistant/light/master_bedroom_dimmer/state', payload: 'on', becomes: [`${HA}.state`, '/home-assistant/light/master_bedroom_dimmer', 'light.master_bedroom_dimmer', 'text/plain', { component: 'light' }] },
  { topic: 'homeassistant/light/x/brightness', payload: '12', becomes: [`${HA}.attribute`, '/home-assistant/light/x', 'light.x', 'application/json', { component: 'light', attribute: 'brightness' }] },
  { topic: 'homeassistant/light/x/last_updated', payload: '2017-10-01T23:20:30.920969+00:00', becomes: [`${HA}.attribute`, '/home-assistant/light/x', 'light.x', 'text/plain', { component: 'light', attribute: 'last_updated' }] },
  { topic: 'homeassistant/switch/irrigation/set', payload: 'ON', becomes: [`${HA}.command`, '/home-assistant/switch/irrigation', 'switch.irrigation', 'text/plain', { component: 'switch' }] }
])

const T = 'dev.mqttbrokersource.tasmota'
holds('tasmota', [
  { topic: 'tele/tasmota/SENSOR', payload: '{"DS18B20":{"Temperature":20.6}}', becomes: [`${T}.sensor`, '/tasmota/tasmota', 'SENSOR', 'application/json', {}] },
  { topic: 'tele/tasmota/STATE', becomes: [`${T}.state`, '/tasmota/tasmota', 'STATE', 'application/json', {}] },
  { topic: 'tele/tasmota/LWT', payload: 'Online', becomes: [`${T}.lwt`, '/tasmota/tasmota', 'LWT', 'text/plain', {}] },
  { topic: 'tele/tasmota/POWER_LOW', payload: 'ON', becomes: [`${T}.telemetry`, '/tasmota/tasmota', 'POWER_LOW', 'text/plain', {}] },
  { topic: 'stat/tasmota_switch/RESULT', payload: '{"POWER":"OFF"}', becomes: [`${T}.result`, '/tasmota/tasmota_switch', 'RESULT', 'application/json', {}] },
  { topic: 'stat/tasmota/POWER', payload: 'OFF', becomes: [`${T}.status`, '/tasmota/tasmota', 'POWER', 'text/plain', {}] },
  { topic: 'cmnd/tasmota/POWER', payload: '', becomes: [`${T}.command`, '/tasmota/tasmota', 'POWER', undefined, {}] }
])

const Q = 'dev.mqttbrokersource.zigbee2mqtt'
holds('zigbee2mqtt', [
  { topic: 'zigbee2mqtt/0x00158d00018255df', becomes: [`${Q}.device`, '/zigbee2mqtt/devices/0x00158d00018255df', '0x00158d00018255df', 'application/json', {}] },
  { topic: 'zigbee2mqtt/kitchen/floor light', becomes: [`${Q}.device`, '/zigbee2mqtt/devices/kitchen/floor%20light', 'kitchen/floor light', 'application/json', {}] },
  ...['bulb', 'kitchen/bulb', 'home/kitchen/bulb'].flatMap((name) => [
    { topic: `zigbee2mqtt/${name}/availability`, payload: 'online', becomes: [`${Q}.availability`, `/zigbee2mqtt/devices/${name}`, name, 'text/plain', {}] as const },
    ...['set', 'get'].flatMap((action) => [
      { topic: `zigbee2mqtt/${name}/${action}`, becomes: [`${Q}.${action}`, `/zigbee2mqtt/devices/${name}`, name, 'application/json', {}] as const },
      { topic: `zigbee2mqtt/${name}/${action}/state`, payload: 'ON', becomes: [`${Q}.${action}`, `/zigbee2mqtt/devices/${name}`, name, 'text/plain', { attribute: 'state' }] as const }
    ])
  ]),
  ...['state', 'event', 'logging'].map((kind) => ({ topic: `zigbee2mqtt/bridge/${kind}`, becomes: [`${Q}.bridge.${kind}`, '/zigbee2mqtt/bridge', kind, 'application/json', {}] as const })),
  ...['info', 'devices', 'groups', 'definitions', 'extensions'].map((kind) => ({ topic: `zigbee2mqtt/bridge/${kind}`, becomes: [`${Q}.bridge`, '/zigbee2mqtt/bridge', kind, 'application/json', {}] as const })),
  { topic: 'zigbee2mqtt/bridge/request/permit_join', becomes: [`${Q}.bridge.request`, '/zigbee2mqtt/bridge', 'permit_join', 'application/json', {}] },
  { topic: 'zigbee2mqtt/bridge/response/device/bind', becomes: [`${Q}.bridge.response`, '/zigbee2mqtt/bridge', 'device/bind', 'application/json', {}] }
])

const gateway = { id: 'c1', username: 'gateway01@my-app' }
const sender = { instance: 'gw', application: 'my-app', sender: 'gateway01' }
holds('drogue', [
  { topic: 'temperature', client: gateway, becomes: ['io.drogue.event.v1', '/drogue/applications/my-app/devices/gateway01', 'temperature', 'application/json', { ...sender, device: 'gateway01' }] },
  { topic: 'temperature/sensor01', client: gateway, payload: PROTOBUF, becomes: ['io.drogue.event.v1', '/drogue/applications/my-app/devices/sensor01', 'temperature', 'application/octet-stream', { ...sender, device: 'sensor01' }] },
  { topic: 'command/inbox/sensor01/set-temp', client: gateway, becomes: 'drop' },
  { topic: 'a/b/c', client: gateway, becomes: ['dev.mqttbrokersource.publish', '/mqtt-broker-source/gw/clients/c1', 'a/b/c', 'application/json', {}] }
])

test('within a preset every rule can decide', async (t) => {
  for (const name of NAMES) {
    const unreachable = new EventRules(compilePresets([name])).unreachable()
    t.same(unreachable.map(({ rule, behind }) => `${rule.pattern.text} behind ${behind.pattern.text}`), [], name)
  }
})

test('all presets in the order of their list leave each other their topics', async (t) => {
  t.same(new EventRules(compilePresets(NAMES)).unreachable(), [])
  t.match(map(NAMES, { topic: 'zigbee2mqtt/bulb' }), { type: `${Q}.device` })
  t.match(map(['drogue', 'zigbee2mqtt'], { topic: 'zigbee2mqtt/bulb' }), { type: 'io.drogue.event.v1' })
})

test('a rule of the user stands before a preset, which stands before the default rule', async (t) => {
  const own = { topic: '$aws/things/+/shadow/update', drop: false, extensions: {}, type: 'own' }
  const mapper = createMapper({ name: 'gw', overrides: {}, rules: compileRules([own], ['aws-iot']) })
  const typeAt = (topic: string) => mapper(publish({ topic }), '7')
  t.match(typeAt('$aws/things/lamp/shadow/update'), { type: 'own' })
  t.match(typeAt('$aws/things/lamp/shadow/get'), { type: `${A}.shadow.get` })
  t.match(typeAt('a'), { type: 'dev.mqttbrokersource.publish' })
})

test('types are reverse-DNS names: those that the platform documents, or ours with the name of the preset', async (t) => {
  for (const name of NAMES) {
    for (const { drop, type } of PRESETS[name].rules) {
      if (!drop) t.match(type ?? '', name === 'drogue' ? /^io\.drogue\.event\.v1$/ : new RegExp(`^dev\\.mqttbrokersource\\.${name}(\\.[a-z]+)+$`))
    }
  }
})

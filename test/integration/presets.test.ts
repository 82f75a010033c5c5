/** Topics that begin with `$`, with the built program and MQTT.js: only with a preset, and only as permitted. */
import mqtt, { type IClientOptions } from 'mqtt'
import { test, type Test } from 'tap'
import { startHttpSink } from '../support/http-sink.ts'
import { startProgram } from '../support/process.ts'

const PERMISSIONS = [{
  who: '*',
  publish: ['#', '$aws/things/{clientid}/shadow/#', '$aws/rules/#', '$iothub/#', 'devices/{clientid}/#'],
  subscribe: ['#', '$aws/things/{clientid}/shadow/#', '$iothub/#']
}]

async function start (t: Test, presets: string[], permissions: object[] = PERMISSIONS) {
  const sink = await startHttpSink(t)
  const program = await startProgram(t, {
    dataDir: `${t.testdir()}/data`,
    listeners: [{ port: 0 }],
    http: { port: 0 },
    sink: { url: sink.url },
    access: { permissions },
    events: { presets },
    log: { format: 'json' }
  })
  const connect = async (clientId: string, more: IClientOptions = {}) => {
    const client = await mqtt.connectAsync({ host: '127.0.0.1', port: program.port('mqtt'), clientId, reconnectPeriod: 0, ...more })
    t.teardown(async () => { await client.endAsync(true) })
    return client
  }
  /** True where the publish was acknowledged, false where the connection was closed. */
  const publishes = async (clientId: string, topic: string) => {
    const client = await connect(clientId)
    return await Promise.race([
      client.publishAsync(topic, '{}', { qos: 1 }).then(() => true, () => false),
      new Promise<boolean>((resolve) => { client.once('close', () => { resolve(false) }) })
    ])
  }
  /** The QoS that was granted, 128: none. */
  const subscribes = async (clientId: string, filter: string) => {
    const client = await connect(clientId)
    const granted = await new Promise<number>((resolve) => {
      client.on('packetreceive', (packet) => { if (packet.cmd === 'suback') resolve(packet.granted[0] as number) })
      client.subscribe(filter, { qos: 1 }, () => {})
    })
    return granted
  }
  const types = () => sink.requests.map((request) => request.header('ce-type') ?? '').sort()
  return { sink, program, connect, publishes, subscribes, types }
}

const DEVICE_TOPICS = ['$aws/things/d/shadow/update', '$aws/rules/r/a', '$iothub/twin/GET/?$rid=1']

test('without a preset, topics that begin with $ are refused, whatever permissions say', async (t) => {
  const { publishes, subscribes, program, sink } = await start(t, ['hono'])
  for (const topic of DEVICE_TOPICS) t.equal(await publishes('d', topic), false, topic)
  for (const filter of ['$aws/things/d/shadow/#', '$iothub/twin/res/#', '$SYS/#']) t.equal(await subscribes('d', filter), 128, filter)
  t.match(program.log.find(({ code }) => code === 'MBS_ERR_BROKER_TOPIC'), { msg: /reserved/ })
  t.equal(sink.requests.length, 0)
  t.equal(await program.stop(), 0)
})

test('with its preset and a permission they are used as on the platform', async (t) => {
  const { publishes, subscribes, types, sink, program } = await start(t, ['aws-iot', 'azure-iot-hub'])
  for (const topic of [...DEVICE_TOPICS, 'devices/d/messages/events/$.ct=text%2Fcsv&site=n']) t.equal(await publishes('d', topic), true, topic)
  for (const filter of ['$aws/things/d/shadow/update/accepted', '$aws/things/d/shadow/#', '$iothub/twin/res/#', '$iothub/methods/POST/#', 'devices/d/messages/devicebound/#']) {
    t.equal(await subscribes('d', filter), 1, filter)
  }
  await sink.waitFor(4)
  t.same(types(), [
    'dev.mqttbrokersource.aws-iot.ingest', 'dev.mqttbrokersource.aws-iot.shadow.update',
    'dev.mqttbrokersource.azure-iot-hub.telemetry', 'dev.mqttbrokersource.azure-iot-hub.twin.get'
  ])
  const telemetry = sink.requests.find((request) => request.header('ce-type')?.endsWith('telemetry') === true)
  t.equal(telemetry?.header('content-type'), 'text/csv')
  t.equal(telemetry?.header('ce-site'), 'n')
  t.equal(await program.stop(), 0)
})

test('what has no permission, or belongs to nobody, is refused with the preset, too', async (t) => {
  const { publishes, subscribes, types, program } = await start(t, ['aws-iot', 'azure-iot-hub'])
  t.equal(await publishes('d', '$aws/things/other/shadow/update'), false, 'the thing of another')
  for (const topic of ['$SYS/x/new/clients', '$aws/events/a', '$share/a/b', '$iothub/other']) t.equal(await publishes('d', topic), false, topic)
  for (const filter of ['$aws/things/other/shadow/#', '$aws/things/+/shadow/#', '$aws/#', '$SYS/#', '$share/g/$aws/things/d/shadow/#', '$aws/rules/#']) {
    t.equal(await subscribes('d', filter), 128, filter)
  }
  t.same(types(), [])
  t.equal(await program.stop(), 0)
})

test('a client cannot name itself into reserved topics', async (t) => {
  const { publishes, subscribes, program } = await start(t, ['aws-iot'], [{ who: '*', publish: ['{clientid}/#'], subscribe: ['{clientid}/#'] }])
  t.equal(await publishes('$aws', '$aws/things/d/shadow/update'), false)
  t.equal(await subscribes('$aws', '$aws/things/d/shadow/#'), 128)
  t.equal(await publishes('d', 'd/x'), true)
  t.equal(await program.stop(), 0)
})

test('a wildcard at the first level gets nothing of them: connected, retained or kept [MQTT-4.7.2-1]', async (t) => {
  const everything = ['#', '$aws/things/+/shadow/#', '$aws/rules/#']
  const { connect, program, sink } = await start(t, ['aws-iot'], [{ who: '*', publish: everything, subscribe: everything }])
  const away = await connect('away', { clean: false })
  await away.subscribeAsync(['#', '+/things/#', '$aws/things/away/shadow/#'], { qos: 1 })
  await away.endAsync()
  const ear = await connect('ear')
  const heard: string[] = []
  ear.on('message', (topic) => { heard.push(topic) })
  await ear.subscribeAsync(['#', '+/things/+/shadow/#'], { qos: 1 })
  const d = await connect('d')
  await d.publishAsync('plain', '1', { qos: 1 })
  await d.publishAsync('$aws/things/d/shadow/update/delta', '{}', { qos: 1, retain: true })
  await d.publishAsync('$aws/rules/r/a', '{}', { qos: 1 })
  await d.publishAsync('last', '1', { qos: 1 })
  const late = await connect('late')
  late.on('message', (topic) => { heard.push(`late ${topic}`) })
  await late.subscribeAsync('+/things/#', { qos: 1 })
  await late.subscribeAsync('#', { qos: 1 })
  await late.publishAsync('end', '1', { qos: 1 })
  // Not awaited: what was kept comes at once.
  const back = mqtt.connect({ host: '127.0.0.1', port: program.port('mqtt'), clientId: 'away', clean: false, reconnectPeriod: 0 })
  t.teardown(async () => { await back.endAsync(true) })
  const kept: string[] = []
  await new Promise<void>((resolve) => {
    back.on('message', (topic) => {
      kept.push(topic)
      if (topic === 'end') resolve()
    })
  })
  t.same(kept, ['plain', 'last', 'end'])
  t.same(heard.filter((topic) => topic.includes('$')), [])
  t.ok(heard.includes('last') && heard.includes('late end'))
  // Basic ingest is an event, and what is for devices is none.
  await sink.waitFor(4)
  t.equal(sink.requests.filter((request) => request.header('ce-type')?.includes('aws-iot') === true).length, 1)
  t.equal(await program.stop(), 0)
})

test('what somebody publishes for a device reaches it', async (t) => {
  const { connect, program } = await start(t, ['aws-iot', 'azure-iot-hub'], [
    { who: '*', publish: ['$aws/things/+/shadow/#', '$iothub/#'], subscribe: ['$aws/things/{clientid}/shadow/#', '$iothub/#'] }
  ])
  const device = await connect('d')
  const heard: string[] = []
  const both = new Promise<void>((resolve) => {
    device.on('message', (topic) => { if (heard.push(topic) === 2) resolve() })
  })
  await device.subscribeAsync(['$aws/things/d/shadow/update/delta', '$iothub/methods/POST/#'], { qos: 1 })
  const service = await connect('service')
  await service.publishAsync('$aws/things/d/shadow/update/delta', '{}', { qos: 1 })
  await service.publishAsync('$iothub/methods/POST/reboot/?$rid=1', '{}', { qos: 1 })
  await both
  t.same(heard, ['$aws/things/d/shadow/update/delta', '$iothub/methods/POST/reboot/?$rid=1'])
  t.equal(await program.stop(), 0)
})

/** Rules for events, from the configuration to the sink, with the built program. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { writeYaml } from '../support/config-files.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { programCommand, spawnProgram, startProgram } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'

const CONFIG = fileURLToPath(new URL('../../config/mapping.yaml', import.meta.url))
const PRESETS = fileURLToPath(new URL('../../config/presets.yaml', import.meta.url))

const rules = [
  {
    topic: 'sites/{site}/{device}',
    type: 'com.example.reading',
    source: '/sites/{site}/{device}',
    partitionKey: '{device}',
    extensions: { unit: '{payload.unit}' },
    filter: [{ greaterThan: { 'data.v': 0 } }]
  },
  { topic: 'debug/#', drop: true }
]

test('rules say what arrives at the sink, and what does not is acknowledged in its turn', async (t) => {
  const sink = await startHttpSink(t)
  const config = {
    dataDir: `${t.testdir()}/data`,
    listeners: [{ port: 0 }],
    http: { port: 0 },
    sink: { url: sink.url },
    events: { rules },
    log: { format: 'json' }
  }
  const program = await startProgram(t, config)
  const reader = await RawMqtt.open(program.port('mqtt'), { clientId: 'reader' })
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
  await reader.next('suback')
  const device = await RawMqtt.open(program.port('mqtt'), { clientId: 'c' })
  const sent: Array<[topic: string, payload: string]> = [
    ['sites/n/p1', '{"v":1,"unit":"K"}'], ['debug/a', 'x'], ['sites/n/p1', '{"v":0}'], ['other', 'y'], ['sites/n/p1', '{"v":2}']
  ]
  device.write(Buffer.concat(sent.map(([topic, payload], at) => {
    return publishBytes({ topic, payload, qos: 1, messageId: at + 1 })
  })))
  for (let messageId = 1; messageId <= 5; messageId++) t.equal((await device.next('puback')).messageId, messageId)
  for (const [topic] of sent) t.equal((await reader.next('publish')).topic, topic, 'subscribers get all of them')
  await sink.waitFor(3)
  const arrived = sink.requests.map((request) => {
    return ['ce-type', 'ce-source', 'ce-unit'].map((name) => request.header(name) ?? 'none').join(' ')
  })
  t.same(arrived.sort(), [
    'com.example.reading /sites/n/p1 K',
    'com.example.reading /sites/n/p1 none',
    'dev.mqttbrokersource.publish /mqtt-broker-source/mqtt-broker-source/clients/c none'
  ])
  const metrics = parseMetrics(await (await fetch(`http://${program.address('http')}/metrics`)).text())
  for (const reason of ['drop', 'filter']) {
    t.equal(sampleOf(metrics, `mqtt_broker_source_publishes_left_out_total{reason="${reason}"}`), 1)
  }
  for (const client of [reader, device]) client.abort()
  t.equal(await program.stop(), 0)
})

test('map shows the rule, the event and the request', async (t) => {
  const map = async (...args: string[]) => {
    const program = spawnProgram(t, ['map', ...args])
    return { code: (await program.exited).code, stdout: program.stdout, stderr: program.stderr }
  }
  const own = JSON.stringify({ specversion: '1.0', id: '1', source: '/devices/d/x', type: 'own', data: { a: 1 } })
  const sink = 'sink: { url: "http://127.0.0.1/", contentMode: batch, batch: { bytes: 1024 } }\n'
  const batch = writeYaml(t.testdir(), sink)
  const [
    boiler, bare, broken, order, reading, left, dropped, made, forged, plain, binary, reserved, inBatch, tooLarge,
    ...wrong
  ] = await Promise.all([
    map('--config', CONFIG, '--topic', 'sites/north/boilers/b1', '--payload', '{"fahrenheit":70,"sensor":"s"}'),
    map('--config', CONFIG, '--topic', 'sites/north/boilers/b1', '--payload', '{"fahrenheit":70}'),
    map('--config', CONFIG, '--topic', 'sites/north/boilers/b1', '--payload', '{"sensor":"s"}'),
    map('--config', CONFIG, '--topic', 'orders/7', '--payload', '{"item":"x"}'),
    map('--config', CONFIG, '--topic', 'sites/north/devices/pump-7/telemetry', '--payload', '{"sensor":"t1","value":21.5}'),
    map('--config', CONFIG, '--topic', 'sites/north/devices/pump-7/telemetry', '--payload', '{"value":0}'),
    map('--config', CONFIG, '--topic', 'debug/x'),
    map('--config', CONFIG, '--topic', 'ce/d', '--client', 'd', '--payload', own),
    map('--config', CONFIG, '--topic', 'ce/d', '--client', 'e', '--payload', own),
    map('--topic', 'a b', '--client', 'dev', '--qos', '2', '--retain'),
    map('--topic', 'a', '--payload-file', fileURLToPath(new URL('../../package.json', import.meta.url))),
    map('--topic', '$SYS/a'),
    map('--config', batch, '--topic', 'a', '--payload', '21.50'),
    map('--config', batch, '--topic', 'a', '--payload', `"${'x'.repeat(1000)}"`),
    map(),
    map('--topic', 'a', '--qos', '3'),
    map('--topic', 'a', '--payload', 'a', '--payload-file', 'b'),
    map('--topic', 'a', '--payload-file', '/nowhere')
  ])
  t.match(reading, {
    code: 0,
    stdout: /^Rule: events\.rules\[0\], sites\/\{site\}\/devices\/\{device\}\/telemetry\nEvent: \{[^]*"unit": "Cel"[^]*\nOrdered with: "pump-7"\nRequest: POST to the sink\n[^]* {2}ce-source: \/sites\/north\/devices\/pump-7\n[^]*\n {2}\{"sensor":"t1","value":21\.5\}\n$/
  })
  t.match(boiler, { code: 0, stdout: /ce-subject: b1\n[^]*\n {2}\{"celsius":21\.1,"sensor":"s"\}\n$/ })
  t.match(bare, { code: 0, stdout: /\n {2}\{"celsius":21\.1\}\n$/ })
  t.match(broken, { code: 1, stdout: /\nDead letter: schema: the data does not fit the schema: required "celsius" at the top\.\nEvent: / })
  t.match(order, { code: 1, stdout: /\nDead letter: missing: subject has no value for \{payload\.number\}\.\nEvent: / })
  t.match(left, { code: 1, stdout: /^Rule: events\.rules\[0\].*\nNo event: its filter does not hold\.\n$/ })
  t.match(dropped, { code: 1, stdout: /\nNo event: the rule drops its topics\.\n$/ })
  t.match(made, { code: 0, stdout: /"type": "own"[^]*ce-source: \/devices\/d\/x\n[^]*\n {2}\{"a":1\}\n$/ })
  t.match(forged, { code: 0, stdout: /"type": "dev\.mqttbrokersource\.publish"[^]*clients\/e\n[^]*"specversion"/ })
  t.match(plain, { code: 0, stdout: /^Rule: the default rule\n[^]*"mqttretain": true[^]*application\/cloudevents\+json[^]*"subject":"a b"/ })
  t.match(binary, { code: 0, stdout: /"name": "mqtt-broker-source"/ })
  t.match(reserved, { code: 1, stdout: /no device can publish to this topic, because topics that begin with \$ are reserved/ })
  t.match(inBatch, { code: 0, stdout: /\n {2}content-type: application\/cloudevents-batch\+json; charset=utf-8\n {2}user-agent: \S+\n\n {2}\[\{"specversion":"1\.0",.*"data":21\.50\}\]\n$/ })
  t.match(tooLarge, { code: 0, stdout: /\n {2}ce-specversion: 1\.0\n/ }, 'as it would be sent')
  for (const result of wrong) t.match(result, { code: 78, stdout: '', stderr: /^MBS_ERR_CLI_USAGE/ })
})

test('map shows what each sink would be sent, and no secret', async (t) => {
  const config = {
    sink: { url: 'http://127.0.0.1/a?key=hush', headers: { 'X-Site': 'north', 'X-Key': 'hush', 'x-more': { file: '/nowhere/more' } } },
    sinks: [
      { name: 'warm', url: 'http://127.0.0.1/b', filter: [{ greaterThan: { 'data.v': 20 } }], auth: { bearer: { file: '/nowhere/token' } } },
      { name: 'all', url: 'http://127.0.0.1/c', contentMode: 'structured', auth: { basic: { username: 'u', passwordFile: '/nowhere/password' } } },
      { name: 'cloud', url: 'http://127.0.0.1/d', auth: { oauth2: { tokenUrl: 'http://127.0.0.1/token?a=hush', clientId: 'c', clientSecretFile: '/nowhere/secret' } } }
    ]
  }
  const file = writeYaml(t.testdir(), JSON.stringify(config))
  const map = async (payload: string) => {
    const program = spawnProgram(t, ['map', '--config', file, '--topic', 'a', '--payload', payload])
    return { code: (await program.exited).code, stdout: program.stdout }
  }
  const [cold, warm] = await Promise.all([map('{"v":20}'), map('{"v":21}')])
  for (const { code, stdout } of [cold, warm]) {
    t.equal(code, 0)
    t.match(stdout, /\nRequest to default: POST http:\/\/127\.0\.0\.1\/a\n[^]* {2}user-agent: mqtt-broker-source\/\S+\n {2}x-site: north\n {2}x-key: \(not shown\)\n {2}x-more: \(from \/nowhere\/more\)\n\n/)
    t.match(stdout, /\nRequest to all: POST http:\/\/127\.0\.0\.1\/c\n {2}content-type: application\/cloudevents\+json[^]* {2}authorization: Basic \(u, password from \/nowhere\/password\)\n\n {2}\{"specversion"/)
    t.match(stdout, /\nRequest to cloud: POST http:\/\/127\.0\.0\.1\/d\n[^]* {2}authorization: Bearer \(a token of http:\/\/127\.0\.0\.1\/token\)\n/)
    t.notMatch(stdout, /hush/)
  }
  t.match(cold.stdout, /\nRequest to warm: none, for the filter of the sink does not hold\n/)
  t.match(warm.stdout, /\nRequest to warm: POST http:\/\/127\.0\.0\.1\/b\n[^]* {2}authorization: Bearer \(from \/nowhere\/token\)\n/)
})

test('map shows which rule of which preset decides', async (t) => {
  const map = async (...args: string[]) => {
    const program = spawnProgram(t, ['map', '--config', PRESETS, ...args])
    return { code: (await program.exited).code, stdout: program.stdout }
  }
  const [telemetry, own, delta, ingest, channel, reserved] = await Promise.all([
    map('--client', 'pump', '--topic', 'devices/pump/messages/events/$.ct=text%2Fcsv&site=north', '--payload', 'a,b'),
    map('--topic', '$aws/things/lamp/shadow/update', '--payload', '{"clientToken":"t1"}'),
    map('--topic', '$aws/things/lamp/shadow/update/delta'),
    map('--topic', '$aws/rules/r/a/b'),
    map('--topic', 'temperature', '--username', 'sensor@app'),
    map('--topic', '$aws/events/a')
  ])
  t.match(telemetry, {
    code: 0,
    stdout: /^Rule: preset azure-iot-hub, rule 1, devices\/\{device\}\/messages\/events\/\{bag\.\.\.\}\nEvent: \{[^]*"site": "north"[^]*content-type: text\/csv\n/
  })
  t.match(own, { code: 0, stdout: /^Rule: events\.rules\[0\], \$aws[^]*"subject": "t1"/ })
  t.match(delta, { code: 1, stdout: /^Rule: preset aws-iot, rule 7, .*\nNo event: the rule drops its topics\.\n$/ })
  t.match(ingest, { code: 0, stdout: /^Rule: preset aws-iot, rule 8, [^]*"subject": "a\/b"/ })
  t.match(channel, { code: 0, stdout: /^Rule: preset drogue, rule 2, \{channel\}\n[^]*ce-application: app\n/ })
  t.match(reserved, { code: 1, stdout: /because topics that begin with \$ are reserved/ })
})

test('check says all that is wrong with rules, and which never decide', async (t) => {
  const directory = t.testdir({
    'wrong.yaml': 'events:\n  rules:\n    - { topic: "a/{b", type: x }\n    - { topic: "a/{b}", type: "{c}", source: "/a b",\n        extensions: { NAME: x, site: "{d}" }, filter: [{ sql: x }], drop: perhaps }\n',
    'shadow.yaml': 'events: { rules: [{ topic: "a/#" }, { topic: "a/b", type: never }] }\n'
  })
  const wrong = spawnProgram(t, ['check', '--config', 'wrong.yaml'], { cwd: directory })
  t.equal((await wrong.exited).code, 78)
  for (const place of ['rules[1].extensions.NAME', 'rules[1].drop']) t.match(wrong.stderr, `events.${place}`)
  t.notMatch(wrong.stderr, /\n\s+at /)
  const shadow = spawnSync(...programCommand(['check', '--config', 'shadow.yaml']), { cwd: directory, encoding: 'utf8' })
  t.equal(shadow.status, 0)
  t.match(shadow.stderr, /events\.rules\[1\] \(a\/b\) never decides: events\.rules\[0\] \(a\/#\) comes before it/)
})

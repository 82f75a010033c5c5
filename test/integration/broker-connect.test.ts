import { execFile, type ExecFileException } from 'node:child_process'
import { test } from 'tap'
import mqtt from 'mqtt'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

for (const [what, fields] of Object.entries({
  'is empty while the session is to be kept [MQTT-3.1.3-8]': { clientId: '', clean: false },
  'has NUL': { clientId: 'a\0b' },
  'has bytes that are not UTF-8': { clientId: 'a\ufffd' },
  'is too long': { clientId: 'x'.repeat(257) },
  'is too long for MQTT 3.1': { clientId: 'x'.repeat(24), protocolId: 'MQIsdp' as const, protocolVersion: 3 as const }
})) {
  test(`a client identifier that ${what} is refused with CONNACK 2`, async (t) => {
    const { logged, broker, port } = await startBroker(t)
    const device = await RawMqtt.dial(port)
    // The generator refuses an empty identifier in a session that is kept.
    const bytes = fields.clientId === ''
      ? Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0, 0, 0, 0, 0])
      : undefined
    if (bytes === undefined) device.connect(fields)
    else device.write(bytes)
    t.equal((await device.next('connack')).returnCode, 2)
    await device.closed
    t.equal((await logged('MBS_ERR_BROKER_CLIENT_ID')).length, 1)
    t.equal(broker.clients, 0)
  })
}

test('an empty client identifier in a clean session is given a name [MQTT-3.1.3-6]', async (t) => {
  const { outbox, port } = await startBroker(t)
  const one = await RawMqtt.open(port, { clientId: '' })
  const two = await RawMqtt.open(port, { clientId: '' })
  for (const device of [one, two]) {
    device.publish({ qos: 1, messageId: 1 })
    await device.next('puback')
  }
  const [first, second] = outbox.stored.map(({ partitionKey }) => partitionKey)
  t.match(first, /^auto-[0-9a-f-]{36}$/)
  t.not(first, second)
})

test('while nothing can be stored, connections are closed without a CONNACK, so that every client comes back', async (t) => {
  let canStore = false
  const { logged, port } = await startBroker(t, { canStore: () => canStore })
  const device = await RawMqtt.dial(port)
  device.connect()
  await device.closed
  t.equal(device.bytes.length, 0)
  t.match(await logged('MBS_ERR_BROKER_UNAVAILABLE'), [{ listener: /^mqtt:/, address: /^127/ }])
  canStore = true
  await RawMqtt.open(port)
})

test('on the way to a shutdown, connections are closed without a CONNACK', async (t) => {
  const { broker, port } = await startBroker(t)
  await broker.quiesce()
  const device = await RawMqtt.dial(port)
  device.connect()
  await device.closed
  t.equal(device.bytes.length, 0)
})

test('a MQTT 5 client is told so in its own CONNACK, and the log says so once a minute', async (t) => {
  const { logged, lines, port } = await startBroker(t)
  for (let count = 0; count < 5; count++) {
    const device = await RawMqtt.dial(port)
    device.connect({ protocolVersion: 5 })
    await device.closed
    t.same([...device.bytes], [0x20, 3, 0, 0x84, 0])
  }
  await logged('MBS_ERR_BROKER_MQTT5')
  t.equal(lines.objects.filter((line) => line['code'] === 'MBS_ERR_BROKER_MQTT5').length, 1)
})

test('MQTT.js is told that its protocol version is not supported', async (t) => {
  const { port } = await startBroker(t)
  const client = mqtt.connect({ port, host: '127.0.0.1', protocolVersion: 5, reconnectPeriod: 0 })
  const error = await new Promise<Error>((resolve) => { client.once('error', resolve) })
  t.match(error, { code: 0x84, message: /Unsupported Protocol Version/i })
  await client.endAsync(true)
})

test('mosquitto_pub is told that its protocol version is not supported', async (t) => {
  const { port } = await startBroker(t)
  const { error, stderr } = await new Promise<{ error: ExecFileException | null, stderr: string }>((resolve) => {
    execFile('mosquitto_pub', ['-V', '5', '-h', '127.0.0.1', '-p', String(port), '-t', 'a', '-m', 'x'],
      (error, _stdout, stderr) => { resolve({ error, stderr }) })
  })
  if (error?.code === 'ENOENT') {
    t.comment('NOT CHECKED: mosquitto_pub is not installed')
    return
  }
  t.ok(error, 'it ends with an error')
  t.match(stderr, /unsupported protocol version/i)
})

test('mosquitto_pub publishes with MQTT 3.1.1 and 3.1', async (t) => {
  const { outbox, port } = await startBroker(t)
  for (const version of ['311', '31']) {
    const error = await new Promise<ExecFileException | null>((resolve) => {
      execFile('mosquitto_pub',
        ['-V', version, '-i', 'mosquitto', '-q', '2', '-h', '127.0.0.1', '-p', String(port), '-t', 'a', '-m', version],
        (error) => { resolve(error) })
    })
    if (error?.code === 'ENOENT') {
      t.comment('NOT CHECKED: mosquitto_pub is not installed')
      return
    }
    t.equal(error, null)
  }
  t.same(outbox.texts, ['311', '31'])
})

test('MQTT 3.1 works', async (t) => {
  const { outbox, port } = await startBroker(t)
  const device = await RawMqtt.open(port, { protocolId: 'MQIsdp', protocolVersion: 3 })
  device.publish({ qos: 1, messageId: 1 })
  await device.next('puback')
  t.equal(outbox.stored.length, 1)
})

test('a session is counted once, and once again when it ends', async (t) => {
  const { telemetry, broker, port } = await startBroker(t)
  const sessions = async () => (await telemetry.registry.getSingleMetric('mqtt_broker_source_sessions')?.get())?.values[0]?.value
  const devices = await Promise.all(['a', 'b', 'c'].map((clientId) => RawMqtt.open(port, { clientId })))
  t.equal(await sessions(), 3)
  t.equal(broker.clients, 3)
  for (let count = 0; count < 5; count++) devices.push(await RawMqtt.open(port, { clientId: 'a' }))
  await until(() => broker.clients === 3)
  t.equal(await sessions(), 3)
  for (const device of devices) device.abort()
  await until(() => broker.clients === 0)
  t.equal(await sessions(), 0)
})

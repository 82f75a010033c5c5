import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { test, type Test } from 'tap'
import { createCertificates } from '../support/certs.ts'
import { startBroker, until, type TestBrokerOptions } from '../support/broker.ts'
import { proxyV1, proxyV2 } from '../support/proxy.ts'
import { connectBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { openWebSocket, speakMqtt, upgradeRequest } from '../support/web-socket.ts'

const certificates = createCertificates(t.testdir())
const ca = certificates.read('ca.crt')
const tls = {
  cert: certificates.file('server.crt'), key: certificates.file('server.key'), clientCertificate: 'none', minVersion: 'TLSv1.2'
} as const
const webSocket = { path: '/mqtt', origins: [] }

async function start (t: Test, options: TestBrokerOptions = {}) {
  const addresses: string[] = []
  const started = await startBroker(t, {
    ...options, listener: { proxyProtocol: { trusted: ['10.0.0.0/8', '127.0.0.0/8'] }, ...options.listener }
  })
  const { telemetry } = started
  const sessionStarted = telemetry.sessionStarted.bind(telemetry)
  telemetry.sessionStarted = (fields) => {
    addresses.push(fields.address ?? '')
    sessionStarted(fields)
  }
  return { ...started, addresses }
}

/** A connection as a balancer opens it: what is given goes first. */
async function dial (port: number, first: Buffer): Promise<Socket> {
  const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  socket.write(first)
  return socket
}

const v1 = proxyV1('192.0.2.7', 4711)
const v2 = proxyV2({ source: '2001:db8::7', port: 4712 })

test('the device is the one that the header names', async (t) => {
  const { port, addresses } = await start(t)
  const cases: Array<[header: Buffer, address: string | RegExp]> = [
    [v1, '192.0.2.7:4711'],
    [v2, '[2001:db8::7]:4712'],
    [proxyV2({ source: '192.0.2.8', port: 1, tlvs: Buffer.alloc(500, 3) }), '192.0.2.8:1'],
    [proxyV2({ command: 0x20, family: 0, body: Buffer.alloc(0) }), /^127\.0\.0\.1:\d+$/],
    [Buffer.from('PROXY UNKNOWN\r\n'), /^127\.0\.0\.1:\d+$/]
  ]
  for (const [header, address] of cases) {
    const device = new RawMqtt(await dial(port, Buffer.concat([header, connectBytes()])))
    await device.next('connack')
    t.match(addresses.at(-1), address)
    await device.ping()
  }
})

test('the header comes in any pieces, and what stands behind it is not lost', async (t) => {
  const { port, outbox } = await start(t)
  const bytes = Buffer.concat([v2, connectBytes()])
  for (const cut of [1, 11, 12, 15, 16, 30, v2.length - 1, v2.length, v2.length + 1, bytes.length - 1]) {
    const socket = await dial(port, bytes.subarray(0, cut))
    const device = new RawMqtt(socket)
    await new Promise((resolve) => { setTimeout(resolve, 5) })
    device.write(bytes.subarray(cut))
    await device.next('connack')
    device.publish({ qos: 1, messageId: 1 })
    await device.next('puback')
  }
  const slow = new RawMqtt(await dial(port, Buffer.alloc(0)))
  for (const byte of Buffer.concat([v1, connectBytes()])) {
    slow.write(Buffer.from([byte]))
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  await slow.next('connack')
  t.equal(outbox.stored.length, 10)
})

test('it stands before TLS, whether the handshake comes in the same segment or later', async (t) => {
  const { port, addresses } = await start(t, { tls })
  for (const header of [v1, v2]) {
    for (const together of [true, false]) {
      const raw = connectTcp({ port, host: '127.0.0.1', noDelay: true })
      await once(raw, 'connect')
      if (together) raw.cork()
      raw.write(header)
      if (!together) await new Promise((resolve) => { setTimeout(resolve, 10) })
      const socket = connectTls({ socket: raw, ca, servername: 'localhost' })
      if (together) setImmediate(() => { raw.uncork() })
      const device = new RawMqtt(socket)
      device.connect()
      await device.next('connack')
      t.equal(addresses.at(-1), header === v1 ? '192.0.2.7:4711' : '[2001:db8::7]:4712')
      socket.destroy()
    }
  }
})

test('it stands before HTTP', async (t) => {
  const { port, addresses } = await start(t, { listener: { protocol: 'ws', webSocket } })
  const all = Buffer.concat([v1, Buffer.from(upgradeRequest())])
  for (const cut of [all.length, v1.length, v1.length - 1, v1.length + 1, v1.length + 40]) {
    const socket = await dial(port, all.subarray(0, cut))
    await new Promise((resolve) => { setTimeout(resolve, 5) })
    socket.write(all.subarray(cut))
    t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 101 /, `cut at ${cut}`)
    socket.destroy()
  }
  const raw = await dial(port, v1)
  const device = speakMqtt(await openWebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt', { createConnection: () => raw }))
  device.connect()
  await device.next('connack')
  t.equal(addresses.at(-1), '192.0.2.7:4711')
})

test('it stands before TLS and HTTP on wss', async (t) => {
  const { port, addresses, logged } = await start(t, { tls, listener: { protocol: 'wss', webSocket } })
  const secure = async () => connectTls({ socket: await dial(port, v2), ca, servername: 'localhost' })
  const first = await secure()
  const device = speakMqtt(await openWebSocket(`wss://localhost:${port}/mqtt`, 'mqtt', { createConnection: () => first }))
  device.connect()
  await device.next('connack')
  t.equal(addresses.at(-1), '[2001:db8::7]:4712')
  const second = await secure()
  second.on('error', () => {}).resume()
  second.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(await logged('MBS_ERR_LISTENER_UPGRADE'), [{ address: '[2001:db8::7]:4712' }], 'errors name the device, too')
})

test('an error of the handshake names the device', async (t) => {
  const { port, logged } = await start(t, { tls })
  const socket = await dial(port, Buffer.concat([v1, Buffer.from('no TLS at all, by no means')]))
  socket.on('error', () => {}).resume()
  t.match(await logged('MBS_ERR_LISTENER_HANDSHAKE'), [{ address: '192.0.2.7:4711' }])
})

test('without a header, or with one that is none, the connection is closed', async (t) => {
  for (const first of [connectBytes(), Buffer.from('PROXY TCP4 a b 1 1\r\n'), Buffer.concat([v2.subarray(0, 13), Buffer.alloc(40, 0xff)]), Buffer.alloc(5000)]) {
    const { port, logged, connections, publishes } = await start(t)
    const socket = await dial(port, first)
    socket.on('error', () => {}).resume()
    await once(socket, 'close')
    t.match(await logged('MBS_ERR_LISTENER_PROXY'), [{ address: /^127\.0\.0\.1:/, help: /version 1 or 2/ }])
    await until(() => connections.open === 0)
    t.equal(publishes.length, 0)
  }
})

test('a header that does not come, or not to its end, is closed in time and counts meanwhile', async (t) => {
  for (const first of [Buffer.alloc(0), v1.subarray(0, 20), v2.subarray(0, 20)]) {
    const { port, logged, connections } = await start(t, { gate: { connectTimeoutMs: 200 }, connections: 1 })
    const socket = await dial(port, first)
    socket.on('error', () => {}).resume()
    await until(() => connections.open === 1)
    const other = new RawMqtt(await dial(port, Buffer.concat([v1, connectBytes()])))
    await other.closed
    await once(socket, 'close')
    t.match(await logged('MBS_ERR_LISTENER_PROXY'), [{ msg: /longer than limits\.connectTimeout/ }])
    await until(() => connections.open === 0)
  }
})

test('a connection that ends within its header is told, and one that never began it is a health check', async (t) => {
  const { port, lines, logged, connections } = await start(t)
  const check = await dial(port, Buffer.alloc(0))
  await until(() => connections.open === 1)
  check.end()
  await until(() => connections.open === 0)
  t.same(lines.objects.filter((line) => line['level'] !== 'debug'), [])
  const half = await dial(port, v1.subarray(0, 10))
  half.end()
  t.match(await logged('MBS_ERR_LISTENER_PROXY'), [{ msg: /ended within it/ }])
  await until(() => connections.open === 0)
})

test('nobody is believed whose address is not trusted: with a header or without, the connection is refused', async (t) => {
  for (const trusted of [['10.0.0.0/8'], ['::1'], ['127.0.0.2', '128.0.0.0/1']]) {
    const { port, logged, connections, addresses } = await start(t, { listener: { proxyProtocol: { trusted } } })
    for (const first of [Buffer.concat([v1, connectBytes()]), connectBytes()]) {
      const device = new RawMqtt(await dial(port, first))
      await device.closed
      t.equal(device.bytes.length, 0)
    }
    t.match(await logged('MBS_ERR_LISTENER_PROXY_UNTRUSTED'), [{ address: /^127\.0\.0\.1:/ }])
    await until(() => connections.open === 0)
    t.strictSame(addresses, [])
  }
})

test('a network that is trusted is trusted on a listener of both families, too', async (t) => {
  const { port } = await start(t, { listener: { host: '::' } })
  const device = new RawMqtt(await dial(port, Buffer.concat([v1, connectBytes()])))
  await device.next('connack')
})

test('a header means nothing to a listener without the setting', async (t) => {
  const { port, logged } = await startBroker(t)
  const device = new RawMqtt(await dial(port, Buffer.concat([v1, connectBytes()])))
  await device.closed
  await logged('MBS_ERR_GATE_CONNECT_EXPECTED')
})

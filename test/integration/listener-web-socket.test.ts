import { once } from 'node:events'
import { connect } from 'node:net'
import t, { test, type Test } from 'tap'
import mqtt from 'mqtt'
import { createCertificates } from '../support/certs.ts'
import { startBroker, until, type TestBrokerOptions } from '../support/broker.ts'
import { connectBytes, publishBytes, RawMqtt } from '../support/raw-mqtt.ts'
import { closeCode, exchange, openWebSocket, speakMqtt, upgradeRequest } from '../support/web-socket.ts'

const certificates = createCertificates(t.testdir())
const tls = {
  cert: certificates.file('server.crt'), key: certificates.file('server.key'), clientCertificate: 'none', minVersion: 'TLSv1.2'
} as const

async function startWs (t: Test, options: TestBrokerOptions = {}, origins: string[] = []) {
  const started = await startBroker(t, { ...options, listener: { protocol: 'ws', webSocket: { path: '/mqtt', origins }, ...options.listener } })
  return { ...started, url: `ws://127.0.0.1:${started.port}/mqtt` }
}

async function startWss (t: Test, options: TestBrokerOptions = {}) {
  const started = await startWs(t, { tls, ...options, listener: { protocol: 'wss', ...options.listener } })
  return { ...started, url: `wss://localhost:${started.port}/mqtt` }
}

/** A session over a WebSocket, and the WebSocket. */
async function openSession (url: string, clientId = 'device') {
  const webSocket = await openWebSocket(url)
  const device = speakMqtt(webSocket)
  device.connect({ clientId })
  await device.next('connack')
  return { webSocket, device }
}

for (const [protocol, start] of [['ws', startWs], ['wss', startWss]] as const) {
  test(`MQTT.js publishes and subscribes over ${protocol}`, async (t) => {
    const { outbox, url } = await start(t)
    const ca = protocol === 'wss' ? { ca: certificates.read('ca.crt') } : {}
    const client = await mqtt.connectAsync(url, { ...ca, clientId: 'browser', reconnectPeriod: 0 })
    t.teardown(() => client.end(true))
    await client.subscribeAsync('sites/#', { qos: 1 })
    const message = new Promise<[string, Buffer]>((resolve) => {
      client.once('message', (topic, payload) => { resolve([topic, payload]) })
    })
    const payload = Buffer.alloc(100_000, 'x')
    await client.publishAsync('sites/a', payload, { qos: 2 })
    const [topic, received] = await message
    t.equal(topic, 'sites/a')
    t.ok(received.equals(payload))
    t.ok(outbox.stored[0]?.data.equals(payload))
  })
}

test('the subprotocols mqtt and mqttv3.1 are spoken, and the first that was offered is taken [MQTT-6.0.0-4]', async (t) => {
  const { url } = await startWs(t)
  for (const [offered, taken] of [
    [['mqtt'], 'mqtt'], [['mqttv3.1'], 'mqttv3.1'], [['mqttv3.1', 'mqtt'], 'mqttv3.1'], [['chat', 'mqtt'], 'mqtt']
  ] as const) {
    const webSocket = await openWebSocket(url, [...offered])
    t.equal(webSocket.protocol, taken)
    webSocket.terminate()
  }
})

test('a client that offers neither is refused [MQTT-6.0.0-3]', async (t) => {
  const { url, logged, connections } = await startWs(t)
  for (const offered of [[], ['chat'], ['mqttv5']]) {
    await t.rejects(openWebSocket(url, offered), { message: /400/ }, offered.join())
  }
  t.match(await logged('MBS_ERR_LISTENER_UPGRADE'), [{ msg: /MQTT-6\.0\.0-3/, listener: /^ws:/, address: /^127/ }])
  await until(() => connections.open === 0)
})

test('another path is not found', async (t) => {
  const { port } = await startWs(t)
  for (const path of ['/', '/mqtt/', '/MQTT', '/other', '//mqtt']) {
    await t.rejects(openWebSocket(`ws://127.0.0.1:${port}${path}`), { message: /404/ }, path)
  }
  const webSocket = await openWebSocket(`ws://127.0.0.1:${port}/mqtt?token=a`)
  webSocket.terminate()
})

test('no browser may connect unless the origin of its page is allowed, and what is no browser may', async (t) => {
  const may = async (url: string, origin?: string) => {
    const opened = await openWebSocket(url, 'mqtt', origin === undefined ? {} : { origin }).catch((error: Error) => error)
    if (opened instanceof Error) return opened.message.replace(/\D+/, '')
    opened.terminate()
    return 'yes'
  }
  const closed = await startWs(t)
  t.equal(await may(closed.url), 'yes')
  t.equal(await may(closed.url, 'http://localhost'), '403')
  const listed = await startWs(t, {}, ['https://app.example.com', 'null'])
  t.equal(await may(listed.url), 'yes')
  t.equal(await may(listed.url, 'https://app.example.com'), 'yes')
  t.equal(await may(listed.url, 'HTTPS://APP.example.com'), 'yes')
  t.equal(await may(listed.url, 'null'), 'yes')
  for (const origin of ['http://app.example.com', 'https://app.example.com:8443', 'https://evil-app.example.com', 'https://app.example.com.evil']) {
    t.equal(await may(listed.url, origin), '403', origin)
  }
  t.equal(await may((await startWs(t, {}, ['*'])).url, 'https://anything.example'), 'yes')
})

test('a text frame closes the connection with 1003 [MQTT-6.0.0-1]', async (t) => {
  const { url, logged, connections, broker } = await startWs(t)
  const early = await openWebSocket(url)
  early.send('CONNECT')
  t.equal(await closeCode(early), 1003)
  const { webSocket } = await openSession(url)
  webSocket.send(publishBytes().toString('latin1'))
  t.equal(await closeCode(webSocket), 1003)
  t.match(await logged('MBS_ERR_GATE_WEBSOCKET'), [{ msg: /MQTT-6\.0\.0-1/ }])
  await until(() => connections.open === 0 && broker.clients === 0)
})

test('a connection that was closed leaves no timer behind, whatever still comes', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const { connections, url } = await startWs(t)
  const before = timers()
  for (let at = 0; at < 3; at++) {
    const { webSocket } = await openSession(url)
    webSocket.send('text')
    // Its close frame comes behind the end.
    await closeCode(webSocket)
  }
  await until(() => connections.open === 0)
  t.equal(timers(), before)
})

test('packets may be cut into frames anywhere, and stand together in one [MQTT-6.0.0-2]', async (t) => {
  const { url, outbox } = await startWs(t)
  const webSocket = await openWebSocket(url)
  const device = speakMqtt(webSocket)
  const bytes = Buffer.concat([connectBytes(), ...[1, 2, 3].map((messageId) => publishBytes({ qos: 1, messageId }))])
  for (let at = 0; at < bytes.length; at += 3) {
    device.write(bytes.subarray(at, at + 3))
    if (at % 4 === 0) webSocket.send(Buffer.alloc(0))
  }
  for (let count = 0; count < 3; count++) await device.next('puback')
  device.write(Buffer.concat([4, 5].map((messageId) => publishBytes({ qos: 1, messageId }))))
  // One message in fragments [RFC 6455 5.4].
  const last = publishBytes({ qos: 1, messageId: 6 })
  webSocket.send(last.subarray(0, 5), { fin: false })
  webSocket.send(last.subarray(5), { fin: true })
  for (let count = 0; count < 3; count++) await device.next('puback')
  t.equal(outbox.stored.length, 6)
  t.notOk(webSocket.extensions, 'nothing is compressed')
})

test('a message that is begun and not finished closes the connection, and one that comes slowly does not', async (t) => {
  const { url, logged, connections, outbox } = await startWs(t, { gate: { packetTimeoutMs: 600 } })
  const { webSocket: patient, device } = await openSession(url)
  const { webSocket } = await openSession(url, 'endless')
  const bytes = publishBytes({ qos: 1, messageId: 1 })
  patient.send(bytes.subarray(0, 3), { fin: false })
  webSocket.send(Buffer.alloc(100), { fin: false })
  const endless = setInterval(() => { webSocket.send(Buffer.alloc(100), { fin: false }) }, 50)
  t.teardown(() => { clearInterval(endless) })
  await new Promise((resolve) => setTimeout(resolve, 100))
  patient.send(bytes.subarray(3), { fin: true })
  await device.next('puback')
  t.match(await logged('MBS_ERR_GATE_PACKET_TIMEOUT'), [{ clientId: 'endless' }])
  clearInterval(endless)
  await until(() => connections.open === 1)
  for (const event of ['ping', 'pong'] as const) patient[event]()
  await new Promise((resolve) => setTimeout(resolve, 800))
  device.publish({ qos: 1, messageId: 2 })
  await device.next('puback')
  t.equal(outbox.stored.length, 2, 'silence between messages is nobody\'s mistake')
})

test('a frame larger than a packet may be closes the connection before it is read', async (t) => {
  const { url, logged, connections } = await startWs(t, { gate: { packetBytes: 1000 } })
  const webSocket = await openWebSocket(url)
  webSocket.send(Buffer.alloc(64 * 1024 + 1))
  t.equal(await closeCode(webSocket), 1009)
  t.match(await logged('MBS_ERR_GATE_WEBSOCKET'), [{ msg: /Max payload size exceeded/ }])
  const many = await openSession(url)
  const together = Buffer.concat(Array.from({ length: 1000 }, () => publishBytes()))
  for (let sent = 0; sent < 3; sent++) many.webSocket.send(together)
  await many.device.ping()
  const large = closeCode(many.webSocket)
  many.device.publish({ payload: 'x'.repeat(1001) })
  t.equal(await large, 1006, 'the gate bounds packets as ever')
  await logged('MBS_ERR_GATE_PACKET_TOO_LARGE')
  await until(() => connections.open === 0)
})

test('bytes that are no WebSocket frames close the connection and harm nobody', async (t) => {
  const { url, port, logged, connections } = await startWs(t)
  const { device } = await openSession(url)
  const unmasked = [0x82, 0x01, 0x00]
  for (const bytes of [unmasked, [0xff, 0xff], [0x83, 0x80, 0, 0, 0, 0], connectBytes()]) {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {}).resume()
    socket.write(upgradeRequest())
    socket.write(Buffer.from(bytes))
    await once(socket, 'close')
  }
  await logged('MBS_ERR_GATE_WEBSOCKET')
  await until(() => connections.open === 1)
  await device.ping()
})

test('a plain HTTP request is answered and closed', async (t) => {
  const { port, logged, connections } = await startWs(t)
  const plain = (line: string) => upgradeRequest({ Connection: 'keep-alive', Upgrade: undefined }, line)
  t.match(await exchange(port, plain('GET /mqtt HTTP/1.1')), /^HTTP\/1\.1 426 Upgrade Required\r\n[^]*connection: close\r\n[^]*upgrade: websocket\r\n/i)
  t.match(await exchange(port, plain('GET / HTTP/1.1')), /^HTTP\/1\.1 404/)
  t.match(await exchange(port, upgradeRequest({ Upgrade: 'h2c' })), /^HTTP\/1\.1 400/)
  t.match(await exchange(port, upgradeRequest({ 'Sec-WebSocket-Key': 'short' })), /^HTTP\/1\.1 400/)
  t.match(await exchange(port, upgradeRequest({}, 'POST /mqtt HTTP/1.1')), /^HTTP\/1\.1 400/)
  t.match(await exchange(port, upgradeRequest({ 'X-Long': 'x'.repeat(20_000) })), /^HTTP\/1\.1 431/)
  t.match(await exchange(port, connectBytes().toString('latin1')), /^HTTP\/1\.1 400/)
  await exchange(port, upgradeRequest({}, 'CONNECT host:1 HTTP/1.1'))
  await logged('MBS_ERR_LISTENER_UPGRADE')
  await until(() => connections.open === 0)
})

test('headers that come slowly, none at all, and a session that does not follow are closed in time', async (t) => {
  for (const [what, sent, code] of [
    ['nothing', '', 'MBS_ERR_LISTENER_UPGRADE'],
    ['half a request', upgradeRequest().slice(0, 60), 'MBS_ERR_LISTENER_UPGRADE'],
    ['an upgrade and no CONNECT', upgradeRequest(), 'MBS_ERR_GATE_CONNECT_TIMEOUT']
  ] as const) {
    const { port, logged, connections } = await startWs(t, { gate: { connectTimeoutMs: 300 }, connections: 1 })
    const begun = performance.now()
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {}).resume()
    // A byte now and then is no excuse.
    const drip = setInterval(() => { if (what === 'half a request') socket.write('x') }, 50)
    socket.write(sent)
    await until(() => connections.open === 1)
    await t.rejects(openWebSocket(`ws://127.0.0.1:${port}/mqtt`), 'it counts meanwhile')
    await once(socket, 'close')
    clearInterval(drip)
    await logged(code)
    const took = performance.now() - begun
    t.ok(took > 250 && took < 2000, `${what}: ${took} ms`)
    await until(() => connections.open === 0)
  }
})

test('one time covers handshake, upgrade and CONNECT together', async (t) => {
  const { port, url, logged } = await startWss(t, { gate: { connectTimeoutMs: 1000 } })
  const begun = performance.now()
  const raw = connect({ port, host: '127.0.0.1' })
  await once(raw, 'connect')
  await new Promise((resolve) => { setTimeout(resolve, 600) })
  const webSocket = await openWebSocket(url, 'mqtt', { ca: certificates.read('ca.crt'), socket: raw } as object)
  await closeCode(webSocket)
  await logged('MBS_ERR_GATE_CONNECT_TIMEOUT')
  const took = performance.now() - begun
  t.ok(took > 900 && took < 1500, `${took} ms and not 1600`)
})

test('a handshake that does not end is closed in time and told once', async (t) => {
  const { port, connections, lines, logged } = await startWss(t, { gate: { connectTimeoutMs: 200 } })
  const silent = await RawMqtt.dial(port)
  await silent.closed
  await logged('MBS_ERR_LISTENER_HANDSHAKE')
  await until(() => connections.open === 0)
  t.equal(lines.objects.filter((line) => ['warn', 'error'].includes(String(line['level']))).length, 1)
})

test('a device that sends faster than publishes are stored is held back', async (t) => {
  const { url, outbox, broker } = await startWs(t, { gate: { inflightPerClient: 4 } })
  const { device } = await openSession(url)
  outbox.auto = false
  const payload = Buffer.alloc(10_000, 'x')
  let sent = 0
  // The socket takes no more when its buffers, here and there, are full.
  for (; device.socket.writableLength < 1024 * 1024; sent++) {
    device.publish({ qos: 1, messageId: sent + 1, payload })
    await new Promise((resolve) => { setImmediate(resolve) })
    if (sent > 5000) break
  }
  t.ok(sent < 5000, `${sent} of 10 kB were taken`)
  t.equal(broker.clients, 1)
  outbox.auto = true
  outbox.release()
  for (let count = 0; count < sent; count++) await device.next('puback')
  t.equal(outbox.stored.length, sent, 'and loses nothing')
})

test('a subscriber that does not read is disconnected, and holds nothing up', async (t) => {
  const { url, logged, connections, outbox } = await startWs(t, { gate: { drainTimeoutMs: 300 } })
  const { webSocket, device } = await openSession(url)
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] })
  await device.next('suback')
  webSocket.pause()
  const publisher = speakMqtt(await openWebSocket(url))
  publisher.connect({ clientId: 'publisher' })
  await publisher.next('connack')
  const payload = Buffer.alloc(100_000)
  for (let messageId = 1; messageId <= 200; messageId++) {
    publisher.publish({ qos: 1, messageId, payload })
    await publisher.next('puback')
  }
  await logged('MBS_ERR_GATE_SLOW_READER')
  t.equal(outbox.stored.length, 200)
  webSocket.terminate()
  await until(() => connections.open === 1)
})

test('what was sent before a goodbye is stored, although the device is gone', async (t) => {
  const { url, outbox, connections } = await startWs(t, { gate: { inflightPerClient: 4 } })
  const { webSocket, device } = await openSession(url)
  outbox.auto = false
  for (let number = 1; number <= 40; number++) webSocket.send(publishBytes({ payload: String(number) }))
  device.send({ cmd: 'disconnect' })
  webSocket.close()
  await outbox.arrived(4)
  await new Promise((resolve) => { setTimeout(resolve, 50) })
  t.equal(connections.open, 1, 'its place is kept as long as its packets are')
  outbox.auto = true
  outbox.release()
  await until(() => outbox.stored.length === 40)
  t.strictSame(outbox.stored.map(({ data }) => Number(data.toString())), Array.from({ length: 40 }, (_, at) => at + 1))
  await until(() => connections.open === 0)
})

test('a device that leaves without DISCONNECT leaves nothing behind, and its will is published', async (t) => {
  for (const leave of ['terminate', 'close'] as const) {
    const { url, outbox, connections, broker } = await startWs(t)
    const webSocket = await openWebSocket(url)
    const device = speakMqtt(webSocket)
    device.connect({ will: { topic: 'gone', payload: Buffer.from('x'), qos: 1, retain: false } })
    await device.next('connack')
    webSocket[leave]()
    await until(() => outbox.stored.length === 1)
    await until(() => connections.open === 0 && broker.clients === 0)
  }
})

test('a refusal arrives, and then the close frame', async (t) => {
  const { url } = await startWs(t)
  const webSocket = await openWebSocket(url)
  const code = closeCode(webSocket)
  const device = speakMqtt(webSocket)
  device.connect({ clientId: 'x'.repeat(257) })
  t.equal((await device.next('connack')).returnCode, 2)
  t.equal(await code, 1000)
})

test('pings are answered, and a flood of them has a bound', async (t) => {
  const { url, connections } = await startWs(t)
  const { webSocket } = await openSession(url)
  webSocket.ping('a')
  t.equal(String((await once(webSocket, 'pong'))[0]), 'a')
  webSocket.pause() // takes none of the answers
  webSocket.on('error', () => {})
  const ping = Buffer.alloc(125)
  for (let round = 0; connections.open > 0 && round < 2000; round++) {
    for (let count = 0; count < 100; count++) webSocket.ping(ping, true, () => {})
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  t.equal(connections.open, 0)
})

test('closing ends sessions, and connections that are none yet', async (t) => {
  const { broker, listener, url, port, connections } = await startWs(t)
  const { webSocket } = await openSession(url)
  const code = closeCode(webSocket)
  const silent = await RawMqtt.dial(port)
  await until(() => connections.open === 2)
  await broker.close()
  await listener.close()
  t.equal(await code, 1000)
  await silent.closed
  t.equal(connections.open, 0)
})

test('closing waits for no WebSocket that does not answer', async (t) => {
  const { broker, listener, port, connections } = await startWs(t)
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(upgradeRequest())
  await once(socket, 'data')
  socket.on('error', () => {}).resume()
  const begun = performance.now()
  await broker.close()
  await listener.close()
  t.ok(performance.now() - begun < 4000)
  t.equal(connections.open, 0)
  socket.destroy()
})

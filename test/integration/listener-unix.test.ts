import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { test, type Test } from 'tap'
import { startBroker, until, type TestBrokerOptions } from '../support/broker.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { openWebSocket, speakMqtt } from '../support/web-socket.ts'

/** A directory whose path leaves room for that of a socket, as `t.testdir()` does not. */
function directory (t: Test): string {
  const made = mkdtempSync(join(tmpdir(), 'mbs-'))
  t.teardown(() => { rmSync(made, { recursive: true }) })
  return made
}

const start = (t: Test, path: string, listener: TestBrokerOptions['listener'] = {}, options: TestBrokerOptions = {}) =>
  startBroker(t, { ...options, listener: { host: undefined, port: undefined, unixSocket: { path }, ...listener } })

test('MQTT is spoken on a Unix socket, whose file is gone when the listener has closed', async (t) => {
  const path = join(directory(t), 'mqtt.sock')
  const { address, broker, listener, connections, outbox, telemetry } = await start(t, path)
  t.equal(address, path)
  t.equal(listener.name, `mqtt+unix:${path}`)
  const device = await RawMqtt.open({ path })
  device.publish({ qos: 1, messageId: 1 })
  await device.next('puback')
  t.equal(outbox.stored.length, 1)
  t.match(await telemetry.registry.metrics(), `mqtt_broker_source_connections{listener="mqtt+unix:${path}"} 1`)
  await broker.close()
  await listener.close()
  await device.closed
  t.equal(connections.open, 0)
  t.notOk(existsSync(path))
})

test('a WebSocket is spoken on a Unix socket', async (t) => {
  const path = join(directory(t), 'ws.sock')
  await start(t, path, { protocol: 'ws', webSocket: { path: '/mqtt', origins: [] } })
  const device = speakMqtt(await openWebSocket(`ws+unix:${path}:/mqtt`))
  device.connect()
  await device.next('connack')
})

test('an error says that the device came over a Unix socket', async (t) => {
  const path = join(directory(t), 'mqtt.sock')
  const { logged, connections } = await start(t, path, {}, { connections: 1 })
  const device = await RawMqtt.open({ path })
  const second = await RawMqtt.dial({ path })
  await second.closed
  t.match(await logged('MBS_ERR_LIMIT_CONNECTIONS'), [{ address: 'unix', listener: `mqtt+unix:${path}` }])
  device.socket.destroy()
  await until(() => connections.open === 0)
})

test('a socket of a process that was killed is replaced', async (t) => {
  const path = join(directory(t), 'mqtt.sock')
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  t.equal(spawnSync(process.execPath, ['-e', script]).signal, 'SIGKILL')
  t.ok(lstatSync(path).isSocket())
  await start(t, path)
  await RawMqtt.open({ path })
})

test('a socket on which somebody listens is left alone', async (t) => {
  const path = join(directory(t), 'mqtt.sock')
  const other = createServer((socket) => { socket.on('error', () => {}).end('other') })
  other.listen(path)
  await once(other, 'listening')
  t.teardown(() => { other.close() })
  await t.rejects(start(t, path), {
    code: 'MBS_ERR_LISTENER_BIND', details: { listener: `mqtt+unix:${path}`, reason: /EADDRINUSE/ }
  })
  const client = await RawMqtt.dial({ path })
  await client.closed
  t.equal(client.bytes.toString(), 'other')
})

test('a file that is no socket is left alone', async (t) => {
  const path = join(directory(t), 'file')
  writeFileSync(path, 'precious')
  await t.rejects(start(t, path), { code: 'MBS_ERR_LISTENER_BIND' })
  t.equal(readFileSync(path, 'utf8'), 'precious')
})

test('a path that cannot be is an error, and never a shorter one', async (t) => {
  await t.rejects(start(t, join(directory(t), 'missing', 'mqtt.sock')), { code: 'MBS_ERR_LISTENER_BIND' })
  await t.rejects(start(t, `/tmp/${'é'.repeat(60)}`), { code: 'MBS_ERR_LISTENER_BIND', message: /longer than 107 bytes/ })
})

test('the mode of its file is the one that was asked for', async (t) => {
  for (const mode of [0o600, 0o660, 0o666]) {
    const path = join(directory(t), `mqtt-${mode}.sock`)
    await start(t, path, { unixSocket: { path, mode } })
    t.equal(statSync(path).mode & 0o777, mode)
  }
})

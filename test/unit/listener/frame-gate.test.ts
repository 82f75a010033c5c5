import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test, type Test } from 'tap'
import { FrameGate } from '../../../lib/listener/frame-gate.ts'
import type { GateLimits } from '../../../lib/listener/gate-options.ts'
import { InflightBytes } from '../../../lib/listener/inflight-bytes.ts'
import { connectBytes, publishBytes, RawMqtt } from '../../support/raw-mqtt.ts'
import { gateLimits, until } from '../../support/broker.ts'

/** A gate on a real socket, and the device at its other end. The test is the broker. */
async function openGate (t: Test, limits: Partial<GateLimits> = {}) {
  const server = createServer({ allowHalfOpen: true })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const device = new RawMqtt(connect({ port, host: '127.0.0.1', noDelay: true }))
  const [socket] = await accepted
  const gate = new FrameGate({
    socket,
    facts: { listener: 'l', address: 'a' },
    peer: { ip: 'a', secure: false, anonymous: true },
    limits: { ...gateLimits, ...limits },
    inflight: new InflightBytes(1024 * 1024)
  })
  t.teardown(() => {
    gate.destroy()
    device.socket.destroy()
    server.close()
  })
  return { gate, device, socket }
}

/** Reads from a gate until so many bytes have come. */
async function read (gate: FrameGate, bytes: number): Promise<Buffer> {
  let got = Buffer.alloc(0)
  while (got.length < bytes) {
    const chunk = gate.read() as Buffer | null
    if (chunk === null) await once(gate, 'readable')
    else got = Buffer.concat([got, chunk])
  }
  return got
}

async function openSession (t: Test, limits: Partial<GateLimits> = {}) {
  const opened = await openGate(t, limits)
  opened.device.write(connectBytes())
  await read(opened.gate, connectBytes().length)
  opened.gate.sessionAccepted()
  return opened
}

test('nothing passes behind CONNECT before the session is accepted', async (t) => {
  const { gate, device } = await openGate(t)
  const publish = publishBytes()
  device.write(Buffer.concat([connectBytes(), publish]))
  t.ok((await read(gate, connectBytes().length)).equals(connectBytes()))
  t.equal(gate.read(), null)
  gate.sessionAccepted()
  t.ok((await read(gate, publish.length)).equals(publish))
})

test('PINGREQ does not pass, and what stands around it does', async (t) => {
  const { gate, device } = await openSession(t)
  const ping = Buffer.from([0xc0, 0])
  device.write(Buffer.concat([ping, publishBytes(), ping, ping, publishBytes(), ping]))
  const both = Buffer.concat([publishBytes(), publishBytes()])
  t.ok((await read(gate, both.length)).equals(both))
  for (let count = 0; count < 4; count++) await device.next('pingresp')
})

test('a half of PINGREQ does not pass either', async (t) => {
  const { gate, device } = await openSession(t)
  device.write(Buffer.concat([publishBytes(), Buffer.from([0xc0])]))
  await read(gate, publishBytes().length)
  device.write(Buffer.concat([Buffer.from([0]), publishBytes()]))
  t.ok((await read(gate, publishBytes().length)).equals(publishBytes()))
  await device.next('pingresp')
})

test('goes on when half of the publishes are stored and forwarded', async (t) => {
  const { gate, device } = await openSession(t, { inflightPerClient: 4 })
  const size = publishBytes().length
  device.write(Buffer.concat(Array.from({ length: 6 }, () => publishBytes())))
  await read(gate, 4 * size)
  t.equal(gate.read(), null)
  gate.publishStored()
  gate.publishStored()
  gate.publishForwarded()
  t.equal(gate.read(), null, 'stored is not enough')
  gate.publishForwarded()
  t.equal((await read(gate, 2 * size)).length, 2 * size)
})

test('other packets pass at the limit, until a publish comes', async (t) => {
  const { gate, device } = await openSession(t, { inflightPerClient: 1 })
  const puback = Buffer.from([0x40, 2, 0, 1])
  device.write(Buffer.concat([publishBytes(), puback, publishBytes(), puback]))
  const passed = publishBytes().length + puback.length
  t.equal((await read(gate, passed)).length, passed)
  t.equal(gate.read(), null)
})

test('after quiesce no publish passes, and everything else does', async (t) => {
  const { gate, device } = await openSession(t)
  gate.quiesce()
  const disconnect = Buffer.from([0xe0, 0])
  device.write(Buffer.concat([disconnect, publishBytes()]))
  t.ok((await read(gate, 2)).equals(disconnect))
  t.equal(gate.read(), null)
})

test('PINGRESP waits for the end of the packet that is being written', async (t) => {
  const { gate, device } = await openSession(t)
  const packet = publishBytes({ payload: 'x'.repeat(50) })
  gate.write(packet.subarray(0, 20))
  device.send({ cmd: 'pingreq' })
  device.publish()
  await read(gate, publishBytes().length)
  gate.write(Buffer.concat([packet.subarray(20), packet]))
  await device.next('pingresp')
  await until(() => device.bytes.length === packet.length * 2 + 2)
  t.ok(device.bytes.equals(Buffer.concat([packet, Buffer.from([0xd0, 0]), packet])))
})

test('a device that does not read holds writes back, and is owed a bounded number of PINGRESPs', async (t) => {
  const { gate, device, socket } = await openSession(t)
  device.socket.pause()
  const packet = publishBytes({ payload: Buffer.alloc(100_000) })
  let written = 0
  while (!gate.full) {
    gate.write(packet)
    written++
    await new Promise(setImmediate)
  }
  device.write(Buffer.concat([...Array.from({ length: 1000 }, () => Buffer.from([0xc0, 0])), publishBytes()]))
  await read(gate, publishBytes().length)
  t.ok(socket.writableLength < 100_000, `${socket.writableLength} bytes wait for the kernel`)
  device.socket.resume()
  await gate.room()
  const pongs = () => device.received.filter(({ cmd }) => cmd === 'pingresp').length
  await until(() => pongs() > 0 && device.received.filter(({ cmd }) => cmd === 'publish').length === written)
  t.equal(pongs(), 64)
})

test('large writes arrive whole, small ones too', async (t) => {
  const { gate, device } = await openSession(t)
  const packet = publishBytes({ payload: 'x'.repeat(50_000) })
  gate.cork()
  for (let count = 0; count < 5; count++) {
    gate.write(packet.subarray(0, 10))
    gate.write(packet.subarray(10))
  }
  gate.uncork()
  await until(() => device.bytes.length === packet.length * 5)
  t.ok(device.bytes.equals(Buffer.concat([packet, packet, packet, packet, packet])))
})

test('its end passes when everything before it is answered', async (t) => {
  const { gate, device } = await openSession(t)
  device.publish()
  device.socket.end()
  await read(gate, publishBytes().length)
  let hasEnded = false
  gate.once('end', () => { hasEnded = true })
  gate.on('readable', () => { gate.read() })
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.notOk(hasEnded)
  gate.publishStored()
  gate.publishForwarded()
  await until(() => hasEnded)
})

test('what was written before it was destroyed still arrives', async (t) => {
  const { gate, device } = await openSession(t)
  gate.write(publishBytes({ payload: 'x'.repeat(100_000) }))
  gate.destroy()
  t.equal((await device.next('publish')).payload.length, 100_000)
  await device.closed
})

test('a device that does not take the last bytes does not keep its connection', async (t) => {
  const { gate, device, socket } = await openSession(t)
  device.socket.pause()
  while (!gate.full) {
    gate.write(publishBytes({ payload: Buffer.alloc(200_000) }))
    await new Promise(setImmediate)
  }
  gate.destroy()
  await once(socket, 'close')
})

test('an error of the socket is an error of the gate, once', async (t) => {
  const { gate, device } = await openSession(t)
  const errors: Error[] = []
  gate.on('error', (error) => { errors.push(error) })
  const closed = new Promise((resolve) => { gate.once('close', resolve) })
  device.abort()
  await closed
  t.match(errors, [{ code: 'ECONNRESET' }])
  gate.publishStored()
  gate.publishForwarded()
  gate.sessionAccepted()
  gate.refuse(Buffer.from([0]))
  t.equal(errors.length, 1, 'what comes later is ignored')
})

test('a rule that is broken closes the connection at once, with the error', async (t) => {
  const { gate, device } = await openSession(t)
  const failed = once(gate, 'error')
  device.write(Buffer.from([0xff]))
  t.match(await failed, [{ code: 'MBS_ERR_GATE_MALFORMED' }])
  await device.closed
})

test('a device that does not read its answers is not read either, until it does', async (t) => {
  const { gate, device, socket } = await openSession(t, { unreadBytes: 64 * 1024 })
  device.socket.pause()
  const answer = Buffer.alloc(1000, 'x')
  let answers = 0
  while (!gate.full) {
    gate.write(answer)
    answers++
    if (answers % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(gate.writableNeedDrain, false, 'whoever writes does not wait')
  device.write(publishBytes())
  await read(gate, publishBytes().length)
  device.write(publishBytes())
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(gate.read(), null)
  t.ok(socket.isPaused())
  let hasRoom = false
  void gate.room().then(() => { hasRoom = true })
  await new Promise((resolve) => setImmediate(resolve))
  t.notOk(hasRoom)

  device.socket.resume()
  await read(gate, publishBytes().length)
  await gate.room()
  await until(() => device.bytes.length === answers * answer.length)
  t.ok(device.bytes.every((byte) => byte === answer[0]))
})

test('what waits goes out in order, and what is there when it is closed as well', async (t) => {
  const { gate, device } = await openSession(t, { unreadBytes: 64 * 1024 })
  device.socket.pause()
  const sent: Buffer[] = []
  // More than the kernel holds, and not so much that it takes longer to read than a closed connection has.
  for (let number = 0, more = 100; more > 0; number++) {
    if (gate.full) more--
    const size = [4, 100, 5000, 1, 4097, 40_000][number % 6] as number
    const header = Buffer.from([0x30, 0x80 | (size & 0x7f), 0x80 | (size >> 7 & 0x7f), size >> 14])
    const packet = Buffer.concat([header, Buffer.alloc(size, number)])
    sent.push(packet)
    gate.write(packet)
    if (number % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  t.ok(gate.full)
  device.socket.resume()
  gate.destroy()
  await device.closed
  t.ok(device.bytes.equals(Buffer.concat(sent)))
})

test('a device that takes nothing of what waits for it is closed in time, and one that takes some of it is not', async (t) => {
  const { gate, device } = await openSession(t, { drainTimeoutMs: 1500 })
  const failed = once(gate, 'error')
  device.socket.pause()
  for (let number = 0; number < 200; number++) gate.write(Buffer.alloc(100_000))
  for (let step = 1; step <= 3; step++) {
    device.socket.resume()
    // So much that the kernel at the other side, which holds some as well, asks for more.
    await until(() => device.bytes.length > step * 4_000_000)
    device.socket.pause()
    await new Promise((resolve) => setTimeout(resolve, 600))
  }
  t.notOk(gate.destroyed)
  t.match(await failed, [{ code: 'MBS_ERR_GATE_SLOW_READER' }])
})

/**
 * The load: MQTT clients over raw sockets, each with a number of QoS 1 publishes in flight, as fast as PUBACKs come.
 * Started as a child: argv port (or several, with commas: the clients in turn), clients, in flight, publishes in all,
 * payload bytes. Reports over IPC and ends itself. With `hold` it tells when all are connected, publishes when it is
 * answered, and stays connected until it is ended: then what CONNECT costs is not in what is measured.
 */
import { connect } from 'node:net'

const ports = (process.argv[2] ?? '').split(',').map(Number)
const [clients, inflight, total, payloadBytes] = process.argv.slice(3).map(Number) as [number, number, number, number]
const isHeld = process.argv[7] === 'hold'

function field (text: string | Buffer): Buffer {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** A packet from its first byte and body [MQTT-2.2]. */
function packet (first: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const length: number[] = []
  let rest = body.length
  do {
    const byte = rest % 128
    rest = Math.floor(rest / 128)
    length.push(rest > 0 ? byte | 0x80 : byte)
  } while (rest > 0)
  return Buffer.concat([Buffer.from([first, ...length]), body])
}

const latencies: number[] = []
let sent = 0
let acked = 0
let first = 0n

const connected = Array.from({ length: clients }, (_, index) => new Promise<() => void>((resolve, reject) => {
  const socket = connect({ port: ports[index % ports.length] as number, host: '127.0.0.1', noDelay: true })
  const id = `bench-${index}`
  const topic = field(`sites/a/devices/${id}/telemetry`)
  const payload = Buffer.from(JSON.stringify({ device: id, value: 74.12, fill: '' }).padEnd(payloadBytes, ' '))
  const sentAt = new Float64Array(65536)
  let nextId = 0
  let greeted = false
  let pending = Buffer.alloc(0)

  const publish = (count: number): void => {
    const parts: Buffer[] = []
    for (; count > 0 && sent < total; count--) {
      nextId = nextId % 65535 + 1
      sent++
      sentAt[nextId] = performance.now()
      parts.push(packet(0x32, topic, Buffer.from([nextId >> 8, nextId & 255]), payload))
    }
    if (parts.length > 0) socket.write(Buffer.concat(parts))
  }

  socket.on('connect', () => {
    socket.write(packet(0x10, field('MQTT'), Buffer.from([4, 2, 0, 60]), field(id)))
  })
  socket.on('error', reject)
  socket.on('data', (chunk) => {
    const bytes = pending.length > 0 ? Buffer.concat([pending, chunk]) : chunk
    let at = 0
    let acks = 0
    for (; at + 4 <= bytes.length; at += 4) {
      if (!greeted) {
        greeted = true
        resolve(() => { publish(inflight) })
        continue
      }
      const messageId = bytes.readUInt16BE(at + 2)
      if (acked % 16 === 0) latencies.push(performance.now() - (sentAt[messageId] ?? 0))
      acks++
      acked++
    }
    pending = bytes.subarray(at)
    if (acked >= total) finish()
    else if (acks > 0) publish(acks)
  })
}))

function finish (): void {
  const seconds = Number(process.hrtime.bigint() - first) / 1e9
  latencies.sort((a, b) => a - b)
  const quantile = (q: number): number => latencies[Math.floor(latencies.length * q)] ?? 0
  process.send?.({ acked, seconds, p50Ms: quantile(0.5), p99Ms: quantile(0.99) })
  if (isHeld) return
  process.disconnect?.()
  process.exit(0)
}

const go = await Promise.all(connected)
if (isHeld) {
  process.send?.('connected')
  await new Promise((resolve) => { process.once('message', resolve) })
  process.once('disconnect', () => { process.exit(0) })
}
first = process.hrtime.bigint()
for (const begin of go) begin()

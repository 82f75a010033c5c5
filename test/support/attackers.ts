/** Clients that mean harm, each in a bounded loop. They know nothing of the broker but its port. */
import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { generate, type Packet } from 'mqtt-packet'
import { connectBytes, publishBytes } from './raw-mqtt.ts'

export type Random = () => number

/** What one connection came to. */
export interface Outcome {
  readonly received: Buffer
  /** True where the broker closed it. */
  readonly closed: boolean
}

/** Opens a connection, sends these bytes one after the other, and waits until it is closed, for so long at most. */
export async function attack (port: number, writes: readonly Buffer[], waitMs: number, gapMs = 0): Promise<Outcome> {
  const socket = await dial(port)
  const parts: Buffer[] = []
  let closed = false
  socket.on('data', (part: Buffer) => { parts.push(part) })
  const gone = new Promise<void>((resolve) => {
    socket.once('close', () => {
      closed = true
      resolve()
    })
  })
  for (const bytes of writes) {
    if (closed || socket.destroyed) break
    socket.write(bytes)
    if (gapMs > 0) await Promise.race([gone, sleep(gapMs)])
  }
  const timer = sleep(waitMs)
  await Promise.race([gone, timer])
  const outcome = { received: Buffer.concat(parts), closed }
  socket.destroy()
  return outcome
}

/** Does something so many times, so many at a time. */
export async function times<T> (count: number, atATime: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  let next = 0
  await Promise.all(Array.from({ length: Math.min(atATime, count) }, async () => {
    while (next < count) {
      const index = next++
      results[index] = await work(index)
    }
  }))
  return results
}

/** Connections that say nothing after CONNECT and stay. */
export async function idle (port: number, count: number): Promise<Socket[]> {
  return await times(count, 100, async (index) => {
    const socket = await dial(port)
    socket.write(connectBytes({ clientId: `idle-${index}` }))
    await new Promise<void>((resolve) => {
      socket.once('data', () => { resolve() })
      socket.once('close', () => { resolve() })
    })
    return socket
  })
}

/** Bytes without any sense. */
export function noise (random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)))
}

/** Valid packets of a session, with some of their bytes changed, cut short or doubled. */
export function mutated (random: Random): Buffer {
  const packets: Packet[] = [
    { cmd: 'publish', topic: 'a/b', payload: 'x', qos: 1, dup: false, retain: true, messageId: 1 },
    { cmd: 'publish', topic: 'a/b', payload: 'x', qos: 2, dup: true, retain: false, messageId: 2 },
    { cmd: 'pubrel', messageId: 2 },
    { cmd: 'subscribe', messageId: 3, subscriptions: [{ topic: 'a/#', qos: 1 }, { topic: '+', qos: 2 }] },
    { cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['a/#'] },
    { cmd: 'puback', messageId: 5 }, { cmd: 'pubrec', messageId: 6 }, { cmd: 'pubcomp', messageId: 7 },
    { cmd: 'pingreq' }, { cmd: 'disconnect' }
  ]
  const chosen = Array.from({ length: 4 }, () => generate(packets[Math.floor(random() * packets.length)] as Packet))
  const bytes = Buffer.concat(chosen)
  for (let change = 0; change < 3; change++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
  return random() < 0.3 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes
}

/** SUBSCRIBE with so many filters. */
export function manyFilters (count: number): Buffer {
  const subscriptions = Array.from({ length: count }, (_, index) => ({ topic: `f/${index}`, qos: 1 as const }))
  return generate({ cmd: 'subscribe', messageId: 1, subscriptions })
}

/** SUBSCRIBE to one filter. */
export function subscribeBytes (topic: string, messageId = 1): Buffer {
  return withId(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] }), 2, messageId)
}

/** PUBLISH at QoS 1 with the packet identifier 0, which no library writes. */
export function publishWithIdZero (): Buffer {
  return withId(publishBytes({ topic: 'abc', qos: 1, messageId: 1 }), 2 + 2 + 3, 0)
}

/** PUBLISH to a topic of any bytes. */
export function publishTo (topic: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([topic.length >> 8, topic.length & 255]), topic, Buffer.from([0, 1, 0x78])])
  return Buffer.concat([Buffer.from([0x32]), lengthOf(body.length), body])
}

/** CONNECT with a client identifier of any bytes. */
export function connectAs (clientId: Buffer): Buffer {
  const body = Buffer.concat([
    Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, clientId.length >> 8, clientId.length & 255]), clientId
  ])
  return Buffer.concat([Buffer.from([0x10]), lengthOf(body.length), body])
}

/** CONNECT with a will to this topic. mqtt-packet does not write what must not be written: it is put in afterwards. */
export function connectWithWill (topic: string): Buffer {
  const placeholder = '~'.repeat(Buffer.byteLength(topic))
  const bytes = connectBytes({ clientId: 'will', will: { topic: placeholder, payload: Buffer.from('x'), qos: 1, retain: false } })
  bytes.write(topic, bytes.indexOf(placeholder))
  return bytes
}

function withId (bytes: Buffer, at: number, messageId: number): Buffer {
  bytes.writeUInt16BE(messageId, at)
  return bytes
}

/** The remaining length [MQTT-2.2.3]. */
function lengthOf (length: number): Buffer {
  const bytes = []
  do {
    const more = length > 127
    bytes.push(length % 128 + (more ? 128 : 0))
    length = Math.floor(length / 128)
  } while (length > 0)
  return Buffer.from(bytes)
}

async function dial (port: number): Promise<Socket> {
  const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => {})
  await new Promise<void>((resolve) => {
    socket.once('connect', () => { resolve() })
    socket.once('close', () => { resolve() })
  })
  return socket
}

/**
 * An MQTT client that does exactly what a test says: packets and bytes, in the segments given, and nothing by itself.
 * It reads as it goes and remembers what came; `pause` makes it stop reading.
 */
import { once } from 'node:events'
import { connect as connectTcp, Socket, type NetConnectOpts } from 'node:net'
import type { Duplex } from 'node:stream'
import { generate, parser as createParser, type IConnectPacket, type Packet } from 'mqtt-packet'

type Command = NonNullable<Packet['cmd']>
type PacketOf<C extends Command> = Extract<Packet, { cmd: C }>

/** A PUBLISH with what tests seldom care about filled in. */
export interface PublishFields {
  topic?: string
  payload?: string | Buffer
  qos?: 0 | 1 | 2
  messageId?: number
  dup?: boolean
  retain?: boolean
}

export class RawMqtt<S extends Duplex = Socket> {
  readonly socket: S
  /** What came, in order, as far as `next` has not taken it. */
  readonly received: Packet[] = []
  /** Every byte that came. */
  bytes = Buffer.alloc(0)
  /** Resolves when the connection is closed, whoever did it. */
  readonly closed: Promise<void>
  #wake: Array<() => void> = []
  #isClosed = false

  constructor (socket: S) {
    this.socket = socket
    const parser = createParser({ protocolVersion: 4 })
    parser.on('packet', (packet) => { this.received.push(packet) })
    parser.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk])
      parser.parse(chunk)
      this.#notify()
    })
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true
        this.#notify()
        resolve()
      })
    })
  }

  /** Connects over TCP, or as the options say, and sends nothing. */
  static async dial (to: number | NetConnectOpts): Promise<RawMqtt> {
    const socket = connectTcp(typeof to === 'number' ? { port: to, host: '127.0.0.1', noDelay: true } : to)
    await once(socket, 'connect')
    return new RawMqtt(socket)
  }

  /** Connects and establishes a session. */
  static async open (to: number | NetConnectOpts, fields: Partial<IConnectPacket> = {}): Promise<RawMqtt> {
    const client = await RawMqtt.dial(to)
    client.connect(fields)
    const connack = await client.next('connack')
    if (connack.returnCode !== 0) throw new Error(`CONNACK ${connack.returnCode}`)
    return client
  }

  /** The next message, acknowledged as its QoS asks for, at QoS 2 to the end. */
  async take (): Promise<PacketOf<'publish'>> {
    const message = await this.next('publish')
    const messageId = message.messageId as number
    if (message.qos === 1) this.send({ cmd: 'puback', messageId })
    if (message.qos !== 2) return message
    this.send({ cmd: 'pubrec', messageId })
    await this.next('pubrel')
    this.send({ cmd: 'pubcomp', messageId })
    return message
  }

  /** Sends CONNECT. */
  connect (fields: Partial<IConnectPacket> = {}): void {
    this.write(connectBytes(fields))
  }

  send (...packets: Packet[]): void {
    this.write(Buffer.concat(packets.map((packet) => generate(packet))))
  }

  publish (fields: PublishFields = {}): void {
    this.write(publishBytes(fields))
  }

  write (bytes: Buffer | string): void {
    this.socket.write(bytes)
  }

  get isClosed (): boolean {
    return this.#isClosed
  }

  /** Takes the next packet of this type that came or will come; leaves others where they are. */
  async next<C extends Command> (cmd: C): Promise<PacketOf<C>> {
    for (;;) {
      const index = this.received.findIndex((packet) => packet.cmd === cmd)
      if (index >= 0) return this.received.splice(index, 1)[0] as PacketOf<C>
      if (this.#isClosed) throw new Error(`closed before ${cmd} came`)
      await new Promise<void>((resolve) => { this.#wake.push(resolve) })
    }
  }

  /** Sends PINGREQ and waits for its answer: whatever was sent before has arrived and been looked at by the gate. */
  async ping (): Promise<void> {
    this.send({ cmd: 'pingreq' })
    await this.next('pingresp')
  }

  /** The identifiers of the packets of this type that came and were not taken. */
  idsOf (cmd: Command): number[] {
    return this.received.filter((packet) => packet.cmd === cmd).map((packet) => packet.messageId as number)
  }

  /** Breaks the connection off without a word. */
  abort (): void {
    // Node never tells of the close of one that it resets while its end is on the way.
    if (this.socket instanceof Socket && !this.socket.writableEnded) this.socket.resetAndDestroy()
    else this.socket.destroy()
  }

  #notify (): void {
    const wake = this.#wake
    this.#wake = []
    for (const resolve of wake) resolve()
  }
}

export function connectBytes (fields: Partial<IConnectPacket> = {}): Buffer {
  return generate({
    cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'device', keepalive: 0, ...fields
  })
}

export function publishBytes (fields: PublishFields = {}): Buffer {
  const { topic = 'sensors/temperature', payload = '74.12', qos = 0, dup = false, retain = false, messageId } = fields
  return generate({ cmd: 'publish', topic, payload, qos, dup, retain, ...(messageId !== undefined && { messageId }) })
}

/** A server that speaks MQTT only as far as a test tells it to. */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'
import { generate, parser as createParser, type Packet } from 'mqtt-packet'

export interface Liar {
  send (...packets: Packet[]): void
  readonly socket: Socket
}

/** What it does with a packet; `undefined` is the connection, before anything came. */
export type Script = (packet: Packet | undefined, liar: Liar) => void

/** Starts one that ends with the test. @returns its URL */
export async function startLiar (t: Test, script: Script): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    const send = (...packets: Packet[]) => { for (const packet of packets) socket.write(generate(packet)) }
    const liar: Liar = { socket, send }
    const parser = createParser({ protocolVersion: 4 })
    parser.on('packet', (packet) => { script(packet, liar) })
    parser.on('error', () => {})
    socket.on('data', (chunk: Buffer) => { parser.parse(chunk) })
    script(undefined, liar)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => { server.close(resolve) })
  })
  return `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A broker that does all that it should as far as `last`, and from then on what the script says. */
export function honestUntil (last: 'connect' | 'subscribe' | 'publish' | 'never', then: Script): Script {
  return (packet, liar) => {
    if (packet === undefined) return
    if (packet.cmd === last) return then(packet, liar)
    if (packet.cmd === 'connect') liar.send({ cmd: 'connack', returnCode: 0, sessionPresent: false })
    if (packet.cmd === 'subscribe') liar.send({ cmd: 'suback', messageId: packet.messageId!, granted: [1] })
    if (packet.cmd === 'publish') liar.send({ cmd: 'puback', messageId: packet.messageId! }, { ...packet, qos: 0 })
  }
}

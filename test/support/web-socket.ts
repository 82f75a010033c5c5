/** WebSockets of tests: one that speaks MQTT packets as RawMqtt does, and requests written by hand. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { WebSocket, type ClientOptions } from 'ws'
import { WebSocketStream } from '../../lib/listener/web-socket-stream.ts'
import { RawMqtt } from './raw-mqtt.ts'

/** Opens a WebSocket; rejects with `Unexpected server response: 404` where it is refused. */
export async function openWebSocket (
  url: string, protocols: string | string[] = 'mqtt', options: ClientOptions = {}
): Promise<WebSocket> {
  const webSocket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options })
  await once(webSocket, 'open')
  return webSocket
}

/** An MQTT client that does what a test says, over a WebSocket: each write is a frame. */
export function speakMqtt (webSocket: WebSocket): RawMqtt<WebSocketStream> {
  const stream = new WebSocketStream(webSocket)
  stream.once('end', () => { stream.destroy() })
  return new RawMqtt(stream)
}

/** Resolves with the close code once a WebSocket has closed. */
export async function closeCode (webSocket: WebSocket): Promise<number> {
  webSocket.on('error', () => {})
  const [code] = await once(webSocket, 'close') as [number]
  return code
}

/** The lines of a request that asks for a WebSocket; `undefined` leaves a header out. */
export function upgradeRequest (headers: Record<string, string | undefined> = {}, line = 'GET /mqtt HTTP/1.1'): string {
  const all = {
    Host: 'localhost',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Protocol': 'mqtt',
    ...headers
  }
  const lines = Object.entries(all).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}`)
  return [line, ...lines, '', ''].join('\r\n')
}

/** Writes text to a port and returns all that comes back until the server closes. */
export async function exchange (port: number, text: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let answer = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => { answer += chunk })
  socket.on('error', () => {})
  socket.write(text)
  await once(socket, 'end')
  socket.destroy()
  return answer
}

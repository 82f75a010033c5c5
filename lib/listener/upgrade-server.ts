/**
 * From HTTP to WebSocket: takes connections that are counted and secured already, lets those through that ask for MQTT
 * at the right path and from an allowed origin, and answers and closes all others. It listens on nothing, keeps no
 * connection alive, and leaves the time that all this may take to its caller.
 */
import { createServer, STATUS_CODES, type IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { WebSocketStream } from './web-socket-stream.ts'

/** Of these, the one that a client names first is taken [MQTT-6.0.0-3, MQTT-6.0.0-4]. */
const SUBPROTOCOLS = new Set(['mqtt', 'mqttv3.1'])

/** The request line and all headers together, in bytes. */
const MAX_HEADER_BYTES = 16 * 1024
/** A frame may hold several packets; one of this size is never too large. */
const MIN_PAYLOAD_BYTES = 64 * 1024
/** Frames of one message. Clients of MQTT cut none; each takes a hundred bytes beside what is in it. */
const MAX_FRAGMENTS = 256

/** How a listener speaks WebSocket. */
export interface WebSocketSettings {
  /** Where the WebSocket is; every other path is not found. */
  readonly path: string
  /** The origins whose pages may connect, such as `https://app.example.com`; `*`: all. Other programs name none. */
  readonly origins: readonly string[]
}

export interface UpgradeLimits {
  readonly packetBytes: number
  readonly packetTimeoutMs: number
}

export interface UpgradeHandlers {
  /** The connection speaks WebSocket from now on. */
  readonly upgraded: (stream: WebSocketStream) => void
  /** It is answered, and closed as soon as the answer has gone out. */
  readonly refused: (reason: string, cause?: Error) => void
}

/** Why a request is refused. */
interface Refusal {
  readonly status: number
  readonly reason: string
}

export class UpgradeServer {
  readonly #settings: WebSocketSettings
  readonly #http: Server
  readonly #webSockets: WebSocketServer
  readonly #packetTimeoutMs: number
  readonly #handlers = new WeakMap<Duplex, UpgradeHandlers>()

  /**
   * @param settings of the listener
   * @param limits `packetBytes`: the largest packet, and so the largest frame; `packetTimeoutMs`: from its first byte
   * to its last
   */
  constructor (settings: WebSocketSettings, { packetBytes, packetTimeoutMs }: UpgradeLimits) {
    this.#settings = settings
    this.#packetTimeoutMs = packetTimeoutMs
    this.#webSockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: Math.max(packetBytes, MIN_PAYLOAD_BYTES),
      maxFragments: MAX_FRAGMENTS,
      handleProtocols: (offered) => [...offered].find((name) => SUBPROTOCOLS.has(name)) ?? false
    })
    this.#webSockets.on('wsClientError', (error, socket) => {
      this.#refuse(socket, { status: 400, reason: error.message })
    })
    this.#http = createServer({ maxHeaderSize: MAX_HEADER_BYTES })
    this.#http.on('request', (request, response) => {
      const { status, reason } = this.#checkPath(request) ?? { status: 426, reason: 'it is a plain HTTP request' }
      this.#handlers.get(request.socket)?.refused(reason)
      response.writeHead(status, { connection: 'close', 'content-type': 'text/plain', ...UPGRADE }).end(bodyOf(status))
    })
    this.#http.on('upgrade', (request, socket, head) => { this.#upgrade(request, socket, head) })
    this.#http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
      this.#refuse(socket, { status, reason: error.code ?? error.message }, error)
    })
  }

  /** Takes a connection over, of which nothing has been read. */
  take (socket: Socket, handlers: UpgradeHandlers): void {
    this.#handlers.set(socket, handlers)
    this.#http.emit('connection', socket)
  }

  #upgrade (request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refusal = this.#checkPath(request) ?? this.#checkOrigin(request) ?? checkProtocol(request)
    if (refusal !== undefined) {
      this.#refuse(socket, refusal)
      return
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.#handlers.get(socket)?.upgraded(new WebSocketStream(webSocket, socket, this.#packetTimeoutMs))
    })
  }

  #checkPath ({ url = '' }: IncomingMessage): Refusal | undefined {
    if (url.split('?', 1)[0] === this.#settings.path) return undefined
    return { status: 404, reason: `its path is not ${this.#settings.path}` }
  }

  /** A browser names the page's origin, and lets no page lie about it; what names none is no browser. */
  #checkOrigin ({ headers: { origin } }: IncomingMessage): Refusal | undefined {
    const { origins } = this.#settings
    if (origin === undefined || origins.includes('*') || origins.includes(origin.toLowerCase())) return undefined
    return { status: 403, reason: 'its origin is not allowed' }
  }

  #refuse (socket: Duplex, { status, reason }: Refusal, cause?: Error): void {
    this.#handlers.get(socket)?.refused(reason, cause)
    if (!socket.writable) {
      socket.destroy()
      return
    }
    const body = bodyOf(status)
    const headers = { connection: 'close', 'content-type': 'text/plain', 'content-length': body.length, ...(status === 426 && UPGRADE) }
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.on('error', () => {})
    socket.once('finish', () => { socket.destroy() })
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`)
  }
}

const UPGRADE = { upgrade: 'websocket' }

function bodyOf (status: number): string {
  return `${STATUS_CODES[status]}: MQTT over WebSocket is spoken here.\n`
}

/** A client has to offer one [MQTT-6.0.0-3]; an MQTT client that forgets it would not understand the answer. */
function checkProtocol ({ headers }: IncomingMessage): Refusal | undefined {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  if (offered.some((name) => SUBPROTOCOLS.has(name))) return undefined
  return { status: 400, reason: 'it offers none of the subprotocols mqtt and mqttv3.1 [MQTT-6.0.0-3]' }
}

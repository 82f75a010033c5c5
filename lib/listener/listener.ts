/**
 * One listener, over TCP or a Unix socket, with TLS, WebSocket and the PROXY protocol as its settings say: accepts
 * connections, counts them against the limit that all listeners share, puts a frame gate before each and hands the gate
 * on. It knows nothing of MQTT beyond the gate.
 *
 *   accept -> count -> [PROXY header] -> [TLS] -> [HTTP upgrade, WebSocket] -> gate
 *
 * Invariant: every connection is counted before anything is spent on it, a TLS handshake included.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer, type TlsOptions, type TLSSocket } from 'node:tls'
import { createError, reasonOf } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { Arrival } from './arrival.ts'
import type { ConnectionLimit } from './connection-limit.ts'
import { ExpiryWatch } from './expiry-watch.ts'
import { FrameGate } from './frame-gate.ts'
import type { ConnectionFacts, GateLimits } from './gate-options.ts'
import type { InflightBytes } from './inflight-bytes.ts'
import { peerCertificateOf } from './peer-certificate.ts'
import { createTrust, readProxyHeader, type ProxyOutcome, type ProxyTrust } from './proxy-reader.ts'
import { filesOf, loadTlsOptions, type ListenerTls } from './tls-options.ts'
import type { Transport } from './transport.ts'
import { listenOnUnixSocket, type UnixSocket } from './unix-socket.ts'
import { UpgradeServer, type WebSocketSettings } from './upgrade-server.ts'

/** Silence after which TCP itself asks whether the other side is still there, in milliseconds. */
const TCP_KEEP_ALIVE_MS = 60_000

/** What Node asks for: the name of the keys, and one key each for the two things it does with them. */
const TICKET_KEY_BYTES = 48

/** Errors of a handshake that say only that the other side has gone: a port scan, a health check. */
const GONE = new Set(['ECONNRESET', 'EPIPE'])

export interface ListenerOptions {
  readonly protocol: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  /** Needed, as is `port`, where there is no `unixSocket`. */
  readonly host?: string | undefined
  /** 0: any that is free. */
  readonly port?: number | undefined
  /** Leaves IPv4 alone where `host` is `::`, for another listener to have the port there. */
  readonly ipv6Only?: boolean | undefined
  /** In the place of host and port. */
  readonly unixSocket?: UnixSocket | undefined
  /** Needed for `mqtts` and `wss`, unused otherwise. */
  readonly tls?: ListenerTls | undefined
  /** Needed for `ws` and `wss`, unused otherwise. */
  readonly webSocket?: WebSocketSettings | undefined
  /** Every connection comes through a balancer that speaks the PROXY protocol. */
  readonly proxyProtocol?: ProxyTrust | undefined
  /** Lets in who shows nothing. */
  readonly anonymous: boolean
  readonly limits: GateLimits
  /** Shared by all listeners. */
  readonly connections: ConnectionLimit
  /** Shared by all listeners. */
  readonly inflight: InflightBytes
  /** Takes over a connection. Called before anything of it has been read. */
  readonly handle: (gate: FrameGate) => void
  readonly telemetry: Telemetry
}

/** Makes a listener; `start` opens it. */
export function createListener (options: ListenerOptions): Listener {
  return new Listener(options)
}

export class Listener {
  /** Names the listener in logs, metrics and errors: protocol, host and port or path as configured. */
  readonly name: string
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #gates = new Set<FrameGate>()
  /** Connections that have no gate yet. */
  readonly #arrivals = new Set<Arrival>()
  /** All connections, by the socket that was accepted. */
  readonly #accepted = new WeakMap<Socket, Arrival>()
  /** Those of them whose TLS handshake has not ended, by the addresses and ports of both sides. */
  readonly #handshakes = new Map<string, Arrival>()
  readonly #isTrusted: ((address: string) => boolean) | undefined
  readonly #upgrades: UpgradeServer | undefined
  readonly #expiry: ExpiryWatch
  #tls: TlsServer | undefined
  #started: Promise<string> | undefined
  #closed: Promise<void> | undefined

  /** Use `createListener`. */
  constructor (options: ListenerOptions) {
    this.#options = options
    const { protocol, host = '', port = 0, unixSocket, webSocket, proxyProtocol, limits } = options
    this.name = unixSocket === undefined ? `${protocol}://${printable(host, port)}` : `${protocol}+unix:${unixSocket.path}`
    this.#expiry = new ExpiryWatch(this.name, options.telemetry)
    this.#isTrusted = proxyProtocol === undefined ? undefined : createTrust(proxyProtocol)
    this.#upgrades = webSocket === undefined ? undefined : new UpgradeServer(webSocket, limits)
    this.#server = createTcpServer({
      // A device that has sent its last byte may still wait for its PUBACKs. Under TLS, which cannot be half open, a
      // connection that ends before its handshake would not be noticed.
      allowHalfOpen: options.protocol === 'mqtt',
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS
    }, (socket) => { this.#accept(socket) })
  }

  /**
   * Opens it. Idempotent.
   * @returns host and port, or path, on which it listens
   * @throws MBS_ERR_LISTENER_TLS, MBS_ERR_LISTENER_BIND
   */
  async start (): Promise<string> {
    this.#started ??= this.#open()
    return await this.#started
  }

  /** The files that `reload` reads; none without TLS. */
  get files (): readonly string[] {
    return this.#options.tls === undefined ? [] : filesOf(this.#options.tls)
  }

  /**
   * Reads the TLS files again: certificate, key, CAs and revocation lists hold for every handshake from then on, one
   * that resumes an earlier session included. Connections that are open stay, whatever their certificate.
   * @throws MBS_ERR_LISTENER_TLS; then everything stays as it was
   */
  async reload (): Promise<void> {
    const { tls, limits } = this.#options
    await this.#started?.catch(() => {})
    if (tls === undefined || this.#tls === undefined) return
    const { options, expiry } = await loadTlsOptions(tls, this.name, limits.connectTimeoutMs)
    if (this.#closed !== undefined) return
    this.#tls.setSecureContext(options)
    // A resumed session is not asked for its certificate again: none of those before may be resumed.
    this.#tls.setTicketKeys(randomBytes(TICKET_KEY_BYTES))
    this.#expiry.set(expiry)
  }

  /** Takes no further connection; those that are open stay. Idempotent. */
  async stopAccepting (): Promise<void> {
    await this.#started?.catch(() => {})
    if (this.#server.listening) this.#server.close()
  }

  /** Closes it and every connection. What is written to them already still goes out, within a bound. Idempotent. */
  async close (): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close (): Promise<void> {
    this.#expiry.stop()
    await this.stopAccepting()
    // Not events.once: that one rejects for a socket that is reset meanwhile.
    const gone = Array.from(this.#sockets, (socket) => {
      return new Promise<void>((resolve) => { socket.once('close', () => { resolve() }) })
    })
    for (const { socket } of this.#arrivals) socket.destroy()
    for (const gate of this.#gates) gate.destroy()
    await Promise.all(gone)
  }

  async #open (): Promise<string> {
    const { protocol, tls, limits, telemetry } = this.#options
    if (protocol === 'mqtts' || protocol === 'wss') {
      if (tls === undefined) throw createError('MBS_ERR_LISTENER_TLS', { listener: this.name, reason: 'it has no tls section' })
      const { options, expiry } = await loadTlsOptions(tls, this.name, limits.connectTimeoutMs)
      this.#tls = this.#createTls(options)
      this.#expiry.set(expiry)
    }
    const server = this.#server
    try {
      await this.#listen(server)
    } catch (error) {
      throw createError('MBS_ERR_LISTENER_BIND', { listener: this.name, reason: reasonOf(error) }, error)
    }
    server.on('error', (error) => { telemetry.unexpected(error, 'accepting connections') })
    const bound = server.address() as AddressInfo | string
    return typeof bound === 'string' ? bound : printable(bound.address, bound.port)
  }

  async #listen (server: Server): Promise<void> {
    const { host, port, ipv6Only = false, unixSocket } = this.#options
    if (unixSocket !== undefined) {
      await listenOnUnixSocket(server, unixSocket)
      return
    }
    const listening = once(server, 'listening') // rejects on `error`
    server.listen({ host, port, ipv6Only })
    await listening
  }

  /** A TLS server that does not listen: it is handed the connections that were counted. */
  #createTls (options: TlsOptions): TlsServer {
    const server = createTlsServer(options)
    server.on('secureConnection', (socket) => { this.#secured(socket) })
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      // One that is closed by now knows no address any more, but still the socket that it was made of.
      const { _parent: accepted } = socket as { _parent?: Socket }
      const arrival = (accepted && this.#accepted.get(accepted)) ?? this.#arrivalOf(socket)
      // A certificate that Node refuses looks like a connection that was reset, but for this.
      const untrusted = socket.authorizationError as Error | string | null
      if (untrusted != null) arrival.tell(handshakeError(String(untrusted), error))
      else if (GONE.has(error.code ?? '')) arrival.gone(reasonOf(error))
      else arrival.tell(handshakeError(error.code ?? reasonOf(error), error))
      arrival.socket.destroy()
      socket.destroy()
    })
    return server
  }

  #accept (socket: Socket): void {
    const { connections, telemetry } = this.#options
    const arrival = this.#arrivalOf(socket)
    socket.on('error', () => {}) // the gate hears of it as well; this is for the time before there is one
    if (!connections.take()) {
      arrival.fail(createError('MBS_ERR_LIMIT_CONNECTIONS', { max: connections.max }))
      return
    }
    telemetry.connectionOpened(this.name)
    this.#sockets.add(socket)
    this.#arrivals.add(arrival)
    this.#accepted.set(socket, arrival)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#arrivals.delete(arrival)
      arrival.stop()
      arrival.whenGateClosed(() => {
        if (arrival.counted !== undefined) connections.releaseAddress(arrival.counted)
        connections.release()
        telemetry.connectionClosed(this.name)
      })
    })
    if (this.#isTrusted === undefined) this.#secure(arrival)
    else this.#readProxyHeader(arrival, this.#isTrusted(socket.remoteAddress ?? ''))
  }

  #readProxyHeader (arrival: Arrival, isTrusted: boolean): void {
    if (!isTrusted) {
      arrival.fail(createError('MBS_ERR_LISTENER_PROXY_UNTRUSTED'))
      return
    }
    const { socket } = arrival
    arrival.enter('proxy')
    readProxyHeader(socket, (outcome: ProxyOutcome) => {
      if (outcome.kind === 'malformed') {
        arrival.fail(createError('MBS_ERR_LISTENER_PROXY', { reason: outcome.reason }))
      } else if (outcome.kind === 'gone' || socket.destroyed) {
        arrival.gone('it ended before its PROXY header')
        socket.destroy()
      } else {
        const { source } = outcome
        if (source !== undefined) {
          arrival.facts = { ...arrival.facts, address: printable(source.host, source.port) }
          arrival.ip = source.host
        }
        this.#secure(arrival)
      }
    })
  }

  /** It is known whose connection it is. */
  #secure (arrival: Arrival): void {
    const { socket } = arrival
    if (!this.#countAddress(arrival)) return
    if (this.#tls === undefined) {
      this.#upgrade(socket, arrival)
      return
    }
    const pair = pairOf(socket)
    arrival.enter('tls')
    this.#handshakes.set(pair, arrival)
    socket.once('close', () => { this.#handshakes.delete(pair) })
    this.#tls.emit('connection', socket)
  }

  /** Takes a place for its address; false where it has too many, and the connection is closed. */
  #countAddress (arrival: Arrival): boolean {
    const { connections, unixSocket } = this.#options
    // A Unix socket has no addresses; a connection that has none is gone already.
    if (unixSocket !== undefined || arrival.ip === undefined || arrival.socket.destroyed) return true
    if (!connections.takeAddress(arrival.ip)) {
      arrival.fail(createError('MBS_ERR_LIMIT_ADDRESS', { max: connections.maxPerAddress }))
      return false
    }
    arrival.counted = arrival.ip
    return true
  }

  #secured (socket: TLSSocket): void {
    const pair = pairOf(socket)
    const arrival = this.#handshakes.get(pair)
    if (arrival === undefined) { // it has closed meanwhile
      socket.destroy()
      return
    }
    this.#handshakes.delete(pair)
    // `optional` lets clients without a certificate in; one that was given and is not valid is no such client.
    if (this.#options.tls?.clientCertificate === 'optional' && !socket.authorized && hasCertificate(socket)) {
      socket.destroy()
      arrival.tell(handshakeError(String(socket.authorizationError)))
      return
    }
    arrival.certificate = peerCertificateOf(socket)
    this.#upgrade(socket, arrival)
  }

  #upgrade (socket: Socket, arrival: Arrival): void {
    if (this.#upgrades === undefined) {
      this.#handOver(socket, arrival)
      return
    }
    socket.on('error', () => {}) // neither HTTP nor WebSocket listens all the time
    arrival.enter('upgrade')
    this.#upgrades.take(socket, {
      upgraded: (stream) => { this.#handOver(stream, arrival) },
      refused: (reason, cause) => { arrival.tell(createError('MBS_ERR_LISTENER_UPGRADE', { reason }, cause)) }
    })
  }

  #handOver (socket: Transport, arrival: Arrival): void {
    const { facts, openedAt, ip, certificate } = arrival
    const { limits, inflight, anonymous, telemetry } = this.#options
    const gate = new FrameGate({
      socket,
      openedAt,
      facts,
      peer: {
        ip: ip ?? 'unknown',
        secure: this.#tls !== undefined,
        anonymous,
        ...(certificate !== undefined && { certificate })
      },
      limits,
      inflight,
      rateReached: (limit) => { telemetry.clientThrottled(limit, facts) }
    })
    arrival.arrived(gate)
    this.#arrivals.delete(arrival)
    this.#gates.add(gate)
    gate.once('close', () => { this.#gates.delete(gate) })
    this.#options.handle(gate)
  }

  #arrivalOf (socket: Socket): Arrival {
    const { limits: { connectTimeoutMs: timeoutMs }, telemetry } = this.#options
    const ip = this.#options.unixSocket === undefined ? socket.remoteAddress : 'unix'
    return new Arrival({ socket, facts: this.#factsOf(socket), ip, timeoutMs, telemetry })
  }

  #factsOf (socket: Socket): ConnectionFacts {
    const { remoteAddress = 'unknown', remotePort = 0 } = socket
    const address = this.#options.unixSocket === undefined ? printable(remoteAddress, remotePort) : 'unix'
    return { listener: this.name, address }
  }
}

function handshakeError (reason: string, cause?: Error) {
  return createError('MBS_ERR_LISTENER_HANDSHAKE', { reason }, cause)
}

/** Names a connection by both its ends: a TLS socket has those of the socket below it. */
function pairOf ({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

function hasCertificate (socket: TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0
}

/** Host and port as they stand in a URL. */
function printable (host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

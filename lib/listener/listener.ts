/**
 * One listener, TCP or TLS: accepts connections, counts them against the limit that all listeners share, puts a frame
 * gate before each and hands the gate on. It knows nothing of MQTT beyond the gate.
 *
 * Invariant: every connection is counted before anything is spent on it, a TLS handshake included.
 */
import { randomBytes } from 'node:crypto'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer, type TlsOptions, type TLSSocket } from 'node:tls'
import { createError, reasonOf } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { ConnectionLimit } from './connection-limit.ts'
import { FrameGate, type ConnectionFacts, type GateLimits } from './frame-gate.ts'
import { ExpiryWatch } from './expiry-watch.ts'
import { peerCertificateOf } from './peer-certificate.ts'
import { filesOf, loadTlsOptions, type ListenerTls } from './tls-options.ts'

/** Silence after which TCP itself asks whether the other side is still there, in milliseconds. */
const TCP_KEEP_ALIVE_MS = 60_000

/** What Node asks for: the name of the keys, and one key each for the two things it does with them. */
const TICKET_KEY_BYTES = 48

/** Errors of a handshake that say only that the other side has gone: a port scan, a health check. */
const GONE = new Set(['ECONNRESET', 'EPIPE'])

export interface ListenerOptions {
  readonly protocol: 'mqtt' | 'mqtts'
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
  /** Needed for `mqtts`, unused otherwise. */
  readonly tls?: ListenerTls | undefined
  /** Lets in who shows nothing. */
  readonly anonymous: boolean
  readonly limits: GateLimits
  /** Shared by all listeners. */
  readonly connections: ConnectionLimit
  /** Takes over a connection. Called before anything of it has been read. */
  readonly handle: (gate: FrameGate) => void
  readonly telemetry: Telemetry
}

/** Makes a listener; `start` opens it. */
export function createListener (options: ListenerOptions): Listener {
  return new Listener(options)
}

export class Listener {
  /** Names the listener in logs, metrics and errors: protocol, host and port as configured. */
  readonly name: string
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #gates = new Set<FrameGate>()
  /** Connections whose TLS handshake has not ended, by the other side's address and port. */
  readonly #handshakes = new Map<string, Socket>()
  readonly #expiry: ExpiryWatch
  #tls: TlsServer | undefined
  #started: Promise<string> | undefined
  #closed: Promise<void> | undefined

  /** Use `createListener`. */
  constructor (options: ListenerOptions) {
    this.#options = options
    this.name = `${options.protocol}://${printable(options.host, options.port)}`
    this.#expiry = new ExpiryWatch(this.name, options.telemetry)
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
   * @returns host and port on which it listens
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
    for (const socket of this.#handshakes.values()) socket.destroy()
    for (const gate of this.#gates) gate.destroy()
    await Promise.all(gone)
  }

  async #open (): Promise<string> {
    const { protocol, host, port, tls, limits, telemetry } = this.#options
    if (protocol === 'mqtts') {
      if (tls === undefined) throw createError('MBS_ERR_LISTENER_TLS', { listener: this.name, reason: 'it has no tls section' })
      const { options, expiry } = await loadTlsOptions(tls, this.name, limits.connectTimeoutMs)
      this.#tls = this.#createTls(options)
      this.#expiry.set(expiry)
    }
    const server = this.#server
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error) => {
        reject(createError('MBS_ERR_LISTENER_BIND', { listener: this.name, reason: reasonOf(error) }, error))
      }
      server.once('error', refuse)
      server.listen({ host, port }, () => {
        server.off('error', refuse)
        server.on('error', (error) => { telemetry.unexpected(error, 'accepting connections') })
        resolve()
      })
    })
    const bound = server.address() as AddressInfo
    return printable(bound.address, bound.port)
  }

  /** A TLS server that does not listen: it is handed the connections that were counted. */
  #createTls (options: TlsOptions): TlsServer {
    const server = createTlsServer(options)
    server.on('secureConnection', (socket) => { this.#secured(socket) })
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      const facts = this.#factsOf(socket)
      this.#handshakes.get(facts.address)?.destroy()
      socket.destroy()
      // A certificate that Node refuses looks like a connection that was reset, but for this.
      const untrusted = socket.authorizationError as Error | string | null
      if (untrusted != null) this.#refuse(String(untrusted), facts, error)
      else if (GONE.has(error.code ?? '')) this.#options.telemetry.connectionBroken(reasonOf(error), facts)
      else this.#refuse(error.code ?? reasonOf(error), facts, error)
    })
    return server
  }

  #accept (socket: Socket): void {
    const { connections, telemetry } = this.#options
    const facts = this.#factsOf(socket)
    socket.on('error', () => {}) // the gate hears of it as well; this is for the time before there is one
    if (!connections.take()) {
      socket.destroy()
      telemetry.connectionFailed(createError('MBS_ERR_LIMIT_CONNECTIONS', { max: connections.max }), facts)
      return
    }
    // Undefined where the connection is gone already.
    const { remoteAddress } = socket
    if (remoteAddress !== undefined && !connections.takeAddress(remoteAddress)) {
      connections.release()
      socket.destroy()
      telemetry.connectionFailed(createError('MBS_ERR_LIMIT_ADDRESS', { max: connections.maxPerAddress }), facts)
      return
    }
    telemetry.connectionOpened(this.name)
    this.#sockets.add(socket)
    socket.once('close', () => {
      if (remoteAddress !== undefined) connections.releaseAddress(remoteAddress)
      this.#sockets.delete(socket)
      this.#handshakes.delete(facts.address)
      connections.release()
      telemetry.connectionClosed(this.name)
    })
    if (this.#tls === undefined) {
      this.#handOver(socket, facts)
    } else {
      this.#handshakes.set(facts.address, socket)
      this.#tls.emit('connection', socket)
    }
  }

  #secured (socket: TLSSocket): void {
    const facts = this.#factsOf(socket)
    this.#handshakes.delete(facts.address)
    // `optional` lets clients without a certificate in; one that was given and is not valid is no such client.
    if (this.#options.tls?.clientCertificate === 'optional' && !socket.authorized && hasCertificate(socket)) {
      socket.destroy()
      this.#refuse(String(socket.authorizationError), facts)
      return
    }
    this.#handOver(socket, facts)
  }

  #handOver (socket: Socket, facts: ConnectionFacts): void {
    const { limits, telemetry } = this.#options
    const certificate = peerCertificateOf(socket)
    const gate = new FrameGate({
      socket,
      facts,
      peer: {
        ip: socket.remoteAddress ?? 'unknown',
        secure: this.#tls !== undefined,
        anonymous: this.#options.anonymous,
        ...(certificate !== undefined && { certificate })
      },
      limits,
      rateReached: (limit) => { telemetry.clientThrottled(limit, facts) }
    })
    this.#gates.add(gate)
    gate.once('close', () => { this.#gates.delete(gate) })
    this.#options.handle(gate)
  }

  #refuse (reason: string, facts: ConnectionFacts, cause?: Error): void {
    this.#options.telemetry.connectionFailed(createError('MBS_ERR_LISTENER_HANDSHAKE', { reason }, cause), facts)
  }

  #factsOf (socket: Socket): ConnectionFacts {
    return { listener: this.name, address: printable(socket.remoteAddress ?? 'unknown', socket.remotePort ?? 0) }
  }
}

function hasCertificate (socket: TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0
}

/** Host and port as they stand in a URL. */
function printable (host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

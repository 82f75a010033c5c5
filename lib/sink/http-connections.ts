/**
 * The connections of one HTTP sink: at most so many, one request at a time on each, replaced between two requests when
 * they are old. Beneath the sink; knows nothing of events.
 *
 * It stands in place of undici's Pool: with `clientTtl` that queues a request behind connections which are all closing
 * and leaves it there until another one comes; and it cannot give up a connection that has not been established.
 */
import { Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { buildConnector, Client, type Dispatcher } from 'undici'

/** A sink that is there answers a SYN at once; a longer wait only delays the next attempt. */
const CONNECT_TIMEOUT_MS = 10_000

/** A server's Keep-Alive hint is shortened by this, so that it never closes just as a request is sent. */
const HINT_MARGIN_MS = 1000

export interface ConnectionsOptions {
  readonly origin: string
  /** How many there are at most. */
  readonly connections: number
  readonly timeoutMs: number
  readonly keepAliveMs: number
  readonly socketMaxAgeMs: number
  /** Undefined: what node trusts. */
  readonly trust: SecureContext | undefined
}

/** One connection; undici opens its socket at the first request, and again after it was closed while idle. */
export class HttpConnection {
  readonly #client: Client
  readonly #maxAgeMs: number
  #socket: Socket | undefined
  #openedAt = Infinity

  /**
   * @param connector what connects at the moment
   * @param maxAgeMs how long its socket is used
   */
  constructor (origin: string, connector: () => buildConnector.connector, keepAliveMs: number, maxAgeMs: number) {
    this.#maxAgeMs = maxAgeMs
    this.#client = new Client(origin, {
      pipelining: 1,
      headersTimeout: 0, // the sink's own deadline covers the whole attempt
      bodyTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
      keepAliveTimeoutThreshold: HINT_MARGIN_MS,
      connect: (address, callback) => {
        const socket: unknown = connector()(address, callback)
        this.#socket = socket instanceof Socket ? socket : undefined
      }
    })
    this.#client.on('connect', () => { this.#openedAt = performance.now() })
  }

  dispatch (request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(request, handler)
  }

  isOld (): boolean {
    return performance.now() - this.#openedAt > this.#maxAgeMs
  }

  /** Closes it at once, whatever it is doing; the handler of its request is told of an error. */
  async destroy (): Promise<void> {
    this.#socket?.destroy() // undici does not know it before it is connected
    await this.#client.destroy()
  }
}

export class HttpConnections {
  readonly #options: ConnectionsOptions
  /** One for all: it remembers TLS sessions. */
  #connect: buildConnector.connector
  /** The one used last is used next, so that those which are not needed run into their keep-alive time. */
  readonly #idle: HttpConnection[] = []
  readonly #busy = new Set<HttpConnection>()
  #made = 0

  constructor (options: ConnectionsOptions) {
    this.#options = options
    this.#connect = this.#connector(options.trust)
  }

  /** From the next connection on, this is trusted; TLS sessions from before are not resumed. Open ones stay. */
  trust (trust: SecureContext | undefined): void {
    this.#connect = this.#connector(trust)
  }

  /** A connection to send one request on, to be given back; undefined while all are busy. */
  take (): HttpConnection | undefined {
    let connection = this.#idle.pop()
    if (connection?.isOld() === true) {
      void connection.destroy()
      connection = undefined
    }
    if (connection === undefined) {
      const { origin, keepAliveMs, connections } = this.#options
      if (this.#busy.size + this.#idle.length >= connections) return undefined
      connection = new HttpConnection(origin, () => this.#connect, keepAliveMs, this.#nextMaxAgeMs())
    }
    this.#busy.add(connection)
    return connection
  }

  /** Gives a connection back whose request is done. */
  release (connection: HttpConnection): void {
    if (this.#busy.delete(connection)) this.#idle.push(connection)
  }

  /** Gives a connection back whose request is not done: it is closed. */
  discard (connection: HttpConnection): void {
    if (this.#busy.delete(connection)) void connection.destroy()
  }

  async close (): Promise<void> {
    const all = [...this.#busy, ...this.#idle.splice(0)]
    this.#busy.clear()
    await Promise.all(all.map(async (connection) => { await connection.destroy() }))
  }

  #connector (trust: SecureContext | undefined): buildConnector.connector {
    return buildConnector({
      timeout: Math.min(CONNECT_TIMEOUT_MS, this.#options.timeoutMs),
      ...(trust === undefined ? {} : { secureContext: trust })
    })
  }

  /** Between 75 and 100 per cent of the maximum in turn: connections made together are not replaced together. */
  #nextMaxAgeMs (): number {
    const spread = (this.#made++ % 8) / 8
    return this.#options.socketMaxAgeMs * (1 - spread / 4)
  }
}

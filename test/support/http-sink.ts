/**
 * A scripted HTTP sink: a real server that answers as a test tells it to, keeps what arrives down to the raw headers,
 * and reads it with the CloudEvents SDK, which has no code in common with the encoder under test.
 *
 *   const sink = await startHttpSink(t)
 *   sink.script({ status: 503 }, { status: 202 })       // the first two requests; then `sink.answer`, 202 by default
 *   sink.answer = (request) => request.header('ce-subject') === 'poison' ? { status: 400 } : { status: 202 }
 *   ... deliver to sink.url ...
 *   await sink.waitFor(3)
 *   sink.requests[0].body; sink.events()[0].id
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as HttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { HTTP, type CloudEvent } from 'cloudevents'

/** What the sink does with a request. */
export interface Answer {
  /** 202 unless given. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** The answer is sent when this resolves. */
  readonly after?: Promise<unknown>
  /** The answer is sent so much later; for what cannot be told by a latch. */
  readonly delayMs?: number
  /** Sends 103 Early Hints before the answer. */
  readonly earlyHints?: boolean
  /** `drop`: the socket is closed instead; `reset`: with RST; `never`: nothing is ever answered. */
  readonly instead?: 'drop' | 'reset' | 'never'
}

/** Answers by what was asked. @param index of the request, from 0 */
export type Answering = (request: ReceivedRequest, index: number) => Answer | Promise<Answer>

export interface SinkOptions {
  /** 0 unless given: any free one. */
  readonly port?: number
  /** Makes it an https server. */
  readonly tls?: {
    readonly key: string
    readonly cert: string
    readonly ca?: string
    readonly requestCert?: boolean
    readonly minVersion?: 'TLSv1.3'
  }
  /** How long the server keeps an idle connection, in milliseconds; node's 5 s unless given. */
  readonly keepAliveMs?: number
}

/** One request as it arrived. */
export class ReceivedRequest {
  readonly method: string
  readonly path: string
  /** Names and values in turn, as they were sent. */
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  /** Counts the connections: requests with the same number shared one. */
  readonly connection: number
  /** Milliseconds since the epoch. */
  readonly receivedAt = Date.now()
  /** The common name of the client's certificate. */
  readonly peer: string | undefined

  constructor (request: IncomingMessage, body: Buffer, connection: number) {
    this.method = request.method as string
    this.path = request.url as string
    this.rawHeaders = request.rawHeaders
    this.body = body
    this.connection = connection
    const { socket } = request
    this.peer = socket instanceof TLSSocket ? String(socket.getPeerCertificate().subject?.CN) : undefined
  }

  /** The value of a header that was sent once; undefined where it was not sent. Throws where it was sent twice. */
  header (name: string): string | undefined {
    const values = this.rawHeaders.filter((_, at) => at % 2 === 1 && this.rawHeaders[at - 1]?.toLowerCase() === name)
    if (values.length > 1) throw new Error(`${name} was sent ${values.length} times`)
    return values[0]
  }

  get mode (): 'binary' | 'structured' | 'batch' {
    const contentType = this.header('content-type') ?? ''
    if (contentType.startsWith('application/cloudevents-batch+json')) return 'batch'
    return contentType.startsWith('application/cloudevents+json') ? 'structured' : 'binary'
  }

  /** The one event in it, as the SDK reads it, validated strictly. */
  event (): CloudEvent<unknown> {
    const [event, ...more] = this.events()
    if (event === undefined || more.length > 0) throw new Error(`there are ${more.length + 1} events in it`)
    return event
  }

  /** All events in it, as the SDK reads them, validated strictly. */
  events (): CloudEvent<unknown>[] {
    const headers: Record<string, string> = {}
    for (let at = 0; at < this.rawHeaders.length; at += 2) {
      headers[(this.rawHeaders[at] as string).toLowerCase()] = this.rawHeaders[at + 1] as string
    }
    // The SDK would parse a binary body by its content type; payload() has its bytes.
    const read = HTTP.toEvent({ headers, body: this.mode === 'binary' ? undefined : this.body.toString() })
    const events = (Array.isArray(read) ? read : [read]) as CloudEvent<unknown>[]
    for (const event of events) event.validate()
    return events
  }

  /** The payload: the body in binary mode; else what data or data_base64 stand for, JSON as its text. */
  payload (): Buffer {
    if (this.mode === 'binary') return this.body
    const document = JSON.parse(this.body.toString()) as Record<string, unknown>
    if (typeof document['data_base64'] === 'string') return Buffer.from(document['data_base64'], 'base64')
    if (document['data'] === undefined) return Buffer.alloc(0)
    const isJson = /\bjson\b/.test(String(document['datacontenttype'] ?? 'application/json'))
    return Buffer.from(isJson ? JSON.stringify(document['data']) : String(document['data']))
  }
}

export class HttpSink {
  readonly requests: ReceivedRequest[] = []
  /** What is done when the script is at its end. */
  answer: Answer | Answering = {}
  /** Connections accepted so far. */
  connections = 0
  readonly #options: SinkOptions
  readonly #script: (Answer | Answering)[] = []
  readonly #numbers = new WeakMap<Socket, number>()
  #server: Server | undefined
  #port: number
  #waiting: { count: number, resolve: () => void }[] = []

  constructor (options: SinkOptions) {
    this.#options = options
    this.#port = options.port ?? 0
  }

  get port (): number {
    return this.#port
  }

  /** Its address, the same while it is stopped and after it was started again. */
  get url (): string {
    return `${this.#options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.#port}/`
  }

  /** Connections that are open. */
  async openConnections (): Promise<number> {
    return await new Promise((resolve, reject) => {
      if (this.#server === undefined) return resolve(0)
      this.#server.getConnections((error, count) => { if (error === null) resolve(count); else reject(error) })
    })
  }

  /** Answers for the next requests, one each, in the order of their arrival. */
  script (...answers: (Answer | Answering)[]): void {
    this.#script.push(...answers)
  }

  /** Resolves when so many requests have arrived in all. */
  async waitFor (count: number): Promise<void> {
    if (this.requests.length >= count) return
    await new Promise<void>((resolve) => { this.#waiting.push({ count, resolve }) })
  }

  /** All requests as events, read by the SDK. */
  events (): CloudEvent<unknown>[] {
    return this.requests.flatMap((request) => request.events())
  }

  /** Listens, on the same port as before. */
  async start (): Promise<void> {
    const handle = (request: IncomingMessage, response: ServerResponse) => { this.#receive(request, response) }
    const { tls, keepAliveMs } = this.#options
    const server = tls === undefined ? createServer(handle) : createTlsServer({ ...tls }, handle)
    if (keepAliveMs !== undefined) server.keepAliveTimeout = keepAliveMs
    server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      this.#numbers.set(socket, this.connections++)
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', resolve)
    })
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Closes every connection and refuses new ones. */
  async stop (): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    await new Promise<void>((resolve) => {
      server.close(() => { resolve() })
      server.closeAllConnections()
    })
  }

  /** Has another certificate from now on; closes every connection. */
  renew (tls: { readonly key: string, readonly cert: string }): void {
    (this.#server as HttpsServer).setSecureContext(tls)
    this.#server?.closeAllConnections()
  }

  /** Closes the connections without a request, as a server does that finds them idle for too long. */
  closeIdle (): void {
    this.#server?.closeIdleConnections()
  }

  #receive (request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = []
    request.on('error', () => {}) // the sender gave up
    request.on('data', (chunk: Buffer) => { chunks.push(chunk) })
    request.on('end', () => {
      const received = new ReceivedRequest(request, Buffer.concat(chunks), this.#numbers.get(request.socket) ?? -1)
      const index = this.requests.push(received) - 1
      const step = this.#script.shift() ?? this.answer
      this.#arrived()
      void this.#respond(step, received, index, request, response)
    })
  }

  async #respond (
    step: Answer | Answering, received: ReceivedRequest, index: number,
    request: IncomingMessage, response: ServerResponse
  ): Promise<void> {
    const answer = typeof step === 'function' ? await step(received, index) : step
    await answer.after
    if (answer.delayMs !== undefined) await new Promise((resolve) => { setTimeout(resolve, answer.delayMs) })
    switch (answer.instead) {
      case 'never': return
      case 'drop': request.socket.destroy(); return
      case 'reset': request.socket.resetAndDestroy(); return
      case undefined: break
    }
    if (response.destroyed) return
    if (answer.earlyHints === true) response.writeEarlyHints({ link: '</style.css>; rel=preload' })
    response.writeHead(answer.status ?? 202, answer.headers)
    response.end(answer.body)
  }

  #arrived (): void {
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.requests.length < count) return true
      resolve()
      return false
    })
  }
}

/** Starts a sink that ends with the test. */
export async function startHttpSink (
  t: { teardown (fn: () => Promise<void>): void }, options: SinkOptions = {}
): Promise<HttpSink> {
  const sink = new HttpSink(options)
  await sink.start()
  t.teardown(async () => { await sink.stop() })
  return sink
}

/**
 * The sink of the crash suite: a real HTTP server that is up, down, slow or flapping, and writes down what it took,
 * in the order in which it took it. Taken means that a consumer has it, whether or not its answer got back.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { HTTP, type CloudEvent } from 'cloudevents'

export type SinkMode = 'up' | 'down' | 'slow' | 'flapping'

export interface Taken {
  readonly source: string
  readonly id: string
  readonly partitionKey: string
  /** The extension `sequence`; undefined unless it is switched on. */
  readonly sequence: unknown
  readonly body: string
}

/** A flapping sink changes its mind this often, in milliseconds. */
const FLAP_MS = 40

export class CrashSink {
  readonly taken: Taken[] = []
  /** Requests that were no CloudEvents. */
  readonly invalid: string[] = []
  mode: SinkMode = 'up'
  readonly #random: () => number
  readonly #server: Server
  #waiting: Array<{ until: () => boolean, resolve: () => void }> = []

  constructor (random: () => number) {
    this.#random = random
    this.#server = createServer((request, response) => { this.#receive(request, response) })
  }

  async start (): Promise<string> {
    await new Promise<void>((resolve) => { this.#server.listen(0, '127.0.0.1', resolve) })
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  /** Resolves when the condition holds; it is looked at after each event taken. */
  async until (condition: () => boolean): Promise<void> {
    if (condition()) return
    await new Promise<void>((resolve) => { this.#waiting.push({ until: condition, resolve }) })
  }

  async close (): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => { this.#server.close(() => { resolve() }) })
  }

  #receive (request: IncomingMessage, response: ServerResponse): void {
    const parts: Buffer[] = []
    request.on('error', () => {})
    request.on('data', (part: Buffer) => { parts.push(part) })
    request.on('end', () => { this.#answer(request, response, Buffer.concat(parts)) })
  }

  #answer (request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const healthy = this.mode !== 'flapping' || Math.floor(Date.now() / FLAP_MS) % 2 === 0
    if (this.mode === 'down' || !healthy) {
      // Away altogether, an error, or an error after the event was taken: the worst of the three.
      const how = this.#random()
      if (how < 0.3) request.socket.destroy()
      else if (how < 0.4 && this.mode === 'flapping') {
        this.#take(request, body)
        request.socket.destroy()
      } else response.writeHead(how < 0.7 ? 503 : 404).end()
      return
    }
    this.#take(request, body)
    const answer = (): void => { response.writeHead(202).end() }
    if (this.mode === 'slow') setTimeout(answer, 5 + 40 * this.#random())
    else answer()
  }

  #take (request: IncomingMessage, body: Buffer): void {
    try {
      const event = HTTP.toEvent({ headers: request.headers, body: body.toString() }) as CloudEvent<unknown>
      this.taken.push({
        source: event.source,
        id: event.id,
        partitionKey: String(event['partitionkey']),
        sequence: event['sequence'],
        body: body.toString()
      })
    } catch (error) {
      this.invalid.push(String(error))
    }
    this.#waiting = this.#waiting.filter(({ until, resolve }) => {
      if (!until()) return true
      resolve()
      return false
    })
  }
}

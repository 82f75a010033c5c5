/**
 * An HTTP server that prints the CloudEvents it receives: a sink to try things with. Reads binary, structured and
 * batched mode; answers as an event receiver should [CE-Webhook 2], and says what is wrong with what is no CloudEvent.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Writable } from 'node:stream'
import { decode, type DecodedEvent } from '../cloudevent/decode.ts'
import { createError, isMbsError, reasonOf } from '../errors.ts'
import { formatEvent } from './display-format.ts'
import { StreamWriter } from './stream-writer.ts'

export interface DisplayReceiverOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Where events are printed; not closed with the server. */
  readonly stream: Writable
}

/** A request body that is longer is refused. */
const MAX_BODY_BYTES = 4 * 1024 * 1024

export function createDisplayReceiver (options: DisplayReceiverOptions): DisplayReceiver {
  return new DisplayReceiver(options)
}

export class DisplayReceiver {
  readonly #options: DisplayReceiverOptions
  readonly #writer: StreamWriter
  readonly #server: Server
  #starting: Promise<string> | undefined
  #closing: Promise<void> | undefined

  /** Use `createDisplayReceiver`. */
  constructor (options: DisplayReceiverOptions) {
    this.#options = options
    this.#writer = new StreamWriter(options.stream)
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch(() => { request.destroy() }) // it went away while it was being read
    })
  }

  /**
   * Listens. Idempotent.
   * @returns host and port
   * @throws MBS_ERR_HTTP_BIND
   */
  async start (): Promise<string> {
    this.#starting ??= this.#listen()
    return await this.#starting
  }

  /** Stops listening and ends every connection. Idempotent. */
  async close (): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#server.close(() => { resolve() })
      this.#server.closeAllConnections()
    })
    await this.#closing
  }

  async #listen (): Promise<string> {
    const { host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => {
        reject(createError('MBS_ERR_HTTP_BIND', { address: hostPort(host, port), reason: reasonOf(error) }, error))
      })
      this.#server.listen(port, host, resolve)
    })
    const address = this.#server.address() as AddressInfo
    return hostPort(address.address, address.port)
  }

  async #handle (request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'OPTIONS') return answer(response, 200, '', { allow: 'POST, OPTIONS' })
    if (request.method !== 'POST') {
      return answer(response, 405, 'events are sent with POST\n', { allow: 'POST, OPTIONS' })
    }
    const body = await readBody(request)
    if (body === undefined) {
      return answer(response, 413, `the body is larger than ${MAX_BODY_BYTES} bytes\n`, { connection: 'close' })
    }
    let events: DecodedEvent[]
    try {
      events = decode(request.rawHeaders, body)
    } catch (error) {
      if (!isMbsError(error)) throw error
      return answer(response, 400, `${error.code}: ${error.message}\n${error.help}\n`)
    }
    for (const event of events) await this.#writer.write(formatEvent(event))
    answer(response, 202, '')
  }
}

/** @returns undefined where it is too long; nothing more of it is kept then */
async function readBody (request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  // To leave the loop must not destroy the request, as it does by default: the answer goes over the same socket.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) {
      request.resume()
      return undefined
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, bytes)
}

function answer (response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, {
    ...headers,
    ...(text === '' ? {} : { 'content-type': 'text/plain; charset=utf-8' }),
    'content-length': Buffer.byteLength(text)
  })
  response.end(text)
}

function hostPort (host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** A real HTTP server on loopback that a method asks about devices, and that answers as a test tells it to. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Question {
  readonly method: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface AskedService {
  readonly url: string
  /** What arrived so far. */
  readonly questions: Question[]
  /** Answers from now on; 500 unless set. */
  answer: (response: ServerResponse, question: Question, index: number) => void
  /** Resolves when so many questions have arrived. */
  asked (count: number): Promise<void>
  stop (): Promise<void>
}

export async function startAskedService (t: { teardown (fn: () => Promise<void>): void }): Promise<AskedService> {
  let waiting: { count: number, resolve: () => void }[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => {})
    response.on('error', () => {})
    request.on('data', (chunk: Buffer) => { chunks.push(chunk) })
    request.on('end', () => {
      const { method = '', headers } = request
      const question = { method, headers, body: Buffer.concat(chunks).toString() }
      const index = service.questions.push(question) - 1
      const ready = waiting.filter(({ count }) => service.questions.length >= count)
      waiting = waiting.filter((one) => !ready.includes(one))
      for (const { resolve } of ready) resolve()
      service.answer(response, question, index)
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const service: AskedService = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    questions: [],
    answer: (response) => { response.writeHead(500).end() },
    asked: (count) => new Promise((resolve) => {
      if (service.questions.length >= count) resolve()
      else waiting.push({ count, resolve })
    }),
    stop: () => new Promise((resolve) => {
      server.close(() => { resolve() })
      server.closeAllConnections()
    })
  }
  t.teardown(() => service.stop())
  return service
}

/** An answer with a JSON body. */
export function json (value: unknown, status = 200): AskedService['answer'] {
  return (response) => { response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value)) }
}

/** Drips a body for ever: one byte now and then. */
export const drip: AskedService['answer'] = (response) => {
  response.writeHead(200)
  const timer = setInterval(() => { response.write(' ') }, 20)
  response.on('close', () => { clearInterval(timer) })
}

/** Sends a gigabyte, as fast as it is taken; `sent` counts what left. */
export function flood (sent: { bytes: number }): AskedService['answer'] {
  return (response) => {
    const chunk = Buffer.alloc(64 * 1024, 0x20)
    const write = (): void => {
      while (!response.destroyed && sent.bytes < 1024 ** 3) {
        sent.bytes += chunk.length
        if (!response.write(chunk)) {
          response.once('drain', write)
          return
        }
      }
      response.end()
    }
    response.writeHead(200)
    write()
  }
}

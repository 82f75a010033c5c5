/** What a request gets that cannot be answered: always JSON, always with a sentence, never with what was sent. */
import type { Socket } from 'node:net'
import { STATUS_CODES } from 'node:http'

/** The body of such an answer. */
export interface Problem {
  readonly status: 'error'
  readonly reason: string
}

export function problem (reason: string): Problem {
  return { status: 'error', reason }
}

/** Answers what is not HTTP, too large or too slow, then closes the connection: there is no request to go on from. */
export function answerBrokenRequest (error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const [status, reason] = describe(error.code)
  const body = JSON.stringify(problem(reason))
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => { socket.destroy() })
}

function describe (code: string | undefined): [status: number, reason: string] {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return [408, 'The request was not complete in time.']
  if (code === 'HPE_HEADER_OVERFLOW') return [431, 'The headers of the request are too large.']
  return [400, 'The request is not HTTP/1.1.']
}

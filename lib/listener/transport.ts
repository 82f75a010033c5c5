/**
 * What the frame gate needs of the way to a device: a stream of bytes that behaves as a socket does. TCP and TLS
 * sockets are one by nature; a WebSocket is made one by web-socket-stream.ts.
 */
import type { Duplex } from 'node:stream'

export interface Transport extends Duplex {
  /** Sends what was written, then closes. */
  destroySoon (): void
}

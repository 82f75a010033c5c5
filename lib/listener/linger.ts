/**
 * Closes a socket so that what was written still arrives (a CONNACK that refuses, the last PUBACKs), but within a
 * bound: a peer that does not read may not keep it open.
 */
import type { Transport } from './transport.ts'

/** How long a peer has to take the last bytes, in milliseconds. */
export const LINGER_MS = 2_000

/** Ends a socket. What still comes in is for its listener to drop: left unread, it would cause a reset. */
export function closeGently (socket: Transport): void {
  if (socket.destroyed) return
  socket.resume()
  socket.destroySoon()
  if (socket.destroyed) return
  const timer = setTimeout(() => { socket.destroy() }, LINGER_MS)
  timer.unref()
  socket.once('close', () => { clearTimeout(timer) })
}

/**
 * What goes out to a device: it puts PINGRESP between packets, keeps what the socket does not take yet, and knows a
 * device that does not read. It never makes the broker wait: a message goes to many, and the slowest of them must not
 * hold up the others. The broker asks instead whether there is room.
 *
 * Invariant: what waits takes hardly more memory than it has bytes, however small its pieces are.
 */
import { OutboundFrames } from './outbound-frames.ts'
import { PINGRESP } from './packet-types.ts'
import type { Transport } from './transport.ts'

/** Writes up to this size together are joined: copying them costs less than many pieces do. */
const JOIN_BYTES = 64 * 1024
/** What waits is handed to the socket in pieces of this size: a slow device has to take one within its time. */
const PIECE_BYTES = 32 * 1024
/** What waits and is not larger is copied into pieces. */
const SMALL_BYTES = 4 * 1024
/** Whoever sends much in a row goes on when no more than this waits. */
const ROOM_BYTES = 64 * 1024
/** Where the flags of a CONNACK stand, and the only one that there is [MQTT-3.2.2.2]. */
const CONNACK_FLAGS_AT = 2
const SESSION_PRESENT = 1
/** PINGRESPs owed to a device that does not read; more are not remembered. */
const MAX_PONGS = 64

export interface OutboundOptions {
  readonly socket: Transport
  /** Bytes that may wait before it is full. */
  readonly maxBytes: number
  /** Longest time in which the socket takes nothing. */
  readonly stallMs: number
  /** Called when that time is over. */
  readonly stalled: () => void
  /** Called when it was full and is so no longer. */
  readonly emptied: () => void
}

export class Outbound {
  readonly #options: OutboundOptions
  readonly #frames = new OutboundFrames()
  /** What waits, in order, and behind it the piece that is being filled. */
  #queue: Buffer[] = []
  #piece: Buffer | undefined
  #pieceBytes = 0
  #bytes = 0
  /** How many bytes from now the flags of a CONNACK come that is to say that there is a session; below 0: none. */
  #flagsAt = -1
  #begun = false
  #wasFull = false
  /** The socket has enough. */
  #draining = false
  #timer: NodeJS.Timeout | undefined
  #pongsOwed = 0
  #waiters: Array<() => void> = []
  #stopped = false

  constructor (options: OutboundOptions) {
    this.#options = options
  }

  /** True while more waits than may. */
  get full (): boolean {
    return this.#bytes >= this.#options.maxBytes
  }

  /** True once there was something to send. */
  get begun (): boolean {
    return this.#begun
  }

  /** Says in the CONNACK, which goes out next, that there is a session [MQTT-3.2.2-2]. */
  announceSession (): void {
    this.#flagsAt = CONNACK_FLAGS_AT
  }

  /** Sends chunks, in order, as soon as the socket takes them. */
  write (given: readonly Buffer[]): void {
    this.#begun = true
    const chunks = this.#flagsAt < 0 ? given : given.map((chunk) => this.#announcing(chunk))
    let bytes = 0
    for (const chunk of chunks) bytes += chunk.length
    if (!this.#draining && bytes <= JOIN_BYTES) {
      this.#send(chunks.length === 1 ? chunks[0] as Buffer : Buffer.concat(chunks, bytes))
      return
    }
    for (const chunk of chunks) this.#keep(chunk)
    this.#flush()
    this.#wasFull ||= this.full
  }

  #announcing (chunk: Buffer): Buffer {
    const at = this.#flagsAt
    this.#flagsAt -= chunk.length
    if (at < 0 || at >= chunk.length) return chunk
    // The byte may be one that all connections share.
    const announcing = Buffer.from(chunk)
    announcing[at] = SESSION_PRESENT
    return announcing
  }

  /** Owes the device a PINGRESP [MQTT-3.12.4-1]. */
  pong (): void {
    this.#pongsOwed = Math.min(this.#pongsOwed + 1, MAX_PONGS)
    if (this.#frames.between && !this.#draining) this.#options.socket.write(this.#takePongs())
  }

  /** The socket wants more. */
  drained (): void {
    if (this.#stopped) return
    this.#draining = false
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#flush()
    if (this.#pongsOwed > 0 && this.#frames.between && !this.#draining) this.#options.socket.write(this.#takePongs())
    if (this.#waiters.length > 0 && this.#bytes <= ROOM_BYTES) this.#wake()
    if (this.#wasFull && !this.full) {
      this.#wasFull = false
      this.#options.emptied()
    }
  }

  /** Resolves when little waits, or nothing goes out any more. */
  async room (): Promise<void> {
    if (this.#stopped || this.#bytes <= ROOM_BYTES) return
    await new Promise<void>((resolve) => { this.#waiters.push(resolve) })
  }

  /** Hands all that waits to the socket, which is about to be closed. */
  finish (): void {
    this.#draining = false
    while (this.#bytes > 0) this.#send(this.#nextPiece())
  }

  /** Ends it for good. */
  stop (): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#queue = []
    this.#piece = undefined
    this.#bytes = 0
    this.#wake()
  }

  /** What is small is copied: an entry for each PUBACK would take many times its four bytes. */
  #keep (chunk: Buffer): void {
    this.#bytes += chunk.length
    if (chunk.length > SMALL_BYTES) {
      this.#endPiece()
      this.#queue.push(chunk)
      return
    }
    if (this.#pieceBytes + chunk.length > PIECE_BYTES) this.#endPiece()
    this.#piece ??= Buffer.allocUnsafeSlow(PIECE_BYTES)
    this.#pieceBytes += chunk.copy(this.#piece, this.#pieceBytes)
  }

  #endPiece (): void {
    if (this.#piece === undefined) return
    this.#queue.push(this.#piece.subarray(0, this.#pieceBytes))
    this.#piece = undefined
    this.#pieceBytes = 0
  }

  #flush (): void {
    while (!this.#draining && this.#bytes > 0) this.#send(this.#nextPiece())
  }

  /** Takes away what goes out next; something has to wait. */
  #nextPiece (): Buffer {
    if (this.#queue.length === 0) this.#endPiece()
    const first = this.#queue[0] as Buffer
    const piece = first.subarray(0, PIECE_BYTES)
    if (piece.length === first.length) this.#queue.shift()
    else this.#queue[0] = first.subarray(PIECE_BYTES)
    this.#bytes -= piece.length
    return piece
  }

  /** Writes to the socket, with the PINGRESPs that are owed at the first place where they may stand. */
  #send (bytes: Buffer): void {
    const { socket, stallMs, stalled } = this.#options
    const place = this.#frames.advance(bytes)
    const whole = this.#pongsOwed === 0 || place === -1
      ? bytes
      : Buffer.concat([bytes.subarray(0, place), this.#takePongs(), bytes.subarray(place)])
    if (socket.write(whole) || this.#stopped) return
    this.#draining = true
    this.#timer ??= setTimeout(stalled, stallMs)
  }

  #wake (): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }

  #takePongs (): Buffer {
    const count = this.#pongsOwed
    this.#pongsOwed = 0
    return count === 1 ? PINGRESP : Buffer.concat(Array.from({ length: count }, () => PINGRESP))
  }
}

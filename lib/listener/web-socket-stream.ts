/**
 * A WebSocket as a stream of bytes: MQTT packets may be cut into frames anywhere [MQTT-6.0.0-2], and only binary frames
 * are of MQTT [MQTT-6.0.0-1]. Holds the device back while nobody reads, and waits while the device does not read.
 *
 * Invariant: waits for nothing without a bound, and no error of the WebSocket leaves this file but as one of ours.
 */
import { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { createError, reasonOf } from '../errors.ts'
import { LINGER_MS } from './linger.ts'
import type { Transport } from './transport.ts'

/** Bytes that may wait before the device is held back; the rest of what one read of the socket brought comes on top. */
const INBOUND_BYTES = 16 * 1024
/** Writes up to this size together become one frame. */
const JOIN_BYTES = 64 * 1024

/** Close codes [RFC 6455 7.4.1]. */
const NORMAL = 1000
const UNSUPPORTED = 1003
const ABNORMAL = 1006

/**
 * Destroyed with MBS_ERR_GATE_WEBSOCKET where the device breaks a rule of WebSocket, or sends text, and with
 * MBS_ERR_GATE_PACKET_TIMEOUT where it begins a message and does not finish it: the gate sees whole messages only.
 */
export class WebSocketStream extends Duplex implements Transport {
  readonly #webSocket: WebSocket
  #closed = false
  /** Its close frame says why, and has to arrive. */
  #explained = false
  #finished: (() => void) | undefined
  readonly #messageTimeoutMs: number
  /** Runs while a message is being received. */
  #timer: NodeJS.Timeout | undefined
  /** What was read of the socket last, or some of it, has ended a message. */
  #whole = false

  /**
   * @param socket below the WebSocket
   * @param messageTimeoutMs from the first bytes of a message to its last
   */
  constructor (webSocket: WebSocket, socket?: Duplex, messageTimeoutMs = Infinity) {
    super({ readableHighWaterMark: INBOUND_BYTES })
    this.#webSocket = webSocket
    this.#messageTimeoutMs = messageTimeoutMs
    for (const event of ['message', 'ping', 'pong'] as const) webSocket.on(event, () => { this.#whole = true })
    // Behind the listener of the WebSocket, which has told by then what the bytes have ended.
    socket?.on('data', () => { this.#watch() })
    this.on('error', () => {}) // the gate hears of it as well
    webSocket.on('message', (data, isBinary) => { this.#receive(data as Buffer, isBinary) })
    // The WebSocket has sent the close code that belongs to it.
    webSocket.on('error', (error) => { this.#refuse(reasonOf(error), error) })
    webSocket.on('close', (code) => { this.#ended(code) })
  }

  #receive (data: Buffer, isBinary: boolean): void {
    if (this.destroyed) return
    if (!isBinary) {
      this.#webSocket.close(UNSUPPORTED, 'MQTT needs binary frames')
      this.#refuse('a text frame [MQTT-6.0.0-1]')
    } else if (data.length > 0 && !this.push(data)) {
      this.#webSocket.pause()
    }
  }

  override _read (): void {
    this.#webSocket.resume()
  }

  #watch (): void {
    if (this.#whole) {
      this.#whole = false
      clearTimeout(this.#timer)
      this.#timer = undefined
    } else if (!this.#closed && !this.destroyed) {
      this.#timer ??= setTimeout(() => { this.#late() }, this.#messageTimeoutMs)
    }
  }

  #late (): void {
    this.#timer = undefined
    // The time during which nothing is read does not count against the device.
    if (this.#webSocket.isPaused) this.#watch()
    else this.destroy(createError('MBS_ERR_GATE_PACKET_TIMEOUT', { timeoutMs: this.#messageTimeoutMs }))
  }

  /** One write at a time: the next one goes out when the socket has taken this one. */
  override _write (chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    // Behind a close frame nothing may be sent [RFC 6455 5.5.1]; the end is on its way to the gate.
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) callback()
    else this.#webSocket.send(chunk, { binary: true }, () => { callback() })
  }

  /** Joins what is small; a device may not take frames of any size. */
  override _writev (items: Array<{ chunk: Buffer }>, callback: () => void): void {
    const frames: Buffer[][] = [[]]
    let bytes = 0
    for (const { chunk } of items) {
      if (bytes > 0 && bytes + chunk.length > JOIN_BYTES) {
        frames.push([])
        bytes = 0
      }
      frames.at(-1)!.push(chunk)
      bytes += chunk.length
    }
    const last = frames.length - 1
    for (const [at, parts] of frames.entries()) {
      this._write(Buffer.concat(parts), 'utf8', at === last ? callback : () => {})
    }
  }

  override _final (callback: () => void): void {
    if (this.#closed) {
      callback()
    } else {
      this.#finished = callback
      this.#webSocket.close(NORMAL)
    }
  }

  /** As that of a socket: sends what was written and the close frame, then closes. The caller bounds it. */
  destroySoon (): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => { this.destroy() })
  }

  /**
   * A device that said goodbye has its last packets looked at, as behind a FIN of TCP; one whose connection broke has
   * not.
   */
  #ended (code: number): void {
    this.#closed = true
    this.#finished?.()
    if (this.destroyed) return
    if (code === ABNORMAL) this.destroy()
    else this.push(null)
  }

  #refuse (reason: string, cause?: Error): void {
    this.#explained = true
    this.destroy(createError('MBS_ERR_GATE_WEBSOCKET', { reason }, cause))
  }

  override _destroy (error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#timer)
    if (!this.#closed) {
      if (this.#explained) this.#linger()
      else this.#webSocket.terminate()
    }
    callback(error)
  }

  /** Waits for the other side's close frame, within a bound. */
  #linger (): void {
    this.#webSocket.resume()
    const timer = setTimeout(() => { this.#webSocket.terminate() }, LINGER_MS)
    timer.unref()
    this.#webSocket.once('close', () => { clearTimeout(timer) })
  }
}

/**
 * The frame gate: a stream between a device's socket and the broker that bounds what a device can make the broker do.
 *
 * On the way in, bytes pass as they come, packet by packet: CONNECT first and nothing else before the session is
 * accepted, no packet that is too large or malformed, at most `inflightPerClient` publishes and one SUBSCRIBE that are
 * not settled, no more in a second than the rates allow, and no large packet without memory for it. Beyond that it
 * reads nothing, and TCP holds the device back. PINGREQ is answered here: the broker reads nothing dependably while
 * publishes wait. The way out is that of outbound.ts.
 *
 * It knows no topics, reassembles no packet, and holds at most one chunk of the socket.
 */
import { Duplex } from 'node:stream'
import { createError, type MbsError } from '../errors.ts'
import { Deadlines } from './deadlines.ts'
import { FrameScanner } from './frame-scanner.ts'
import type { ConnectionFacts, FrameGateOptions, PeerFacts } from './gate-options.ts'
import { closeGently } from './linger.ts'
import { OwnInflightBytes } from './inflight-bytes.ts'
import { Outbound } from './outbound.ts'
import { CONNECT, isFirstByteOfClient, PINGREQ, PUBLISH, SUBSCRIBE } from './packet-types.ts'
import { createRates, type Rates } from './rates.ts'
import type { Transport } from './transport.ts'

/** Bytes that may wait for the broker before the socket is paused. */
const INBOUND_BYTES = 64 * 1024
/** So that Node never tells the broker to wait; see outbound.ts. */
const NEVER_FULL = Number.MAX_SAFE_INTEGER

/**
 * One device's connection as the broker sees it. Destroyed with an MbsError where the device broke a rule:
 * MBS_ERR_GATE_CONNECT_EXPECTED, _CONNECT_TIMEOUT, _KEEPALIVE, _MALFORMED, _PACKET_TIMEOUT, _PACKET_TOO_LARGE,
 * _SLOW_READER, _SUBSCRIPTIONS.
 */
export class FrameGate extends Duplex {
  readonly facts: ConnectionFacts
  readonly peer: PeerFacts
  readonly #socket: Transport
  readonly #scanner: FrameScanner
  readonly #outbound: Outbound
  readonly #inflight: OwnInflightBytes
  readonly #deadlines: Deadlines
  /** Undefined where no rate is limited. */
  readonly #rates: Rates | undefined
  #phase: 'new' | 'connecting' | 'session' = 'new'
  /** Publishes that may be under way; 0 once no more are to pass. */
  #limit: number
  /** Publishes passed on whose event is not stored, and those whose fan-out to subscribers has not ended. */
  #notStored = 0
  /** Those of them that are held beyond the end of the connection. */
  #arrived = 0
  #notForwarded = 0
  /** From the packet that may not pass yet to the end of its chunk. */
  #rest: Buffer | undefined
  /** False while the broker has enough to read. */
  #wanted = true
  /** The device closed its side; and the broker has been told. */
  #ended = false
  #endPassed = false
  /** A SUBSCRIBE was passed on that is not settled. */
  #subscribing = false
  #abrupt = false
  /** Who waits until all publishes that were passed on are handed on. */
  #waiters: Array<() => void> = []

  constructor (options: FrameGateOptions) {
    const { socket, openedAt = performance.now(), facts, peer, limits, rateReached } = options
    super({ readableHighWaterMark: INBOUND_BYTES, writableHighWaterMark: NEVER_FULL })
    this.facts = facts
    this.peer = peer
    this.#socket = socket
    this.#limit = limits.inflightPerClient
    this.#scanner = new FrameScanner(limits)
    this.#deadlines = new Deadlines({
      openedAt,
      connectTimeoutMs: limits.connectTimeoutMs,
      packetTimeoutMs: limits.packetTimeoutMs,
      isHolding: () => this.#socket.isPaused(),
      expired: (error) => { this.#fail(error) }
    })
    this.#rates = createRates(limits, { reached: (limit) => rateReached?.(limit), goOn: () => { this.#goOn() } })
    this.#inflight = new OwnInflightBytes(options.inflight, () => { this.#continue() })
    this.#outbound = new Outbound({
      socket,
      maxBytes: limits.unreadBytes,
      stallMs: limits.drainTimeoutMs,
      stalled: () => {
        const reason = `it took nothing for ${limits.drainTimeoutMs} ms`
        this.#fail(createError('MBS_ERR_GATE_SLOW_READER', { reason }))
      },
      emptied: () => { this.#resume() }
    })
    // Whatever the broker removes: an error of one device never takes the process down.
    this.on('error', () => {})
    socket.on('data', (chunk: Buffer) => { this.#receive(chunk) })
    socket.on('end', () => { this.#end() })
    socket.on('drain', () => { this.#outbound.drained() })
    socket.on('error', (error) => { this.#fail(error) })
    socket.on('close', () => { this.#fail() })
  }

  // ---- what the broker tells it ----------------------------------------------------------------------------------

  /** The keep alive that the device asked for, in seconds; 0: none. Watched here, and here alone. */
  setKeepAlive (seconds: number): void {
    this.#deadlines.setKeepAlive(seconds)
  }

  /** The session is established: what the device sent behind CONNECT may pass. */
  sessionAccepted (): void {
    if (this.#phase === 'session' || this.destroyed) return
    this.#phase = 'session'
    this.#deadlines.accepted()
    this.#continue()
  }

  /** Sends a CONNACK that refuses, past the broker. The caller destroys the gate next, which lets it arrive. */
  refuse (connack: Buffer): void {
    if (!this.destroyed) this.#socket.write(connack)
  }

  /** A publish has come out of the broker's parser. */
  publishArrived (): void {
    this.#arrived++
  }

  /** The event of a publish is stored, or was refused. */
  publishStored (): void {
    if (this.#notStored > 0) this.#notStored--
    if (this.#arrived > 0) this.#arrived--
    if (this.destroyed) this.#inflight.left(this.#arrived)
    else this.#release()
  }

  /** A publish has been handed to all its subscribers. */
  publishForwarded (): void {
    if (this.#notForwarded > 0) this.#notForwarded--
    if (this.#waiters.length > 0 && this.#isQuiet()) this.#wake()
    this.#release()
  }

  /** A SUBSCRIBE has been answered, and the retained messages that it asks for have been sent. */
  subscribeSettled (): void {
    this.#subscribing = false
    this.#continue()
  }

  /** From now on no further publish passes; what else the device sends does. */
  quiesce (): void {
    this.#limit = 0
  }

  /** Resolves when every publish that was passed on whole has been handed on, or the connection is closed. */
  async settled (): Promise<void> {
    if (!this.#isQuiet() && !this.destroyed) await new Promise<void>((resolve) => { this.#waiters.push(resolve) })
  }

  // ---- from the device -------------------------------------------------------------------------------------------

  override _read (): void {
    this.#wanted = true
    this.#resume()
  }

  /** Reads on, unless something keeps it from that. */
  #resume (): void {
    if (!this.#ended && !this.#isHeld()) this.#socket.resume()
  }

  /** True where nothing more is to be read; a device that does not read its answers is not asked for more. */
  #isHeld (): boolean {
    return !this.#wanted || this.#rest !== undefined || this.#rates?.holding === true || this.#outbound.full
  }

  #receive (chunk: Buffer): void {
    if (this.destroyed) return
    this.#rates?.read(chunk.length)
    this.#pass(this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]))
    if (this.#isHeld()) this.#socket.pause()
  }

  /** Passes on what may pass of a chunk, and keeps the rest. */
  #pass (chunk: Buffer): void {
    const scanner = this.#scanner
    this.#rest = undefined
    let from = 0
    let at = 0
    let begun: 'new' | 'same' = 'same'
    while (at < chunk.length) {
      if (scanner.between) {
        const first = chunk[at] as number
        const problem = this.#check(first)
        if (problem !== undefined) {
          this.#fail(problem)
          return
        }
        if (!this.#admit(first >> 4)) {
          this.#rest = chunk.subarray(at)
          break
        }
        if (first >> 4 === PINGREQ) this.#forward(chunk, from, at)
        scanner.begin(first)
        begun = 'new'
        at++
      }
      if (scanner.beginsBody && !this.#makeRoom()) {
        this.#rest = chunk.subarray(at)
        break
      }
      const stopped = scanner.advance(chunk, at)
      if (typeof stopped !== 'number') {
        this.#fail(stopped)
        return
      }
      at = stopped
      if (scanner.type === PINGREQ) {
        from = at
        if (scanner.between) this.#outbound.pong()
      } else if (scanner.between && scanner.type !== PUBLISH) {
        this.#inflight.otherRead()
      }
    }
    this.#forward(chunk, from, at)
    this.#deadlines.heard(scanner.between ? undefined : begun)
  }

  /** What is wrong with a packet that begins with this byte; undefined: nothing. */
  #check (first: number): MbsError | undefined {
    if (this.#phase === 'new') {
      return first === CONNECT << 4 ? undefined : createError('MBS_ERR_GATE_CONNECT_EXPECTED')
    }
    if (!isFirstByteOfClient(first)) {
      const byte = first.toString(16).padStart(2, '0')
      return createError('MBS_ERR_GATE_MALFORMED', { reason: `no packet of a client begins with the byte 0x${byte}` })
    }
    if (first >> 4 === CONNECT) {
      return createError('MBS_ERR_GATE_MALFORMED', { reason: 'a second CONNECT [MQTT-3.1.0-2]' })
    }
    return undefined
  }

  /** True where a packet of this type may pass now. */
  #admit (type: number): boolean {
    if (this.#phase === 'new') {
      this.#phase = 'connecting'
      return true
    }
    if (this.#phase === 'connecting') return false
    if (type === SUBSCRIBE) {
      if (this.#subscribing) return false
      this.#subscribing = true
    }
    if (type !== PUBLISH) return true
    if (this.#underWay() >= this.#limit || this.#rates?.publish() === false) return false
    this.#notStored++
    this.#notForwarded++
    return true
  }

  /** True where the packet that has begun may go on: there is memory for all of it. */
  #makeRoom (): boolean {
    const { type, remaining } = this.#scanner
    return type === PUBLISH ? this.#inflight.takePublish(remaining) : this.#inflight.takeOther(remaining)
  }

  #forward (chunk: Buffer, from: number, to: number): void {
    if (to > from && !this.push(chunk.subarray(from, to))) this.#wanted = false
  }

  /** Goes on once half of the publishes are settled, not after each: a few long steps instead of many short ones. */
  #release (): void {
    this.#inflight.left(this.#underWay())
    if (this.#rest === undefined) this.#passEnd()
    else if (this.#phase === 'session' && this.#underWay() <= this.#limit >> 1) this.#continue()
  }

  #continue (): void {
    const rest = this.#rest
    if (rest === undefined || this.destroyed) return
    this.#pass(rest)
    if (this.#rest !== undefined || this.destroyed) return
    this.#passEnd()
    this.#resume()
  }

  /** The device has waited long enough for what it sent too fast. */
  #goOn (): void {
    if (this.destroyed) return
    if (this.#rest === undefined) this.#resume()
    else if (this.#phase === 'session') this.#continue()
  }

  #end (): void {
    this.#ended = true
    this.#passEnd()
  }

  /** The broker closes a connection as soon as it sees its end; the device may still wait for its PUBACKs. */
  #passEnd (): void {
    if (!this.#ended || this.#endPassed || this.#rest !== undefined || this.#underWay() > 0) return
    this.#endPassed = true
    this.push(null)
  }

  /** True where the broker has nothing to hand on but, at the most, a publish of which it has a part. */
  #isQuiet (): boolean {
    const isBegun = !this.#scanner.between && this.#scanner.type === PUBLISH
    return this.#notForwarded <= (isBegun ? 1 : 0)
  }

  #underWay (): number {
    return Math.max(this.#notStored, this.#notForwarded)
  }

  // ---- to the device ---------------------------------------------------------------------------------------------

  /** True while more waits for the device than may: it does not read as fast as messages come. */
  get full (): boolean {
    return this.#outbound.full
  }

  /** Resolves when little waits for the device, or it has gone. */
  async room (): Promise<void> {
    await this.#outbound.room()
  }

  /** True once the broker has sent something: CONNACK is the first that it sends [MQTT-3.2.0-1]. */
  get answered (): boolean {
    return this.#outbound.begun
  }

  announceSession (): void {
    this.#outbound.announceSession()
  }

  override _write (chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#outbound.write([chunk])
    callback()
  }

  override _writev (items: Array<{ chunk: Buffer }>, callback: () => void): void {
    this.#outbound.write(items.map(({ chunk }) => chunk))
    callback()
  }

  override _final (callback: () => void): void {
    this.#outbound.finish()
    this.#socket.end(callback)
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  /** The device broke a rule, or its socket is gone: nothing that waits for it is worth sending. */
  #fail (error?: Error): void {
    if (this.destroyed) return
    this.#abrupt = true
    this.destroy(error)
  }

  #wake (): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }

  override _destroy (error: Error | null, callback: (error: Error | null) => void): void {
    this.#wake()
    this.#deadlines.stop()
    this.#rates?.stop()
    this.#inflight.close(this.#arrived)
    this.#rest = undefined
    if (this.#abrupt) {
      this.#socket.destroy()
    } else {
      this.#outbound.finish()
      closeGently(this.#socket)
    }
    this.#outbound.stop()
    callback(error)
  }
}

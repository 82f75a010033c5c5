/**
 * A connection between the moment it is accepted and its frame gate: PROXY header, TLS handshake, HTTP upgrade. One
 * time for all of it, which the gate carries on, and one word about how it failed.
 */
import type { Socket } from 'node:net'
import { createError, type MbsError } from '../errors.ts'
import type { PeerCertificate } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { FrameGate } from './frame-gate.ts'
import type { ConnectionFacts } from './gate-options.ts'

export type ArrivalStage = 'proxy' | 'tls' | 'upgrade'

export interface ArrivalOptions {
  /** As it was accepted. */
  readonly socket: Socket
  readonly facts: ConnectionFacts
  /** Its IP address; undefined where it is gone already. */
  readonly ip: string | undefined
  /** From the connection to its session. */
  readonly timeoutMs: number
  readonly telemetry: Telemetry
}

export class Arrival {
  readonly socket: Socket
  /** As `performance.now()` tells it. */
  readonly openedAt = performance.now()
  /** What is known of it so far. */
  facts: ConnectionFacts
  /** The IP address of the device, as far as it is known; of a Unix socket `unix`. */
  ip: string | undefined
  /** The address for which it holds a place. */
  counted: string | undefined
  /** The certificate that was proven in its TLS handshake. */
  certificate: PeerCertificate | undefined
  readonly #options: ArrivalOptions
  #stage: ArrivalStage = 'proxy'
  #timer: NodeJS.Timeout | undefined
  #told = false
  #gate: FrameGate | undefined

  constructor (options: ArrivalOptions) {
    this.socket = options.socket
    this.facts = options.facts
    this.ip = options.ip
    this.#options = options
  }

  /** It begins a stage. The time runs from the first one on. */
  enter (stage: ArrivalStage): void {
    this.#stage = stage
    const { timeoutMs } = this.#options
    this.#timer ??= setTimeout(() => { this.fail(timeoutIn(this.#stage, timeoutMs)) }, timeoutMs)
  }

  /** Says what went wrong, once. */
  tell (error: MbsError): void {
    if (this.#told) return
    this.#told = true
    this.#options.telemetry.connectionFailed(error, this.facts)
  }

  /** The other side has gone, which is nobody's mistake. */
  gone (reason: string): void {
    if (this.#told) return
    this.#told = true
    this.#options.telemetry.connectionBroken(reason, this.facts)
  }

  /** Says what went wrong, and closes it. */
  fail (error: MbsError): void {
    this.tell(error)
    this.socket.destroy()
  }

  /** The gate has it. */
  arrived (gate: FrameGate): void {
    this.#gate = gate
    this.stop()
  }

  /** Nothing waits for it any more. */
  stop (): void {
    clearTimeout(this.#timer)
  }

  /** Calls back when its gate has closed, at once without one: it may still hold what a WebSocket said last. */
  whenGateClosed (callback: () => void): void {
    if (this.#gate === undefined || this.#gate.closed) callback()
    else this.#gate.once('close', callback)
  }
}

function timeoutIn (stage: ArrivalStage, timeoutMs: number): MbsError {
  const reason = `it took longer than limits.connectTimeout (${timeoutMs} ms)`
  switch (stage) {
    case 'proxy': return createError('MBS_ERR_LISTENER_PROXY', { reason })
    case 'tls': return createError('MBS_ERR_LISTENER_HANDSHAKE', { reason })
    case 'upgrade': return createError('MBS_ERR_LISTENER_UPGRADE', { reason })
  }
}

/**
 * Follows MQTT packets through the bytes of one device, by their fixed headers alone [MQTT-2.2]: nothing is kept,
 * nothing is reassembled. The gate decides at each first byte; the scanner then takes the rest of that packet.
 *
 * Invariant: a packet that is too large or malformed is known before any byte behind its header is passed on.
 */
import { createError, type MbsError } from '../errors.ts'
import { FilterCounter } from './filter-counter.ts'
import { DISCONNECT, PINGREQ, SUBSCRIBE, UNSUBSCRIBE } from './packet-types.ts'

export interface ScanLimits {
  /** Largest packet, its fixed header included, in bytes. */
  readonly packetBytes: number
  /** Most topic filters in one SUBSCRIBE or UNSUBSCRIBE. */
  readonly subscriptionsPerPacket: number
}

export class FrameScanner {
  readonly #limits: ScanLimits
  /** `between` packets, in the remaining `length` or in what follows it, the `body`. */
  #place: 'between' | 'length' | 'body' = 'between'
  #type = 0
  #remaining = 0
  #lengthBytes = 0
  #filters: FilterCounter | undefined
  /** Nothing of the body has been taken. */
  #fresh = false

  constructor (limits: ScanLimits) {
    this.#limits = limits
  }

  /** True where the next byte is the first of a packet. */
  get between (): boolean {
    return this.#place === 'between'
  }

  /** The type of the packet that was begun last. */
  get type (): number {
    return this.#type
  }

  /** True between the fixed header of a packet and what follows it, where something does. */
  get beginsBody (): boolean {
    return this.#place === 'body' && this.#fresh
  }

  /** Bytes of the packet that are to come, once its fixed header is known. */
  get remaining (): number {
    return this.#remaining
  }

  /** Begins a packet with its first byte, which the caller has checked. */
  begin (firstByte: number): void {
    this.#type = firstByte >> 4
    this.#place = 'length'
    this.#remaining = 0
    this.#lengthBytes = 0
    if (this.#type === SUBSCRIBE) this.#filters = new FilterCounter(1)
    else this.#filters = this.#type === UNSUBSCRIBE ? new FilterCounter(0) : undefined
  }

  /**
   * Takes bytes of the packet that was begun, from `at` on: of its fixed header, or of what follows it.
   * @returns where it stopped: at the end of the header, of the packet or of the chunk; or what is wrong with it:
   * MBS_ERR_GATE_MALFORMED, MBS_ERR_GATE_PACKET_TOO_LARGE, MBS_ERR_GATE_SUBSCRIPTIONS
   */
  advance (chunk: Buffer, at: number): number | MbsError {
    if (this.#place === 'length') {
      while (this.#place === 'length' && at < chunk.length) {
        const problem = this.#takeLength(chunk[at++] as number)
        if (problem !== undefined) return problem
      }
      return at
    }
    if (this.#place !== 'body') return at
    this.#fresh = false
    const end = Math.min(chunk.length, at + this.#remaining)
    if (this.#filters !== undefined) {
      this.#filters.feed(chunk, at, end)
      if (this.#filters.unidentified) {
        return createError('MBS_ERR_GATE_MALFORMED', { reason: 'a packet identifier of 0 [MQTT-2.3.1-1]' })
      }
      const max = this.#limits.subscriptionsPerPacket
      if (this.#filters.count > max) return createError('MBS_ERR_GATE_SUBSCRIPTIONS', { max })
    }
    this.#remaining -= end - at
    if (this.#remaining === 0) this.#place = 'between'
    return end
  }

  /** One byte of the remaining length: seven bits, lowest first, the eighth says that another follows [MQTT-2.2.3]. */
  #takeLength (byte: number): MbsError | undefined {
    this.#remaining += (byte & 0x7f) * 128 ** this.#lengthBytes
    this.#lengthBytes++
    const bytes = 1 + this.#lengthBytes + this.#remaining
    const maxBytes = this.#limits.packetBytes
    if (bytes > maxBytes) return createError('MBS_ERR_GATE_PACKET_TOO_LARGE', { bytes, maxBytes })
    if ((byte & 0x80) !== 0) {
      if (this.#lengthBytes === 4) return createError('MBS_ERR_GATE_MALFORMED', { reason: 'the remaining length has no end' })
      return undefined
    }
    if (this.#remaining > 0 && (this.#type === PINGREQ || this.#type === DISCONNECT)) {
      return createError('MBS_ERR_GATE_MALFORMED', { reason: 'PINGREQ and DISCONNECT are of two bytes' })
    }
    this.#place = this.#remaining === 0 ? 'between' : 'body'
    this.#fresh = true
    return undefined
  }
}

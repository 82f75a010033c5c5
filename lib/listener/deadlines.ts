/**
 * The times within which a device has to do something: establish its session, finish a packet, be heard of. One timer
 * for all of them, set to the nearest and armed again only when it fires: what happens with every packet costs a
 * number, not a timer.
 *
 * Time during which the gate itself holds the device back does not count against the device.
 */
import { createError, type MbsError } from '../errors.ts'

/** A connection has to be silent for this many times its keep alive to be closed [MQTT-3.1.2-24]. */
const KEEP_ALIVE_GRACE = 1.5

export interface DeadlineOptions {
  /** When the connection came, as `performance.now()` tells it. */
  readonly openedAt: number
  readonly connectTimeoutMs: number
  readonly packetTimeoutMs: number
  /** True while nothing is read from the device. */
  readonly isHolding: () => boolean
  /** Called once, with MBS_ERR_GATE_CONNECT_TIMEOUT, _PACKET_TIMEOUT or _KEEPALIVE. */
  readonly expired: (error: MbsError) => void
}

export class Deadlines {
  readonly #options: DeadlineOptions
  /** All times are those of `performance.now()`. */
  readonly #openedAt: number
  #heardAt: number
  #packetBegunAt: number | undefined
  #keepAliveSeconds = 0
  #accepted = false
  #timer: NodeJS.Timeout | undefined
  #timerDueAt = Infinity
  #stopped = false

  constructor (options: DeadlineOptions) {
    this.#options = options
    this.#openedAt = options.openedAt
    this.#heardAt = options.openedAt
    this.#arm(performance.now())
  }

  /** Sets the keep alive of CONNECT; 0: none [MQTT-3.1.2-24]. */
  setKeepAlive (seconds: number): void {
    this.#keepAliveSeconds = seconds
  }

  /** The session is established. */
  accepted (): void {
    this.#accepted = true
    this.#heardAt = performance.now()
    this.#arm(this.#heardAt)
  }

  /**
   * Bytes came from the device.
   * @param begun they begin a packet, or carry one on: undefined where they end with a whole one
   */
  heard (begun: 'new' | 'same' | undefined): void {
    this.#heardAt = performance.now()
    if (begun === undefined) {
      this.#packetBegunAt = undefined
    } else if (begun === 'new' || this.#packetBegunAt === undefined) {
      this.#packetBegunAt = this.#heardAt
      this.#arm(this.#heardAt)
    }
  }

  /** Ends it for good. */
  stop (): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** The nearest deadline; Infinity where there is none. */
  #dueAt (): number {
    if (!this.#accepted) return this.#openedAt + this.#options.connectTimeoutMs
    const keepAliveMs = this.#keepAliveSeconds * 1000 * KEEP_ALIVE_GRACE
    const silentAt = keepAliveMs === 0 ? Infinity : this.#heardAt + keepAliveMs
    const packetAt = this.#packetBegunAt === undefined ? Infinity : this.#packetBegunAt + this.#options.packetTimeoutMs
    return Math.min(silentAt, packetAt)
  }

  #arm (now: number): void {
    const dueAt = this.#dueAt()
    if (dueAt === Infinity || this.#stopped || dueAt >= this.#timerDueAt) return
    clearTimeout(this.#timer)
    this.#timerDueAt = dueAt
    this.#timer = setTimeout(() => { this.#check() }, Math.max(1, Math.ceil(dueAt - now)))
  }

  #check (): void {
    this.#timer = undefined
    this.#timerDueAt = Infinity
    const now = performance.now()
    if (this.#accepted && this.#options.isHolding()) {
      this.#heardAt = now
      if (this.#packetBegunAt !== undefined) this.#packetBegunAt = now
    }
    if (now < this.#dueAt()) this.#arm(now)
    else this.#options.expired(this.#whatExpired(now))
  }

  #whatExpired (now: number): MbsError {
    if (!this.#accepted) return createError('MBS_ERR_GATE_CONNECT_TIMEOUT', { timeoutMs: this.#options.connectTimeoutMs })
    const begunAt = this.#packetBegunAt
    if (begunAt !== undefined && now >= begunAt + this.#options.packetTimeoutMs) {
      return createError('MBS_ERR_GATE_PACKET_TIMEOUT', { timeoutMs: this.#options.packetTimeoutMs })
    }
    return createError('MBS_ERR_GATE_KEEPALIVE', { keepAliveSeconds: this.#keepAliveSeconds })
  }
}

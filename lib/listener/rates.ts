/**
 * What one connection may send in a second, in publishes and in bytes. Says only that it is too much, and wakes the
 * gate when it may go on: one timer while it is held back, none otherwise.
 */
import { Rate } from './rate.ts'

export interface RateLimits {
  /** Publishes in a second; 0: as many as it likes. */
  readonly messagesPerSecond: number
  /** Bytes in a second, of all packets; 0: as many as it likes. */
  readonly bytesPerSecond: number
}

/** Which of the two was reached. */
export type ReachedRate = 'messages' | 'bytes'

export interface RatesOptions {
  /** Called each time that the device is held back. */
  readonly reached: (limit: ReachedRate) => void
  /** Called when the device may go on. */
  readonly goOn: () => void
}

/** Undefined where neither is limited: then they cost nothing. */
export function createRates (limits: RateLimits, options: RatesOptions): Rates | undefined {
  return limits.messagesPerSecond > 0 || limits.bytesPerSecond > 0 ? new Rates(limits, options) : undefined
}

export class Rates {
  readonly #options: RatesOptions
  readonly #messages: Rate | undefined
  readonly #bytes: Rate | undefined
  #timer: NodeJS.Timeout | undefined

  /** Use `createRates`. */
  constructor ({ messagesPerSecond, bytesPerSecond }: RateLimits, options: RatesOptions) {
    this.#options = options
    this.#messages = messagesPerSecond > 0 ? new Rate(messagesPerSecond) : undefined
    this.#bytes = bytesPerSecond > 0 ? new Rate(bytesPerSecond) : undefined
  }

  /** True while nothing is to be read from the device. */
  get holding (): boolean {
    return this.#timer !== undefined
  }

  /** Counts bytes that were read; from then on it may be holding. */
  read (bytes: number): void {
    this.#messages?.refill()
    if (this.#bytes === undefined) return
    this.#bytes.refill()
    this.#bytes.spend(bytes)
    if (this.#bytes.overdrawn) this.#hold('bytes', this.#bytes.waitMs(0))
  }

  /** Counts a publish; false: not now. */
  publish (): boolean {
    if (this.#messages === undefined || this.#messages.takeOne()) return true
    this.#hold('messages', this.#messages.waitMs(1))
    return false
  }

  /** Ends it for good. */
  stop (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #hold (limit: ReachedRate, waitMs: number): void {
    if (this.#timer !== undefined) return
    this.#options.reached(limit)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#messages?.refill()
      this.#options.goOn()
    }, waitMs)
  }
}

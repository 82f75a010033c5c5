/**
 * Which rules take too long for so many different devices, and for so few not, that the expression is at fault and not
 * what somebody sends: left alone for a while. A few devices cannot bring that about, however often they try; what they
 * do is held against them (strikes.ts). Bounded. Pure but for the clock that it is given.
 */

export interface RuleStrikesOptions {
  /** Fewer different devices do not make it the fault of the rule. */
  readonly devices: number
  /** For each device with which it worked, there have to be more than so many with which it did not. */
  readonly ratio: number
  /** What is older does not count, in milliseconds. */
  readonly windowMs: number
  /** How long one is left alone, in milliseconds. */
  readonly pauseMs: number
  /** How many devices are remembered of a rule, of each kind. */
  readonly remembered: number
}

interface Standing {
  /** When each device had its last strike here. The one that had one last is the last one. */
  readonly struck: Map<string, number>
  /** When it last worked with each device, in the same way. */
  readonly worked: Map<string, number>
  /** Left alone until then; in the past: no more. */
  until: number
}

export class RuleStrikes {
  readonly #options: RuleStrikesOptions
  /** By the place of the rule, of which there are only so many. */
  readonly #records = new Map<number, Standing>()

  constructor (options: RuleStrikesOptions) {
    this.#options = options
  }

  /** True while it is left alone. */
  isOut (rule: number, now: number): boolean {
    return (this.#records.get(rule)?.until ?? -Infinity) > now
  }

  /** @returns for how many milliseconds it is left alone from now on; 0: it is not */
  failed (rule: number, clientId: string, now: number): number {
    const { devices, ratio, pauseMs } = this.#options
    const record = this.#recordOf(rule)
    this.#note(record.struck, clientId, now)
    this.#forget(record.struck, now)
    this.#forget(record.worked, now)
    if (record.struck.size < devices || record.struck.size <= ratio * record.worked.size) return 0
    record.struck.clear()
    record.worked.clear()
    record.until = now + pauseMs
    return pauseMs
  }

  succeeded (rule: number, clientId: string, now: number): void {
    this.#note(this.#recordOf(rule).worked, clientId, now)
  }

  #recordOf (rule: number): Standing {
    const known = this.#records.get(rule)
    if (known !== undefined) return known
    const record: Standing = { struck: new Map(), worked: new Map(), until: -Infinity }
    this.#records.set(rule, record)
    return record
  }

  #note (devices: Map<string, number>, clientId: string, now: number): void {
    devices.delete(clientId)
    devices.set(clientId, now)
    if (devices.size > this.#options.remembered) devices.delete(devices.keys().next().value as string)
  }

  #forget (devices: Map<string, number>, now: number): void {
    for (const [clientId, at] of devices) {
      if (at > now - this.#options.windowMs) return
      devices.delete(clientId)
    }
  }
}

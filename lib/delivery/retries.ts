/**
 * The lanes whose head has failed: whether the failure counts, when the head is tried again, and when it has run out
 * of attempts. Between the dispatcher, which tells it what happened, and the lanes. It sends nothing, keeps no timer.
 */
import type { StoredEvent } from '../message.ts'
import type { Outcome } from '../sink/sink.ts'
import { backoffMs, type Backoff } from './backoff.ts'
import { retryAfterMs } from './classify.ts'
import type { Lane, Trouble } from './lane.ts'
import type { Lanes } from './lanes.ts'
import type { SinkHealth } from './sink-health.ts'

/** No event is given up for one failure: it may have been the first of an outage. */
const LEAST_COUNTED = 2

export interface RetriesOptions {
  readonly lanes: Lanes
  readonly health: SinkHealth
  readonly backoff: Backoff
  /** How often an event is tried again that fails while others succeed. */
  readonly retry: number
  readonly retryAfterMaxMs: number
  /** So many lanes may be about to retry at a time: their heads are loaded, and may be large. */
  readonly concurrency: number
  readonly random: () => number
}

/** An attempt to send the head of a lane that failed in a way that may pass. */
export interface Failure {
  readonly lane: Lane
  readonly stored: StoredEvent
  readonly outcome: Outcome
  readonly startedAt: number
  readonly endedAt: number
  /** It failed alone for long enough, and now events from behind it were taken while it failed: it is poison. */
  readonly outdone: boolean
}

/** What follows from a failure. */
export interface Consequence {
  /** The lane is still busy and its head is to be set aside; otherwise it is parked. */
  readonly exhausted: boolean
  readonly failures: number
  readonly delayMs: number
  /** This failure took the sink down. */
  readonly wentDown: boolean
}

export class Retries {
  readonly #options: RetriesOptions
  #nextAt = Infinity
  /** Lanes are due that had to wait, because enough others were about to retry. */
  #crowded = false
  /** Some lane may be waiting for a success to hold its failure against. */
  #unproven = false

  constructor (options: RetriesOptions) {
    this.#options = options
  }

  /** When the next lane is due; Infinity when none waits. */
  get nextAt (): number {
    return this.#nextAt
  }

  /** True when lanes had to wait and there is room for a good many of them now. */
  get crowdedOut (): boolean {
    return this.#crowded && this.#options.lanes.retrying * 2 <= this.#options.concurrency
  }

  /** The pause before the retry with this number (from 0): backoff or Retry-After, whichever is longer. */
  pauseMs (retry: number, outcome: Outcome): number {
    const { backoff, random, retryAfterMaxMs } = this.#options
    return Math.max(backoffMs(backoff, retry, random()), retryAfterMs(outcome, retryAfterMaxMs))
  }

  /** Records a failure of a busy lane, and parks the lane unless its head has run out of attempts. */
  failed (failure: Failure): Consequence {
    const { lanes, health, retry, backoff, retryAfterMaxMs } = this.#options
    const { lane, stored, outcome, startedAt, endedAt, outdone } = failure
    const first = lane.trouble === undefined
    const trouble = lane.trouble ??= newTrouble(stored)
    const suspect = trouble.counted > 0
    trouble.alone = trouble.successes === health.successes ? trouble.alone + 1 : 1
    trouble.successes = health.successes
    const judgement = health.judge(endedAt, startedAt, trouble.countedAt)
    if (judgement === 'counted') {
      trouble.counted++
      trouble.countedAt = health.successes
    }
    const delayMs = this.pauseMs(trouble.failures++, outcome)
    trouble.attemptedAt = endedAt
    trouble.retryAt = endedAt + delayMs
    trouble.earliestAt = endedAt + Math.max(backoff.delayMs, retryAfterMs(outcome, retryAfterMaxMs))
    trouble.unproven = judgement === 'unproven'

    const allFailing = lanes.failing.size + 1 >= lanes.size
    const wentDown = health.failed(endedAt, { sequence: stored.sequence, first, suspect, allFailing })
    const exhausted = outdone || trouble.counted >= Math.max(LEAST_COUNTED, retry + 1)
    if (wentDown) lanes.parkRetrying()
    if (!exhausted) {
      lanes.park(lane)
      if (trouble.unproven) this.#unproven = true
      this.#nextAt = Math.min(this.#nextAt, trouble.retryAt)
    }
    return { exhausted, failures: trouble.failures, delayMs, wentDown }
  }

  /** The sink has taken an event: the moment to repeat failures that had no success beside them. */
  succeeded (now: number): void {
    if (!this.#unproven) return
    this.#unproven = false
    for (const { trouble } of this.#options.lanes.failing) {
      if (trouble === undefined || !trouble.unproven) continue
      // Once per failure, so that an event which fails fast does not follow every single success.
      trouble.unproven = false
      trouble.retryAt = Math.min(trouble.retryAt, trouble.earliestAt)
    }
    this.resumeDue(now)
  }

  /** Lets the lanes go whose time has come, a few at a time. */
  resumeDue (now: number): void {
    const { lanes, concurrency } = this.#options
    let next = Infinity
    this.#crowded = false
    for (const lane of lanes.failing) {
      const retryAt = lane.trouble?.retryAt ?? now
      if (retryAt > now) {
        next = Math.min(next, retryAt)
      } else if (lanes.retrying < concurrency) {
        lanes.resume(lane)
      } else {
        this.#crowded = true
        break
      }
    }
    // While lanes that are due have to wait, others may become due: the rest is looked at when there is room again.
    this.#nextAt = this.#crowded ? Infinity : next
  }
}

function newTrouble (stored: StoredEvent): Trouble {
  return {
    failures: 0,
    counted: 0,
    countedAt: -1,
    alone: 0,
    successes: -1,
    attemptedAt: 0,
    retryAt: 0,
    earliestAt: 0,
    unproven: false,
    run: [],
    storedAt: stored.storedAt
  }
}

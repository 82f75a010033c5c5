/**
 * Tells an outage from a poison event (an event that the sink will never take, though it says "try again"). The
 * dispatcher reports what happened and asks two things: how many attempts may be under way, and whether a failure
 * counts against its event. No timers, no events in here.
 *
 * The rule behind everything: a failure says something about the event only while the sink provably takes others. An
 * outage of any length costs no event an attempt.
 */

/**
 * `up`: full concurrency. `down`: nothing is sent but one probe at a time. `recovering`: concurrency from 1, doubled
 * with every round of successes until it is full again, halved where failures outnumber them.
 */
export type SinkState = 'up' | 'down' | 'recovering'

/**
 * Whether a failure counts. `unproven`: no success to hold it against; the next success is the moment to try again.
 * `excused`: others succeed, but so many fail that failing is no mark of this event.
 */
export type Judgement = 'counted' | 'unproven' | 'excused'

/** A success proves the sink healthy for attempts that begin at most so much later. */
const PROOF_MS = 250
/**
 * The span over which the share of failing events is taken: between one and two windows, each as long as it takes to
 * see a good many events and two seconds at least, and never longer than what is still the present.
 */
const WINDOW_MS = 2000
const WINDOW_EVENTS = 16
const LONGEST_WINDOW_MS = 600_000
/** Failing is a mark of an event while for each event that fails at first, at least so many are taken. */
const TAKEN_PER_FAILING = 5
/** Events taken that the share begins with, so that the first failure after a pause is not a share of 100 per cent. */
const HEAD_START = 8
/** Fewer failures in a row never take the sink down. */
const DOWN_FAILURES = 3
/** While the sink is down, so many events that were never tried may be tried at once, before the next probe is due. */
const PROMPT_PROBES = 3
/** A round of the paced return ends after this time too, so that thin traffic does not return for hours. */
const ROUND_MS = 1000

/** A failed attempt, as far as the health of the sink is concerned. */
export interface FailedAttempt {
  readonly sequence: number
  /** The event had never been tried before. */
  readonly first: boolean
  /** Failures of the event have counted before: it is under suspicion, and says little about the sink. */
  readonly suspect: boolean
  /** Every lane there is has failed, this one included. */
  readonly allFailing: boolean
}

export class SinkHealth {
  readonly #concurrency: number
  #state: SinkState = 'up'
  #limit: number
  /** The paced return: what happened since the limit was changed, and when that was. */
  #roundSuccesses = 0
  #roundFailures = 0
  #roundAt = 0
  #downAt = 0
  #probeFailures = 0
  #vainProbes = 0
  #successes = 0
  #lastSuccessAt = -Infinity
  // Since the last success:
  #failures = 0
  #firstFailures = 0
  #unsuspectedFailures = 0
  #unsuspectedSequence = -1
  #severalLanes = false
  // The share of events that fail, in two windows that take turns:
  #windowAt = 0
  #taken = 0
  #failing = 0
  #takenBefore = 0
  #failingBefore = 0

  constructor (concurrency: number) {
    this.#concurrency = concurrency
    this.#limit = concurrency
  }

  get state (): SinkState {
    return this.#state
  }

  /** How many attempts may be under way; 0 while it is down, when only probes are sent. */
  get limit (): number {
    return this.#state === 'down' ? 0 : this.#limit
  }

  /** Successes so far. */
  get successes (): number {
    return this.#successes
  }

  /** Since when it has been down; means nothing in other states. */
  get downAt (): number {
    return this.#downAt
  }

  /** Probes that failed since it was last fully up: pauses grow over a sink that comes and goes, too. */
  get probeFailures (): number {
    return this.#probeFailures
  }

  /** Probes that failed since it last took or refused anything. */
  get vainProbes (): number {
    return this.#vainProbes
  }

  probeFailed (): void {
    this.#probeFailures++
    this.#vainProbes++
  }

  /** True while an event that was never tried may be probed at once: hardly any of that kind has failed yet. */
  get promptProbe (): boolean {
    return this.#firstFailures < PROMPT_PROBES
  }

  /**
   * Whether a failed attempt counts against its event. Asked before the failure is reported.
   *
   * It counts if another event's success overlapped the attempt or ended at most 250 ms before it began; and if that
   * success is a new one, so that a single success never proves two failures of the same event; and if failing is the
   * exception: five events were taken lately for each one that failed when it was first tried.
   * @param countedAt `successes` when a failure of this event last counted; -1 when none has
   */
  judge (now: number, startedAt: number, countedAt: number): Judgement {
    if (this.#lastSuccessAt < startedAt - PROOF_MS || this.#successes === countedAt) return 'unproven'
    this.#turnWindow(now)
    const failing = this.#failing + this.#failingBefore
    const taken = this.#taken + this.#takenBefore
    return failing * TAKEN_PER_FAILING > taken + HEAD_START ? 'excused' : 'counted'
  }

  /** The sink has taken an event. @returns true when that brought it back */
  succeeded (now: number): boolean {
    this.#turnWindow(now)
    this.#taken++
    this.#successes++
    this.#lastSuccessAt = now
    return this.answered(now)
  }

  /**
   * The sink has answered for good, well or badly: it is there. A refusal ends an outage like a success, but proves
   * nothing against other events.
   * @returns true when that brought it back
   */
  answered (now: number): boolean {
    this.#failures = this.#firstFailures = this.#unsuspectedFailures = this.#vainProbes = 0
    this.#severalLanes = false
    this.#unsuspectedSequence = -1
    if (this.#state === 'up') return false
    if (this.#state === 'down') {
      this.#state = 'recovering'
      this.#pace(now, 1)
      return true
    }
    if (++this.#roundSuccesses >= this.#limit || now - this.#roundAt >= ROUND_MS) this.#pace(now, this.#limit * 2)
    if (this.#limit >= this.#concurrency) {
      this.#state = 'up'
      this.#probeFailures = 0
    }
    return false
  }

  /**
   * An attempt has failed in a way that may pass. The sink is down when as many attempts in a row have failed as were
   * allowed at a time (three at least), of more than one lane and not counting events under suspicion; or three in a
   * row while no lane is left that has not failed.
   * @returns true when that took it down
   */
  failed (now: number, attempt: FailedAttempt): boolean {
    this.#failures++
    if (attempt.first) {
      this.#firstFailures++
      this.#turnWindow(now)
      this.#failing++
    }
    if (!attempt.suspect) {
      this.#unsuspectedFailures++
      if (this.#unsuspectedSequence === -1) this.#unsuspectedSequence = attempt.sequence
      else if (this.#unsuspectedSequence !== attempt.sequence) this.#severalLanes = true
    }
    if (this.#state === 'down') return false
    const spell = this.#severalLanes && this.#unsuspectedFailures >= Math.max(DOWN_FAILURES, this.#limit)
    if (spell || (attempt.allFailing && this.#failures >= DOWN_FAILURES)) {
      this.#state = 'down'
      this.#downAt = now
      return true
    }
    if (this.#state === 'recovering' && !attempt.suspect && ++this.#roundFailures > this.#roundSuccesses + 1) {
      this.#pace(now, Math.max(1, this.#limit >> 1))
    }
    return false
  }

  #pace (now: number, limit: number): void {
    this.#limit = Math.min(limit, this.#concurrency)
    this.#roundSuccesses = this.#roundFailures = 0
    this.#roundAt = now
  }

  #turnWindow (now: number): void {
    const age = now - this.#windowAt
    if (age < WINDOW_MS || (this.#taken + this.#failing < WINDOW_EVENTS && age < LONGEST_WINDOW_MS)) return
    this.#takenBefore = this.#taken
    this.#failingBefore = this.#failing
    this.#taken = this.#failing = 0
    this.#windowAt = now
  }
}

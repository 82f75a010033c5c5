/**
 * What is sent while the sink is down: one event at a time, with growing pauses. It finds out whether the sink is
 * back, and whether there is an outage at all or only a poison event with nothing beside it to hold it against.
 *
 * It begins probes when the dispatcher asks for one and is done with a lane when the lane is advanced or parked.
 */
import type { StoredEvent } from '../message.ts'
import type { Outcome } from '../sink/sink.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { classify } from './classify.ts'
import type { Clock } from './clock.ts'
import { loadedHead, sequenceAt, waiting, type Lane } from './lane.ts'
import type { Lanes } from './lanes.ts'
import type { Loader } from './loader.ts'
import type { SinkHealth } from './sink-health.ts'

/**
 * A comparison that fails may be of a poison event as well: the next one goes one event further behind the head, and
 * twice as far each time once so many have failed, so that a long run of them is crossed in few comparisons.
 */
const COMPARISON_STEPS = 16
/** A head is poison when it fails after each of so many events from behind it were taken, or of all there are. */
const COMPARISONS = 3
/** With many lanes no head fails often in a row for long; so many times `compareAfter` probes in all will do, too. */
const PATIENCE = 10

/** What the prober asks of the dispatcher. */
export interface ProberOptions {
  readonly lanes: Lanes
  readonly loader: Loader
  readonly health: SinkHealth
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** No probe begins once it is aborted. */
  readonly signal: AbortSignal
  /** Failures in a row of one head after which events from behind it are tried: `retry + 1`. */
  readonly compareAfter: number
  /** Comparisons are at least so far apart. */
  readonly compareEveryMs: number
  /** The pause after a failed probe: backoff or Retry-After, whichever is longer. */
  readonly pauseMs: (failures: number, outcome: Outcome) => number
  readonly send: (stored: StoredEvent) => Promise<Outcome>
  /** Draws the consequences of an attempt to send the head of a lane; `outdone`: it is poison if it failed again. */
  readonly settle: (lane: Lane, stored: StoredEvent, outcome: Outcome, startedAt: number, outdone: boolean) => void
  /** The same for an event from behind the head; false when it is still in its place. The lane stays busy. */
  readonly settleComparison: (lane: Lane, stored: StoredEvent, outcome: Outcome) => Promise<boolean>
  /** Sets an event from behind the head of a busy lane aside; false when delivery ended before that. */
  readonly setAsideBehind: (lane: Lane, stored: StoredEvent, outcome: Outcome, attempts: number) => Promise<boolean>
  /** True for an event that is not to be sent any more. */
  readonly isObsolete: (stored: StoredEvent) => boolean
  /** An event cannot be read, or is not to be sent, any more. */
  readonly onGone: (sequence: number) => void
  /** A probe has ended, comparison and all. */
  readonly onDone: () => void
}

export class Prober {
  readonly #options: ProberOptions
  #probeAt = 0
  #comparedAt = -Infinity
  #probing = false
  /** There was nothing to probe with; whoever brings something asks again. */
  #stalled = false

  constructor (options: ProberOptions) {
    this.#options = options
  }

  /** When to ask for the next probe; Infinity while there is one under way or nothing to probe with. */
  get nextAt (): number {
    return this.#probing || this.#stalled ? Infinity : this.#probeAt
  }

  /** True while a probe is under way. */
  get busy (): boolean {
    return this.#probing
  }

  /** The sink has gone down with this outcome. */
  sinkDown (now: number, outcome: Outcome): void {
    this.#pause(now, outcome)
  }

  /** Begins a probe if one is due, or if there is an event that was never tried and few of those have failed. */
  probe (): void {
    const { lanes, health, clock, signal } = this.#options
    if (this.#probing || signal.aborted) return
    this.#stalled = false
    if (clock.now() < this.#probeAt && !(lanes.untried > 0 && health.promptProbe)) return
    const lane = lanes.probeCandidate()
    if (lane === undefined) {
      this.#stalled = true
      return
    }
    lanes.claim(lane)
    this.#probing = true
    void this.#run(lane)
  }

  async #run (lane: Lane): Promise<void> {
    const { clock, telemetry, health, lanes, signal, send, settle, onDone } = this.#options
    try {
      const head = await this.#head(lane)
      if (head === undefined) return
      const startedAt = clock.now()
      const outcome = await send(head)
      settle(lane, head, outcome, startedAt, false)
      if (health.state !== 'down' || signal.aborted) return
      health.probeFailed()
      this.#pause(clock.now(), outcome)
      if (lane.state === 'failing' && waiting(lane) > 1 && this.#comparisonDue(lane)) {
        lanes.claim(lane)
        await this.#compare(lane, head)
      }
    } catch (error) {
      telemetry.unexpected(error, 'probe the sink')
    } finally {
      this.#probing = false
      onDone()
    }
  }

  /**
   * Tries events from behind a head which has just failed, and after each that was taken the head again, and behind it
   * its run: the events that failed in its place before. That they follow at once matters: if the sink is back, the
   * head would most likely have found out, so that hardly ever an event overtakes a healthy one before it. What fails
   * each time is poison, the head and its run alike.
   */
  async #compare (lane: Lane, head: StoredEvent): Promise<void> {
    const { clock, lanes, compareAfter, send, settle } = this.#options
    this.#comparedAt = clock.now()
    // An event which fails while others were taken now and then has its failures counted instead.
    const alone = (lane.trouble?.alone ?? 0) >= compareAfter
    for (let taken = 1; ; taken++) {
      if (!await this.#tryBehind(lane)) return
      // The sink takes events at this moment: what becomes of the head now is the head's own doing.
      const enough = taken === COMPARISONS || offsetBehind(lane) === undefined
      const startedAt = clock.now()
      const outcome = await send(head)
      // The run goes first where this is the last time: with the head, the lane forgets it.
      if (alone && enough && classify(outcome) === 'retry' && !await this.#repeatRun(lane, taken, true)) return
      settle(lane, head, outcome, startedAt, alone && enough)
      if (enough || !lanes.failing.has(lane)) return
      lanes.claim(lane)
      if (alone && !await this.#repeatRun(lane, taken, false)) return
    }
  }

  /**
   * Tries the run behind a head again, which has just failed once more itself. What is taken leaves the run; what fails
   * the last time is set aside.
   * @param taken events that were taken beside it, the last one just before
   * @returns false where delivery is ending
   */
  async #repeatRun (lane: Lane, taken: number, last: boolean): Promise<boolean> {
    const { loader, lanes, signal, onGone, send, settleComparison, setAsideBehind } = this.#options
    const { trouble } = lane
    if (trouble === undefined) return true
    for (const sequence of trouble.run) {
      const stored = await loader.one(sequence)
      if (signal.aborted) return false
      let isDone = true
      if (stored === undefined) {
        onGone(sequence)
        lanes.remove(lane, sequence)
      } else {
        const outcome = await send(stored)
        if (classify(outcome) === 'aborted') return false
        isDone = await settleComparison(lane, stored, outcome)
        // It failed when it was tried in the head's place, and now after each that was taken.
        if (!isDone && last) isDone = await setAsideBehind(lane, stored, outcome, 1 + taken)
      }
      if (isDone) trouble.run = trouble.run.filter((other) => other !== sequence)
    }
    return true
  }

  /** Sends an event from behind the head of a busy lane. Where the sink did not take it, the lane is done with. */
  async #tryBehind (lane: Lane): Promise<boolean> {
    const { clock, lanes, send, settleComparison } = this.#options
    const { trouble } = lane
    // All have failed: begin anew, with the one right behind the head.
    if (trouble !== undefined && offsetBehind(lane) === undefined) trouble.run = []
    const other = await this.#load(lane, offsetBehind(lane) ?? 1)
    if (other === undefined) return false
    const outcome = await send(other)
    const verdict = classify(outcome)
    if (verdict === 'aborted') return false
    if (await settleComparison(lane, other, outcome) && verdict === 'delivered') return true
    if (verdict === 'retry') {
      if (trouble !== undefined) trouble.run = [...trouble.run, other.sequence]
      this.#pause(clock.now(), outcome)
    }
    lanes.park(lane)
    return false
  }

  /** The head of a busy lane; undefined when it is gone, or delivery is ending. Then the lane is done with. */
  async #head (lane: Lane): Promise<StoredEvent | undefined> {
    const { lanes, isObsolete, onGone } = this.#options
    const head = loadedHead(lane)
    if (head === undefined) return await this.#load(lane, 0)
    if (!isObsolete(head)) return head
    onGone(head.sequence)
    lanes.advance(lane)
    return undefined
  }

  /** An event of a busy lane; undefined when it is gone, or delivery is ending. Then the lane is done with. */
  async #load (lane: Lane, offset: number): Promise<StoredEvent | undefined> {
    const { loader, lanes, signal, onGone } = this.#options
    const sequence = sequenceAt(lane, offset)
    if (sequence === undefined) return undefined
    const stored = await loader.one(sequence)
    if (stored !== undefined || signal.aborted) return stored
    onGone(sequence)
    if (offset === 0) {
      lanes.advance(lane)
    } else {
      lanes.remove(lane, sequence)
      lanes.park(lane)
    }
    return undefined
  }

  #comparisonDue (lane: Lane): boolean {
    const { health, clock, compareAfter, compareEveryMs } = this.#options
    if (clock.now() - this.#comparedAt < compareEveryMs) return false
    return (lane.trouble?.alone ?? 0) >= compareAfter || health.vainProbes >= PATIENCE * compareAfter
  }

  #pause (now: number, outcome: Outcome): void {
    this.#probeAt = now + this.#options.pauseMs(this.#options.health.probeFailures, outcome)
  }
}

/** Where the next comparison is, behind the head of a lane; undefined where its last event has been tried as well. */
function offsetBehind (lane: Lane): number | undefined {
  const run = lane.trouble?.run ?? []
  const last = waiting(lane) - 1
  if (last < 1 || sequenceAt(lane, last) === run.at(-1)) return undefined
  const step = run.length < COMPARISON_STEPS ? run.length : COMPARISON_STEPS * 2 ** (run.length - COMPARISON_STEPS)
  return Math.min(1 + step, last)
}

/**
 * Delivers what the outbox holds to the sink: in order within a partition key, at the same time across keys. Between
 * the log and the sink; it knows both by their interfaces only, and devices not at all.
 *
 *   outbox -> loader -> lanes -> attempt -> classify -> delivered:  the cursor passes the event
 *                         ^                          -> retry:      the lane waits; the health of the sink decides
 *                         '-----------------------------'           whether the failure counts against the event
 *                                                    -> refused, or no attempts left: dead letter, then the cursor
 *
 * Invariant: the cursor passes an event only after the sink has taken it or it is durable as dead letter.
 */
import { setMaxListeners } from 'node:events'
import type { StoredEvent } from '../message.ts'
import type { Outcome } from '../sink/sink.ts'
import { Alarm } from './alarm.ts'
import { describe, fieldsOf } from './attempt.ts'
import { Checkpoint } from './checkpoint.ts'
import { classify } from './classify.ts'
import { systemClock, within, type Clock } from './clock.ts'
import { DeadLetters } from './dead-letters.ts'
import { loadedHead, oldestStoredAt, runOf, type Lane } from './lane.ts'
import { Lanes } from './lanes.ts'
import { Loader } from './loader.ts'
import { deliveryLimits, type DispatcherOptions } from './options.ts'
import { Prober } from './prober.ts'
import { Relevance } from './relevance.ts'
import { Retries } from './retries.ts'
import { Sending } from './sending.ts'
import { SharedTrim } from './shared-trim.ts'
import { SinkHealth, type SinkState } from './sink-health.ts'

/** What does not end when it is aborted is not waited for any longer. */
const ABORT_MS = 1000

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #clock: Clock
  readonly #lanes: Lanes
  readonly #health: SinkHealth
  readonly #retries: Retries
  readonly #checkpoint: Checkpoint
  readonly #loader: Loader
  readonly #prober: Prober
  readonly #relevance: Relevance
  readonly #sending: Sending
  readonly #deadLetters: DeadLetters
  readonly #alarm: Alarm
  /** Ends everything but the attempts under way, and then those. */
  readonly #stop = new AbortController()
  readonly #abort = new AbortController()
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined
  #loops: Promise<unknown> = Promise.resolve()
  /** Dead letters on their way to the disk. */
  #settingAside = 0
  #onIdle: (() => void) | undefined
  #checkpointAt = 0

  constructor (options: DispatcherOptions) {
    const { outbox, sink, telemetry, concurrency, retry, backoffMaxMs, retryAfterMaxMs } = options
    const { clock = systemClock, random = Math.random, limits = deliveryLimits } = options
    const signal = this.#stop.signal
    // A sink may listen to it once per attempt; that is no leak.
    setMaxListeners(0, this.#abort.signal)
    this.#options = options
    this.#clock = clock
    this.#alarm = new Alarm(clock, () => { this.#tick() })
    this.#lanes = new Lanes(limits)
    this.#health = new SinkHealth(concurrency * (sink.batch?.count ?? 1))
    const backoff = { policy: options.backoffPolicy, delayMs: options.backoffDelayMs, maxMs: backoffMaxMs }
    this.#retries = new Retries({
      lanes: this.#lanes, health: this.#health, backoff, retry, retryAfterMaxMs, concurrency, random
    })
    const trim = new SharedTrim(outbox, [sink.name])
    const { saved = (lowest: number) => trim.saved(sink.name, lowest), onPassed = () => {} } = options
    this.#checkpoint = new Checkpoint({ outbox, sink: sink.name, saved, onPassed, telemetry })
    this.#relevance = new Relevance({
      sink: sink.name,
      known: options.known ?? new Set([sink.name]),
      filter: options.filter,
      supersede: options.supersede === true,
      sampledrate: options.sampledrate === true,
      isDone: (sequence) => this.#checkpoint.cursor.has(sequence),
      outbox,
      telemetry,
      clock: this.#clock,
      signal
    })
    this.#sending = new Sending({ sink, relevance: this.#relevance, telemetry, signal: this.#abort.signal })
    this.#deadLetters = new DeadLetters({
      outbox,
      of: sink.name,
      sink: options.deadLetterSink,
      backoff,
      retryAfterMaxMs,
      keep: options.deadLetterKeep,
      telemetry,
      clock,
      random,
      signal,
      abort: this.#abort.signal
    })
    this.#loader = new Loader({
      outbox,
      lanes: this.#lanes,
      checkpoint: this.#checkpoint,
      limits,
      telemetry,
      clock,
      signal,
      isWanted: (stored) => this.#relevance.isWanted(stored),
      isDown: () => this.#health.state === 'down',
      onLoaded: () => { this.#pump() }
    })
    this.#prober = new Prober({
      lanes: this.#lanes,
      loader: this.#loader,
      health: this.#health,
      clock,
      telemetry,
      signal,
      compareAfter: retry + 1,
      compareEveryMs: backoffMaxMs,
      pauseMs: (failures, outcome) => this.#retries.pauseMs(failures, outcome),
      send: (stored) => this.#sending.one(stored),
      settle: (lane, stored, outcome, startedAt, outdone) => {
        this.#settle(lane, stored, outcome, startedAt, outdone)
      },
      settleComparison: (lane, stored, outcome) => this.#settleComparison(lane, stored, outcome),
      setAsideBehind: async (lane, stored, outcome, attempts) => {
        const kept = await this.#bury(stored, outcome, 'attempts', attempts)
        if (kept) this.#lanes.remove(lane, stored.sequence)
        return kept
      },
      isObsolete: (stored) => this.#relevance.isObsolete(stored),
      onGone: (sequence) => { this.#checkpoint.passed(sequence) },
      onDone: () => { this.#pump() }
    })
  }

  /** How the sink is. */
  get state (): SinkState {
    return this.#health.state
  }

  /** Undelivered events, and attempts under way; dead letters are not among them. */
  stats (): { readonly waiting: number, readonly inFlight: number } {
    const { lowest, beyond } = this.#checkpoint.cursor
    const waiting = Math.max(0, this.#options.outbox.stats().nextSequence - lowest - beyond)
    return { waiting, inFlight: this.#sending.inFlight }
  }

  /** True for an event that the sink has taken, or is not to get. */
  isDone (sequence: number): boolean {
    return this.#checkpoint.cursor.has(sequence)
  }

  /** When the oldest undelivered event was stored, in milliseconds since the epoch; undefined when none is known. */
  oldestStoredAt (): number | undefined {
    return oldestStoredAt(this.#lanes.all())
  }

  /** Begins where the sink left off. Idempotent. Rejects when the cursor cannot be read. */
  start (): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  /**
   * Takes nothing new, lets the attempts under way finish for `graceMs`, gives up the rest and saves the cursor. What
   * was given up is sent again after the next start. Idempotent; never rejects.
   */
  close (graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #start (): Promise<void> {
    await this.#checkpoint.load()
    if (this.#stop.signal.aborted) return
    this.#checkpointAt = this.#clock.now() + this.#options.checkpointMs
    const loading = this.#relevance.start(this.#checkpoint.cursor.lowest).then(() => this.#loader.run())
    this.#loops = Promise.all([loading, this.#deadLetters.run()])
      .then(() => this.#relevance.stopped())
      .catch((error: unknown) => { this.#options.telemetry.unexpected(error, 'delivery') })
    this.#arm()
  }

  async #close (graceMs: number): Promise<void> {
    this.#stop.abort()
    this.#alarm.stop()
    this.#loader.stop()
    this.#deadLetters.stop()
    if (this.#starting === undefined) return
    await this.#starting.catch(() => {})
    await this.#idleWithin(graceMs)
    this.#abort.abort()
    await this.#idleWithin(ABORT_MS)
    // Reading waits while the disk fails; the program must end all the same.
    await within(this.#clock, ABORT_MS, this.#loops)
    await this.#checkpoint.flush()
  }

  /** Sends as much as is allowed. Called whenever something has changed. */
  #pump (): void {
    if (this.#stop.signal.aborted) {
      if (this.#isIdle()) this.#onIdle?.()
      return
    }
    if (this.#health.state === 'down') {
      this.#prober.probe()
    } else {
      if (this.#retries.crowdedOut) this.#retries.resumeDue(this.#clock.now())
      while (this.#sending.inFlight < this.#health.limit) {
        const lane = this.#lanes.take()
        if (lane === undefined) break
        if (!this.#passOver(lane)) void this.#attempt(lane)
      }
    }
    this.#loader.wake()
    this.#arm()
  }

  /** Advances a busy lane whose head is not to be sent any more. */
  #passOver (lane: Lane): boolean {
    const head = loadedHead(lane)
    if (head === undefined || !this.#relevance.isObsolete(head)) return false
    this.#lanes.advance(lane)
    this.#checkpoint.passed(head.sequence)
    return true
  }

  async #attempt (lane: Lane): Promise<void> {
    const stored = loadedHead(lane)
    if (stored === undefined) return
    const { batch } = this.#options.sink
    const startedAt = this.#clock.now()
    // What has failed goes alone: beside others, nobody could tell whose failure it is.
    const run = batch === undefined || lane.trouble !== undefined ? undefined : runOf(lane, batch)
    const outcomes = run === undefined ? [await this.#sending.one(stored)] : await this.#sending.run(run)
    try {
      this.#settleRun(lane, run ?? [stored], outcomes, startedAt)
      this.#pump()
    } catch (error) {
      this.#options.telemetry.unexpected(error, 'delivery')
    }
  }

  /** Settles events at the front of a busy lane, in order, up to the first that the sink did not take. */
  #settleRun (lane: Lane, run: readonly StoredEvent[], outcomes: readonly Outcome[], startedAt: number): void {
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.kind === 'untried') return
      // The one before was taken, which made the lane ready for this one.
      if (index > 0) this.#lanes.claim(lane)
      this.#settle(lane, run[index] as StoredEvent, outcome, startedAt, false)
      if (classify(outcome) !== 'delivered') return
    }
  }

  /** Draws the consequences of an attempt to send the head of a busy lane: advances it, parks it, or sets it aside. */
  #settle (lane: Lane, stored: StoredEvent, outcome: Outcome, startedAt: number, outdone: boolean): void {
    switch (classify(outcome)) {
      case 'delivered':
        this.#lanes.advance(lane)
        this.#delivered(stored)
        break
      case 'retry':
        this.#failed(lane, stored, outcome, startedAt, outdone)
        break
      case 'refused':
        this.#answered()
        void this.#setAside(lane, stored, outcome, 'answer', (lane.trouble?.failures ?? 0) + 1)
        break
      case 'untried':
      case 'aborted':
    }
  }

  /** The same for an event from behind the head of a busy lane. The lane stays busy. */
  async #settleComparison (lane: Lane, stored: StoredEvent, outcome: Outcome): Promise<boolean> {
    const { sink, telemetry } = this.#options
    switch (classify(outcome)) {
      case 'delivered':
        this.#lanes.remove(lane, stored.sequence)
        this.#delivered(stored)
        return true
      case 'retry':
        telemetry.attempt(sink.name, outcome.kind === 'network' ? 'network' : 'retry')
        return false
      case 'refused':
        this.#answered()
        if (!await this.#bury(stored, outcome, 'answer', 1)) return false
        this.#lanes.remove(lane, stored.sequence)
        return true
      case 'untried':
      case 'aborted':
        return false
    }
  }

  #delivered (stored: StoredEvent): void {
    const { sink, telemetry } = this.#options
    telemetry.delivered(sink.name, Math.max(0, this.#clock.wallNow() - stored.storedAt) / 1000)
    this.#relevance.done(stored)
    this.#checkpoint.passed(stored.sequence)
    const now = this.#clock.now()
    if (this.#health.succeeded(now)) this.#sinkIsBack(now)
    this.#retries.succeeded(now)
  }

  #answered (): void {
    const now = this.#clock.now()
    this.#options.telemetry.attempt(this.#options.sink.name, 'refused')
    if (this.#health.answered(now)) this.#sinkIsBack(now)
  }

  #failed (lane: Lane, stored: StoredEvent, outcome: Outcome, startedAt: number, outdone: boolean): void {
    const { sink, telemetry } = this.#options
    const endedAt = this.#clock.now()
    telemetry.attempt(sink.name, outcome.kind === 'network' ? 'network' : 'retry')
    const { exhausted, failures, delayMs, wentDown } =
      this.#retries.failed({ lane, stored, outcome, startedAt, endedAt, outdone })
    const reason = describe(outcome)
    if (exhausted) {
      void this.#setAside(lane, stored, outcome, 'attempts', failures)
    } else {
      const fields = { ...fieldsOf(stored), reason, attempts: failures, delayMs: Math.round(delayMs) }
      telemetry.attemptFailed(sink.name, fields)
    }
    if (wentDown) {
      telemetry.sinkDown(sink.name, { destination: sink.destination, reason })
      this.#prober.sinkDown(endedAt, outcome)
    }
    this.#arm()
  }

  async #setAside (
    lane: Lane, stored: StoredEvent, outcome: Outcome, reason: 'answer' | 'attempts', attempts: number
  ): Promise<void> {
    if (await this.#bury(stored, outcome, reason, attempts)) this.#lanes.advance(lane)
    this.#pump()
  }

  /** Makes an event a dead letter and lets the cursor pass it; false when delivery ended before that. */
  async #bury (
    stored: StoredEvent, outcome: Outcome, reason: 'answer' | 'attempts', attempts: number
  ): Promise<boolean> {
    const { sink, telemetry } = this.#options
    this.#settingAside++
    const kept = await this.#deadLetters.keep({ stored, outcome, reason, attempts, destination: sink.destination })
    this.#settingAside--
    if (!kept) return false
    this.#relevance.done(stored)
    this.#checkpoint.passed(stored.sequence)
    const code = outcome.kind === 'answer' ? outcome.status : 500
    telemetry.deadLettered(sink.name, { ...fieldsOf(stored), reason, code, attempts })
    return true
  }

  #sinkIsBack (now: number): void {
    const { sink, telemetry } = this.#options
    telemetry.sinkUp(sink.name, { destination: sink.destination, downMs: Math.round(now - this.#health.downAt) })
    // Lanes did not come back from their waits while it was down.
    this.#retries.resumeDue(now)
  }

  #tick (): void {
    const now = this.#clock.now()
    if (now >= this.#checkpointAt) {
      this.#checkpointAt = now + this.#options.checkpointMs
      void this.#checkpoint.save()
    }
    if (this.#health.state !== 'down' && now >= this.#retries.nextAt) this.#retries.resumeDue(now)
    this.#pump()
  }

  /** Sets the alarm of delivery to whatever comes first. */
  #arm (): void {
    const due = Math.min(this.#checkpointAt, this.#health.state === 'down' ? this.#prober.nextAt : this.#retries.nextAt)
    if (!this.#stop.signal.aborted) this.#alarm.set(due)
  }

  #isIdle (): boolean {
    return this.#sending.inFlight === 0 && this.#settingAside === 0 && !this.#prober.busy
  }

  async #idleWithin (timeoutMs: number): Promise<void> {
    if (this.#isIdle()) return
    await within(this.#clock, timeoutMs, new Promise<void>((resolve) => { this.#onIdle = resolve }))
  }
}

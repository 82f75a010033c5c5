/**
 * Has the transforms of rules evaluated in another process, so that an expression that never ends, or takes all memory,
 * harms nothing but its own event: the process is ended and replaced, the event at fault has failed, and what waited
 * behind it is run again, in order.
 *
 * Invariant: a job waits for one job of each other client at most, and each of these is bounded. Who is slow again and
 * again, a device or the rule itself, is left alone for a while: its jobs fail untried, and nobody waits for them.
 */
import { createError } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { ClientTurns } from './client-turns.ts'
import { RuleStrikes } from './rule-strikes.ts'
import { Strikes } from './strikes.ts'
import { TransformWorker, type Answer } from './transform-worker.ts'
import type { Transform } from './transform.ts'

export interface TransformInput {
  readonly transform: Transform
  /** The place of its rule. */
  readonly rule: number
  /** Whose event it is. */
  readonly clientId: string
  /** Variables of the expression, as JSON; nothing: it has none. */
  readonly variables: string
  /** JSON. */
  readonly input: Buffer
}

export type TransformResult =
  | { readonly kind: 'done', readonly data: Buffer }
  /** In words, without a part of the input. */
  | { readonly kind: 'failed', readonly detail: string }

export interface Transformer {
  /**
   * The result of a transform. It may come before that of an earlier call.
   * @throws MBS_ERR_MAPPING_TRANSFORMER, as a rejection, where transforms cannot be run at present
   */
  run (input: TransformInput): Promise<TransformResult>
  /** Ends the process; what is not done is rejected. Idempotent. */
  close (): Promise<void>
}

export interface TransformerOptions {
  /** Time for one evaluation, in milliseconds. */
  readonly timeoutMs: number
  /** Most bytes of a result. */
  readonly resultBytes: number
  /** Memory of the process for values, in bytes. */
  readonly memoryBytes: number
  readonly telemetry: Pick<Telemetry, 'transformStopped' | 'transformPaused'>
  /** Milliseconds, of a clock that never jumps. */
  readonly now: () => number
}

interface Job extends TransformInput {
  readonly resolve: (result: TransformResult) => void
  readonly reject: (error: Error) => void
  /** The process ended while it was the oldest. */
  isSuspect: boolean
}

/**
 * Jobs that the process has at a time, each of another client: what keeps it busy, and what is run again after one of
 * them.
 */
const WINDOW = 8
/** What is stuck where the library cannot stop it is given so much longer. */
const STUCK_FACTOR = 2
const STUCK_MS = 250
/** A process that is not ready by then is ended; after so many in a row, nothing waits for the next one. */
const START_MS = 15_000
const MAX_STARTS = 3
const RESTART_MS = 100

/** A strike fades in so many times what it may have cost: that bounds the part of the time that one can take. */
const FADE_FACTOR = 25
const MIN_FADE_MS = 20_000
const CLIENT_STRIKES = { limit: 3, remembered: 10_000 }
const RULE_STRIKES = { devices: 5, ratio: 4, remembered: 64 }

/** Makes the transformer; its process is started when it is needed first. */
export function createTransformer (options: TransformerOptions): Transformer {
  return new ProcessTransformer(options)
}

class ProcessTransformer implements Transformer {
  readonly #options: TransformerOptions
  readonly #stuckMs: number
  readonly #clients: Strikes<string>
  readonly #rules: RuleStrikes
  readonly #turns = new ClientTurns<Job>()
  /** Whose turn has come: those to be run again, before those that were not yet. */
  #next: Job[] = []
  /** What the process has, oldest first. */
  #running: Job[] = []
  #worker: TransformWorker | undefined
  /** Since when the oldest is the oldest; while it starts, since when it does. */
  #since = 0
  /** The one that the process is being ended for. */
  #stuck: Job | undefined
  #failedStarts = 0
  #isScheduled = false
  #timer: NodeJS.Timeout | undefined
  #closing: { readonly ended: Promise<void>, readonly end: () => void } | undefined

  constructor (options: TransformerOptions) {
    this.#options = options
    this.#stuckMs = options.timeoutMs * STUCK_FACTOR + STUCK_MS
    const fadeMs = Math.max(MIN_FADE_MS, this.#stuckMs * FADE_FACTOR)
    const pauseMs = fadeMs * 1.5
    this.#clients = new Strikes({ ...CLIENT_STRIKES, fadeMs, pauseMs, maxPauseMs: pauseMs * 20 })
    this.#rules = new RuleStrikes({ ...RULE_STRIKES, windowMs: fadeMs * 3, pauseMs })
  }

  run (input: TransformInput): Promise<TransformResult> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) {
        reject(closed())
        return
      }
      const job = { ...input, resolve, reject, isSuspect: false }
      if (this.#isLeftAlone(job)) return
      this.#turns.add(job)
      if (this.#isScheduled) return
      this.#isScheduled = true
      // Everything that arrives in this turn goes together.
      setImmediate(() => {
        this.#isScheduled = false
        this.#advance()
      })
    })
  }

  async close (): Promise<void> {
    if (this.#closing === undefined) {
      let end = (): void => {}
      const ended = new Promise<void>((resolve) => { end = resolve })
      this.#closing = { ended, end }
      clearTimeout(this.#timer)
      this.#rejectAll(closed())
      if (this.#worker === undefined) end()
      else this.#worker.kill()
    }
    await this.#closing.ended
  }

  /** Gives the process what it can take. */
  #advance (): void {
    if (this.#closing !== undefined) return
    const worker = this.#worker
    for (let job = this.#peek(); job !== undefined; job = this.#peek()) {
      if (this.#isLeftAlone(job)) {
        this.#next.shift()
        this.#turns.done(job.clientId)
        continue
      }
      if (worker?.isReady !== true) {
        if (worker === undefined && this.#timer === undefined) this.#start()
        return
      }
      // One at which the process may have ended runs alone: then it is known.
      const isAlone = job.isSuspect || this.#running[0]?.isSuspect === true
      if (this.#running.length >= (isAlone ? 1 : WINDOW)) break
      this.#next.shift()
      if (this.#running.length === 0) this.#since = this.#options.now()
      this.#running.push(job)
      worker.add(job.transform, job.variables, job.input)
    }
    worker?.flush()
    if (this.#running.length > 0) this.#watch(this.#stuckMs)
  }

  /** The job that is next, which stays so. */
  #peek (): Job | undefined {
    if (this.#next.length === 0) {
      const job = this.#turns.take()
      if (job !== undefined) this.#next.push(job)
    }
    return this.#next[0]
  }

  /** Fails a job that is not to be tried. */
  #isLeftAlone (job: Job): boolean {
    const now = this.#options.now()
    const isClient = this.#clients.isOut(job.clientId, now)
    if (!isClient && !this.#rules.isOut(job.rule, now)) return false
    leaveAlone(job, isClient ? 'this device' : 'this rule')
    return true
  }

  #start (): void {
    const { timeoutMs, resultBytes, memoryBytes, now } = this.#options
    this.#since = now()
    this.#worker = new TransformWorker({
      timeoutMs,
      resultBytes,
      memoryBytes,
      ready: () => {
        this.#failedStarts = 0
        clearTimeout(this.#timer)
        this.#timer = undefined
        this.#advance()
      },
      answered: (answers) => { this.#answered(answers) },
      ended: (reason) => { this.#ended(reason) }
    })
    this.#watch(START_MS)
  }

  #answered (answers: readonly Answer[]): void {
    this.#since = this.#options.now()
    for (const answer of answers) {
      const job = this.#running.shift()
      if (job === undefined) continue
      if (answer.kind === 'slow') this.#strike(job)
      else this.#rules.succeeded(job.rule, job.clientId, this.#since)
      job.resolve(answer.kind === 'done' ? answer : { kind: 'failed', detail: answer.detail })
      this.#turns.done(job.clientId)
    }
    this.#advance()
  }

  /** Looks after so long whether the oldest job, or the start, has gone on. */
  #watch (ms: number): void {
    if (this.#timer !== undefined) return
    const timer = setTimeout(() => {
      // What it has answered may not have been read yet, where this process was busy itself.
      setImmediate(() => {
        if (this.#timer !== timer) return
        this.#timer = undefined
        const worker = this.#worker
        if (worker === undefined || (worker.isReady && this.#running.length === 0)) return
        const limitMs = worker.isReady ? this.#stuckMs : START_MS
        const leftMs = this.#since + limitMs - this.#options.now()
        if (leftMs > 0) return this.#watch(leftMs)
        this.#stuck = this.#running[0]
        worker.kill()
      })
    }, ms)
    this.#timer = timer
  }

  #ended (reason: string): void {
    const wasReady = this.#worker?.isReady === true
    const stuck = this.#stuck
    this.#worker = undefined
    this.#stuck = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#closing !== undefined) return this.#closing.end()
    const [oldest, ...others] = this.#running
    this.#running = []
    this.#next = [...others, ...this.#next]
    if (oldest !== undefined) this.#blame(oldest, stuck)
    this.#options.telemetry.transformStopped({ reason: stuck === undefined ? reason : 'it did not end in time' })
    if (!wasReady && ++this.#failedStarts >= MAX_STARTS) {
      this.#failedStarts = 0
      this.#rejectAll(createError('MBS_ERR_MAPPING_TRANSFORMER', { reason }))
    }
    if (this.#peek() === undefined) return
    if (wasReady) this.#advance()
    else this.#timer = setTimeout(() => { this.#timer = undefined; this.#advance() }, RESTART_MS)
  }

  /**
   * The process ended while this job was the oldest. Something else may have ended it, or an earlier job that was done
   * at the last moment: then it has one more try.
   */
  #blame (job: Job, stuck: Job | undefined): void {
    if (job !== stuck && !job.isSuspect) {
      job.isSuspect = stuck === undefined
      this.#next.unshift(job)
      return
    }
    this.#strike(job)
    const detail = job === stuck
      ? `it did not end within ${this.#options.timeoutMs} ms`
      : 'it ended the process it ran in, as one does that takes more memory than there is'
    job.resolve({ kind: 'failed', detail })
    this.#turns.done(job.clientId)
  }

  #strike (job: Job): void {
    const { clientId, rule } = job
    const { now, telemetry } = this.#options
    const clientMs = this.#clients.failed(clientId, now())
    if (clientMs > 0) {
      telemetry.transformPaused({ whose: 'device', rule, clientId, pauseMs: clientMs })
      for (const waiting of this.#turns.removeOf(clientId)) leaveAlone(waiting, 'this device')
    }
    const ruleMs = this.#rules.failed(rule, clientId, now())
    if (ruleMs > 0) telemetry.transformPaused({ whose: 'rule', rule, pauseMs: ruleMs })
  }

  #rejectAll (error: Error): void {
    const jobs = [...this.#running, ...this.#next, ...this.#turns.clear()]
    this.#running = []
    this.#next = []
    for (const { reject } of jobs) reject(error)
  }
}

function leaveAlone (job: Job, whose: 'this device' | 'this rule'): void {
  job.resolve({ kind: 'failed', detail: `it was not tried, because transforms of ${whose} took too long before` })
}

function closed (): Error {
  return createError('MBS_ERR_MAPPING_TRANSFORMER', { reason: 'the program is shutting down' })
}

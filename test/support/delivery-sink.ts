/** A sink that answers as a test tells it to, in the time of the test's clock. */
import type { Event } from '../../lib/message.ts'
import type { Outcome, Sink } from '../../lib/sink/sink.ts'
import type { FakeClock } from './delivery-clock.ts'

/** Decides about one attempt, at the moment when it ends. A number is the status of an answer. */
export type Script = (event: Event, attempt: number, now: number) => Outcome | number

/** One attempt as the sink saw it. */
export interface Attempt {
  readonly id: string
  readonly key: string
  readonly startedAt: number
  readonly endedAt: number
  readonly status: number
}

/** No answer at all. */
export const unreachable: Outcome = {
  kind: 'network', code: 'ECONNREFUSED', reason: 'connect ECONNREFUSED 127.0.0.1:1', timedOut: false
}

/** An answer with a Retry-After. */
export function answer (status: number, retryAfterMs?: number, body = ''): Outcome {
  const base = { kind: 'answer' as const, status, body: Buffer.from(body) }
  return retryAfterMs === undefined ? base : { ...base, retryAfterMs }
}

export class ScriptedSink implements Sink {
  readonly name: string
  readonly destination: string
  script: Script
  latencyMs: number
  /** Every attempt, in the order in which they ended. Status 0: no answer. */
  readonly attempts: Attempt[] = []
  /** The ids of the events taken, duplicates among them. */
  readonly taken: string[] = []
  /** Events as they were taken. */
  readonly events: Event[] = []
  inFlight = 0
  mostInFlight = 0
  /** Keys of which two attempts were under way at a time: must stay empty. */
  readonly overlapped: string[] = []
  readonly #clock: FakeClock
  readonly #busyKeys = new Set<string>()
  readonly #tries = new Map<string, number>()

  constructor (clock: FakeClock, script: Script = () => 202, options: { name?: string, latencyMs?: number } = {}) {
    this.#clock = clock
    this.script = script
    this.name = options.name ?? 'sink'
    this.destination = `http://${this.name}.test/`
    this.latencyMs = options.latencyMs ?? 5
  }

  async send (event: Event, signal: AbortSignal): Promise<Outcome> {
    if (this.#busyKeys.has(event.partitionKey)) this.overlapped.push(event.partitionKey)
    this.#busyKeys.add(event.partitionKey)
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight)
    const attempt = (this.#tries.get(event.id) ?? 0) + 1
    this.#tries.set(event.id, attempt)
    const startedAt = this.#clock.now()
    const ended = await this.#latency(signal)
    this.inFlight--
    this.#busyKeys.delete(event.partitionKey)
    if (ended === 'aborted') return { kind: 'aborted' }
    const endedAt = this.#clock.now()
    const decided = this.script(event, attempt, endedAt)
    const outcome = typeof decided === 'number' ? answer(decided, undefined, `answer ${decided}`) : decided
    const status = outcome.kind === 'answer' ? outcome.status : 0
    this.attempts.push({ id: event.id, key: event.partitionKey, startedAt, endedAt, status })
    if (status >= 200 && status < 300) {
      this.taken.push(event.id)
      this.events.push(event)
    }
    return outcome
  }

  async close (): Promise<void> {}

  #latency (signal: AbortSignal): Promise<'aborted' | undefined> {
    return new Promise((resolve) => {
      const onAbort = () => { resolve('aborted') }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#clock.setTimer(() => {
        signal.removeEventListener('abort', onAbort)
        resolve(undefined)
      }, this.latencyMs)
    })
  }

  /** The attempts of one event. */
  of (id: string): Attempt[] {
    return this.attempts.filter((attempt) => attempt.id === id)
  }

  /** The events taken of one key, without duplicates, in order. */
  takenOf (key: string): string[] {
    return [...new Set(this.events.filter((event) => event.partitionKey === key).map((event) => event.id))]
  }
}

/** The same sink for several events of a key at a time: it takes them up to the first that the script does not. */
export class BatchingSink extends ScriptedSink {
  readonly batch = { count: 10, bytes: 1_000_000 }
  /** Sizes of the runs that came, in order. */
  readonly runs: number[] = []

  async sendAll (events: readonly Event[], signal: AbortSignal): Promise<readonly Outcome[]> {
    this.runs.push(events.length)
    const outcomes: Outcome[] = []
    for (const event of events) {
      const last = outcomes.at(-1)
      const goesOn = last === undefined || (last.kind === 'answer' && last.status < 300)
      outcomes.push(goesOn ? await this.send(event, signal) : { kind: 'untried' })
    }
    return outcomes
  }
}

/**
 * Sends several events in one request, in batched content mode [CE-HTTP 3.3]. Around an HTTP sink, which makes the
 * requests. A batch that is refused is sent again as single events; a sink that takes no batches gets none for a while.
 *
 * Invariants: of one call, an event is sent only after those before it were taken; what was not tried has the outcome
 * `untried`. Calls go into batches whole, as far as they fit, and in the order in which they came. A call waits at most
 * `waitMs` for others.
 */
import { encodeBatch, encodeJson } from '../cloudevent/encode.ts'
import type { Event } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { networkOutcome } from './http-attempt.ts'
import type { HttpSink } from './http-sink.ts'
import type { Outcome, Sink, SinkFiles } from './sink.ts'

export interface BatchOptions {
  /** Most events of a batch. */
  readonly count: number
  /** Most bytes of its body. */
  readonly bytes: number
  readonly waitMs: number
  /** What an outcome means, which is delivery's to know. */
  readonly judge: (outcome: Outcome) => 'delivered' | 'retry' | 'refused' | 'untried' | 'aborted'
  readonly telemetry: Telemetry
  /** Milliseconds of a clock that is never set back. */
  readonly now?: () => number
}

/** How long a sink that takes no batches is sent single events. */
export const PAUSE_MS = 300_000
/** So many batches in a row are refused whose events are all taken one by one: then it is not the events. */
export const REFUSALS = 3

const ABORTED: Outcome = { kind: 'aborted' }
const UNTRIED: Outcome = { kind: 'untried' }

/** Events of one call that fit into a batch together. */
interface Part {
  readonly events: readonly Event[]
  readonly documents: readonly Buffer[]
  readonly bytes: number
  readonly signal: AbortSignal
  readonly since: number
  readonly resolve: (outcomes: readonly Outcome[]) => void
}

/** Makes a sink that sends batches by another one. */
export function createBatchSink (sink: HttpSink, options: BatchOptions): Sink {
  return new BatchSink(sink, options)
}

/** Whether an event fits into a batch at all; otherwise it is sent alone. @param document in the JSON format */
export function fitsBatch (document: Buffer, bytes: number): boolean {
  return bytesOf([document]) <= bytes
}

class BatchSink implements Sink {
  readonly name: string
  readonly destination: string
  readonly files: readonly SinkFiles[]
  readonly batch: { readonly count: number, readonly bytes: number }
  readonly #sink: HttpSink
  readonly #options: BatchOptions
  readonly #now: () => number
  /** Parts that wait for others, the oldest first. */
  #queue: Part[] = []
  #timer: NodeJS.Timeout | undefined
  readonly #watched = new WeakSet<AbortSignal>()
  #closed = false
  #refusals = 0
  #pausedUntil = -Infinity

  constructor (sink: HttpSink, options: BatchOptions) {
    this.name = sink.name
    this.destination = sink.destination
    this.files = sink.files
    this.batch = { count: options.count, bytes: options.bytes }
    this.#sink = sink
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** In no batch: whose failure it is, only an event alone can tell. */
  async send (event: Event, signal: AbortSignal): Promise<Outcome> {
    return await this.#sink.send(event, signal)
  }

  async sendAll (events: readonly Event[], signal: AbortSignal): Promise<readonly Outcome[]> {
    if (this.#closed || signal.aborted) return events.map(() => ABORTED)
    const outcomes: Outcome[] = []
    try {
      this.#watch(signal)
      const documents = events.map(encodeJson)
      let taken = true
      while (taken && outcomes.length < events.length) {
        const from = outcomes.length
        const to = from + this.#fitting(documents, from)
        const part = { events: events.slice(from, to), documents: documents.slice(from, to), signal }
        const results = to > from ? await this.#enqueue(part) : [await this.send(events[from] as Event, signal)]
        outcomes.push(...results)
        taken = results.every((outcome) => this.#isTaken(outcome))
      }
    } catch (error) {
      outcomes.push(networkOutcome(error))
    }
    while (outcomes.length < events.length) outcomes.push(UNTRIED)
    return outcomes
  }

  trust (ca: readonly string[]): void {
    this.#sink.trust(ca)
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#giveUp(() => true)
    await this.#sink.close()
  }

  /** How many documents from one on fit into a batch; 0 where that one alone does not. */
  #fitting (documents: readonly Buffer[], from: number): number {
    const { count, bytes } = this.#options
    let fitting = 0
    let total = bytesOf([])
    for (const document of documents.slice(from, from + count)) {
      total += document.length + (fitting > 0 ? 1 : 0)
      if (total > bytes) break
      fitting++
    }
    return fitting
  }

  #enqueue ({ events, documents, signal }: Pick<Part, 'events' | 'documents' | 'signal'>): Promise<readonly Outcome[]> {
    if (this.#now() < this.#pausedUntil) return this.#singles(events, signal)
    return new Promise((resolve) => {
      this.#queue.push({ events, documents, bytes: bytesOf(documents), signal, since: this.#now(), resolve })
      this.#flush()
    })
  }

  /** Sends the batches that are full, or whose oldest part has waited for long enough. */
  readonly #flush = (): void => {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (;;) {
      const [oldest] = this.#queue
      if (oldest === undefined) return
      const { length, full } = this.#nextBatch(oldest)
      const waitMs = oldest.since + this.#options.waitMs - this.#now()
      if (!full && waitMs > 0) {
        this.#timer = setTimeout(this.#flush, Math.ceil(waitMs))
        return
      }
      void this.#sendBatch(this.#queue.splice(0, length), oldest.signal)
    }
  }

  /** How many parts the next batch has, and whether nothing else would go into it. */
  #nextBatch ({ signal }: Part): { length: number, full: boolean } {
    const { count, bytes } = this.#options
    let events = 0
    let total = bytesOf([]) - 1
    for (const [length, part] of this.#queue.entries()) {
      events += part.events.length
      total += part.bytes - 1
      if (events > count || total > bytes || part.signal !== signal) return { length, full: true }
    }
    return { length: this.#queue.length, full: events === count || total === bytes }
  }

  async #sendBatch (parts: readonly Part[], signal: AbortSignal): Promise<void> {
    const { judge, telemetry } = this.#options
    if (this.#now() < this.#pausedUntil) {
      await this.#sendSingles(parts)
      return
    }
    const message = encodeBatch(parts.flatMap(({ documents }) => documents))
    const outcome = await this.#sink.post(message, parts.flatMap(({ events }) => events), signal)
    const verdict = judge(outcome)
    // Of one event, too: whether it is the event or the batch that is refused, only the event alone can tell.
    if (verdict === 'refused') {
      telemetry.sinkBatch(this.name, 'split')
      await this.#split(parts, outcome.kind === 'answer' ? outcome.status : 0)
      return
    }
    if (verdict === 'delivered') this.#refusals = 0
    if (verdict !== 'aborted') telemetry.sinkBatch(this.name, verdict === 'delivered' ? 'taken' : 'failed')
    for (const { events, resolve } of parts) resolve(events.map(() => outcome))
  }

  /** A batch was refused: its events are sent alone. */
  async #split (parts: readonly Part[], status: number): Promise<void> {
    if (status === 415) this.#pause(status)
    await this.#sendSingles(parts, (outcomes) => {
      // Where one of them was refused as well, it was that event and not the batch.
      if (outcomes.every((outcome) => this.#isTaken(outcome)) && ++this.#refusals >= REFUSALS) this.#pause(status)
    })
  }

  /**
   * Sends events one by one; those of different calls do not wait for each other.
   * @param onDone is told all outcomes, before the last call is
   */
  async #sendSingles (
    parts: readonly Part[], onDone: (outcomes: readonly Outcome[]) => void = () => {}
  ): Promise<void> {
    const all: Outcome[] = []
    let left = parts.length
    await Promise.all(parts.map(async ({ events, signal, resolve }) => {
      const outcomes = await this.#singles(events, signal)
      all.push(...outcomes)
      if (--left === 0) onDone(all)
      resolve(outcomes)
    }))
  }

  /** No batches for a while. */
  #pause (status: number): void {
    const now = this.#now()
    this.#refusals = 0
    if (now < this.#pausedUntil) return
    this.#pausedUntil = now + PAUSE_MS
    this.#options.telemetry.sinkBatchesRefused(this.name, { status, pauseMs: PAUSE_MS })
  }

  async #singles (events: readonly Event[], signal: AbortSignal): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = []
    for (const event of events) {
      const last = outcomes.at(-1)
      outcomes.push(last === undefined || this.#isTaken(last) ? await this.send(event, signal) : UNTRIED)
    }
    return outcomes
  }

  #isTaken (outcome: Outcome): boolean {
    return this.#options.judge(outcome) === 'delivered'
  }

  /** One listener per signal: delivery hands in the same one every time. */
  #watch (signal: AbortSignal): void {
    if (this.#watched.has(signal)) return
    this.#watched.add(signal)
    signal.addEventListener('abort', () => { this.#giveUp((part) => part.signal === signal) }, { once: true })
  }

  /** Settles parts that are not sent yet. */
  #giveUp (which: (part: Part) => boolean): void {
    const given = this.#queue.filter(which)
    this.#queue = this.#queue.filter((part) => !which(part))
    for (const { events, resolve } of given) resolve(events.map(() => ABORTED))
    this.#flush()
  }
}

/** The size of a batch: the documents, the commas between them, the brackets. */
function bytesOf (documents: readonly Buffer[]): number {
  return documents.reduce((bytes, document) => bytes + document.length, 2 + Math.max(0, documents.length - 1))
}

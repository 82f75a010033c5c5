/** Sends stored events as they are to go out, and counts the attempts under way. Between dispatcher and sink. */
import type { StoredEvent } from '../message.ts'
import type { Outcome, Sink } from '../sink/sink.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { send, sendAll } from './attempt.ts'
import type { Relevance } from './relevance.ts'

export interface SendingOptions {
  readonly sink: Sink
  readonly relevance: Pick<Relevance, 'outgoing'>
  readonly telemetry: Telemetry
  /** Ends the attempts under way. */
  readonly signal: AbortSignal
}

export class Sending {
  readonly #options: SendingOptions
  #inFlight = 0

  constructor (options: SendingOptions) {
    this.#options = options
  }

  /** Attempts under way. */
  get inFlight (): number {
    return this.#inFlight
  }

  /** One event, in a request of its own. Never rejects. */
  async one (stored: StoredEvent): Promise<Outcome> {
    const { sink, relevance, telemetry, signal } = this.#options
    return await this.#counted(send(sink, relevance.outgoing(stored), signal, telemetry))
  }

  /** Events of one lane in order, together with those of others where the sink takes batches. Never rejects. */
  async run (run: readonly StoredEvent[]): Promise<readonly Outcome[]> {
    const { sink, relevance, telemetry, signal } = this.#options
    const events = run.map((stored) => relevance.outgoing(stored))
    return await this.#counted(sendAll(sink, events, signal, telemetry))
  }

  async #counted<T> (attempt: Promise<T>): Promise<T> {
    this.#inFlight++
    const outcome = await attempt
    this.#inFlight--
    return outcome
  }
}

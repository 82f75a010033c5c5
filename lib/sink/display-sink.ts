/**
 * Prints events instead of sending them: what is used where no sink is configured, so that the first publish is seen at
 * once. In place of the HTTP sink. Always takes the event; a reader that does not keep up slows it down, as a slow
 * server would.
 */
import type { Writable } from 'node:stream'
import type { Event } from '../message.ts'
import { formatEvent } from './display-format.ts'
import type { Outcome, Sink } from './sink.ts'
import { StreamWriter } from './stream-writer.ts'

export interface DisplaySinkOptions {
  /** Names the sink's cursor and its metrics. */
  readonly name: string
  /** Where events are printed; not closed with the sink. */
  readonly stream: Writable
}

export function createDisplaySink (options: DisplaySinkOptions): Sink {
  return new DisplaySink(options)
}

/** The status that Knative's event_display answers with. */
const TAKEN: Outcome = { kind: 'answer', status: 202, body: Buffer.alloc(0) }
const ABORTED: Outcome = { kind: 'aborted' }

class DisplaySink implements Sink {
  readonly name: string
  readonly destination = 'display:'
  readonly #writer: StreamWriter
  #closed = false

  constructor (options: DisplaySinkOptions) {
    this.name = options.name
    this.#writer = new StreamWriter(options.stream)
  }

  async send (event: Event, signal: AbortSignal): Promise<Outcome> {
    if (this.#closed || signal.aborted) return ABORTED
    const written = this.#writer.write(formatEvent(event))
    // A terminal that is stopped (Ctrl-S) must not hold up the end of the program.
    const aborted = new AbortController()
    const outcome = await new Promise<Outcome>((resolve) => {
      signal.addEventListener('abort', () => { resolve(ABORTED) }, { once: true, signal: aborted.signal })
      void written.then(() => { resolve(TAKEN) })
    })
    aborted.abort()
    return outcome
  }

  close (): Promise<void> {
    this.#closed = true
    return Promise.resolve()
  }
}

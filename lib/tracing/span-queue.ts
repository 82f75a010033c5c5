/**
 * Spans that have ended, on their way to the exporter. Between the spans and the network, and all that a slow network
 * can reach of the program.
 *
 * Invariants: `onEnd` waits for nothing; at most `MAX_WAITING` spans and one batch under way are kept, what is beyond
 * is dropped and counted; one request at a time; `shutdown` ends within `timeoutMs`.
 */
import { TraceFlags } from '@opentelemetry/api'
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace'
import type { MbsError } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

/** What became of a batch of spans. */
export type SendResult =
  | { readonly kind: 'sent', readonly rejected: number }
  /** `network`: it may pass. `refused`: it does not. `aborted`: nobody waits for it any more. */
  | { readonly kind: 'network' | 'refused' | 'aborted', readonly error: MbsError }

export interface SpanQueueOptions {
  /** Never rejects. */
  readonly send: (spans: readonly ReadableSpan[], signal: AbortSignal) => Promise<SendResult>
  /** For all that is left at the end. */
  readonly timeoutMs: number
  readonly telemetry: Pick<Telemetry, 'spansSent' | 'spansDropped' | 'spansFailed' | 'unexpected'>
}

/** Each takes some 2 KiB, with attributes of the usual length. */
export const MAX_WAITING = 4096
/** As many as OpenTelemetry's own processor sends at a time. */
export const BATCH_SPANS = 512
/** A span waits so long for others at most. */
const EVERY_MS = 1000
/** A batch is tried so often, with pauses that begin with this and double: 15 s in all. */
const ATTEMPTS = 5
const PAUSE_MS = 1000

export class SpanQueue implements SpanProcessor {
  readonly #options: SpanQueueOptions
  #waiting: ReadableSpan[] = []
  #sending: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  /** Ends the pause between two tries. */
  #wake: (() => void) | undefined
  readonly #abort = new AbortController()
  #closing: Promise<void> | undefined

  constructor (options: SpanQueueOptions) {
    this.#options = options
  }

  onStart (): void {}

  onEnd (span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return
    if (this.#closing !== undefined) return this.#options.telemetry.spansDropped('shutdown', 1)
    if (this.#waiting.length >= MAX_WAITING) return this.#options.telemetry.spansDropped('queue', 1)
    this.#waiting.push(span)
    this.#schedule()
  }

  /** Sends what waits. Never rejects. */
  async forceFlush (): Promise<void> {
    await this.#sending
    await this.#run(1)
  }

  /** Sends what waits, each batch once more, for `timeoutMs` at most. Idempotent; never rejects. */
  shutdown (): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close (): Promise<void> {
    clearTimeout(this.#timer)
    const timer = setTimeout(() => { this.#abort.abort() }, this.#options.timeoutMs)
    this.#wake?.()
    await this.#sending
    await this.#run(1)
    clearTimeout(timer)
  }

  #schedule (): void {
    if (this.#sending !== undefined || this.#closing !== undefined) return
    if (this.#waiting.length >= BATCH_SPANS) {
      clearTimeout(this.#timer)
      this.#timer = undefined
      this.#sending = this.#run(BATCH_SPANS).finally(() => {
        this.#sending = undefined
        if (this.#waiting.length > 0) this.#schedule()
      })
    } else {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.#sending ??= this.#run(1).finally(() => {
          this.#sending = undefined
          if (this.#waiting.length > 0) this.#schedule()
        })
      }, EVERY_MS).unref()
    }
  }

  /** Sends batches as long as so many spans wait. */
  async #run (least: number): Promise<void> {
    try {
      while (this.#waiting.length >= least) await this.#deliver(this.#waiting.splice(0, BATCH_SPANS))
    } catch (error) {
      this.#options.telemetry.unexpected(error, 'send spans')
    }
  }

  async #deliver (batch: readonly ReadableSpan[]): Promise<void> {
    const { send, telemetry } = this.#options
    const { signal } = this.#abort
    for (let attempt = 1; ; attempt++) {
      if (signal.aborted) return telemetry.spansDropped('shutdown', batch.length)
      const result = await send(batch, signal)
      if (result.kind === 'sent') {
        telemetry.spansSent(batch.length - result.rejected)
        if (result.rejected > 0) telemetry.spansDropped('refused', result.rejected)
        return
      }
      if (result.kind === 'aborted') return telemetry.spansDropped('shutdown', batch.length)
      telemetry.spansFailed(result.error)
      if (result.kind === 'refused') return telemetry.spansDropped('refused', batch.length)
      if (attempt >= ATTEMPTS || this.#closing !== undefined) return telemetry.spansDropped('network', batch.length)
      await this.#pause(PAUSE_MS * 2 ** (attempt - 1))
    }
  }

  #pause (ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms).unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/**
 * POSTs spans to a receiver of OTLP over HTTP, as protobuf, which every one of them takes [OTLP/HTTP]. Between the
 * queue and the network. One try; bounded in time, and in what is read of the answer. Its own requests are not traced:
 * nothing but the program's own code makes spans.
 */
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { fetchBounded } from '../bounded-fetch.ts'
import { createError } from '../errors.ts'
import { VERSION } from '../version.ts'
import type { SendResult } from './span-queue.ts'

export interface SpanExporterOptions {
  readonly endpoint: string
  /** As they are in force when spans are sent. */
  readonly headers: () => Readonly<Record<string, string>>
  readonly timeoutMs: number
}

/** An answer has nothing in it, or a sentence. */
const MAX_ANSWER_BYTES = 64 * 1024
/** What may pass [OTLP/HTTP retryable response codes]. */
const RETRYABLE: readonly number[] = [429, 502, 503, 504]

export class SpanExporter {
  readonly #options: SpanExporterOptions

  constructor (options: SpanExporterOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async send (spans: readonly ReadableSpan[], signal: AbortSignal): Promise<SendResult> {
    const { endpoint, headers, timeoutMs } = this.#options
    const body = ProtobufTraceSerializer.serializeRequest([...spans])
    if (body === undefined) return this.#failed('refused', 'they cannot be encoded')
    const request = {
      method: 'POST',
      headers: { 'user-agent': `mqtt-broker-source/${VERSION}`, ...headers(), 'content-type': 'application/x-protobuf' },
      body
    } as const
    const outcome = await fetchBounded(endpoint, request, { timeoutMs, maxBytes: MAX_ANSWER_BYTES }, signal)
    if (outcome.kind === 'failed') {
      // It has said something, and may have taken them.
      if (outcome.why === 'too-large') return this.#failed('refused', outcome.reason)
      return this.#failed(outcome.why === 'aborted' ? 'aborted' : 'network', outcome.reason)
    }
    const { status } = outcome
    if (status >= 200 && status < 300) return { kind: 'sent', rejected: Math.min(rejectedIn(outcome.body), spans.length) }
    return this.#failed(RETRYABLE.includes(status) ? 'network' : 'refused', `the answer has the status ${status}`)
  }

  #failed (kind: 'network' | 'refused' | 'aborted', reason: string): SendResult {
    const { origin, pathname } = new URL(this.#options.endpoint)
    return { kind, error: createError('MBS_ERR_TRACING_EXPORT', { url: origin + pathname, reason }) }
  }
}

/** How many spans an answer says were not taken. What cannot be read says nothing. */
function rejectedIn (body: Buffer): number {
  if (body.length === 0) return 0
  try {
    const rejected = Number(ProtobufTraceSerializer.deserializeResponse(body).partialSuccess?.rejectedSpans ?? 0)
    return rejected > 0 ? rejected : 0
  } catch {
    return 0
  }
}

/**
 * Samples a span without a parent that has links, such as a request with a batch: recorded where any trace that it is
 * linked to is. Everything else is another sampler's to decide. Pure.
 */
import { TraceFlags, type Attributes, type Context, type Link, type SpanKind } from '@opentelemetry/api'
import { SamplingDecision, type Sampler, type SamplingResult } from '@opentelemetry/sdk-trace'

export class LinkedSampler implements Sampler {
  readonly #others: Sampler

  /** @param others decides about spans without links */
  constructor (others: Sampler) {
    this.#others = others
  }

  shouldSample (
    context: Context, traceId: string, name: string, kind: SpanKind, attributes: Attributes, links: Link[]
  ): SamplingResult {
    if (links.length === 0) return this.#others.shouldSample(context, traceId, name, kind, attributes, links)
    const sampled = links.some((link) => (link.context.traceFlags & TraceFlags.SAMPLED) !== 0)
    return { decision: sampled ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD }
  }

  toString (): string {
    return `LinkedSampler{${this.#others.toString()}}`
  }
}

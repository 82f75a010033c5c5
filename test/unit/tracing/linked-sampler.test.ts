import { test } from 'tap'
import { ROOT_CONTEXT, SpanKind, type Link } from '@opentelemetry/api'
import { AlwaysOffSampler, AlwaysOnSampler, SamplingDecision, type Sampler } from '@opentelemetry/sdk-trace'
import { LinkedSampler } from '../../../lib/tracing/linked-sampler.ts'

const link = (traceFlags: number): Link => ({ context: { traceId: '1'.repeat(32), spanId: '1'.repeat(16), traceFlags } })

test('a span with links is recorded where one of them is; without links another sampler decides', async (t) => {
  const decide = (others: Sampler, links: Link[]) =>
    new LinkedSampler(others).shouldSample(ROOT_CONTEXT, '1'.repeat(32), 'deliver', SpanKind.CLIENT, {}, links).decision
  const { NOT_RECORD, RECORD_AND_SAMPLED } = SamplingDecision
  t.equal(decide(new AlwaysOnSampler(), []), RECORD_AND_SAMPLED)
  t.equal(decide(new AlwaysOffSampler(), []), NOT_RECORD)
  t.equal(decide(new AlwaysOnSampler(), [link(0), link(0)]), NOT_RECORD)
  t.equal(decide(new AlwaysOffSampler(), [link(0), link(1)]), RECORD_AND_SAMPLED)
  t.equal(decide(new AlwaysOffSampler(), [link(3)]), RECORD_AND_SAMPLED, 'other flags may stand beside it')
})

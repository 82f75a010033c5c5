/** The HTTP sink under test, with options that a test need not care about. */
import { classify } from '../../lib/delivery/classify.ts'
import { createBatchSink, type BatchOptions } from '../../lib/sink/batch-sink.ts'
import { createHttpSink, type HttpSink, type HttpSinkOptions } from '../../lib/sink/http-sink.ts'
import type { Sink } from '../../lib/sink/sink.ts'
import { createTestTelemetry } from './log-lines.ts'

/** Makes a sink that ends with the test. */
export function httpSink (
  t: { teardown (fn: () => Promise<void>): void }, url: string, given: Partial<HttpSinkOptions> = {}
): HttpSink {
  const sink = createHttpSink({
    name: 'default',
    url,
    contentMode: 'auto',
    timeoutMs: 30_000,
    connections: 4,
    keepAliveMs: 8000,
    socketMaxAgeMs: 120_000,
    ca: [],
    userAgent: 'mqtt-broker-source/test',
    telemetry: createTestTelemetry('silent').telemetry,
    ...given
  })
  t.teardown(async () => { await sink.close() })
  return sink
}

/** A signal that never fires. */
export function noAbort (): AbortSignal {
  return new AbortController().signal
}

/** A sink that sends batches, ends with the test, and judges as delivery does. */
export function batchSink (
  t: { teardown (fn: () => Promise<void>): void }, url: string, given: Partial<BatchOptions & HttpSinkOptions> = {}
): Required<Pick<Sink, 'sendAll' | 'batch'>> & Sink {
  const { count = 10, bytes = 100_000, waitMs = 20, now, ...rest } = given
  const { telemetry = createTestTelemetry('silent').telemetry } = given
  const options = { count, bytes, waitMs, judge: classify, telemetry, ...(now === undefined ? {} : { now }) }
  const sink = createBatchSink(httpSink(t, url, rest), options)
  t.teardown(async () => { await sink.close() })
  return sink as Required<Pick<Sink, 'sendAll' | 'batch'>> & Sink
}

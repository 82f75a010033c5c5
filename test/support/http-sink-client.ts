/** The HTTP sink under test, with options that a test need not care about. */
import { createHttpSink, type HttpSinkOptions } from '../../lib/sink/http-sink.ts'
import type { Sink } from '../../lib/sink/sink.ts'
import { createTestTelemetry } from './log-lines.ts'

/** Makes a sink that ends with the test. */
export function httpSink (
  t: { teardown (fn: () => Promise<void>): void }, url: string, given: Partial<HttpSinkOptions> = {}
): Sink {
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

import { test } from 'tap'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { createError } from '../../../lib/errors.ts'
import { BATCH_SPANS, MAX_WAITING, SpanQueue, type SendResult } from '../../../lib/tracing/span-queue.ts'

const error = createError('MBS_ERR_TRACING_EXPORT', { url: 'http://collector/', reason: 'a test' })
const DOWN: SendResult = { kind: 'network', error }
const REFUSED: SendResult = { kind: 'refused', error }
const SENT: SendResult = { kind: 'sent', rejected: 0 }

const span = (sampled = true) => ({ spanContext: () => ({ traceFlags: sampled ? 1 : 0 }) }) as unknown as ReadableSpan

type Send = (spans: readonly ReadableSpan[], signal: AbortSignal) => SendResult | Promise<SendResult>

/** A queue whose exporter answers as a test says. */
function rig (send: Send, timeoutMs = 200) {
  const counts = { sent: 0, queue: 0, network: 0, refused: 0, shutdown: 0, failures: 0 }
  const batches: number[] = []
  const queue = new SpanQueue({
    timeoutMs,
    send: async (spans, signal) => {
      batches.push(spans.length)
      return await send(spans, signal)
    },
    telemetry: {
      spansSent: (count) => { counts.sent += count },
      spansDropped: (reason, count) => { counts[reason] += count },
      spansFailed: () => { counts.failures++ },
      unexpected: (unexpected) => { throw unexpected }
    }
  })
  const end = (count: number) => { for (let at = 0; at < count; at++) queue.onEnd(span()) }
  return { queue, counts, batches, end }
}

test('spans that were not sampled are neither sent nor counted', async (t) => {
  const { queue, counts, batches } = rig(() => SENT)
  queue.onEnd(span(false))
  await queue.shutdown()
  t.strictSame(batches, [])
  t.match(counts, { sent: 0, shutdown: 0 })
})

test('a full batch goes at once, one request at a time, the rest a while later', async (t) => {
  let open = () => {}
  let underway = 0
  const { queue, counts, batches, end } = rig(async () => {
    t.equal(++underway, 1)
    await new Promise<void>((resolve) => { open = resolve })
    underway--
    return SENT
  })
  end(BATCH_SPANS * 2 + 3)
  t.strictSame(batches, [BATCH_SPANS], 'onEnd waits for nothing')
  const pump = setInterval(() => { open() }, 5)
  while (counts.sent < BATCH_SPANS * 2 + 3) await new Promise((resolve) => { setTimeout(resolve, 10) })
  clearInterval(pump)
  t.strictSame(batches, [BATCH_SPANS, BATCH_SPANS, 3])
  await queue.shutdown()
})

test('what there is no room for is dropped and counted, and no more than the bound is kept', async (t) => {
  const { queue, counts, end } = rig(() => new Promise<SendResult>(() => {}), 30)
  end(100_000)
  t.equal(counts.queue, 100_000 - MAX_WAITING - BATCH_SPANS)
  t.ok(queue)
})

test('a receiver that is down is tried again, and the batch is not lost', async (t) => {
  let calls = 0
  const { queue, counts, end } = rig(() => ++calls === 1 ? DOWN : SENT)
  end(BATCH_SPANS)
  while (counts.sent === 0) await new Promise((resolve) => { setTimeout(resolve, 20) })
  t.match(counts, { sent: BATCH_SPANS, network: 0, failures: 1 })
  await queue.shutdown()
})

test('what a receiver refuses is not sent again; what it says that it did not take is lost', async (t) => {
  const { queue, counts, batches, end } = rig(() => REFUSED)
  end(10)
  await queue.forceFlush()
  t.strictSame(batches, [10])
  t.match(counts, { refused: 10, sent: 0 })
  const partial = rig(() => ({ kind: 'sent', rejected: 4 }))
  partial.end(10)
  await partial.queue.forceFlush()
  t.match(partial.counts, { refused: 4, sent: 6 })
})

test('at the end each batch is tried once more, within the time', async (t) => {
  const down = rig(() => DOWN)
  down.end(BATCH_SPANS + 1)
  await new Promise((resolve) => { setImmediate(resolve) })
  await down.queue.shutdown()
  t.match(down.counts, { network: BATCH_SPANS + 1 })
  t.strictSame(down.batches, [BATCH_SPANS, BATCH_SPANS, 1], 'the pause between tries is cut short')

  const silent = rig((_spans, signal) => new Promise((resolve) => {
    signal.addEventListener('abort', () => { resolve({ kind: 'aborted', error }) })
  }), 50)
  silent.end(2000)
  const startedAt = performance.now()
  await Promise.all([silent.queue.shutdown(), silent.queue.shutdown()])
  t.ok(performance.now() - startedAt < 1000)
  t.match(silent.counts, { shutdown: 2000, sent: 0 })
  silent.end(1)
  t.equal(silent.counts.shutdown, 2001, 'what ends later is counted, too')
})

/** A dispatcher between a real outbox in memory and a scripted sink, on a clock that the test moves. */
import type { Test } from 'tap'
import { Dispatcher } from '../../lib/delivery/dispatcher.ts'
import type { DispatcherOptions } from '../../lib/delivery/options.ts'
import type { DeadLetter, Event } from '../../lib/message.ts'
import { createMemoryOutbox } from '../../lib/outbox/memory.ts'
import type { Outbox } from '../../lib/outbox/outbox.ts'
import { FakeClock } from './delivery-clock.ts'
import { ScriptedSink } from './delivery-sink.ts'
import { createTestTelemetry, type LogLines } from './log-lines.ts'
import { seededRandom } from './random.ts'

/** What a test may set; the rest is as the program's defaults. */
export type RigOptions = Partial<Omit<DispatcherOptions, 'outbox' | 'telemetry' | 'clock'>> & {
  /** An outbox that has been in use before. */
  readonly outbox?: WatchedOutbox
  readonly clock?: FakeClock
}

export interface Rig {
  readonly clock: FakeClock
  readonly sink: ScriptedSink
  readonly outbox: WatchedOutbox
  readonly dispatcher: Dispatcher
  readonly lines: LogLines
  /** Stores events; resolves when they are in the log. The id is `key-number`. */
  append (key: string, count?: number): Promise<string[]>
  deadLetters (): Promise<DeadLetter[]>
  /** Until nothing waits. */
  drained (limitMs?: number): Promise<void>
}

/** An outbox that knows which of its calls are under way, and fails when it is told to. */
export interface WatchedOutbox {
  readonly outbox: Outbox
  readonly calls: string[]
  readonly pending: () => number
  /** Calls of these methods reject. */
  readonly failing: Set<string>
  /** Numbers of the next events, by key. */
  readonly numbers: Map<string, number>
}

export async function createWatchedOutbox (t: Test): Promise<WatchedOutbox> {
  const { telemetry } = createTestTelemetry('silent')
  const outbox = createMemoryOutbox({
    maxBytes: 2 ** 40,
    holdTimeoutMs: 10_000,
    receiptLimit: 0,
    tailCacheBytes: 8 * 1024 * 1024,
    reopenMinMs: 10,
    reopenMaxMs: 100,
    telemetry
  })
  await outbox.open()
  t.teardown(() => outbox.close())
  return watch(outbox)
}

/** Watches an outbox that is open. */
export function watch (outbox: Outbox): WatchedOutbox {
  const calls: string[] = []
  const failing = new Set<string>()
  let pending = 0
  const proxy = new Proxy(outbox, {
    get (target, property) {
      const value: unknown = Reflect.get(target, property)
      if (typeof value !== 'function') return value
      const name = String(property)
      const method = value.bind(target) as (...args: unknown[]) => unknown
      if (name === 'stats' || name === 'waitFor') return method
      return async (...args: unknown[]) => {
        calls.push(name)
        if (failing.has(name)) throw new Error(`${name} fails`)
        pending++
        try {
          return await method(...args)
        } finally {
          pending--
        }
      }
    }
  })
  return { outbox: proxy, calls, pending: () => pending, failing, numbers: new Map() }
}

export async function createRig (t: Test, options: RigOptions = {}): Promise<Rig> {
  const { outbox: given, clock = new FakeClock(), ...rest } = options
  const watched = given ?? await createWatchedOutbox(t)
  const { outbox, numbers } = watched
  clock.busy = () => watched.pending() > 0
  const sink = (rest.sink ?? new ScriptedSink(clock)) as ScriptedSink
  const { lines, telemetry } = createTestTelemetry('info')
  const dispatcher = new Dispatcher({
    concurrency: 32,
    retry: 10,
    backoffPolicy: 'exponential',
    backoffDelayMs: 200,
    backoffMaxMs: 30_000,
    retryAfterMaxMs: 300_000,
    checkpointMs: 1000,
    deadLetterKeep: 1000,
    random: seededRandom(1),
    ...rest,
    sink,
    outbox,
    telemetry,
    clock
  })
  t.teardown(async () => {
    const closing = dispatcher.close(0)
    await clock.pass(5000)
    await closing
  })
  return {
    clock,
    sink,
    outbox: watched,
    dispatcher,
    lines,
    async append (key, count = 1) {
      const ids: string[] = []
      const stored: Array<Promise<number>> = []
      for (let i = 0; i < count; i++) {
        const number = numbers.get(key) ?? 0
        numbers.set(key, number + 1)
        ids.push(`${key}-${number}`)
        stored.push(outbox.append(createEvent(key, `${key}-${number}`)))
      }
      await Promise.all(stored)
      return ids
    },
    async deadLetters () {
      return outbox.readDeadLetters(0, { events: 100_000, bytes: 2 ** 30 })
    },
    async drained (limitMs) {
      await clock.until(() => dispatcher.stats().waiting === 0, limitMs)
    }
  }
}

export function createEvent (key: string, id: string): Event {
  return {
    id,
    source: `/test/${key}`,
    type: 'test',
    time: '2026-01-01T00:00:00.000Z',
    extensions: { partitionkey: key },
    partitionKey: key,
    data: Buffer.from(id)
  }
}

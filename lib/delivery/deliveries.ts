/**
 * All sinks together: a dispatcher for each, which goes through the same log at its own pace. Between the source and
 * the dispatchers. A sink that is down holds back its own cursor and nothing else; the log keeps what any of them still
 * needs.
 */
import type { Event } from '../message.ts'
import { MAPPING, type Outbox } from '../outbox/outbox.ts'
import type { DeliveryStats, Telemetry } from '../telemetry/telemetry.ts'
import { systemClock, type Clock } from './clock.ts'
import { DeadLetters } from './dead-letters.ts'
import type { DeliveryStage } from './delivery-stage.ts'
import { Dispatcher } from './dispatcher.ts'
import type { DispatcherOptions } from './options.ts'
import { SharedTrim } from './shared-trim.ts'
import type { SinkState } from './sink-health.ts'

/** What a sink has of its own. */
export type SinkDelivery = Omit<DispatcherOptions, 'outbox' | 'telemetry' | 'known' | 'saved' | 'onPassed' | 'clock' | 'random' | 'limits'>

export interface DeliveriesOptions {
  /** Open already. */
  readonly outbox: Outbox
  /** Where to deliver to; their names differ. */
  readonly sinks: readonly SinkDelivery[]
  /** Names of sinks that are to get events and that nothing can be sent to yet: the log keeps everything for them. */
  readonly awaited: readonly string[]
  /** Takes the dead letters of events that no sink was asked to take; its settings are those of a sink. */
  readonly mappingDeadLetters?: Pick<SinkDelivery,
    'deadLetterSink' | 'deadLetterKeep' | 'backoffPolicy' | 'backoffDelayMs' | 'backoffMaxMs' | 'retryAfterMaxMs'>
  readonly telemetry: Telemetry
  readonly clock?: Clock
}

/** Somebody who waits until every sink is done with an event. */
interface Waiter {
  /** The sinks that are not. */
  readonly sinks: Set<string>
  readonly resolve: () => void
}

export class Deliveries implements DeliveryStage {
  readonly #options: DeliveriesOptions
  readonly #dispatchers = new Map<string, Dispatcher>()
  readonly #mapping: DeadLetters | undefined
  readonly #waiters = new Map<number, Waiter[]>()
  readonly #stop = new AbortController()
  #forwarding: Promise<void> = Promise.resolve()

  constructor (options: DeliveriesOptions) {
    const { outbox, sinks, awaited, telemetry, clock = systemClock } = options
    this.#options = options
    const known = new Set([...awaited, ...sinks.map(({ sink }) => sink.name)])
    const trim = new SharedTrim(outbox, [...known])
    for (const settings of sinks) {
      const { name } = settings.sink
      this.#dispatchers.set(name, new Dispatcher({
        ...settings,
        known,
        outbox,
        telemetry,
        clock,
        saved: (lowest) => trim.saved(name, lowest),
        onPassed: (from, to) => { this.#passed(name, from, to) }
      }))
    }
    const letters = options.mappingDeadLetters
    if (letters === undefined) return
    this.#mapping = new DeadLetters({
      outbox,
      of: MAPPING,
      sink: letters.deadLetterSink,
      backoff: { policy: letters.backoffPolicy, delayMs: letters.backoffDelayMs, maxMs: letters.backoffMaxMs },
      retryAfterMaxMs: letters.retryAfterMaxMs,
      keep: letters.deadLetterKeep,
      telemetry,
      clock,
      random: Math.random,
      signal: this.#stop.signal,
      abort: this.#stop.signal
    })
  }

  /** How each sink is; `none`: nothing can be sent to it yet. */
  states (): ReadonlyMap<string, SinkState | 'none'> {
    const states = new Map<string, SinkState | 'none'>(this.#options.awaited.map((name) => [name, 'none']))
    for (const [name, { state }] of this.#dispatchers) states.set(name, state)
    return states
  }

  /** Undelivered events and attempts under way, for each sink. */
  stats (): ReadonlyMap<string, DeliveryStats> {
    const { awaited, outbox } = this.#options
    const stats = new Map<string, DeliveryStats>()
    const { events } = outbox.stats()
    for (const name of awaited) stats.set(name, { waiting: events, inFlight: 0, oldestStoredAt: undefined })
    for (const [name, dispatcher] of this.#dispatchers) {
      stats.set(name, { ...dispatcher.stats(), oldestStoredAt: dispatcher.oldestStoredAt() })
    }
    return stats
  }

  /** Begins where each sink left off. Rejects when a cursor cannot be read. */
  async start (): Promise<void> {
    this.#forwarding = this.#mapping?.run() ?? Promise.resolve()
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.start()))
  }

  /** Ends all of them within the same time; see `Dispatcher.close`. Never rejects. */
  async close (graceMs: number): Promise<void> {
    this.#stop.abort()
    this.#mapping?.stop()
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.close(graceMs)))
    await this.#forwarding
  }

  /** The outbox has stored an event that its mapping set aside. */
  setAside (sequence: number, { id, handling }: Event): void {
    if (handling?.aside !== undefined) this.#options.telemetry.eventSetAside({ sequence, id, ...handling.aside })
    this.mappingKept(sequence)
  }

  /** The outbox has a dead letter of no sink, which is forwarded in its turn. */
  mappingKept (sequence: number): void {
    this.#mapping?.kept(sequence)
  }

  /**
   * Resolves when every sink is done with a stored event: it has taken it, or never will. Never, while there is a sink
   * that nothing can be sent to yet.
   */
  settled (sequence: number): Promise<void> {
    const sinks = new Set(this.#options.awaited)
    for (const [name, dispatcher] of this.#dispatchers) if (!dispatcher.isDone(sequence)) sinks.add(name)
    if (sinks.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(sequence)
      if (waiters === undefined) this.#waiters.set(sequence, [{ sinks, resolve }])
      else waiters.push({ sinks, resolve })
    })
  }

  #passed (sink: string, from: number, to: number): void {
    if (this.#waiters.size === 0) return
    if (to - from === 1) {
      this.#settle(sink, from)
      return
    }
    const within = [...this.#waiters.keys()].filter((sequence) => sequence >= from && sequence < to)
    for (const sequence of within) this.#settle(sink, sequence)
  }

  #settle (sink: string, sequence: number): void {
    const waiters = this.#waiters.get(sequence)
    if (waiters === undefined) return
    for (const waiter of waiters) {
      waiter.sinks.delete(sink)
      if (waiter.sinks.size === 0) waiter.resolve()
    }
    if (waiters.every(({ sinks }) => sinks.size === 0)) this.#waiters.delete(sequence)
  }
}

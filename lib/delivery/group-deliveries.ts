/**
 * Delivery where the outbox is shared by a group of programs: for each partition that this one has, all sinks, as if it
 * were a log of its own. Between whoever says which partitions these are and `Deliveries`.
 *
 * What is stored here may be delivered elsewhere: whoever waits until it is delivered learns it from the saved cursors.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Event, StoredEvent } from '../message.ts'
import type { Outbox, Page, PageLimit } from '../outbox/outbox.ts'
import type { DeliveryStats, Telemetry } from '../telemetry/telemetry.ts'
import { Cursor } from './cursor.ts'
import { Deliveries, type DeliveriesOptions } from './deliveries.ts'
import type { DeliveryStage } from './delivery-stage.ts'
import type { SinkState } from './sink-health.ts'

/** How often the cursors are read while somebody waits for them, in milliseconds. */
const POLL_MS = 250

export interface GroupDeliveriesOptions extends Omit<DeliveriesOptions, 'outbox' | 'clock'> {
  /** Joins the group, which begins to give partitions. */
  readonly join: () => Promise<void>
  /** Leaves it; every partition has been taken back when it resolves. */
  readonly part: () => Promise<void>
  readonly fromPlace: (place: number) => { readonly partition: number, readonly sequence: number }
  /** A partition as who does not deliver it sees it. */
  readonly look: (partition: number) => Pick<Outbox, 'loadCursor'>
  readonly telemetry: Telemetry
}

interface Taken {
  readonly outbox: Outbox
  readonly deliveries: Deliveries
}

interface Waiter {
  readonly sequence: number
  readonly resolve: () => void
}

/** The worst comes first. */
const STATES: readonly SinkState[] = ['down', 'recovering', 'up']

export class GroupDeliveries implements DeliveryStage {
  readonly #options: GroupDeliveriesOptions
  readonly #taken = new Map<number, Taken>()
  readonly #waiters = new Map<number, Waiter[]>()
  #polling = false
  #graceMs = 0
  #isClosed = false

  constructor (options: GroupDeliveriesOptions) {
    this.#options = options
  }

  /** Delivers a partition from now on. Rejects when a cursor cannot be read. */
  async take (partition: number, outbox: Outbox): Promise<void> {
    const { sinks, awaited, mappingDeadLetters, telemetry } = this.#options
    const from = outbox.stats().nextSequence
    const deliveries: Deliveries = new Deliveries({
      sinks,
      awaited,
      telemetry,
      ...(mappingDeadLetters !== undefined && { mappingDeadLetters }),
      outbox: watched(outbox, from, (sequence) => { deliveries.mappingKept(sequence) })
    })
    this.#taken.set(partition, { outbox, deliveries })
    telemetry.partitionTaken({ partition })
    await deliveries.start()
  }

  /** Ends that. Never rejects. @param graceMs for attempts under way */
  async leave (partition: number, graceMs: number, reason: 'handover' | 'lost' | 'closing'): Promise<void> {
    const taken = this.#taken.get(partition)
    if (taken === undefined) return
    this.#options.telemetry.partitionLeft({ partition, reason })
    await taken.deliveries.close(reason === 'closing' ? Math.min(graceMs, this.#graceMs) : graceMs)
    this.#taken.delete(partition)
  }

  async start (): Promise<void> {
    await this.#options.join()
  }

  async close (graceMs: number): Promise<void> {
    this.#isClosed = true
    this.#graceMs = graceMs
    await this.#options.part()
  }

  states (): ReadonlyMap<string, SinkState | 'none'> {
    const { sinks, awaited } = this.#options
    const states = new Map<string, SinkState | 'none'>(awaited.map((name) => [name, 'none']))
    for (const { sink: { name } } of sinks) {
      const all = [...this.#taken.values()].map(({ deliveries }) => deliveries.states().get(name))
      states.set(name, STATES.find((state) => all.includes(state)) ?? 'up')
    }
    return states
  }

  stats (): ReadonlyMap<string, DeliveryStats> {
    const { sinks, awaited } = this.#options
    const stats = new Map<string, DeliveryStats>()
    for (const name of [...awaited, ...sinks.map(({ sink }) => sink.name)]) {
      let [waiting, inFlight, oldest] = [0, 0, Infinity]
      for (const { deliveries, outbox } of this.#taken.values()) {
        const one = deliveries.stats().get(name)
        // Sequences are passed over, events are not.
        waiting += Math.min(one?.waiting ?? 0, outbox.stats().events)
        inFlight += one?.inFlight ?? 0
        oldest = Math.min(oldest, one?.oldestStoredAt ?? Infinity)
      }
      stats.set(name, { waiting, inFlight, oldestStoredAt: oldest === Infinity ? undefined : oldest })
    }
    return stats
  }

  setAside (place: number, { id, handling }: Event): void {
    // Whoever delivers its partition comes across it there.
    if (handling?.aside !== undefined) this.#options.telemetry.eventSetAside({ sequence: place, id, ...handling.aside })
  }

  settled (place: number): Promise<void> {
    const { partition, sequence } = this.#options.fromPlace(place)
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(partition)
      if (waiters === undefined) this.#waiters.set(partition, [{ sequence, resolve }])
      else waiters.push({ sequence, resolve })
      void this.#taken.get(partition)?.deliveries.settled(sequence).then(resolve)
      if (!this.#polling) void this.#poll()
    })
  }

  /** Reads the cursors of all sinks as long as somebody waits for them. */
  async #poll (): Promise<void> {
    const { awaited, sinks, look, telemetry } = this.#options
    if (awaited.length > 0) return
    this.#polling = true
    while (this.#waiters.size > 0 && !this.#isClosed) {
      await sleep(POLL_MS, undefined, { ref: false })
      await Promise.all([...this.#waiters].map(async ([partition, waiters]) => {
        const log = look(partition)
        const cursors = await Promise.all(sinks.map(async ({ sink }) => new Cursor(await log.loadCursor(sink.name))))
        const left = waiters.filter(({ sequence, resolve }) => {
          if (!cursors.every((cursor) => cursor.has(sequence))) return true
          resolve()
          return false
        })
        // More have come meanwhile, behind these.
        const later = this.#waiters.get(partition)?.slice(waiters.length) ?? []
        if (left.length + later.length === 0) this.#waiters.delete(partition)
        else this.#waiters.set(partition, [...left, ...later])
      })).catch((error: unknown) => { if (!this.#isClosed) telemetry.unexpected(error, 'reading cursors of the group') })
    }
    this.#polling = false
  }
}

/** The log of a partition, which tells of events that are set aside: any program of the group may have stored them. */
function watched (outbox: Outbox, from: number, kept: (sequence: number) => void): Outbox {
  let unseen = from
  const see = ({ sequence, event }: StoredEvent): void => {
    // Several sinks read the same.
    if (sequence < unseen) return
    unseen = sequence + 1
    if (event.handling?.aside !== undefined) kept(sequence)
  }
  const read = async (at: number, limit: PageLimit): Promise<Page> => {
    const page = await outbox.read(at, limit)
    for (const stored of page.events) see(stored)
    return page
  }
  return new Proxy(outbox, {
    get: (target, property) => {
      if (property === 'read') return read
      const value = Reflect.get(target, property, target) as unknown
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
}

/**
 * How many subscriptions each client has, over the whole life of its session: a filter counts once, however often it is
 * subscribed, and a persistent session keeps its count over reconnects. And how much memory all of them take: it is the
 * levels that cost, not the letters.
 *
 * Keeps from Aedes' persistence what was not granted. Aedes hands it every filter of a packet once for each filter that
 * was: the denied ones too, which matched messages from then on, and time in the square of their number.
 *
 * With a journal, SUBACK and UNSUBACK of a persistent session wait until what they say is on disk.
 */
import { createError, type MbsError } from '../errors.ts'
import type { QoS } from '../message.ts'
import type { AedesClient, SubscriptionStore } from './aedes-types.ts'
import type { StateJournal } from './state-journal.ts'

/** What one level of a filter costs in a tree that is matched with topics, in bytes, as measured. */
const LEVEL_BYTES = 250
/** What a filter costs beside its levels and letters, in bytes. */
const OVERHEAD_BYTES = 300

export interface SubscriptionsOptions {
  readonly subscriptionsPerClient: number
  /** Bytes that all subscriptions may take. */
  readonly subscriptionBytes: number
  /** True where a persistent session of this client identifier is kept. */
  readonly isKept: (clientId: string) => boolean
  /** Where those of persistent sessions are kept as well. */
  readonly journal?: StateJournal | undefined
  /** What subscriptions take beside those that are granted here. */
  readonly otherBytes?: () => number
}

interface Subscription {
  readonly topic: string
  readonly qos: QoS
}

export class Subscriptions {
  readonly #options: SubscriptionsOptions
  /** Of sessions that outlive their connection, by client identifier; and of the others. */
  readonly #ofSessions = new Map<string, Set<string>>()
  readonly #ofConnections = new WeakMap<AedesClient, Set<string>>()
  /** Of persistent sessions: granted on this connection and not yet stored. */
  readonly #granted = new WeakMap<object, Subscription[]>()
  #bytes = 0

  constructor (options: SubscriptionsOptions) {
    this.#options = options
  }

  /** Bytes that all subscriptions take, as reckoned. */
  get bytes (): number {
    return this.#bytes
  }

  /** Subscriptions of a persistent session. */
  countOf (clientId: string): number {
    return this.#ofSessions.get(clientId)?.size ?? 0
  }

  /**
   * Grants a subscription that is allowed otherwise. Nothing else that can deny it may come after.
   * @returns MBS_ERR_LIMIT_SUBSCRIPTIONS where the client has too many, or all together take too much
   */
  grant (client: AedesClient, subscription: Subscription): MbsError | undefined {
    const filters = this.#filtersOf(client)
    if (!filters.has(subscription.topic)) {
      const { subscriptionsPerClient, subscriptionBytes, otherBytes } = this.#options
      if (filters.size >= subscriptionsPerClient) return reached('subscriptionsPerClient', subscriptionsPerClient)
      const bytes = bytesOf(subscription.topic, client.clean)
      if (this.#bytes + bytes + (otherBytes?.() ?? 0) > subscriptionBytes) return reached('subscriptionBytes', subscriptionBytes)
      filters.add(subscription.topic)
      this.#bytes += bytes
    }
    if (!client.clean) {
      const granted = this.#granted.get(client)
      if (granted === undefined) this.#granted.set(client, [subscription])
      else granted.push(subscription)
    }
    return undefined
  }

  /** A client has unsubscribed. */
  release (client: AedesClient, filters: readonly string[]): void {
    const held = client.clean ? this.#ofConnections.get(client) : this.#ofSessions.get(client.id)
    if (held !== undefined) this.#drop(held, filters, client.clean)
    if (!client.clean && held?.size === 0) this.#ofSessions.delete(client.id)
  }

  /** A persistent session has ended. */
  forget (clientId: string): void {
    const held = this.#ofSessions.get(clientId)
    for (const filter of held ?? []) this.#options.journal?.unsubscribed(clientId, filter)
    if (held !== undefined) this.#drop(held, held, false)
    this.#ofSessions.delete(clientId)
  }

  /** What a session brings along from before a restart, beside what Aedes' persistence is given; it is on disk. */
  restore (clientId: string, subscriptions: readonly Subscription[]): void {
    if (subscriptions.length === 0) return
    this.#ofSessions.set(clientId, new Set(subscriptions.map(({ topic }) => topic)))
    for (const { topic } of subscriptions) this.#bytes += bytesOf(topic, false)
  }

  /** Stands between Aedes and what it has. */
  attach (persistence: SubscriptionStore): void {
    const add = persistence.addSubscriptions.bind(persistence)
    const remove = persistence.removeSubscriptions.bind(persistence)
    const { journal } = this.#options
    persistence.addSubscriptions = async (client) => {
      const held = this.#ofSessions.get(client.id)
      // Those that were restored with the session wait here as well, and may be gone again.
      const granted = this.#granted.get(client)?.filter(({ topic }) => held?.has(topic) === true) ?? []
      this.#granted.delete(client)
      if (!this.#options.isKept(client.id)) {
        // It ended meanwhile: taken over by a clean one, or its connection has closed.
        this.forget(client.id)
        return
      }
      for (const { topic, qos } of granted) journal?.subscribed(client.id, topic, qos)
      if (granted.length > 0) await add(client, granted)
      await journal?.written()
    }
    persistence.removeSubscriptions = async (client, filters) => {
      const held = this.#ofSessions.get(client.id)
      for (const filter of filters) if (held?.has(filter) === true) journal?.unsubscribed(client.id, filter)
      this.release(client, filters)
      await remove(client, filters)
      await journal?.written()
    }
  }

  #filtersOf (client: AedesClient): Set<string> {
    const all = client.clean ? this.#ofConnections : this.#ofSessions
    const key = (client.clean ? client : client.id) as AedesClient & string
    let filters = all.get(key)
    if (filters === undefined) {
      const held = filters = new Set<string>()
      all.set(key, held)
      if (client.clean) client.conn.once('close', () => { this.#drop(held, held, true) })
    }
    return filters
  }

  #drop (held: Set<string>, filters: Iterable<string>, clean: boolean): void {
    for (const filter of filters) if (held.delete(filter)) this.#bytes -= bytesOf(filter, clean)
  }
}

/** Filters of persistent sessions stand in two trees: of what is matched now, and of what is kept. */
function bytesOf (filter: string, clean: boolean): number {
  return OVERHEAD_BYTES + 2 * filter.length + filter.split('/').length * LEVEL_BYTES * (clean ? 1 : 2)
}

function reached (setting: string, max: number): MbsError {
  return createError('MBS_ERR_LIMIT_SUBSCRIPTIONS', { setting, max })
}

/**
 * How many subscriptions each client has, over the whole life of its session: a filter counts once, however often it is
 * subscribed, and a persistent session keeps its count over reconnects.
 *
 * Keeps from Aedes' persistence what was not granted. Aedes hands it every filter of a packet once for each filter that
 * was: the denied ones too, which matched messages from then on, and time in the square of their number.
 */
import { createError, type MbsError } from '../errors.ts'
import type { AedesClient, SubscriptionStore } from './aedes-types.ts'

export interface SubscriptionsOptions {
  readonly subscriptionsPerClient: number
  /** True where a persistent session of this client identifier is kept. */
  readonly isKept: (clientId: string) => boolean
}

interface Subscription {
  readonly topic: string
}

export class Subscriptions {
  readonly #options: SubscriptionsOptions
  /** Of sessions that outlive their connection, by client identifier; and of the others. */
  readonly #ofSessions = new Map<string, Set<string>>()
  readonly #ofConnections = new WeakMap<AedesClient, Set<string>>()
  /** Of persistent sessions: granted on this connection and not yet stored. */
  readonly #granted = new WeakMap<object, Subscription[]>()

  constructor (options: SubscriptionsOptions) {
    this.#options = options
  }

  /** Subscriptions of a persistent session. */
  countOf (clientId: string): number {
    return this.#ofSessions.get(clientId)?.size ?? 0
  }

  /**
   * Grants a subscription that is allowed otherwise. Nothing else that can deny it may come after.
   * @returns MBS_ERR_LIMIT_SUBSCRIPTIONS where the client has too many
   */
  grant (client: AedesClient, subscription: Subscription): MbsError | undefined {
    const filters = this.#filtersOf(client)
    if (!filters.has(subscription.topic)) {
      const max = this.#options.subscriptionsPerClient
      if (filters.size >= max) return createError('MBS_ERR_LIMIT_SUBSCRIPTIONS', { max })
      filters.add(subscription.topic)
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
    for (const filter of filters) held?.delete(filter)
    if (!client.clean && held?.size === 0) this.#ofSessions.delete(client.id)
  }

  /** A persistent session has ended. */
  forget (clientId: string): void {
    this.#ofSessions.delete(clientId)
  }

  /** Stands between Aedes and what it has. */
  attach (persistence: SubscriptionStore): void {
    const add = persistence.addSubscriptions.bind(persistence)
    const remove = persistence.removeSubscriptions.bind(persistence)
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
      if (granted.length > 0) await add(client, granted)
    }
    persistence.removeSubscriptions = async (client, filters) => {
      this.release(client, filters)
      await remove(client, filters)
    }
  }

  #filtersOf (client: AedesClient): Set<string> {
    const all = client.clean ? this.#ofConnections : this.#ofSessions
    const key = (client.clean ? client : client.id) as AedesClient & string
    let filters = all.get(key)
    if (filters === undefined) {
      filters = new Set()
      all.set(key, filters)
    }
    return filters
  }
}

/**
 * The subscriptions of persistent sessions in Redis. Written before SUBACK and UNSUBACK, and numbered as a change, so
 * that every pod finds out. Stands in for that part of aedes-persistence-redis, which waits for a message between pods
 * that may be lost, and then for ever.
 */
import { createError } from '../../errors.ts'
import type { QoS } from '../../message.ts'
import type { SubscriptionStore } from '../aedes-types.ts'
import type { RedisSessions } from './redis-sessions.ts'
import type { Requests } from './requests.ts'
import { addSubscriptions, LOST, removeSubscriptions } from './scripts.ts'
import type { RedisSession } from './session.ts'

export interface RedisSubscriptionsOptions {
  readonly requests: Requests
  readonly sessions: Pick<RedisSessions, 'of' | 'lost'>
  /** Subscriptions of a session have changed. @throws MBS_ERR_SESSIONS_REDIS */
  readonly changed: (clientId: string) => Promise<void>
}

export class RedisSubscriptions {
  readonly #options: RedisSubscriptionsOptions

  constructor (options: RedisSubscriptionsOptions) {
    this.#options = options
  }

  /** Takes the place of what the persistence has. */
  attach (persistence: SubscriptionStore): void {
    const { requests, changed } = this.#options
    persistence.addSubscriptions = async (client, subscriptions) => {
      const session = this.#of(client)
      const pairs = subscriptions.flatMap(({ topic, qos }) => [topic, qos as QoS])
      const { session: its, subscriptions: all } = session.keys
      this.#check(session, await requests.run(addSubscriptions, [its, all], [session.serial, ...pairs]))
      await changed(client.id)
    }
    persistence.removeSubscriptions = async (client, filters) => {
      const session = this.#of(client)
      const { session: its, subscriptions: all } = session.keys
      this.#check(session, await requests.run(removeSubscriptions, [its, all], [session.serial, ...filters]))
      await changed(client.id)
    }
    // It has ended when the connection that begins anew was let in.
    persistence.cleanSubscriptions = async () => {}
  }

  #of (client: object): RedisSession {
    const session = this.#options.sessions.of(client)
    if (session === undefined) throw createError('MBS_ERR_SESSIONS_TAKEN', { reason: 'it has ended' })
    return session
  }

  #check (session: RedisSession, outcome: number): void {
    if (outcome !== LOST) return
    this.#options.sessions.lost(session)
    throw createError('MBS_ERR_SESSIONS_TAKEN', { reason: 'another connection has it, or it has ended' })
  }
}

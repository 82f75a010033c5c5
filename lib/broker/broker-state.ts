/**
 * What the broker keeps for clients, all of it bounded: sessions, their subscriptions and packet identifiers, what
 * waits for them, retained messages. It stands in for Aedes' own where that has no bounds.
 */
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { AedesInternals } from './aedes-types.ts'
import type { Connection, StateLimits } from './contract.ts'
import { IdentityLimit } from './identity-limit.ts'
import { OutgoingQueues } from './outgoing-queues.ts'
import { RetainedMessages } from './retained-messages.ts'
import { Sessions } from './sessions.ts'
import { Subscriptions } from './subscriptions.ts'
import { UnreleasedPublishes } from './unreleased-publishes.ts'

/** In the place of the QoS that was granted [MQTT-3.9.3-2]. */
const REFUSED = 0x80

/** How much of it there is; bytes with what keeping them costs. */
export interface BrokerStats {
  readonly persistentSessions: number
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly retainedMessages: number
  readonly retainedBytes: number
  readonly subscriptionBytes: number
}

export class BrokerState {
  readonly sessions: Sessions
  readonly subscriptions: Subscriptions
  readonly unreleased = new UnreleasedPublishes()
  readonly identityLimit: IdentityLimit
  readonly #outgoing: OutgoingQueues
  readonly #retained: RetainedMessages

  constructor (limits: StateLimits, telemetry: Telemetry) {
    this.identityLimit = new IdentityLimit(limits.connectionsPerIdentity)
    this.#outgoing = new OutgoingQueues(limits, (clientId, error) => { telemetry.messageNotKept(error, { clientId }) })
    this.#retained = new RetainedMessages(limits, (error) => { telemetry.retainedRefused(error) })
    this.sessions = new Sessions({
      max: limits.sessions,
      expiryMs: limits.sessionExpiryMs,
      isEmpty: (id) => {
        return this.subscriptions.countOf(id) === 0 && this.#outgoing.isEmpty(id) && this.unreleased.isEmpty(id)
      },
      forget: (id) => {
        this.subscriptions.forget(id)
        this.#outgoing.forget(id)
        this.unreleased.forget(id)
      },
      expired: (clientId, awayMs) => { telemetry.sessionExpired({ clientId, awayMs }) }
    })
    this.subscriptions = new Subscriptions({
      subscriptionsPerClient: limits.subscriptionsPerClient,
      subscriptionBytes: limits.subscriptionBytes,
      isKept: (clientId) => this.sessions.has(clientId)
    })
  }

  /** Takes the place of what Aedes has. */
  attach (persistence: AedesInternals['persistence']): void {
    this.unreleased.attach(persistence)
    this.#outgoing.attach(persistence)
    this.#retained.attach(persistence)
    this.subscriptions.attach(persistence)
    this.sessions.attach(persistence)
  }

  /** Some of these filters were granted, or none; the retained messages of those that were are searched next. */
  subscribed (connection: Connection, granted: ReadonlyArray<{ readonly qos: number }>): void {
    this.#retained.subscribed(connection)
    if (granted.every(({ qos }) => qos === REFUSED)) connection.subscribeSettled()
  }

  stats (): BrokerStats {
    return {
      persistentSessions: this.sessions.count,
      queuedMessages: this.#outgoing.count,
      queuedBytes: this.#outgoing.bytes,
      retainedMessages: this.#retained.count,
      retainedBytes: this.#retained.bytes,
      subscriptionBytes: this.subscriptions.bytes
    }
  }

  /** Ends its timers. */
  close (): void {
    this.sessions.close()
  }
}

/**
 * Subscriptions: which filters a client may have, and, again for each message, what it may be sent. The second is no
 * repetition: permissions change while a subscription stays, and a session is taken up by whoever has its identifier.
 * That Aedes keeps no denied filter for a persistent session is seen to in subscriptions.ts.
 */
import { createError, type MbsError } from '../errors.ts'
import type { QoS } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { levelsOf, matchesTopic } from '../topic-filter.ts'
import { NO_QOS, type AedesClient, type AedesHooks, type OutgoingPacket, type SubscriptionStore } from './aedes-types.ts'
import type { BrokerLimits, Permissions } from './contract.ts'
import { fieldsOf, type Identities } from './identities.ts'
import type { Subscriptions } from './subscriptions.ts'
import { filterProblem, isReserved } from './topics.ts'

export interface SubscribeHookOptions {
  readonly identities: Identities
  readonly permissions: Permissions
  readonly limits: BrokerLimits
  readonly subscriptions: Subscriptions
  /** Told of each new message that goes out to a persistent session. */
  readonly forwarded?: (client: AedesClient, packet: OutgoingPacket) => void
  readonly telemetry: Telemetry
}

export class SubscribeHook {
  readonly #options: SubscribeHookOptions
  #kept: SubscriptionStore | undefined

  constructor (options: SubscribeHookOptions) {
    this.#options = options
  }

  /** Says where subscriptions of persistent sessions are kept. */
  attach (persistence: SubscriptionStore): void {
    this.#kept = persistence
  }

  /**
   * A filter that is not allowed is answered with 0x80 [MQTT-3.9.3-2], the others count. Asked again for each filter of
   * a session that is taken up.
   */
  readonly authorize: AedesHooks['authorizeSubscribe'] = (client, subscription, callback) => {
    const denial = this.#denialOf(client as unknown as AedesClient, subscription.topic) ??
      this.#options.subscriptions.grant(client as unknown as AedesClient, subscription)
    if (denial === undefined) {
      callback(null, subscription)
      return
    }
    this.#refuse(client as unknown as AedesClient, subscription.topic, denial)
    callback(null, null)
  }

  /** Lets a message go out to a client, be it new, retained or kept. */
  readonly forward: AedesHooks['authorizeForward'] = (client, packet) => {
    const { identities, permissions, limits, telemetry } = this.#options
    const { topic } = packet
    if (isReserved(topic, limits.reserved)) return null
    if (!permissions.mayReceive(identities.of(client as unknown as AedesClient), topic)) {
      telemetry.deliveryDenied()
      return null
    }
    // What is retained has no broker, and its QoS from the subscription that it was looked for with.
    if (packet.qos === 2 && packet.brokerId != null) packet.qos = grantedQos(client as unknown as AedesClient, topic)
    // What is retained, or was kept and has its identifier by now, is sent as there is room for it.
    if (packet.retain || (packet as { messageId?: number }).messageId !== undefined) return packet
    if (!this.#hasRoom(client as unknown as AedesClient, packet.qos)) return null
    if (packet.qos > 0 && !client.clean) this.#options.forwarded?.(client as unknown as AedesClient, packet)
    return packet
  }

  /**
   * Who does not read fast enough goes without, where QoS 0 is all that it asked for; else its connection is closed,
   * and a persistent session gets the rest when it comes back. Nobody waits for it.
   */
  #hasRoom (client: AedesClient, qos: QoS): boolean {
    if (!client.conn.full) return true
    if (qos === 0 || Object.values(client.subscriptions).every(({ qos }) => qos === 0 || qos === NO_QOS)) {
      this.#options.telemetry.deliveryDropped()
      return false
    }
    client.conn.destroy(createError('MBS_ERR_GATE_SLOW_READER', { reason: 'more waits for it than limits.unreadBytes' }))
    return true
  }

  /** MBS_ERR_BROKER_FILTER, MBS_ERR_ACCESS_SUBSCRIBE. */
  #denialOf (client: AedesClient, filter: string): MbsError | undefined {
    const { identities, permissions, limits } = this.#options
    const reason = filterProblem(filter, limits)
    if (reason !== undefined) return createError('MBS_ERR_BROKER_FILTER', { reason })
    if (permissions.maySubscribe(identities.of(client), filter)) return undefined
    return createError('MBS_ERR_ACCESS_SUBSCRIBE', { filter: JSON.stringify(filter) })
  }

  #refuse (client: AedesClient, filter: string, denial: MbsError): void {
    const { telemetry } = this.#options
    telemetry.subscriptionRefused(denial, fieldsOf(client, this.#options.identities.of(client)))
    // It may have been granted before: nothing is to be queued for it any more.
    if (client.clean) return
    this.#kept?.removeSubscriptions(client, [filter]).catch((error: unknown) => {
      telemetry.unexpected(error, 'the broker, removing a subscription')
    })
  }
}

/**
 * The QoS at which a message that was published at QoS 2 goes out: the highest of the filters that match [MQTT-3.3.5-1,
 * MQTT-3.8.4-6]. Aedes itself looks at the filter that is the topic, and at no other.
 */
function grantedQos ({ subscriptions }: AedesClient, topic: string): QoS {
  const granted = Object.entries(subscriptions)
  if (granted.every(([, { qos }]) => qos === 2)) return 2
  const matching = granted.filter(([filter]) => matchesTopic(levelsOf(filter), topic))
  // What was kept for a filter that is there no more goes out as it was published.
  return matching.length === 0 || matching.some(([, { qos }]) => qos === 2) ? 2 : 1
}

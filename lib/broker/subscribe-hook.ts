/** Subscriptions: which filters a client may have, and, again for each message, what it may be sent. */
import { createError } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { AedesClient, AedesHooks } from './aedes-types.ts'
import type { BrokerLimits } from './contract.ts'
import type { Subscriptions } from './subscriptions.ts'
import { filterProblem, isReserved } from './topics.ts'

export interface SubscribeHookOptions {
  readonly limits: BrokerLimits
  readonly subscriptions: Subscriptions
  readonly telemetry: Telemetry
}

/** Makes the hook: a filter that is not allowed is answered with 0x80 [MQTT-3.9.3-2], the others count. */
export function createSubscribeHook (
  { limits, subscriptions, telemetry }: SubscribeHookOptions
): AedesHooks['authorizeSubscribe'] {
  return (aedesClient, subscription, callback) => {
    const client = aedesClient as unknown as AedesClient
    const reason = filterProblem(subscription.topic, limits)
    const problem = reason === undefined
      ? subscriptions.grant(client, subscription)
      : createError('MBS_ERR_BROKER_FILTER', { reason })
    if (problem === undefined) {
      callback(null, subscription)
      return
    }
    telemetry.subscriptionRefused(problem, { ...client.conn.facts, clientId: client.id })
    callback(null, null)
  }
}

/**
 * Lets a message go out to a client. Asked for every message, because Aedes keeps a denied filter of a persistent
 * session together with the others of its packet, and matches messages against it while the client is away.
 */
export const authorizeForward: AedesHooks['authorizeForward'] = (_client, packet) => {
  return isReserved(packet.topic) ? null : packet
}

/**
 * The connections of this pod where other pods have some, too. Each is let in with a serial that grows over all pods;
 * the others are told, and close what they have of that client [MQTT-3.1.4-2]. While Redis is away a clean session
 * begins all the same, without a serial; one that is to be kept does not.
 *
 * It also sees to it that each gets a message once. Aedes drops what its broker numbered lower than what came before,
 * which loses messages as soon as two of them take different times; here a message is known by its name.
 */
import type { MbsError } from '../../errors.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { NO_QOS, type AedesClient, type AedesHooks, type OutgoingPacket } from '../aedes-types.ts'
import { fieldsOf, type Identities } from '../identities.ts'
import type { IdentityLimit } from '../identity-limit.ts'
import type { OpenSessions } from '../open-sessions.ts'
import type { PodMessage } from './pod-messages.ts'
import { nameOf, type RedisQueues } from './redis-queues.ts'
import type { RedisSessions } from './redis-sessions.ts'
import { toSessionsError } from './requests.ts'

export interface PodClientsOptions {
  readonly sessions: RedisSessions
  readonly identityLimit: IdentityLimit
  readonly queues: Pick<RedisQueues, 'mayHand'>
  readonly tell: (message: PodMessage) => void
  readonly isReady: () => boolean
  /** True where a persistent session with this client identifier is known. */
  readonly isKept: (clientId: string) => boolean
  readonly telemetry: Telemetry
}

/** In the place of the numbers of brokers that Aedes compares: every message is a new one. */
const NO_DUPLICATES: Record<string, number> = new Proxy({}, { get: () => 0, set: () => true })

export class PodClients {
  readonly #options: PodClientsOptions
  readonly #latest = new Map<string, { readonly client: AedesClient, readonly serial: number }>()
  /** The message that each was handed last. */
  readonly #last = new WeakMap<object, string>()
  /** A message is being handed to a subscription at QoS 0. */
  #isAtMostOnce = false

  constructor (options: PodClientsOptions) {
    this.#options = options
  }

  /** Makes the hook that lets a session begin; see admission.ts. */
  admission (identities: Identities, openSessions: OpenSessions): AedesHooks['authenticate'] {
    const { identityLimit } = this.#options
    return (client, _username, _password, callback) => {
      if (client.closed) return
      const problem = identityLimit.take(client, identities.of(client))
      if (problem !== undefined) {
        client.emit('error', problem)
        return
      }
      this.#prepare(client)
      this.#admit(client, identities).then((serial) => {
        if (client.closed) return
        const latest = this.#latest.get(client.id)
        if (latest !== undefined && latest.serial > serial) {
          client.close()
          return
        }
        this.#enter(client, serial)
        openSessions.take(client)
        callback(null, true)
      }, (error: unknown) => {
        // Called back, Aedes would send a CONNACK that makes some clients never come again.
        if (!client.closed) client.emit('error', toSessionsError(error))
      }).catch((error: unknown) => { this.#options.telemetry.unexpected(error, 'the broker, after CONNECT') })
    }
  }

  /** Makes the hook that lets a message go out. @param inner what is asked where it is not one that the client has */
  forward (inner: AedesHooks['authorizeForward']): AedesHooks['authorizeForward'] {
    return (client, packet) => {
      const its = client as unknown as AedesClient
      const outgoing = packet as unknown as OutgoingPacket
      if (outgoing.brokerId == null || outgoing.messageId !== undefined) return inner(client, packet)
      if (!this.#options.queues.mayHand(its, outgoing, this.#isAtMostOnce)) return null
      // Subscriptions are restored before CONNACK, and nothing may go out before that [MQTT-3.2.0-1].
      if (!its.connackSent) return null
      const name = nameOf(outgoing)
      if (this.#options.sessions.of(its) === undefined || this.#isAtMostOnce) {
        // It comes for all filters of a client in one step.
        if (this.#last.get(its) === name) return null
      }
      this.#last.set(its, name)
      return inner(client, packet)
    }
  }

  /** Another pod has let in a connection of this client. */
  takenOver (clientId: string, serial: number): void {
    const latest = this.#latest.get(clientId)
    if (latest !== undefined && latest.serial < serial) latest.client.close()
  }

  /** @returns its serial @throws MBS_ERR_SESSIONS_REDIS, MBS_ERR_SESSIONS_TAKEN */
  async #admit (client: AedesClient, identities: Identities): Promise<number> {
    const { sessions, tell, telemetry, isReady, isKept } = this.#options
    const { id } = client
    let serial = 0
    if (client.clean && !isReady()) {
      if (isKept(id)) sessions.replaced(id)
      return serial
    }
    try {
      serial = await sessions.nextSerial()
      if (!client.clean) {
        const identity = identities.of(client)
        const full: MbsError | undefined = await sessions.take(client, identity.username, serial)
        if (full !== undefined) {
          client.clean = true
          telemetry.sessionNotKept(full, fieldsOf(client, identity))
        }
      }
    } catch (error) {
      if (!client.clean) throw error
      telemetry.sharedSessionsFailed(toSessionsError(error))
      if (isKept(id)) sessions.replaced(id)
      return serial
    }
    if (client.clean) await sessions.end(id, serial)
    tell({ kind: 'taken', clientId: id, serial })
    return serial
  }

  #enter (client: AedesClient, serial: number): void {
    const { id } = client
    const entry = { client, serial }
    this.#latest.set(id, entry)
    client.conn.once('close', () => { if (this.#latest.get(id) === entry) this.#latest.delete(id) })
  }

  #prepare (client: AedesClient): void {
    client.duplicates = NO_DUPLICATES
    if (!client.clean) client.subscriptions = neverDowngrading(client.subscriptions)
    const deliver0 = client.deliver0
    client.deliver0 = (packet, callback) => {
      this.#isAtMostOnce = true
      try {
        deliver0(packet, callback)
      } finally {
        this.#isAtMostOnce = false
      }
    }
  }
}

/**
 * Aedes sends what comes for a filter at QoS 1 or 2 at the QoS of the filter that is the topic itself, if there is one.
 * Where that is 0 nobody would acknowledge the message, which is in the queue for the other filter: the higher QoS is
 * the one that counts [MQTT-3.3.5-1]. What that filter itself brings goes out at QoS 0 whatever stands here.
 */
function neverDowngrading (subscriptions: AedesClient['subscriptions']): AedesClient['subscriptions'] {
  return new Proxy(subscriptions, {
    set (all, filter: string, subscription: { qos: number }) {
      if (subscription.qos === 0) subscription.qos = NO_QOS
      all[filter] = subscription
      return true
    }
  })
}

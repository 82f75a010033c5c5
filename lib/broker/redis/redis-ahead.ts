/**
 * What a publish at QoS 1 or 2 changes for clients that may be away, in Redis before it is acknowledged: the message in
 * the queues of all persistent sessions that it matches, and the retained message of its topic. Aedes comes to both
 * after PUBACK, and finds it done. The packet identifier of QoS 2 is written before PUBREC by who keeps those.
 *
 * Whose SUBACK has gone out, from whichever pod, gets what is published after it: what a pod knows of subscriptions is
 * compared with Redis first, once for all publishes that wait at that moment.
 */
import type { MbsError } from '../../errors.ts'
import type { AedesClient, IncomingPackets, PublishPacket, StoredPacket } from '../aedes-types.ts'
import type { WriteAhead } from '../publish-hook.ts'
import type { SubscriptionMirror } from './mirror.ts'
import type { RedisQueues } from './redis-queues.ts'
import { toSessionsError } from './requests.ts'
import type { RedisRetained } from './retained.ts'

export interface RedisAheadOptions {
  readonly mirror: Pick<SubscriptionMirror, 'poll' | 'match'>
  readonly queues: Pick<RedisQueues, 'writeAhead' | 'discard'>
  readonly retained: Pick<RedisRetained, 'writeAhead'>
}

export class RedisAhead implements WriteAhead {
  readonly #options: RedisAheadOptions

  constructor (options: RedisAheadOptions) {
    this.#options = options
  }

  /** Hears of publishes at QoS 2 that do not go on. */
  attach (persistence: IncomingPackets): void {
    const store = persistence.incomingStorePacket
    persistence.incomingStorePacket = async (client, packet) => {
      try {
        await store(client, packet)
      } catch (error) {
        this.discard(client, packet as PublishPacket)
        throw error
      }
    }
  }

  /**
   * Resolves when all of it is in Redis. What concerns no session and retains nothing passes without Redis.
   * @returns MBS_ERR_SESSIONS_REDIS where something of it may not be there
   */
  async write (client: AedesClient, packet: PublishPacket, isVoid: () => boolean): Promise<MbsError | undefined> {
    const { mirror, queues, retained } = this.#options
    // Without Redis what is known has to do: a publish that concerns no session does not wait for it.
    await mirror.poll().catch(() => {})
    const message = packet as unknown as StoredPacket
    try {
      await Promise.all([
        queues.writeAhead(mirror.match(packet.topic), message, isVoid),
        packet.retain ? retained.writeAhead(message) : undefined
      ])
      return undefined
    } catch (error) {
      this.discard(client, packet)
      return toSessionsError(error)
    }
  }

  discard (_client: AedesClient, packet: PublishPacket): void {
    this.#options.queues.discard(packet.payload as Buffer)
  }
}

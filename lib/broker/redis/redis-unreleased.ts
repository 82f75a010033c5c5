/**
 * The packet identifiers at QoS 2 that wait for PUBREL, in Redis for persistent sessions, so that every pod knows a
 * duplicate [MQTT-4.3.3-2]. They are read when a session begins, since the publish hook has to know at once, and
 * written before PUBREC and PUBCOMP go out. Those of clean sessions end with the connection and stay here.
 *
 * One that was noted by another process of Redis than the one that is asked does not count: after a restart or a
 * failover it may be one that was released, whose PUBREL was lost, and a new message with it would be taken for a
 * duplicate. A duplicate that is stored is no harm beside that.
 *
 * Stands in for that part of aedes-persistence-redis, which keeps the whole packet for ever, and for how Aedes takes a
 * failure: it would send PUBCOMP, and a later message with that identifier would be taken for a duplicate.
 */
import { createError } from '../../errors.ts'
import type { AedesClient, IncomingPackets } from '../aedes-types.ts'
import type { RedisSessions } from './redis-sessions.ts'
import { toSessionsError, type Requests } from './requests.ts'
import { addReceived, LOST, removeReceived } from './scripts.ts'

export class RedisUnreleased implements IncomingPackets {
  readonly #requests: Requests
  readonly #sessions: Pick<RedisSessions, 'of' | 'has'>
  readonly #identifiers = new Map<string, Set<number>>()
  readonly #unknown = createError('MBS_ERR_BROKER_PROTOCOL', { reason: 'the packet identifier is not in use' })
  readonly #found = Object.freeze({})

  constructor (requests: Requests, sessions: Pick<RedisSessions, 'of' | 'has'>) {
    this.#requests = requests
    this.#sessions = sessions
  }

  /** True where a PUBLISH of this session with this identifier is a duplicate. */
  has (clientId: string, messageId: number): boolean {
    return this.#identifiers.get(clientId)?.has(messageId) ?? false
  }

  /** True where nothing of this session waits for PUBREL. */
  isEmpty (clientId: string): boolean {
    return !this.#identifiers.has(clientId)
  }

  /** A session begins here with these. */
  restore (clientId: string, messageIds: readonly number[]): void {
    this.#identifiers.delete(clientId)
    if (messageIds.length > 0) this.#identifiers.set(clientId, new Set(messageIds))
  }

  /** The session is not connected here any more. */
  forget (clientId: string): void {
    this.#identifiers.delete(clientId)
  }

  /** Takes the place of what the persistence has. */
  attach (persistence: IncomingPackets): void {
    persistence.incomingStorePacket = async (client, packet) => { await this.incomingStorePacket(client, packet) }
    persistence.incomingGetPacket = async (client, packet) => await this.incomingGetPacket(client, packet)
    persistence.incomingDelPacket = async (client, packet) => { await this.incomingDelPacket(client, packet) }
    persistence.cleanIncoming = async (client) => { await this.cleanIncoming(client) }
  }

  /** Rejects where it is not written: no PUBREC goes out, and the device sends it again. */
  async incomingStorePacket (client: AedesClient, { messageId }: { messageId: number }): Promise<void> {
    if (client.closed) throw this.#unknown
    let identifiers = this.#identifiers.get(client.id)
    if (identifiers === undefined) this.#identifiers.set(client.id, identifiers = new Set())
    identifiers.add(messageId)
    const session = this.#sessions.of(client)
    if (session === undefined) return
    const { keys, serial } = session
    try {
      const outcome = await this.#requests.run(addReceived, [keys.session, keys.received], [serial, messageId])
      if (outcome === LOST) throw this.#unknown
    } catch (error) {
      identifiers.delete(messageId)
      throw error
    }
  }

  async incomingGetPacket (client: AedesClient, { messageId }: { messageId: number }): Promise<object> {
    if (!this.has(client.id, messageId)) throw this.#unknown
    return this.#found
  }

  async incomingDelPacket (client: AedesClient, { messageId }: { messageId: number }): Promise<void> {
    const identifiers = this.#identifiers.get(client.id)
    if (identifiers?.has(messageId) !== true) throw this.#unknown
    const session = this.#sessions.of(client)
    if (session !== undefined) {
      const { keys, serial } = session
      try {
        const outcome = await this.#requests.run(removeReceived, [keys.session, keys.received], [serial, messageId])
        if (outcome === LOST) throw this.#unknown
      } catch (error) {
        // No PUBCOMP: the device sends PUBREL again when it is back.
        client.conn.destroy(toSessionsError(error))
        throw error
      }
    }
    identifiers.delete(messageId)
    if (identifiers.size === 0 && this.#identifiers.get(client.id) === identifiers) this.#identifiers.delete(client.id)
  }

  /** A clean session begins, or has ended. One that is kept has its identifiers in Redis. */
  async cleanIncoming (client: AedesClient): Promise<void> {
    if (!this.#sessions.has(client.id)) this.forget(client.id)
  }
}

/**
 * The packet identifiers at QoS 2 that were answered with PUBREC and not released with PUBREL yet: a PUBLISH that
 * carries one of them is a duplicate [MQTT-4.3.3-2].
 *
 * Stands in for that part of Aedes' persistence, for two reasons: the publish hook has to know a duplicate at once,
 * since waiting for an answer would let a later publish of the same client overtake an earlier one; and nothing but the
 * identifier is needed, where Aedes keeps the whole packet.
 */
import { createError } from '../errors.ts'
import type { AedesClient, IncomingPackets } from './aedes-types.ts'

export class UnreleasedPublishes implements IncomingPackets {
  readonly #sessions = new Map<string, Set<number>>()
  /** Aedes asks for every publish; an error made for each would be a stack trace for each. */
  readonly #unknown = createError('MBS_ERR_BROKER_PROTOCOL', { reason: 'the packet identifier is not in use' })
  readonly #found = Object.freeze({})

  /** True where a PUBLISH of this session with this identifier is a duplicate. */
  has (clientId: string, messageId: number): boolean {
    return this.#sessions.get(clientId)?.has(messageId) ?? false
  }

  /** True where nothing of this session waits for PUBREL. */
  isEmpty (clientId: string): boolean {
    return !this.#sessions.has(clientId)
  }

  /** The session has ended. */
  forget (clientId: string): void {
    this.#sessions.delete(clientId)
  }

  /** Takes the place of what Aedes has. */
  attach (persistence: IncomingPackets): void {
    persistence.incomingStorePacket = async (client, packet) => { await this.incomingStorePacket(client, packet) }
    persistence.incomingGetPacket = async (client, packet) => await this.incomingGetPacket(client, packet)
    persistence.incomingDelPacket = async (client, packet) => { await this.incomingDelPacket(client, packet) }
    persistence.cleanIncoming = async (client) => { await this.cleanIncoming(client) }
  }

  /**
   * Rejects for a connection that has closed meanwhile: its session may have begun anew, where the identifier means
   * another message. No PUBREC went out, so the device sends it again.
   */
  async incomingStorePacket (client: AedesClient, { messageId }: { messageId: number }): Promise<void> {
    if (client.closed) throw this.#unknown
    let session = this.#sessions.get(client.id)
    if (session === undefined) {
      session = new Set()
      this.#sessions.set(client.id, session)
    }
    session.add(messageId)
  }

  async incomingGetPacket (client: AedesClient, { messageId }: { messageId: number }): Promise<object> {
    if (!this.has(client.id, messageId)) throw this.#unknown
    return this.#found
  }

  async incomingDelPacket (client: AedesClient, { messageId }: { messageId: number }): Promise<void> {
    const session = this.#sessions.get(client.id)
    if (session?.delete(messageId) !== true) throw this.#unknown
    if (session.size === 0) this.#sessions.delete(client.id)
  }

  async cleanIncoming (client: AedesClient): Promise<void> {
    this.forget(client.id)
  }
}

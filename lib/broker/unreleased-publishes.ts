/**
 * The packet identifiers at QoS 2 that were answered with PUBREC and not released with PUBREL yet: a PUBLISH that
 * carries one of them is a duplicate [MQTT-4.3.3-2].
 *
 * Stands in for that part of Aedes' persistence, for two reasons: the publish hook has to know a duplicate at once,
 * since waiting for an answer would let a later publish of the same client overtake an earlier one; and nothing but the
 * identifier is needed, where Aedes keeps the whole packet.
 *
 * With a journal, those of persistent sessions are on disk before PUBREC goes out, and gone from there before PUBCOMP
 * does: one that came back after that would be taken for the next message that its client gives this identifier.
 */
import { createError } from '../errors.ts'
import type { AedesClient, IncomingPackets } from './aedes-types.ts'
import type { StateJournal } from './state-journal.ts'

export class UnreleasedPublishes implements IncomingPackets {
  readonly #journal: StateJournal | undefined
  readonly #sessions = new Map<string, Set<number>>()
  /** Aedes asks for every publish; an error made for each would be a stack trace for each. */
  readonly #unknown = createError('MBS_ERR_BROKER_PROTOCOL', { reason: 'the packet identifier is not in use' })
  readonly #found = Object.freeze({})
  /** On disk, or on the way there, and not in use yet. */
  readonly #ahead = new Map<string, Set<number>>()

  /** @param journal where those of persistent sessions are kept as well */
  constructor (journal?: StateJournal) {
    this.#journal = journal
  }

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
    for (const messageId of this.#sessions.get(clientId) ?? []) this.#journal?.released(clientId, messageId)
    this.#sessions.delete(clientId)
  }

  /** What a session brings along from before a restart; it is on disk. */
  restore (clientId: string, messageIds: readonly number[]): void {
    if (messageIds.length > 0) this.#sessions.set(clientId, new Set(messageIds))
  }

  /** Writes an identifier down before its PUBLISH goes on, which `incomingStorePacket` or `discard` follows. */
  ahead (clientId: string, messageId: number): void {
    this.#journal?.unreleased(clientId, messageId)
    add(this.#ahead, clientId, messageId)
  }

  /** The PUBLISH does not go on. */
  discard (clientId: string, messageId: number): void {
    if (remove(this.#ahead, clientId, messageId) && !this.has(clientId, messageId)) {
      this.#journal?.released(clientId, messageId)
    }
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
    if (client.closed) {
      this.discard(client.id, messageId)
      throw this.#unknown
    }
    const isWritten = remove(this.#ahead, client.id, messageId)
    add(this.#sessions, client.id, messageId)
    if (isWritten || client.clean || this.#journal === undefined) return
    this.#journal.unreleased(client.id, messageId)
    await this.#journal.written()
  }

  async incomingGetPacket (client: AedesClient, packet: { messageId: number, cmd?: string }): Promise<object> {
    // Where there is a journal, each PUBREL asks for its identifier to be deleted, and waits for that.
    const isAwaited = packet.cmd === 'pubrel' && this.#journal !== undefined && !client.clean
    if (!isAwaited && !this.has(client.id, packet.messageId)) throw this.#unknown
    return this.#found
  }

  /** Whatever it rejects with, Aedes sends PUBCOMP: where that may not be, the connection is closed before. */
  async incomingDelPacket (client: AedesClient, { messageId }: { messageId: number }): Promise<void> {
    const isKnown = remove(this.#sessions, client.id, messageId)
    if (!client.clean && this.#journal !== undefined) {
      if (isKnown) this.#journal.released(client.id, messageId)
      try {
        await this.#journal.written()
      } catch (error) {
        client.conn.destroy(error as Error)
        throw error
      }
    }
    if (!isKnown) throw this.#unknown
  }

  async cleanIncoming (client: AedesClient): Promise<void> {
    this.forget(client.id)
  }
}

function add (all: Map<string, Set<number>>, clientId: string, messageId: number): void {
  const some = all.get(clientId)
  if (some === undefined) all.set(clientId, new Set([messageId]))
  else some.add(messageId)
}

/** True where it was there. */
function remove (all: Map<string, Set<number>>, clientId: string, messageId: number): boolean {
  const some = all.get(clientId)
  if (some?.delete(messageId) !== true) return false
  if (some.size === 0) all.delete(clientId)
  return true
}

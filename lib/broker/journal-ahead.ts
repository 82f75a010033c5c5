/**
 * What a publish at QoS 1 or 2 changes for clients that may be away, on disk before it is acknowledged: the message in
 * the queues of all persistent sessions that it matches, the retained message of its topic, and at QoS 2 its packet
 * identifier. Aedes comes to all that after PUBACK, and then finds it written.
 *
 * Invariant: whatever is written ahead is taken up when Aedes comes to it, or discarded where it will not.
 */
import type { MbsError } from '../errors.ts'
import type { QoS } from '../message.ts'
import type { AedesClient, IncomingPackets, PublishPacket, SubscriptionStore } from './aedes-types.ts'
import type { OutgoingQueues } from './outgoing-queues.ts'
import type { WriteAhead } from './publish-hook.ts'
import type { RetainedMessages } from './retained-messages.ts'
import type { Sessions } from './sessions.ts'
import type { StateJournal } from './state-journal.ts'
import type { UnreleasedPublishes } from './unreleased-publishes.ts'

export interface JournalAheadOptions {
  readonly journal: StateJournal
  readonly outgoing: OutgoingQueues
  readonly retained: RetainedMessages
  readonly unreleased: UnreleasedPublishes
  readonly sessions: Sessions
}

export class JournalAhead implements WriteAhead {
  readonly #options: JournalAheadOptions
  #subscriptions: Pick<SubscriptionStore, 'subscriptionsByTopic'> | undefined

  constructor (options: JournalAheadOptions) {
    this.#options = options
  }

  /** Says where it is asked who gets a message; hears of publishes at QoS 2 that do not go on. */
  attach (persistence: SubscriptionStore & IncomingPackets): void {
    this.#subscriptions = persistence
    const store = persistence.incomingStorePacket
    persistence.incomingStorePacket = async (client, packet) => {
      if (client.closed) this.discard(client, packet as PublishPacket)
      await store(client, packet)
    }
  }

  /**
   * Resolves when all of it is on disk; where there is nothing to write, without a turn of the event loop.
   * @returns MBS_ERR_SESSIONS_WRITE where it cannot be written; nothing of it is left then
   */
  async write (client: AedesClient, packet: PublishPacket): Promise<MbsError | undefined> {
    const { journal, outgoing, retained, unreleased, sessions } = this.#options
    const { topic, payload, qos, retain } = packet
    const message = { topic, payload: payload as Buffer, qos: qos as QoS, retain }
    const matched = await this.#subscriptions?.subscriptionsByTopic(packet.topic) ?? []
    const isQueued = outgoing.ahead(matched, message)
    const isRetained = message.retain && retained.ahead(message)
    const isIdentified = message.qos === 2 && !client.clean && sessions.has(client.id)
    if (isIdentified) unreleased.ahead(client.id, packet.messageId as number)
    if (!isQueued && !isRetained && !isIdentified) return undefined
    try {
      await journal.written()
      return undefined
    } catch (error) {
      this.discard(client, packet)
      return error as MbsError
    }
  }

  /** The publish does not go on. */
  discard (client: AedesClient, packet: PublishPacket): void {
    const { outgoing, retained, unreleased } = this.#options
    const payload = packet.payload as Buffer
    outgoing.discard(payload)
    if (packet.retain) retained.discard({ topic: packet.topic, payload })
    if (packet.qos === 2) unreleased.discard(client.id, packet.messageId as number)
  }
}

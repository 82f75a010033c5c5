/**
 * Repairs how Aedes takes a message that is not sent to a persistent subscriber out of its queue. It tells messages
 * apart by their packet identifier, which a message gets when it is sent: for one that is not sent it removes the first
 * without an identifier, which may be another one, and closes the connection over its absence next.
 */
import type { AedesClient, OutgoingPacket, OutgoingPackets } from './aedes-types.ts'

/** An identifier that no message has. */
const WITHHELD = -1

/** Makes the persistence remove that very message, by its number in the broker. */
export function repairWithheld (persistence: OutgoingPackets): void {
  const update = persistence.outgoingUpdate.bind(persistence)
  const clear = persistence.outgoingClearMessageId.bind(persistence)
  persistence.outgoingClearMessageId = async (client: AedesClient, packet: OutgoingPacket) => {
    const { cmd, messageId, brokerId, brokerCounter } = packet
    if (messageId !== undefined) return await clear(client, packet)
    // A retained message was never in the queue, and has no origin.
    if (brokerId == null || brokerCounter === undefined) return undefined
    const marked = update(client, { cmd, brokerId, brokerCounter, messageId: WITHHELD })
    if (!await marked.then(() => true, () => false)) return undefined
    return await clear(client, { cmd, messageId: WITHHELD })
  }
}

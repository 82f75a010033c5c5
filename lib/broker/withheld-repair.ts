/**
 * Repairs how Aedes takes a message that is not sent to a persistent subscriber out of its queue.
 *
 * It tells messages apart by their packet identifier, which a message gets when it is sent: for one that is not sent it
 * removes the first without an identifier, which may be another, and then closes the connection over its absence. And
 * when a session is taken up, it passes each message that was removed on to nobody, and after sixteen waits for ever.
 */
import type { AedesClient, OutgoingPacket, OutgoingPackets } from './aedes-types.ts'

/** An identifier that no message has. */
const WITHHELD = -1

/** Makes the persistence remove that very message, and hand out nothing. */
export function repairWithheld (persistence: OutgoingPackets): void {
  const update = persistence.outgoingUpdate.bind(persistence)
  const clear = persistence.outgoingClearMessageId.bind(persistence)
  persistence.outgoingClearMessageId = async (client: AedesClient, packet: OutgoingPacket) => {
    if (packet.messageId === undefined) {
      const { cmd, brokerId, brokerCounter } = packet
      // A retained message was never in the queue, and has no origin.
      if (brokerId == null || brokerCounter === undefined) return
      const marked = update(client, { cmd, brokerId, brokerCounter, messageId: WITHHELD })
      if (await marked.then(() => true, () => false)) await clear(client, { cmd, messageId: WITHHELD })
      return
    }
    await clear(client, packet)
  }
}

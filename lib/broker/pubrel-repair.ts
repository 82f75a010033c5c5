/**
 * Repairs how Aedes' persistence finds the PUBREL of a persistent subscriber. It tells packets apart by `brokerId` and
 * `brokerCounter`, which a PUBREL has not: of two in one turn, the second is taken for the first, both go out with one
 * packet identifier, and the subscriber never gets the message of the other.
 */
import type { OutgoingPackets } from './aedes-types.ts'

/** Stands for the broker of every PUBREL; the packet identifier then tells them apart. */
const PUBREL_ORIGIN = 'pubrel'

/** Gives every PUBREL an identity before the persistence sees it. */
export function repairPubrel (persistence: OutgoingPackets): void {
  const update = persistence.outgoingUpdate.bind(persistence)
  persistence.outgoingUpdate = async (client, packet) => {
    if (packet.cmd === 'pubrel') {
      packet.brokerId = PUBREL_ORIGIN
      packet.brokerCounter = packet.messageId as number
    }
    await update(client, packet)
  }
}

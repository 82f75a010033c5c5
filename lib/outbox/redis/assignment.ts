/**
 * Who of a group delivers which partition: as evenly as it goes, and so that as little as possible changes hands when a
 * program comes or goes. Every program reckons it for itself and comes to the same. Pure.
 */
import { crc32 } from 'node:zlib'

/** @returns for each partition the member that is to deliver it; undefined where there is no member */
export function assign (members: readonly string[], partitions: number): Array<string | undefined> {
  const most = Math.ceil(partitions / Math.max(1, members.length))
  const loads = new Map(members.map((member) => [member, 0]))
  return Array.from({ length: partitions }, (_, partition) => {
    // Each partition has its own order of preference; the first with room gets it.
    const [best] = members
      .filter((member) => (loads.get(member) as number) < most)
      .map((member) => ({ member, weight: weightOf(member, partition) }))
      .sort((one, other) => other.weight - one.weight || (one.member < other.member ? -1 : 1))
    if (best !== undefined) loads.set(best.member, (loads.get(best.member) as number) + 1)
    return best?.member
  })
}

/** CRC-32 alone is linear: members would keep their order over all partitions. */
function weightOf (member: string, partition: number): number {
  let hash = crc32(`${member} ${partition}`)
  hash = Math.imul(hash ^ hash >>> 16, 0x45d9f3b)
  hash = Math.imul(hash ^ hash >>> 16, 0x45d9f3b)
  return (hash ^ hash >>> 16) >>> 0
}

/**
 * Under which name an address is counted: its connections, and its attempts to get in. Pure. One customer, one machine
 * even, has a whole /64 of IPv6 to choose addresses from, so that a network counts there as an address does in IPv4.
 */
import { isIPv6 } from 'node:net'

/** Leading groups of an IPv6 address that name its network: a /64. */
const NETWORK_GROUPS = 4
const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/**
 * @param address as Node gives it; an IPv4 address in its IPv6 form (`::ffff:192.0.2.1`) counts as the former
 * @returns the address itself, for IPv6 its network: `2001:db8:0:1::/64`
 */
export function addressKey (address: string): string {
  const mapped = MAPPED_IPV4.exec(address)
  if (mapped !== null) return mapped[1] as string
  if (!isIPv6(address)) return address
  const [bare = '', zone] = address.split('%')
  const [before = '', after] = bare.split('::')
  const groups = before === '' ? [] : before.split(':')
  if (after !== undefined) {
    const behind = after === '' ? [] : after.split(':')
    // The last group may be an IPv4 address, which stands for two.
    const places = behind.at(-1)?.includes('.') === true ? behind.length + 1 : behind.length
    while (groups.length + places < 8) groups.push('0')
    groups.push(...behind)
  }
  const network = groups.slice(0, NETWORK_GROUPS).map((group) => parseInt(group, 16).toString(16)).join(':')
  return `${network}::/64${zone === undefined ? '' : `%${zone}`}`
}

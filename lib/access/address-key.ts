/**
 * Under which key the attempts of an address are counted: an IPv4 address as it is, also where it is written as IPv6;
 * of an IPv6 address the first 64 bits, because one customer has as many addresses behind them as it likes. Pure.
 */
import { isIPv6 } from 'node:net'

export function addressKey (address: string): string {
  const [plain = ''] = address.split('%')
  if (!isIPv6(plain)) return plain
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)
  if (mapped !== null) return mapped[1] as string
  const [head = '', tail] = plain.replace(/:\d+\.\d+\.\d+\.\d+$/, ':0:0').split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  const groups = [...before, ...Array<string>(zeros).fill('0'), ...after]
  return `${groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(':')}::/64`
}

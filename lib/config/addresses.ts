/** Which addresses are loopback, and which cannot be listened on at the same time. Pure. */
import { BlockList, isIPv4, isIPv6 } from 'node:net'

/** True for addresses that no other machine reaches: 127.0.0.0/8, ::1, localhost. */
export function isLoopback (host: string): boolean {
  const loopback = new BlockList()
  loopback.addSubnet('127.0.0.0', 8, 'ipv4')
  loopback.addAddress('::1', 'ipv6')
  if (isIPv4(host)) return loopback.check(host, 'ipv4')
  if (isIPv6(host)) return loopback.check(host, 'ipv6')
  return host.toLowerCase() === 'localhost'
}

/** True where two servers would take the same host and port. Port 0 is always a free one. */
export function sameEndpoint (
  a: { readonly host: string, readonly port: number }, b: { readonly host: string, readonly port: number }
): boolean {
  if (a.port !== b.port || a.port === 0) return false
  const [hostA, hostB] = [canonical(a.host), canonical(b.host)]
  return hostA === hostB || isWildcard(hostA) || isWildcard(hostB)
}

function isWildcard (host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host)
}

function canonical (host: string): string {
  return host.toLowerCase() === 'localhost' ? '127.0.0.1' : host.toLowerCase()
}

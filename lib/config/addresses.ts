/** Which addresses are loopback, which cannot be listened on at the same time, and what listeners are called. Pure. */
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

/** Where a listener is: a host and port, or the path of a Unix socket. */
interface ListenerAddress {
  readonly protocol: string
  readonly host?: string
  readonly port?: number
  readonly socket?: string
  readonly proxyProtocol?: object
}

/** True for a listener that nobody beyond this machine reaches, over a load balancer neither. */
export function isLocalListener ({ host = '', socket, proxyProtocol }: ListenerAddress): boolean {
  return proxyProtocol === undefined && (socket !== undefined || isLoopback(host))
}

/** A listener in words. */
export function describeListener ({ protocol, host, port, socket }: ListenerAddress): string {
  return `${protocol} ${socket ?? `${host}:${port}`}`
}

/** An address with its port, as servers take it. */
interface Endpoint {
  readonly host: string
  readonly port: number
}

/** True where two servers would take the same host and port. Port 0 is always a free one. */
export function sameEndpoint (a: Endpoint, b: Endpoint): boolean {
  if (a.port !== b.port || a.port === 0) return false
  const [hostA, hostB] = [canonical(a.host), canonical(b.host)]
  return hostA === hostB || isWildcard(hostA) || isWildcard(hostB)
}

/** True where one is an address of IPv6 and the other one of IPv4: both fit on one port, if `::` leaves IPv4 alone. */
export function separateFamilies (a: Partial<Endpoint>, b: Partial<Endpoint>): boolean {
  const [hostA, hostB] = [canonical(a.host ?? ''), canonical(b.host ?? '')]
  return (isIPv6(hostA) && isIPv4(hostB)) || (isIPv4(hostA) && isIPv6(hostB))
}

/** True for an IP address, or a network in CIDR notation. */
export function isNetwork (text: string): boolean {
  const [address = '', bits = '0', ...rest] = text.split('/')
  const most = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1
  return rest.length === 0 && Number(bits) <= most
}

function isWildcard (host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host)
}

function canonical (host: string): string {
  return host.toLowerCase() === 'localhost' ? '127.0.0.1' : host.toLowerCase()
}

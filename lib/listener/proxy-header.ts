/**
 * The header of the PROXY protocol, versions 1 and 2, with which a load balancer says whose connection it passes on
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). Pure: looks at the bytes so far, and says what they are.
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net'

/** The whole line of version 1, with its end [PROXY 2.1]. */
const V1_MAX_BYTES = 107
const V1_BEGIN = Buffer.from('PROXY ')
/** Version 2 [PROXY 2.2]: no UTF-8, no HTTP, no TLS and no MQTT begins like that. */
const V2_SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a])
const V2_FIXED_BYTES = 16
/** Addresses and TLVs of version 2. The format allows 65,535 bytes; what balancers send is far less. */
const V2_MAX_BODY_BYTES = 4096

/** Longest header that is read, in bytes. */
export const PROXY_HEADER_MAX_BYTES = V2_FIXED_BYTES + V2_MAX_BODY_BYTES

/** Where a connection came from. */
export interface ProxySource {
  readonly host: string
  readonly port: number
}

/** What the bytes so far are. */
export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'malformed', readonly reason: string }
  /** `source` is absent where the balancer speaks for itself (LOCAL), or cannot say (UNKNOWN, UNSPEC, Unix sockets). */
  | { readonly kind: 'header', readonly bytes: number, readonly source?: ProxySource }

/** Reads the header at the beginning of a connection. Never throws; decides as soon as it can be decided. */
export function parseProxyHeader (data: Buffer): ProxyHeader {
  if (beginsLike(data, V1_BEGIN)) return data.length < V1_BEGIN.length ? INCOMPLETE : parseV1(data)
  if (beginsLike(data, V2_SIGNATURE)) return data.length < V2_FIXED_BYTES ? checkV2(data) : parseV2(data)
  return malformed('the connection does not begin with one')
}

const INCOMPLETE: ProxyHeader = { kind: 'incomplete' }

function malformed (reason: string): ProxyHeader {
  return { kind: 'malformed', reason }
}

/** True where the bytes are the beginning of the prefix, or go on behind it. */
function beginsLike (data: Buffer, prefix: Buffer): boolean {
  const length = Math.min(data.length, prefix.length)
  return data.compare(prefix, 0, length, 0, length) === 0
}

function parseV1 (data: Buffer): ProxyHeader {
  const end = data.subarray(0, V1_MAX_BYTES).indexOf('\r\n')
  if (end === -1) {
    return data.length < V1_MAX_BYTES ? INCOMPLETE : malformed(`its line is longer than ${V1_MAX_BYTES} bytes`)
  }
  const bytes = end + 2
  const words = data.toString('latin1', V1_BEGIN.length, end).split(' ')
  if (words[0] === 'UNKNOWN') return { kind: 'header', bytes }
  const [family, from = '', to = '', fromPort = '', toPort = ''] = words
  if (family !== 'TCP4' && family !== 'TCP6') return malformed('its family is none of TCP4, TCP6 and UNKNOWN')
  const isAddress = family === 'TCP4' ? isIPv4 : isIPv6
  // A zone means something on the machine that wrote it alone.
  if (words.length !== 5 || ![from, to].every((address) => isAddress(address) && !address.includes('%'))) {
    return malformed(`it does not hold two addresses of ${family}`)
  }
  if (![fromPort, toPort].every(isPort)) return malformed('a port is none')
  return { kind: 'header', bytes, source: { host: canonical(from), port: Number(fromPort) } }
}

function isPort (text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535
}

/** What is wrong with the fixed part, as far as it has come. */
function checkV2 (data: Buffer): ProxyHeader {
  const [command, family] = [data[12], data[13]]
  if (command !== undefined && command !== 0x20 && command !== 0x21) return malformed('its version or command does not exist')
  if (command === 0x21 && family !== undefined && !FAMILIES.has(family)) return malformed('its address family is not one of a stream')
  if (data.length >= V2_FIXED_BYTES && data.readUInt16BE(14) > V2_MAX_BODY_BYTES) {
    return malformed(`it is longer than ${PROXY_HEADER_MAX_BYTES} bytes`)
  }
  return INCOMPLETE
}

/** Families of version 2 that a stream can have, and the bytes of their addresses; UNSPEC and Unix have none for us. */
const FAMILIES = new Map([[0x00, 0], [0x11, 12], [0x21, 36], [0x31, 0]])

function parseV2 (data: Buffer): ProxyHeader {
  const problem = checkV2(data)
  if (problem.kind === 'malformed') return problem
  const length = data.readUInt16BE(14)
  const bytes = V2_FIXED_BYTES + length
  const [command, family] = [data[12], data[13] as number]
  const addressBytes = command === 0x20 ? 0 : FAMILIES.get(family) as number
  if (length < addressBytes) return malformed('it is too short for its addresses')
  if (data.length < bytes) return INCOMPLETE
  if (addressBytes === 0) return { kind: 'header', bytes }
  const at = V2_FIXED_BYTES
  if (family === 0x11) {
    return { kind: 'header', bytes, source: { host: data.subarray(at, at + 4).join('.'), port: data.readUInt16BE(at + 8) } }
  }
  const groups = Array.from({ length: 8 }, (_, group) => data.readUInt16BE(at + group * 2).toString(16))
  return { kind: 'header', bytes, source: { host: canonical(groups.join(':')), port: data.readUInt16BE(at + 32) } }
}

/** The one spelling that an address has elsewhere, too. */
function canonical (host: string): string {
  return new SocketAddress({ address: host, family: isIPv6(host) ? 'ipv6' : 'ipv4' }).address
}

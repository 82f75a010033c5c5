/**
 * Takes the PROXY header off a connection, before TLS, HTTP or MQTT sees a byte of it, and puts back what came behind.
 * Believes only those whose address is trusted: anyone else could claim to be anyone.
 */
import { BlockList, isIPv6, type Socket } from 'node:net'
import { parseProxyHeader, type ProxySource } from './proxy-header.ts'

/** How a listener stands to the PROXY protocol. */
export interface ProxyTrust {
  /** Addresses and networks (`10.0.0.0/8`) whose word is taken; each of their connections begins with a header. */
  readonly trusted: readonly string[]
}

/** What became of the header. `gone`: the connection ended before a byte of it, as health checks of balancers do. */
export type ProxyOutcome =
  | { readonly kind: 'header', readonly source?: ProxySource }
  | { readonly kind: 'malformed', readonly reason: string }
  | { readonly kind: 'gone' }

/** Makes the test for addresses: true for one that is trusted. */
export function createTrust ({ trusted }: ProxyTrust): (address: string) => boolean {
  const list = new BlockList()
  for (const network of trusted) {
    const [address = '', bits] = network.split('/')
    const family = familyOf(address)
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return (address) => {
    const bare = address.replace(/%.*$/, '')
    return list.check(bare, familyOf(bare))
  }
}

function familyOf (address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4'
}

/**
 * Reads the header, in whatever pieces it comes. How long that may take is for the caller to bound.
 * @param done called once; the socket is then as if the header had never been in it, and nothing reads from it
 */
export function readProxyHeader (socket: Socket, done: (outcome: ProxyOutcome) => void): void {
  let data = Buffer.alloc(0)
  // `readable` and not `data`: a socket that once flowed stays paused for whoever takes it next.
  const read = () => {
    const chunk = socket.read() as Buffer | null
    if (chunk === null) return
    data = Buffer.concat([data, chunk])
    const header = parseProxyHeader(data)
    if (header.kind === 'incomplete') return
    if (header.kind === 'malformed') {
      settle(header)
      return
    }
    stop()
    const { bytes, ...rest } = header
    if (data.length > bytes) socket.unshift(data.subarray(bytes))
    // The stream needs a turn to forget that it was listened to.
    setImmediate(() => { done(rest) })
  }
  const ended = () => {
    settle(data.length === 0 ? { kind: 'gone' } : { kind: 'malformed', reason: 'the connection ended within it' })
  }
  const stop = () => {
    socket.off('readable', read)
    socket.off('end', ended)
    socket.off('close', ended)
  }
  const settle = (outcome: ProxyOutcome) => {
    stop()
    done(outcome)
  }
  socket.on('readable', read)
  socket.on('end', ended)
  socket.on('close', ended)
}

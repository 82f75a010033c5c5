/** Headers of the PROXY protocol, as a load balancer would write them, and as none would. */
import { isIPv4 } from 'node:net'

/** Family and transport of version 2: a stream over IPv4, over IPv6. */
export const TCP4 = 0x11
export const TCP6 = 0x21

export interface ProxyV2Fields {
  /** 0x21: PROXY; 0x20: LOCAL. */
  command?: number
  family?: number
  /** The device; its family is the header's, unless another one is given. */
  source?: string
  port?: number
  /** What stands in the place of the addresses. */
  body?: Buffer
  tlvs?: Buffer
}

export function proxyV1 (source: string, port: number): Buffer {
  const [family, to] = isIPv4(source) ? ['TCP4', '10.0.0.1'] : ['TCP6', '::1']
  return Buffer.from(`PROXY ${family} ${source} ${to} ${port} 1883\r\n`)
}

export function proxyV2 (fields: ProxyV2Fields = {}): Buffer {
  const { command = 0x21, source = '192.0.2.7', port = 1, tlvs = Buffer.alloc(0) } = fields
  const family = fields.family ?? (isIPv4(source) ? TCP4 : TCP6)
  const body = fields.body ?? addresses(source, port)
  const head = Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n'), Buffer.from([command, family, 0, 0])])
  head.writeUInt16BE(body.length + tlvs.length, 14)
  return Buffer.concat([head, body, tlvs])
}

function addresses (source: string, port: number): Buffer {
  const address = isIPv4(source) ? Buffer.from(source.split('.').map(Number)) : bytesOfIPv6(source)
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(port, 0)
  ports.writeUInt16BE(1883, 2)
  return Buffer.concat([address, Buffer.alloc(address.length), ports])
}

function bytesOfIPv6 (text: string): Buffer {
  const written = text.replace(/[\d.]+\.\d+$/, (four) => {
    const [a, b, c, d] = four.split('.').map(Number) as [number, number, number, number]
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
  const [before = [], after = []] = written.split('::').map((half) => half === '' ? [] : half.split(':'))
  const groups = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after]
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}

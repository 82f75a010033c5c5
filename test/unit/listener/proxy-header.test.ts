import { test } from 'tap'
import { parseProxyHeader, PROXY_HEADER_MAX_BYTES, type ProxyHeader, type ProxySource } from '../../../lib/listener/proxy-header.ts'
import { proxyV2, TCP4, TCP6 } from '../../support/proxy.ts'
import { seededRandom } from '../../support/random.ts'

const BEHIND = Buffer.from([0x10, 0x0c])

/** Header, and where it says that the connection came from. */
const good: Array<[what: string, header: Buffer, source?: ProxySource]> = [
  ['v1 TCP4', Buffer.from('PROXY TCP4 192.0.2.7 10.0.0.1 56324 1883\r\n'), { host: '192.0.2.7', port: 56324 }],
  ['v1 TCP6', Buffer.from('PROXY TCP6 2001:DB8:0:0::7 ::1 65535 0\r\n'), { host: '2001:db8::7', port: 65535 }],
  ['v1 UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
  ['v1 UNKNOWN with addresses', Buffer.from('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n')],
  ['v1 of the longest kind', Buffer.from(`PROXY UNKNOWN ${'f'.repeat(107 - 16)}\r\n`)],
  ['v2 TCP4', proxyV2({ source: '192.0.2.7', port: 56324 }), { host: '192.0.2.7', port: 56324 }],
  ['v2 TCP6', proxyV2({ source: '2001:db8::7', port: 1 }), { host: '2001:db8::7', port: 1 }],
  ['v2 TCP6 of an IPv4 device', proxyV2({ source: '::ffff:192.0.2.7', port: 1 }), { host: '::ffff:192.0.2.7', port: 1 }],
  ['v2 TCP4 with TLVs', proxyV2({ source: '192.0.2.7', port: 2, tlvs: Buffer.alloc(300, 1) }), { host: '192.0.2.7', port: 2 }],
  ['v2 LOCAL', proxyV2({ command: 0x20, family: 0, body: Buffer.alloc(0) })],
  ['v2 LOCAL of whatever family', proxyV2({ command: 0x20, family: 0x99, body: Buffer.alloc(7) })],
  ['v2 UNSPEC', proxyV2({ family: 0, body: Buffer.alloc(20) })],
  ['v2 Unix', proxyV2({ family: 0x31, body: Buffer.alloc(216) })],
  ['v2 of the longest kind', proxyV2({ family: 0, body: Buffer.alloc(PROXY_HEADER_MAX_BYTES - 16) })]
]

test('a header is read, whatever stands behind it', async (t) => {
  for (const [what, header, source] of good) {
    const expected = { kind: 'header', bytes: header.length, ...(source !== undefined && { source }) }
    t.strictSame(parseProxyHeader(header), expected, what)
    t.strictSame(parseProxyHeader(Buffer.concat([header, BEHIND])), expected, `${what}, and more`)
  }
})

test('a part of a header is waited for, wherever it was cut', async (t) => {
  for (const [what, header] of good) {
    const wrong = [...header.keys()].filter((end) => parseProxyHeader(header.subarray(0, end)).kind !== 'incomplete')
    t.strictSame(wrong, [], what)
  }
})

test('what is no header is told as soon as it can be', async (t) => {
  const bad: Array<[what: string, bytes: Buffer | string, reason: RegExp]> = [
    ['MQTT', Buffer.from([0x10]), /does not begin/],
    ['TLS', Buffer.from([0x16, 3, 1]), /does not begin/],
    ['HTTP', 'GET / HTTP/1.1\r\n', /does not begin/],
    ['a beginning of v1 that goes wrong', 'PROXX', /does not begin/],
    ['a beginning of v2 that goes wrong', '\r\n\r\n\0\r\nQUIT\r', /does not begin/],
    ['v1 in small letters', 'proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n', /does not begin/],
    ['v1 without an end', `PROXY TCP4 ${'1'.repeat(96)}`, /longer than 107/],
    ['v1 with its end too late', `PROXY UNKNOWN ${'f'.repeat(107 - 15)}\r\n`, /longer than 107/],
    ['v1 of UDP', 'PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n', /family/],
    ['v1 of nothing', 'PROXY \r\n', /family/],
    ['v1 of another family', 'PROXY TCP4 ::1 ::1 1 1\r\n', /addresses of TCP4/],
    ['v1 of IPv4 as TCP6', 'PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n', /addresses of TCP6/],
    ['v1 with a zone', 'PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n', /addresses/],
    ['v1 with too little', 'PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n', /addresses/],
    ['v1 with too much', 'PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n', /addresses/],
    ['v1 with two spaces', 'PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n', /addresses/],
    ['v1 with a port beyond', 'PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n', /port/],
    ['v1 with a port that begins with 0', 'PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n', /port/],
    ['v1 with a negative port', 'PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n', /port/],
    ['v2 of version 1', proxyV2({ command: 0x11 }).subarray(0, 13), /version/],
    ['v2 with an unknown command', proxyV2({ command: 0x22 }).subarray(0, 13), /command/],
    ['v2 of UDP', proxyV2({ family: 0x12 }).subarray(0, 14), /family/],
    ['v2 of no family', proxyV2({ family: 0x41 }).subarray(0, 14), /family/],
    ['v2 that is too long', proxyV2({ family: 0, body: Buffer.alloc(PROXY_HEADER_MAX_BYTES - 15) }).subarray(0, 16), /longer than/],
    ['v2 that is too short for IPv4', proxyV2({ family: TCP4, body: Buffer.alloc(11) }).subarray(0, 16), /too short/],
    ['v2 that is too short for IPv6', proxyV2({ family: TCP6, body: Buffer.alloc(35) }).subarray(0, 16), /too short/]
  ]
  for (const [what, bytes, reason] of bad) {
    t.match(parseProxyHeader(Buffer.from(bytes)), { kind: 'malformed', reason }, what)
  }
})

test('random bytes never crash it, and more bytes never change what was decided', async (t) => {
  const seed = Number(process.env['MBS_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}`)
  const random = seededRandom(seed)
  const below = (most: number) => Math.floor(random() * most)
  for (let round = 0; round < 3000; round++) {
    const header = Buffer.from(good[below(good.length)]![1])
    for (let changes = below(4); changes > 0; changes--) header[below(header.length)] = below(256)
    let decided: ProxyHeader | undefined
    for (let end = 0; end < header.length; end += 1 + below(40)) {
      const found = parseProxyHeader(header.subarray(0, end))
      if (decided !== undefined && JSON.stringify(found) !== JSON.stringify(decided)) {
        return t.fail(`changed its mind: ${header.toString('hex')} at ${end}`)
      }
      if (found.kind !== 'incomplete') decided = found
      if (found.kind === 'header' && found.bytes > end) return t.fail(`takes what is not there: ${header.toString('hex')}`)
    }
  }
  const long = parseProxyHeader(Buffer.alloc(PROXY_HEADER_MAX_BYTES))
  t.equal(long.kind, 'malformed')
})

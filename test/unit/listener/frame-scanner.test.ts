import { test } from 'tap'
import { generate } from 'mqtt-packet'
import { FrameScanner } from '../../../lib/listener/frame-scanner.ts'

const limits = { packetBytes: 1000, subscriptionsPerPacket: 3 }

/** Takes packets in pieces of this size; what is wrong with them, or how many there were. */
function scan (bytes: Buffer, pieceBytes: number): number | string {
  const scanner = new FrameScanner(limits)
  let packets = 0
  for (let start = 0; start < bytes.length; start += pieceBytes) {
    const piece = bytes.subarray(start, start + pieceBytes)
    let at = 0
    while (at < piece.length) {
      if (scanner.between) scanner.begin(piece[at++] as number)
      const stopped = scanner.advance(piece, at)
      if (typeof stopped !== 'number') return stopped.code
      at = stopped
      if (scanner.between) packets++
    }
  }
  return packets
}

function subscribe (count: number): Buffer {
  const subscriptions = Array.from({ length: count }, (_, index) => ({ topic: 'x'.repeat(index * 40 + 1), qos: 0 as const }))
  return generate({ cmd: 'subscribe', messageId: 1, subscriptions })
}

function publish (payloadBytes: number): Buffer {
  return generate({ cmd: 'publish', topic: 'a', payload: Buffer.alloc(payloadBytes), qos: 0, retain: false, dup: false })
}

test('packets are told apart, in whatever pieces they come', async (t) => {
  const bytes = Buffer.concat([publish(0), publish(300), subscribe(3), generate({ cmd: 'pingreq' }), publish(900)])
  for (let pieceBytes = 1; pieceBytes < 400; pieceBytes++) t.equal(scan(bytes, pieceBytes), 5, `${pieceBytes} bytes at a time`)
})

test('a packet may be as large as allowed and not a byte larger', async (t) => {
  // Its fixed header has three bytes, the topic three.
  for (const pieceBytes of [1, 7, 2000]) {
    t.equal(scan(publish(994), pieceBytes), 1)
    t.equal(scan(publish(995), pieceBytes), 'MBS_ERR_GATE_PACKET_TOO_LARGE')
  }
})

test('the size is refused before the length has ended', async (t) => {
  t.equal(scan(Buffer.from([0x30, 0xff, 0xff]), 1), 'MBS_ERR_GATE_PACKET_TOO_LARGE')
})

test('a length without end is malformed [MQTT-2.2.3]', async (t) => {
  for (const pieceBytes of [1, 5]) {
    t.equal(scan(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80]), pieceBytes), 'MBS_ERR_GATE_MALFORMED')
  }
  t.equal(scan(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x00]), 1), 1, 'four bytes are allowed')
})

test('PINGREQ and DISCONNECT have no body', async (t) => {
  t.equal(scan(Buffer.from([0xc0, 0x01, 0x00]), 3), 'MBS_ERR_GATE_MALFORMED')
  t.equal(scan(Buffer.from([0xe0, 0x01, 0x00]), 3), 'MBS_ERR_GATE_MALFORMED')
})

test('the filters of a SUBSCRIBE are counted, in whatever pieces they come', async (t) => {
  for (let pieceBytes = 1; pieceBytes < 200; pieceBytes++) {
    t.equal(scan(subscribe(3), pieceBytes), 1)
    t.equal(scan(subscribe(4), pieceBytes), 'MBS_ERR_GATE_SUBSCRIPTIONS')
  }
})

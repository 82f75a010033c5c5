import { test } from 'tap'
import { OutboundFrames } from '../../../lib/listener/outbound-frames.ts'

const puback = Buffer.from([0x40, 2, 0, 1])
const pingresp = Buffer.from([0xd0, 0])
const large = Buffer.concat([Buffer.from([0x30, 0xc8, 0x01]), Buffer.alloc(200)])

test('says where the first place between packets is', async (t) => {
  const frames = new OutboundFrames()
  t.equal(frames.advance(puback), 0, 'at the beginning')
  t.ok(frames.between)
  t.equal(frames.advance(large.subarray(0, 100)), 0)
  t.notOk(frames.between)
  t.equal(frames.advance(large.subarray(100, 150)), -1, 'nowhere')
  t.equal(frames.advance(Buffer.concat([large.subarray(150), puback])), 53, 'in the middle')
  t.ok(frames.between)
})

test('packets may be cut anywhere', async (t) => {
  const bytes = Buffer.concat([puback, pingresp, large, pingresp, puback])
  const ends = [4, 6, 209, 211, 215]
  const frames = new OutboundFrames()
  for (let index = 0; index < bytes.length; index++) {
    frames.advance(bytes.subarray(index, index + 1))
    t.equal(frames.between, ends.includes(index + 1), `after ${index + 1} bytes`)
  }
})

test('a packet without body ends with its length', async (t) => {
  const frames = new OutboundFrames()
  frames.advance(pingresp.subarray(0, 1))
  t.equal(frames.advance(pingresp.subarray(1)), 1)
})

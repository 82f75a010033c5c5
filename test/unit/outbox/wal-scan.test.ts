import { crc32 } from 'node:zlib'
import { test } from 'tap'
import { blockKey } from '../../../lib/outbox/keys.ts'
import { scanWal, widen } from '../../../lib/outbox/wal-scan.ts'

const PIECE = 32 * 1024

/** A batch that begins with the put of a block, as LevelDB writes it. */
function batchOf (first: number, count: number, valueBytes: number): Buffer {
  const key = blockKey({ first, offset: 0, count, bytes: valueBytes })
  const value = Buffer.alloc(valueBytes, 65)
  return Buffer.concat([Buffer.alloc(12, 1), Buffer.of(1, key.length), key, Buffer.of(0x80, 0x01), value])
}

/** Records as LevelDB's log writer lays them out. */
function logOf (...batches: Buffer[]): Buffer {
  const parts: Buffer[] = []
  let length = 0
  const push = (part: Buffer): void => {
    parts.push(part)
    length += part.length
  }
  for (const batch of batches) {
    for (let at = 0, begin = true; begin || at < batch.length; begin = false) {
      const left = PIECE - length % PIECE
      if (left < 7) push(Buffer.alloc(left))
      const room = PIECE - length % PIECE - 7
      const data = batch.subarray(at, at + room)
      at += data.length
      const end = at === batch.length
      const header = Buffer.alloc(7)
      header.writeUInt32LE(crc32(data), 0)
      header.writeUInt16LE(data.length, 4)
      header[6] = begin ? (end ? 1 : 2) : (end ? 4 : 3)
      push(header)
      push(data)
    }
  }
  return Buffer.concat(parts)
}

void test('finds the span of the blocks in a log', async (t) => {
  t.equal(scanWal(Buffer.alloc(0)), undefined)
  t.equal(scanWal(logOf(Buffer.alloc(40, 3))), undefined, 'a batch without a block')
  t.same(scanWal(logOf(batchOf(7, 3, 100))), { from: 7, to: 10 })
  t.same(scanWal(logOf(batchOf(7, 3, 100), Buffer.alloc(30, 2), batchOf(10, 5, 100_000), batchOf(15, 1, 10))),
    { from: 7, to: 16 })
  t.same(widen({ from: 3, to: 5 }, { from: 9, to: 12 }), { from: 3, to: 12 })
})

void test('finds a block wherever its key is cut by the end of a piece', async (t) => {
  for (let gap = 0; gap < 80; gap++) {
    const before = Buffer.alloc(PIECE - 7 - gap, 2)
    t.same(scanWal(logOf(before, batchOf(7, 3, 100))), { from: 7, to: 10 }, `${gap} bytes before the end`)
  }
})

void test('reads past a damaged byte, and counts what is damaged', async (t) => {
  const log = logOf(batchOf(1, 10, 1000), batchOf(11, 10, 1000), batchOf(21, 10, 1000))
  const third = log.indexOf(blockKey({ first: 21, offset: 0, count: 10, bytes: 1000 }))
  for (const at of [4, 6, 300, 1100, third + 200]) {
    const damaged = Buffer.from(log)
    damaged[at] = (damaged[at] as number) ^ 0xff
    t.same(scanWal(damaged), { from: 1, to: 31 }, `byte ${at}`)
  }
})

void test('does not believe a damaged key', async (t) => {
  const log = logOf(batchOf(1, 10, 1000), batchOf(11, 10, 1000))
  const at = log.indexOf(blockKey({ first: 11, offset: 0, count: 10, bytes: 1000 }))
  log[at + 3] = 0xff
  t.same(scanWal(log), { from: 1, to: 11 })
})

void test('finds the records behind a header with a damaged length or type', async (t) => {
  const filler = Buffer.alloc(PIECE, 2)
  for (const damage of [Buffer.of(0xff, 0xff, 1), Buffer.of(10, 0, 9), Buffer.of(10, 0, 0)]) {
    const log = logOf(batchOf(1, 10, 1000), batchOf(11, 10, 100), batchOf(21, 10, 100), filler, filler)
    const header = log.indexOf(blockKey({ first: 11, offset: 0, count: 10, bytes: 100 })) - 14 - 7
    damage.copy(log, header + 4)
    t.same(scanWal(log), { from: 1, to: 31 })
  }
})

void test('believes no key in a payload, where nothing is damaged or it does not follow the last one', async (t) => {
  const forged = batchOf(1_000_000, 5, 10)
  const log = logOf(batchOf(1, 10, 100), Buffer.concat([batchOf(11, 1, 0), forged]), batchOf(12, 1, 10))
  t.same(scanWal(log), { from: 1, to: 13 })
  log[log.indexOf(blockKey({ first: 11, offset: 0, count: 1, bytes: 0 })) - 14 - 1] = 9
  t.same(scanWal(log), { from: 1, to: 13 })
})

void test('does not miss a write that the file ends in: it was not acknowledged', async (t) => {
  const whole = logOf(batchOf(1, 10, 1000))
  for (const bytes of [100, 1000, 40_000, 90_000]) {
    const log = logOf(batchOf(1, 10, 1000), batchOf(11, 10, bytes))
    for (const cut of [1, 20, Math.floor((log.length - whole.length) / 2)]) {
      t.same(scanWal(log.subarray(0, log.length - cut)), { from: 1, to: 11 }, `${bytes} bytes, ${cut} missing`)
    }
  }
})

void test('goes on behind preallocated zeros', async (t) => {
  const log = Buffer.concat([logOf(batchOf(1, 10, 1000)), Buffer.alloc(PIECE)]).subarray(0, PIECE)
  t.same(scanWal(Buffer.concat([log, logOf(batchOf(11, 1, 10))])), { from: 1, to: 12 })
})

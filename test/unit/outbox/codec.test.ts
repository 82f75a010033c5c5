import { test } from 'tap'
import { BlockReader, BlockWriter } from '../../../lib/outbox/block.ts'
import { cursorEnd, decodeCursor, encodeCursor } from '../../../lib/outbox/cursor-record.ts'
import { decodeDeadLetter, encodeDeadLetter } from '../../../lib/outbox/dead-letter-codec.ts'
import {
  blockKey, blocksFrom, BLOCKS_END, letterKey, parseBlockKey, parseLetterKey, parseReceiptsKey, receiptsKey
} from '../../../lib/outbox/keys.ts'
import { decodeMarks, encodeMarks, LogState } from '../../../lib/outbox/log-state.ts'
import { decodeReceipts, encodeReceipts } from '../../../lib/outbox/receipt-log.ts'
import { seal, unseal } from '../../../lib/level/sealed.ts'
import { eventOf, letterOf, receiptOf } from '../../support/outbox-fixtures.ts'

/** A block with the events 1 to `count`. */
function blockOf (count: number) {
  const writer = new BlockWriter()
  for (let number = 1; number <= count; number++) writer.add(1000 + number, eventOf(number))
  const { value, sizes } = writer.finish()
  return { value, sizes, key: { first: 1, offset: 0, count, bytes: value.length } }
}

function readBlock (block: BlockReader): Array<string | undefined> {
  const ids: Array<string | undefined> = []
  while (block.sequence < block.end) ids.push(block.next()?.event.id)
  return ids
}

void test('keys sort by their numbers and give them back', async (t) => {
  const large = 2 ** 40 + 3
  const numbers = [1, 255, 256, 2 ** 32 - 1, 2 ** 32, large]
  const keys = numbers.map((first) => blockKey({ first, offset: large, count: 3, bytes: 9 }))
  t.same([...keys].sort(Buffer.compare), keys)
  const last = keys[5] as Buffer
  t.same(parseBlockKey(last), { first: large, offset: large, count: 3, bytes: 9 })
  t.same([BLOCKS_END, blocksFrom(large + 1), last, blocksFrom(large)].sort(Buffer.compare),
    [blocksFrom(large), last, blocksFrom(large + 1), BLOCKS_END])
  for (const sink of ['default', 'archive', 'ä']) t.same(parseLetterKey(letterKey({ sequence: large, sink })), { sequence: large, sink })
  const receipts = { first: large, count: 5, receipts: 4 }
  t.same(parseReceiptsKey(receiptsKey(receipts)), receipts)
})

void test('a key with a damaged byte is no key', async (t) => {
  for (const [key, parse] of [
    [blockKey({ first: 1, offset: 2, count: 3, bytes: 4 }), parseBlockKey],
    [receiptsKey({ first: 1, count: 2, receipts: 2 }), parseReceiptsKey]
  ] as const) {
    for (let at = 0; at < key.length; at++) {
      const damaged = Buffer.from(key)
      damaged[at] = (damaged[at] as number) ^ 1
      t.equal(parse(damaged), undefined, `byte ${at}`)
    }
    t.equal(parse(key.subarray(1)), undefined)
  }
})

void test('a block gives back its events, from any of them on', async (t) => {
  const { key, value, sizes } = blockOf(5)
  t.equal(value.length, 1 + sizes.reduce((sum, size) => sum + size, 0))
  const block = new BlockReader(key, value)
  t.equal(block.size, sizes[0])
  t.same(block.next(), { sequence: 1, storedAt: 1001, event: eventOf(1) })
  block.skipTo(4)
  t.same(readBlock(block), ['event-4', 'event-5'])
  t.equal(block.next(), undefined, 'nothing behind its end')
})

void test('the record added last can be taken away, and the writer used again', async (t) => {
  const writer = new BlockWriter()
  writer.add(1, eventOf(1))
  const { bytes } = writer
  writer.add(2, eventOf(2, { data: Buffer.alloc(9_000_000) }))
  writer.undo()
  t.equal(writer.bytes, bytes)
  const { value } = writer.finish()
  t.same(readBlock(new BlockReader({ first: 1, offset: 0, count: 1, bytes }, value)), ['event-1'])
  writer.add(3, eventOf(3))
  t.same(readBlock(new BlockReader({ first: 1, offset: 0, count: 1, bytes }, writer.finish().value)), ['event-3'])
  t.same(readBlock(new BlockReader({ first: 1, offset: 0, count: 1, bytes }, value)), ['event-1'], 'blocks are apart')
})

void test('a damaged byte costs one event, a damaged length the rest of its block, and neither throws', async (t) => {
  const { key, value, sizes } = blockOf(4)
  const second = 1 + (sizes[0] as number)
  for (let at = second; at < second + (sizes[1] as number); at++) {
    const damaged = Buffer.from(value)
    damaged[at] = (damaged[at] as number) ^ 0x80
    const ids = readBlock(new BlockReader(key, damaged))
    t.equal(ids[0], 'event-1')
    if (at >= second + 4) t.same(ids, ['event-1', undefined, 'event-3', 'event-4'], `byte ${at}`)
    else t.notOk(ids.slice(1).includes('event-2'), `length byte ${at}`)
  }
  const cut = readBlock(new BlockReader(key, value.subarray(0, value.length - 1)))
  t.same(cut, ['event-1', 'event-2', 'event-3', undefined])
  t.same(readBlock(new BlockReader(key, Buffer.alloc(0))), [undefined, undefined, undefined, undefined])
  const other = Buffer.from(value)
  other[0] = 99
  t.same(readBlock(new BlockReader(key, other)), [undefined, undefined, undefined, undefined], 'of another version')
})

void test('what is sealed comes back, and not with a damaged byte', async (t) => {
  const sealed = seal(Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c'))
  t.equal(unseal(sealed)?.toString(), 'abc')
  for (let at = 0; at < sealed.length; at++) {
    const damaged = Buffer.from(sealed)
    damaged[at] = (damaged[at] as number) ^ 1
    t.equal(unseal(damaged), undefined)
  }
  t.equal(unseal(Buffer.alloc(3)), undefined)
})

void test('cursors, receipts, marks and dead letters are undefined or none where they are damaged', async (t) => {
  const spoil = (value: Buffer): Buffer => {
    const damaged = Buffer.from(value)
    damaged[damaged.length - 1] = (damaged[damaged.length - 1] as number) ^ 1
    return damaged
  }
  const cursor = { lowest: 2 ** 33, beyond: Uint8Array.of(2, 0, 128, 0) }
  t.same(decodeCursor(encodeCursor(cursor)), cursor)
  t.equal(decodeCursor(spoil(encodeCursor(cursor))), undefined)
  t.equal(decodeCursor(seal(Buffer.alloc(3))), undefined)

  const receipts = [receiptOf(1), receiptOf(2)]
  t.same(decodeReceipts(encodeReceipts(receipts)), receipts)
  t.same(decodeReceipts(spoil(encodeReceipts(receipts))), [])

  const letter = letterOf(3, { forwardedAt: 9 })
  t.same(decodeDeadLetter(encodeDeadLetter(letter), 'default'), letter)
  t.equal(decodeDeadLetter(spoil(encodeDeadLetter(letter)), 'default'), undefined)

  const state = new LogState()
  state.grow(10, 1000)
  const marks = encodeMarks(state, [{ first: 4, firstOffset: 300 }, { letters: 2, letterBytes: 50 }], 5, 500)
  t.same(decodeMarks(marks), { first: 4, next: 16, offset: 1500, letters: 2, letterBytes: 50 })
  t.equal(decodeMarks(spoil(marks)), undefined)
  t.equal(decodeMarks(undefined), undefined)
})

void test('the end of a cursor lies behind its highest delivered sequence', async (t) => {
  t.equal(cursorEnd({ lowest: 10, beyond: new Uint8Array(0) }), 10)
  t.equal(cursorEnd({ lowest: 10, beyond: Uint8Array.of(0, 0) }), 10)
  t.equal(cursorEnd({ lowest: 10, beyond: Uint8Array.of(0b10) }), 12)
  t.equal(cursorEnd({ lowest: 10, beyond: Uint8Array.of(1, 0b1000_0000, 0) }), 26)
})

void test('a block gives back how an event is handled, and one without that as it was', async (t) => {
  const writer = new BlockWriter()
  const aside = { reason: 'schema', detail: 'temperature: "ä" is no number 🙂' } as const
  const events = [
    eventOf(1, { handling: { expiresAt: 1_700_000_000_000, supersede: 'raum-ü', aside, only: 'archive' } }),
    eventOf(2),
    eventOf(3, { handling: { ack: 'delivered' }, extensions: {}, data: Buffer.alloc(0) })
  ]
  for (const event of events) writer.add(1, event)
  const { value, sizes } = writer.finish()
  t.equal(value.length, 1 + sizes.reduce((sum, size) => sum + size, 0))
  const block = new BlockReader({ first: 1, offset: 0, count: 3, bytes: value.length }, value)
  t.same(events.map(() => block.next()?.event), events)
  const letter = letterOf(7, { stored: { sequence: 7, storedAt: 3, event: events[0]! } })
  t.same(decodeDeadLetter(encodeDeadLetter(letter), 'default'), letter)
})

import { test } from 'tap'
import { Cursor } from '../../../lib/delivery/cursor.ts'
import { seededRandom } from '../../support/random.ts'

void test('a new cursor has taken nothing, and stands before the first sequence', async (t) => {
  const cursor = new Cursor()
  t.equal(cursor.lowest, 1)
  t.equal(cursor.has(1), false)
  t.same(cursor.state(), { lowest: 1, beyond: new Uint8Array(0) })
})

void test('lowest moves over everything that was taken before it', async (t) => {
  const cursor = new Cursor()
  for (const sequence of [2, 3, 5]) cursor.add(sequence)
  t.equal(cursor.lowest, 1)
  t.equal(cursor.beyond, 3)
  cursor.add(1)
  t.equal(cursor.lowest, 4)
  t.equal(cursor.beyond, 1)
  t.ok(cursor.has(3))
  t.notOk(cursor.has(4))
  t.ok(cursor.has(5))
})

void test('taking one again changes nothing', async (t) => {
  const cursor = new Cursor()
  cursor.add(3)
  cursor.add(3)
  cursor.add(1)
  cursor.add(1)
  t.equal(cursor.beyond, 1)
  t.equal(cursor.lowest, 2)
})

void test('bit i of byte i >> 3 stands for lowest + i, least significant first', async (t) => {
  const cursor = new Cursor({ lowest: 100, beyond: new Uint8Array(0) })
  for (const sequence of [101, 107, 108, 119]) cursor.add(sequence)
  t.same(cursor.state(), { lowest: 100, beyond: Uint8Array.of(0b1000_0010, 0b0000_0001, 0b0000_1000) })
  t.same(new Cursor(cursor.state()).state(), cursor.state())
})

void test('a state whose first sequences were taken is put right', async (t) => {
  const cursor = new Cursor({ lowest: 10, beyond: Uint8Array.of(0b0000_0111) })
  t.equal(cursor.lowest, 13)
  t.equal(cursor.beyond, 0)
})

void test('a range is passed at once at the front, however wide, and one by one beyond it', async (t) => {
  const cursor = new Cursor()
  cursor.addRange(1, 2 ** 40)
  t.equal(cursor.lowest, 2 ** 40)
  cursor.addRange(5, 10)
  t.equal(cursor.lowest, 2 ** 40, 'never back')
  cursor.addRange(2 ** 40 + 2, 2 ** 40 + 5)
  t.equal(cursor.beyond, 3)
  cursor.addRange(2 ** 40, 2 ** 40 + 2)
  t.equal(cursor.lowest, 2 ** 40 + 5)
})

void test('a million sequences beyond a blocked one are held, saved and found again', async (t) => {
  const cursor = new Cursor({ lowest: 2 ** 33, beyond: new Uint8Array(0) })
  for (let i = 1; i < 1_000_000; i += 3) cursor.add(2 ** 33 + i)
  const again = new Cursor(cursor.state())
  t.equal(again.beyond, cursor.beyond)
  let wrong = 0
  for (let i = 0; i < 1_000_000; i++) if (again.has(2 ** 33 + i) !== (i % 3 === 1)) wrong++
  t.equal(wrong, 0)
  t.equal(again.state().beyond.length, 125_000)
})

void test('agrees with a plain set over random deliveries and restarts', async (t) => {
  const seed = Date.now() % 1e9
  t.comment('seed', seed)
  const random = seededRandom(seed)
  let cursor = new Cursor()
  const taken = new Set<number>()
  let lowest = 1
  for (let step = 0; step < 20_000; step++) {
    const sequence = lowest + Math.floor(random() ** 3 * 3000)
    cursor.add(sequence)
    taken.add(sequence)
    while (taken.has(lowest)) taken.delete(lowest++)
    if (step % 1000 === 0) cursor = new Cursor(cursor.state())
    if (cursor.lowest !== lowest || cursor.beyond !== taken.size) {
      t.fail(`step ${step}: ${cursor.lowest}, ${cursor.beyond} instead of ${lowest}, ${taken.size}`)
      break
    }
  }
  let wrong = 0
  for (let sequence = lowest - 10; sequence < lowest + 4000; sequence++) {
    if (cursor.has(sequence) !== (sequence < lowest || taken.has(sequence))) wrong++
  }
  t.equal(wrong, 0)
})

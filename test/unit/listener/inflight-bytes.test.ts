import { test } from 'tap'
import { InflightBytes, OwnInflightBytes } from '../../../lib/listener/inflight-bytes.ts'

const MAX = 1_000_000

/** A connection that has one packet to send and asks for room until it has it. */
function connect (all: InflightBytes, name: string, bytes: number, admitted: string[]) {
  let waiting = true
  const own = new OwnInflightBytes(all, () => { ask() })
  const ask = (): void => {
    if (!waiting || !own.takePublish(bytes)) return
    waiting = false
    admitted.push(name)
  }
  ask()
  return own
}

test('who waited longest goes on first, and a large packet is not overtaken', async (t) => {
  const all = new InflightBytes(MAX)
  const admitted: string[] = []
  const [a, b] = [connect(all, 'a', 600_000, admitted), connect(all, 'b', 400_000, admitted)]
  connect(all, 'large', 900_000, admitted)
  connect(all, 'next', 100_000, admitted)
  connect(all, 'small', 16_384, admitted)
  t.same(admitted, ['a', 'b', 'small'])
  b.left(0)
  t.same(admitted, ['a', 'b', 'small'], 'there is room for the next one, and it is not its turn')
  connect(all, 'late', 100_000, admitted)
  a.left(0)
  t.same(admitted, ['a', 'b', 'small', 'large'])
  t.equal(all.waiting, 2)
  t.ok(all.total <= MAX)
})

test('whoever goes away does not keep the others from going on', async (t) => {
  const all = new InflightBytes(MAX)
  const admitted: string[] = []
  const a = connect(all, 'a', 900_000, admitted)
  const b = connect(all, 'b', 800_000, admitted)
  const c = connect(all, 'c', 700_000, admitted)
  b.close(0)
  a.close(0)
  t.same(admitted, ['a', 'c'])
  c.close(1)
  t.equal(all.total, 700_000, 'what is still being stored still takes memory')
  c.left(0)
  t.match(all, { total: 0, waiting: 0 })
})

test('a packet larger than all of it is admitted when it is alone', async (t) => {
  const all = new InflightBytes(MAX)
  const admitted: string[] = []
  const a = connect(all, 'a', 100_000, admitted)
  connect(all, 'huge', 2 * MAX, admitted)
  t.same(admitted, ['a'])
  a.left(0)
  t.same(admitted, ['a', 'huge'])
})

test('other packets give their room back when they are read', async (t) => {
  const all = new InflightBytes(MAX)
  const own = new OwnInflightBytes(all, () => {})
  t.ok(own.takeOther(50_000))
  own.otherRead()
  own.otherRead()
  t.equal(all.total, 0)
})

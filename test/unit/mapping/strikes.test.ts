import { test } from 'tap'
import { Strikes } from '../../../lib/mapping/strikes.ts'

const options = { limit: 3, fadeMs: 20_000, pauseMs: 30_000, maxPauseMs: 100_000, remembered: 10 }

test('three within a short time and it is left alone, the others are not', (t) => {
  const strikes = new Strikes<string>(options)
  t.equal(strikes.failed('a', 0), 0)
  t.equal(strikes.failed('b', 0), 0)
  t.equal(strikes.failed('a', 9000), 0)
  t.equal(strikes.isOut('a', 9000), false)
  t.equal(strikes.failed('a', 19_000), 30_000)
  t.equal(strikes.isOut('a', 48_999), true)
  t.equal(strikes.isOut('a', 49_000), false)
  t.equal(strikes.isOut('b', 19_000), false)
  t.end()
})

test('one in the time in which one fades is never left alone, a little more often is', (t) => {
  const strikes = new Strikes<string>(options)
  for (let n = 0; n < 1000; n++) t.equal(strikes.failed('seldom', n * 20_000), 0)
  let paused = 0
  for (let n = 0; n < 10; n++) paused += strikes.failed('often', n * 15_000)
  t.ok(paused > 0)
  t.end()
})

test('who goes on is left alone for longer each time, up to a bound', (t) => {
  const strikes = new Strikes<string>(options)
  let now = 0
  const pauses: number[] = []
  while (pauses.length < 4) {
    const ms = strikes.failed('a', now)
    if (ms > 0) pauses.push(ms)
    now += ms
  }
  t.same(pauses, [30_000, 60_000, 100_000, 100_000])
  // One that has faded is one chance more; when all have, nothing is held against it.
  t.equal(strikes.failed('a', now + 21_000), 0)
  t.equal(strikes.failed('a', now + 21_000), 100_000)
  now += 21_000 + 100_000 + 40_000
  t.same([strikes.failed('a', now), strikes.failed('a', now), strikes.failed('a', now)], [0, 0, 30_000])
  t.end()
})

test('a strike while it is left alone makes it no shorter', (t) => {
  const strikes = new Strikes<string>(options)
  for (let n = 0; n < 3; n++) strikes.failed('a', 0)
  t.equal(strikes.failed('a', 10), 60_000)
  t.equal(strikes.isOut('a', 60_009), true)
  t.end()
})

test('no more than so many are remembered: the one whose last strike is the oldest is forgotten', (t) => {
  const strikes = new Strikes<number>(options)
  for (let key = 0; key < 10; key++) for (let n = 0; n < 3; n++) strikes.failed(key, 0)
  strikes.failed(0, 1)
  strikes.failed(10, 1)
  t.same([0, 1, 2].map((key) => strikes.isOut(key, 2)), [true, false, true])
  t.end()
})

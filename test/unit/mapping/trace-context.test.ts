import { test } from 'tap'
import { createTraceparents, isTraceparent, isTracestate } from '../../../lib/mapping/trace-context.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'

test('each trace that begins has ids of its own, over many pools of random bytes', async (t) => {
  const next = createTraceparents()
  const all = Array.from({ length: 2000 }, next)
  for (const text of all) if (!isTraceparent(text) || !/^00-.*-01$/.test(text)) t.fail(text)
  for (const part of [1, 2]) t.equal(new Set(all.map((text) => text.split('-')[part])).size, 2000)
})

test('chance is asked for seldom, and no id is all zeros', async (t) => {
  let fills = 0
  const next = createTraceparents((pool) => {
    fills++
    pool.fill(0)
  })
  for (let number = 0; number < 512; number++) if (!isTraceparent(next())) t.fail('all zeros')
  t.equal(fills, 2)
  const counting = createTraceparents((pool) => { for (let at = 0; at < pool.length; at++) pool[at] = at })
  t.equal(counting(), '00-000102030405060708090a0b0c0d0e0f-1011121314151617-01')
  t.equal(counting(), '00-18191a1b1c1d1e1f2021222324252627-28292a2b2c2d2e2f-01')
})

test('what is a traceparent [trace-context 3.2]', async (t) => {
  for (const text of [
    `00-${TRACE}-${SPAN}-00`, `00-${TRACE}-${SPAN}-01`, `00-${TRACE}-${SPAN}-ff`, `cc-${TRACE}-${SPAN}-01`, `01-${TRACE}-${SPAN}-01-more`
  ]) t.ok(isTraceparent(text), text)
  for (const text of [
    '', `00-${TRACE}-${SPAN}`, `00-${TRACE}-${SPAN}-1`, `00-${TRACE}-${SPAN}-01-more`, `00-${TRACE}-${SPAN}-01x`, `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`, `00-${'0'.repeat(32)}-${SPAN}-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, `00-${TRACE}0-${SPAN}-01`,
    `cc-${TRACE}-${SPAN}-01.more`, ` 00-${TRACE}-${SPAN}-01`, 5, true, undefined
  ]) t.notOk(isTraceparent(text), String(text))
})

test('what is a tracestate [trace-context 3.3]', async (t) => {
  const many = (count: number) => Array.from({ length: count }, (_, at) => `k${at}=v`).join(',')
  for (const text of ['rojo=1', 'rojo=00f067aa,congo=t61rcWkgMzE', 'a@vendor=1', 'k= v', 'a=1 , b=2', 'a=1,,b=2', '0t=x', `k=${'v'.repeat(256)}`, many(32)]) {
    t.ok(isTracestate(text), text)
  }
  for (const text of ['', ' ', ',', 'a', '=1', 'a=', 'A=1', 'a=1=2', 'a=1,a=2', 'a=é', `k=${'v'.repeat(257)}`, many(33), 'a@=1', 'a=1,b', 5, undefined]) {
    t.notOk(isTracestate(text), String(text))
  }
})

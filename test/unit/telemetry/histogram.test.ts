import { test } from 'tap'
import { Histogram as PromHistogram, Registry } from 'prom-client'
import { Histogram } from '../../../lib/telemetry/histogram.ts'

const BOUNDS = [0.5, 1, 5]

function create () {
  const registry = new Registry()
  const histogram = new Histogram({ name: 'time_seconds', help: 'Some time.', bounds: BOUNDS })
  histogram.register(registry)
  return { registry, histogram }
}

test('is written exactly as prom-client writes a histogram', async (t) => {
  const { registry, histogram } = create()
  const expected = new Registry()
  const prom = new PromHistogram({ name: 'time_seconds', help: 'Some time.', buckets: BOUNDS, registers: [expected] })
  t.equal(await registry.metrics(), await expected.metrics(), 'before the first value')
  for (const value of [0, 0.25, 0.5, 0.75, 1, 1.5, 5, 6, 1000]) {
    histogram.observe(value)
    prom.observe(value)
  }
  t.equal(await registry.metrics(), await expected.metrics(), 'after values in, on and beyond every bound')
})

test('a value that is negative or no number counts as 0 and never throws', async (t) => {
  const { registry, histogram } = create()
  histogram.observe(-3)
  histogram.observe(NaN)
  const text = await registry.metrics()
  t.match(text, 'time_seconds_bucket{le="0.5"} 2')
  t.match(text, 'time_seconds_sum 0\n')
  t.match(text, 'time_seconds_count 2\n')
})

test('is reset with its registry', async (t) => {
  const { registry, histogram } = create()
  histogram.observe(3)
  registry.resetMetrics()
  t.match(await registry.metrics(), 'time_seconds_count 0\n')
  t.match(await registry.metrics(), 'time_seconds_sum 0\n')
})

test('a second metric of its name is refused', async (t) => {
  const { registry } = create()
  const second = new Histogram({ name: 'time_seconds', help: 'Another time.', bounds: BOUNDS })
  t.throws(() => second.register(registry), { message: /already been registered/ })
})

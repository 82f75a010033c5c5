/**
 * A histogram for the path of every publish: fixed buckets, no labels, nothing allocated. prom-client's own takes 0.2
 * to 0.3 microseconds an observation (it hashes labels it does not have) and throws on NaN; this one takes about 0.01
 * and never throws. The registry asks it for its values in the form of prom-client's histogram.
 */
import type { Histogram as PromHistogram, Registry } from 'prom-client'

type Values = Awaited<ReturnType<PromHistogram['get']>>

/** How a histogram is named and divided. */
export interface HistogramOptions {
  readonly name: string
  readonly help: string
  /** Upper bounds of the buckets, ascending; the one for everything above them is implied. */
  readonly bounds: readonly number[]
}

export class Histogram {
  readonly name: string
  readonly help: string
  readonly type = 'histogram'
  readonly aggregator = 'sum'
  readonly labelNames: readonly string[] = []
  readonly #bounds: readonly number[]
  /** Observations by bucket, not added up; the last one is for those above all bounds. */
  readonly #counts: Float64Array
  #sum = 0

  constructor (options: HistogramOptions) {
    this.name = options.name
    this.help = options.help
    this.#bounds = options.bounds
    this.#counts = new Float64Array(options.bounds.length + 1)
  }

  /** Counts a value. What is negative or no number (a clock that was set back) counts as 0. */
  observe (value: number): void {
    const amount = value > 0 ? value : 0
    const bounds = this.#bounds
    let bucket = 0
    while (bucket < bounds.length && amount > bounds[bucket]!) bucket++
    this.#counts[bucket]!++
    this.#sum += amount
  }

  /** Makes the registry serve it. */
  register (registry: Registry): void {
    // The registry uses no more of a metric than this class has, whatever its type says.
    registry.registerMetric(this as unknown as PromHistogram)
  }

  /** Called by the registry. @returns the samples: buckets added up, sum, count */
  get (): Promise<Values> {
    const { name, help, type, aggregator } = this
    let total = 0
    const values = [...this.#counts].map((count, bucket) => {
      total += count
      return { metricName: `${name}_bucket`, labels: { le: this.#bounds[bucket] ?? '+Inf' }, value: total }
    })
    const samples = [
      ...values,
      { metricName: `${name}_sum`, labels: {}, value: this.#sum },
      { metricName: `${name}_count`, labels: {}, value: total }
    ]
    return Promise.resolve({ name, help, type, aggregator, values: samples } as unknown as Values)
  }

  /** Called by the registry. */
  reset (): void {
    this.#counts.fill(0)
    this.#sum = 0
  }
}

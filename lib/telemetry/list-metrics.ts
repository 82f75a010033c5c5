/** The metrics of this program as a list, for the generated documentation; without those of the Node.js process. */
import { createMetrics, PREFIX } from './metrics.ts'

export interface MetricDescription {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary'
  readonly help: string
  readonly labelNames: readonly string[]
}

/** All metrics, by name. */
export function listMetrics (): MetricDescription[] {
  // prom-client's types of a registered metric leave out its type and its labels.
  const metrics = createMetrics().registry.getMetricsAsArray() as unknown as readonly MetricDescription[]
  return metrics
    .filter(({ name }) => name.startsWith(PREFIX))
    .map(({ name, type, help, labelNames }) => ({ name, type, help, labelNames }))
    .sort((a, b) => a.name < b.name ? -1 : 1)
}

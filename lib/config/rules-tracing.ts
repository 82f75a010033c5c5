/** The rules about traces; see rules.ts. */
import { isSecretHeader } from '../sink/secret-text.ts'
import { describeFound, formatPath, type Path, type Report } from './problem.ts'
import { OWNED_HEADERS } from './rules-sinks.ts'
import type { DraftConfig } from './schema.ts'
import { SINK_URL } from './schema-sink.ts'
import { httpUrlMistake, isPlainText } from './urls.ts'

/** Headers that tracing would give every request. */
const CONTEXT_HEADERS = ['traceparent', 'tracestate']

/** Whether there are traces, where nothing says so. */
export function completeTracing ({ tracing }: DraftConfig, report: Report): void {
  if (report.sound(['tracing', 'enabled'], ['tracing', 'endpoint'])) tracing.enabled ??= tracing.endpoint !== undefined
}

export function checkTracing (config: DraftConfig, report: Report): void {
  const { tracing } = config
  if (!report.sound(['tracing'])) return
  const { enabled, endpoint, headers } = tracing
  const at: Path = ['tracing', 'endpoint']
  const mistake = endpoint === undefined ? undefined : httpUrlMistake(endpoint)
  if (mistake !== undefined) return report.add(at, { found: describeFound(endpoint), allowed: SINK_URL, hint: mistake })
  if (enabled && endpoint === undefined) {
    return report.add(at, { found: 'nothing', allowed: `${SINK_URL}, because tracing.enabled is true` })
  }
  for (const name of Object.keys(headers)) {
    if (!OWNED_HEADERS.has(name.toLowerCase())) continue
    report.add(['tracing', 'headers', name], { found: `the header ${name}`, allowed: 'headers that HTTP does not need itself' })
  }
  if (endpoint === undefined) return
  if (!enabled) {
    report.warn('tracing.endpoint has no effect while tracing.enabled is false, ' +
      'which K_OBSERVABILITY_CONFIG, OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER can set, too')
    return
  }
  const secrets = Object.entries(headers)
    .filter(([name, value]) => typeof value === 'object' || isSecretHeader(name))
  if (secrets.length > 0 && isPlainText(endpoint)) {
    report.warn('tracing.headers: tracing.endpoint is http:// and not on loopback, so that secrets travel to it in the clear')
  }
  warnOfHeaders(config, report)
}

/** What a user has set at a sink is sent as it is. */
function warnOfHeaders ({ sink, sinks, delivery }: DraftConfig, report: Report): void {
  if (!report.sound(['sink'], ['sinks'], ['delivery'])) return
  const targets: Array<[Path, { readonly headers: object } | undefined]> = [
    [['sink'], sink],
    [['delivery', 'deadLetterSink'], delivery.deadLetterSink],
    ...sinks.flatMap((one, at): Array<[Path, { readonly headers: object } | undefined]> => [
      [['sinks', at], one], [['sinks', at, 'delivery', 'deadLetterSink'], one.delivery?.deadLetterSink]
    ])
  ]
  for (const [path, target] of targets) {
    const names = Object.keys(target?.headers ?? {})
    if (!names.some((name) => CONTEXT_HEADERS.includes(name.toLowerCase()))) continue
    report.warn(`${formatPath([...path, 'headers'])} sets traceparent or tracestate: it is sent as it is, and what the sink does is not part of the traces`)
  }
}

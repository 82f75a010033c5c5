/**
 * What a platform injects about logs and traces, as assignments: Knative's K_LOGGING_CONFIG and K_OBSERVABILITY_CONFIG.
 * Whoever runs the program has not written them: what is wrong with them is a warning and never keeps it from starting.
 */
import type { Assignment, Environment } from './environment.ts'
import type { Path } from './problem.ts'
import { redactUrl } from './problem.ts'
import { httpUrlMistake } from './urls.ts'

/** What injected variables say; `warnings` about what they say in vain. */
export interface InjectedFindings {
  readonly assignments: Assignment[]
  readonly warnings: string[]
}

const OBSERVABILITY = 'K_OBSERVABILITY_CONFIG'
const LOGGING = 'K_LOGGING_CONFIG'

/** Levels of zap, which is Knative's logger, as those of this program. */
const ZAP_LEVELS: Readonly<Record<string, string>> = {
  debug: 'debug', info: 'info', warn: 'warn', error: 'error', dpanic: 'fatal', panic: 'fatal', fatal: 'fatal'
}

export function fromKnativeObservability (env: Environment): InjectedFindings {
  const findings: InjectedFindings = { assignments: [], warnings: [] }
  readLogging(env[LOGGING]?.trim() ?? '', findings)
  readObservability(env[OBSERVABILITY]?.trim() ?? '', findings)
  return findings
}

function readLogging (text: string, { assignments, warnings }: InjectedFindings): void {
  if (text === '') return
  const config = objectIn(text)
  if (config === undefined) {
    warnings.push(`${LOGGING} is no JSON object and has no effect`)
    return
  }
  // JSON as a text within the JSON: that is how Knative has it in its ConfigMap.
  const zap = config['zap-logger-config'] ?? ''
  if (zap === '') return
  const inner = typeof zap === 'string' ? objectIn(zap) : objectOf(zap)
  const level = inner === undefined ? zap : inner['level'] ?? 'info'
  const ours = typeof level === 'string' ? ZAP_LEVELS[level.toLowerCase()] : undefined
  if (ours === undefined) {
    warnings.push(`${LOGGING} has no level that is known (${Object.keys(ZAP_LEVELS).join(', ')}); log.level stays as it is`)
  } else {
    assignments.push({ path: ['log', 'level'], value: ours, origin: `environment ${LOGGING}` })
  }
}

function readObservability (text: string, findings: InjectedFindings): void {
  if (text === '') return
  const config = objectIn(text)
  if (config === undefined) {
    findings.warnings.push(`${OBSERVABILITY} is no JSON object and has no effect`)
    return
  }
  const { warnings } = findings
  readTracing(objectOf(config['tracing']) ?? {}, findings)
  const metrics = objectOf(config['metrics'])?.['protocol']
  if (metrics === 'grpc' || metrics === 'http/protobuf') {
    warnings.push(`${OBSERVABILITY} wants metrics pushed (${metrics}), which this program does not do: let /metrics of its HTTP server be scraped`)
  }
  if (objectOf(config['runtime'])?.['profiling'] === 'enabled') {
    warnings.push(`${OBSERVABILITY} wants profiling, which this program does not serve: start node with --inspect or --cpu-prof`)
  }
  if (config['enableSinkEventErrorReporting'] === true) {
    warnings.push(`${OBSERVABILITY} wants failures of the sink as events of Kubernetes, which this program does not write: see sink_up and delivery_attempts_total in /metrics`)
  }
}

function readTracing (tracing: Readonly<Record<string, unknown>>, { assignments, warnings }: InjectedFindings): void {
  const assign = (key: string, value: unknown) => {
    const path: Path = ['tracing', key]
    assignments.push({ path, value, origin: `environment ${OBSERVABILITY}` })
  }
  const { protocol = '', endpoint = '' } = tracing
  switch (protocol) {
    case '': return
    case 'none': return assign('enabled', false)
    case 'stdout':
      warnings.push(`${OBSERVABILITY} wants traces on standard output, where the events of the display sink are: use the protocol http/protobuf with an endpoint`)
      return
    case 'grpc':
      warnings.push(`${OBSERVABILITY} wants traces sent by gRPC, which this program does not speak: use the protocol http/protobuf, whose port at a collector is 4318`)
      return
    case 'http/protobuf': break
    default:
      warnings.push(`${OBSERVABILITY} names the tracing protocol ${JSON.stringify(protocol)}, which is not known and has no effect`)
      return
  }
  // Knative means https by an address without a scheme.
  const url = typeof endpoint !== 'string' || endpoint === '' || endpoint.includes('://') ? endpoint : `https://${endpoint}`
  const mistake = typeof url !== 'string' || url === '' ? 'there is none' : httpUrlMistake(url)
  if (mistake !== undefined) {
    const shown = typeof url === 'string' && url !== '' ? ` ${JSON.stringify(redactUrl(url))}` : ''
    warnings.push(`the tracing endpoint${shown} of ${OBSERVABILITY} cannot be used (${mistake}): no traces are sent to it`)
    return
  }
  assign('enabled', true)
  assign('endpoint', url)
  // Knative leaves out a rate of 0; its name was another one until 2025.
  const rate = tracing['samplingRate'] ?? tracing['sampling_rate'] ?? 0
  if (typeof rate !== 'number' || !(rate >= 0 && rate <= 1)) {
    warnings.push(`the samplingRate of ${OBSERVABILITY} is no number from 0 to 1; tracing.samplingRate stays as it is`)
    return
  }
  if (rate === 0) {
    warnings.push(`${OBSERVABILITY} has the samplingRate 0, or none, which is the same: only traces that devices begin are recorded`)
  }
  assign('samplingRate', rate)
}

function objectIn (text: string): Record<string, unknown> | undefined {
  try {
    return objectOf(JSON.parse(text))
  } catch {
    return undefined
  }
}

function objectOf (value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : undefined
}

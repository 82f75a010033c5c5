/**
 * The variables that OpenTelemetry has for every program (OTEL_…), as assignments, as far as they are about traces.
 * An operator may inject them into all pods alike: what is wrong with them is a warning, as OpenTelemetry has it, and
 * what they say of metrics and logs is not this program's.
 */
import type { Environment } from './environment.ts'
import type { InjectedFindings } from './knative-observability.ts'
import { redactUrl } from './problem.ts'
import { OWNED_HEADERS } from './rules-sinks.ts'
import { formatDuration } from './units.ts'
import { httpUrlMistake } from './urls.ts'

/** Where each signal has its place below OTEL_EXPORTER_OTLP_ENDPOINT. */
const TRACES_PATH = 'v1/traces'
const MAX_TIMEOUT_MS = 60_000
const MIN_TIMEOUT_MS = 10

type Assign = (name: string, path: readonly string[], value: unknown) => void

export function fromOpenTelemetry (env: Environment): InjectedFindings {
  const findings: InjectedFindings = { assignments: [], warnings: [] }
  const assign: Assign = (name, path, value) => {
    findings.assignments.push({ path: ['tracing', ...path], value, origin: `environment ${name}` })
  }
  const text = (name: string) => {
    const value = env[name]?.trim()
    return value === '' ? undefined : value
  }
  /** The variable for traces, or else the one for all signals. */
  const either = (what: string): [name: string, value: string] | undefined => {
    for (const name of [`OTEL_EXPORTER_OTLP_TRACES_${what}`, `OTEL_EXPORTER_OTLP_${what}`]) {
      const value = text(name)
      if (value !== undefined) return [name, value]
    }
    return undefined
  }
  const { warnings } = findings

  if (text('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') {
    assign('OTEL_SDK_DISABLED', ['enabled'], false)
    return findings
  }
  const exporters = text('OTEL_TRACES_EXPORTER')?.split(',').map((name) => name.trim()) ?? ['otlp']
  if (!exporters.includes('otlp')) {
    if (exporters.join() !== 'none') warnings.push('OTEL_TRACES_EXPORTER names none that this program has: it is otlp, or none')
    assign('OTEL_TRACES_EXPORTER', ['enabled'], false)
    return findings
  }
  if (speaksHttp(either('PROTOCOL'), warnings)) readEndpoint(either('ENDPOINT'), assign, warnings)
  readHeaders(either('HEADERS'), assign, warnings)
  readTimeout(either('TIMEOUT'), assign, warnings)
  readSampler(text('OTEL_TRACES_SAMPLER'), text('OTEL_TRACES_SAMPLER_ARG'), assign, warnings)
  const service = text('OTEL_SERVICE_NAME')
  if (service !== undefined && service.length <= 255) assign('OTEL_SERVICE_NAME', ['serviceName'], service)
  else if (service !== undefined) warnings.push('OTEL_SERVICE_NAME is longer than 255 characters and has no effect')
  return findings
}

/** False where the endpoint is not one for HTTP. */
function speaksHttp (found: [string, string] | undefined, warnings: string[]): boolean {
  if (found === undefined) return true
  const [name, protocol] = found
  switch (protocol) {
    case 'http/protobuf': return true
    case 'http/json':
      warnings.push(`${name} is http/json; traces are sent as http/protobuf, which every receiver of OTLP over HTTP takes`)
      return true
    case 'grpc':
      warnings.push(`${name} is grpc, which this program does not speak, and the endpoint has no effect: use http/protobuf, whose port at a collector is 4318`)
      return false
    default:
      warnings.push(`${name} is not known and has no effect; traces are sent as http/protobuf`)
      return true
  }
}

function readEndpoint (found: [string, string] | undefined, assign: Assign, warnings: string[]): void {
  if (found === undefined) return
  const [name, endpoint] = found
  const mistake = httpUrlMistake(endpoint)
  if (mistake !== undefined) {
    warnings.push(`${name} (${JSON.stringify(redactUrl(endpoint))}) cannot be used (${mistake}): no traces are sent to it`)
    return
  }
  assign(name, ['endpoint'], name.includes('TRACES') ? endpoint : tracesBelow(endpoint))
}

function tracesBelow (base: string): string {
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${TRACES_PATH}`
  return url.href
}

/** `name=value` with commas between, percent-encoded as W3C Baggage. Never repeated: they may be secrets. */
function readHeaders (found: [string, string] | undefined, assign: Assign, warnings: string[]): void {
  if (found === undefined) return
  const [variable, list] = found
  for (const member of list.split(',')) {
    if (member.trim() === '') continue
    const at = member.indexOf('=')
    const name = member.slice(0, at).trim().toLowerCase()
    const value = decoded(member.slice(at + 1).trim())
    if (at < 1 || !/^[a-z0-9!#$%&'*+.^_`|~-]{1,128}$/.test(name) || !/^[!-~](?:[ -~]{0,8190}[!-~])?$/.test(value)) {
      warnings.push(`${variable} has something that is no header, such as name=value, and is left out`)
    } else if (OWNED_HEADERS.has(name)) {
      warnings.push(`${variable} has the header ${name}, which HTTP needs itself, and is left out`)
    } else {
      assign(variable, ['headers', name], value)
    }
  }
}

function decoded (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function readTimeout (found: [string, string] | undefined, assign: Assign, warnings: string[]): void {
  if (found === undefined) return
  const [name, text] = found
  const ms = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (ms >= MIN_TIMEOUT_MS && ms <= MAX_TIMEOUT_MS) assign(name, ['timeout'], formatDuration(ms))
  else warnings.push(`${name} is no number of milliseconds from ${MIN_TIMEOUT_MS} to ${MAX_TIMEOUT_MS}; tracing.timeout stays as it is`)
}

function readSampler (sampler: string | undefined, arg: string | undefined, assign: Assign, warnings: string[]): void {
  if (sampler === undefined) return
  const name = 'OTEL_TRACES_SAMPLER'
  switch (sampler) {
    case 'always_on':
    case 'parentbased_always_on': return assign(name, ['samplingRate'], 1)
    case 'always_off':
      warnings.push(`${name} is always_off: traces that a device has begun are recorded all the same; tracing.enabled false records none`)
      return assign(name, ['samplingRate'], 0)
    case 'parentbased_always_off': return assign(name, ['samplingRate'], 0)
    case 'traceidratio':
    case 'parentbased_traceidratio': {
      const rate = arg === undefined ? 1 : /^(?:\d+(?:\.\d*)?|\.\d+)(?:e-?\d+)?$/i.test(arg) ? Number(arg) : NaN
      if (rate >= 0 && rate <= 1) return assign(arg === undefined ? name : `${name}_ARG`, ['samplingRate'], rate)
      warnings.push(`${name}_ARG is no number from 0 to 1; tracing.samplingRate stays as it is`)
      return
    }
    default:
      warnings.push(`${name} is ${JSON.stringify(sampler)}, which this program does not have; tracing.samplingRate stays as it is`)
  }
}

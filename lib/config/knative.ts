/**
 * Knative's environment contract, as assignments: K_SINK, K_CE_OVERRIDES, K_CA_CERTS, K_SINK_TIMEOUT, NAMESPACE, NAME,
 * and the token that it mounts. What it injects is set for every container alike, so that empty values and other
 * variables of the contract are normal. What is about logs and traces is in knative-observability.ts.
 */
import { existsSync } from 'node:fs'
import { createError } from '../errors.ts'
import type { Draft } from './draft.ts'
import type { Assignment, Environment } from './environment.ts'
import type { Problem, Report } from './problem.ts'
import { NAME, NAMESPACE, type DraftConfig } from './schema.ts'

export interface KnativeFindings {
  readonly assignments: Assignment[]
  readonly problems: Problem[]
  readonly warnings: string[]
}

export function fromKnative (env: Environment): KnativeFindings {
  const findings: KnativeFindings = { assignments: [], problems: [], warnings: [] }
  const assign = (name: string, path: string[], value: unknown) => {
    findings.assignments.push({ path, value, origin: `environment ${name}` })
  }

  const sink = textOf(env, 'K_SINK')
  if (sink !== undefined) assign('K_SINK', ['sink', 'url'], sink)

  const caCerts = textOf(env, 'K_CA_CERTS')
  if (caCerts !== undefined) assign('K_CA_CERTS', ['sink', 'caText'], caCerts)

  const timeout = textOf(env, 'K_SINK_TIMEOUT')
  if (timeout !== undefined) {
    const seconds = /^[+-]?\d{1,15}$/.test(timeout) ? Number(timeout) : 0
    if (seconds > 0) {
      assign('K_SINK_TIMEOUT', ['sink', 'timeout'], `PT${seconds}S`)
    } else {
      // Knative means no timeout at all. An attempt without an end would hold its lane for ever: it keeps ours.
      findings.warnings.push('K_SINK_TIMEOUT is no positive number of seconds; sink.timeout stays as it is')
    }
  }

  readOverrides(textOf(env, 'K_CE_OVERRIDES'), findings, assign)
  const namespace = textOf(env, 'NAMESPACE')
  if (namespace !== undefined) {
    if (namespace.length <= 63 && new RegExp(NAMESPACE).test(namespace)) assign('NAMESPACE', ['namespace'], namespace)
    else findings.warnings.push('NAMESPACE is no name of a Kubernetes namespace and has no effect')
  }
  return findings
}

/**
 * A token that is mounted authenticates the sink of K_SINK, for which it was made, and no other one; nor does it where
 * the settings say how. The values have the schema's form by now.
 */
export function useMountedToken (draft: Draft, report: Report): void {
  if (!report.sound(['sink'], ['knative'])) return
  const { sink, knative: { tokenFile } } = draft.values as unknown as DraftConfig
  const isSinkOfKnative = draft.originOf(['sink', 'url']) === 'environment K_SINK'
  const isAuthorized = sink.auth !== undefined || Object.keys(sink.headers).some((name) => name.toLowerCase() === 'authorization')
  if (!isSinkOfKnative || isAuthorized || !existsSync(tokenFile)) return
  draft.set(['sink', 'auth'], { bearer: { file: tokenFile } }, 'mounted by Knative')
}

/**
 * What the source is called in Knative, which is the name of the program where nothing else says one. Beside NAMESPACE
 * only, as Knative sets them: other systems have a variable NAME that means something else.
 */
export function nameFromKnative (env: Environment): { readonly name?: string, readonly warning?: string } {
  const name = textOf(env, 'NAMESPACE') === undefined ? undefined : textOf(env, 'NAME')
  if (name === undefined) return {}
  if (name.length <= 128 && new RegExp(NAME).test(name)) return { name }
  return { warning: 'NAME cannot be the name of this program and has no effect: up to 128 letters, digits and . _ ~ -' }
}

/** The variable without white space around it; undefined where nothing is left. */
function textOf (env: Environment, name: string): string | undefined {
  const text = env[name]?.trim()
  return text === '' ? undefined : text
}

/** Names and values are held against the schema, like those of the file; here is only the form of the variable. */
function readOverrides (
  text: string | undefined, findings: KnativeFindings, assign: (name: string, path: string[], value: unknown) => void
): void {
  const name = 'K_CE_OVERRIDES'
  if (text === undefined) return
  const refuse = (reason: string, cause?: unknown) => {
    findings.problems.push({
      path: name,
      found: 'a text of another form',
      allowed: 'JSON like {"extensions":{"name":"value"}}',
      origin: `environment ${name}`,
      error: createError('MBS_ERR_SINK_OVERRIDES', { reason }, cause)
    })
  }

  let overrides: unknown
  try {
    overrides = JSON.parse(text)
  } catch (error) {
    return refuse('it is not JSON', error)
  }
  if (overrides === null) return
  if (typeof overrides !== 'object' || Array.isArray(overrides)) return refuse('it is not a JSON object')
  for (const [key, value] of Object.entries(overrides)) {
    if (key !== 'extensions') {
      findings.warnings.push(`${name} has ${JSON.stringify(key)}, which is not known and has no effect`)
    } else if (typeof value !== 'object' || Array.isArray(value)) {
      refuse('`extensions` is not a JSON object')
    } else {
      for (const [extension, content] of Object.entries(value ?? {})) assign(name, ['events', 'overrides', 'extensions', extension], content)
    }
  }
}

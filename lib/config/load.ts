/**
 * Loads the configuration: defaults < file < settings of an embedding program < environment < flags, then validation
 * and rules. Either a complete, frozen configuration comes out, or every mistake at once.
 */
import process from 'node:process'
import { createError } from '../errors.ts'
import { Draft } from './draft.ts'
import { fromEnvironment, fromFlags, type Environment, type Flags } from './environment.ts'
import { readConfigFile } from './file.ts'
import { fromKnativeObservability } from './knative-observability.ts'
import { fromKnative, nameFromKnative, useMountedToken } from './knative.ts'
import { fromOpenTelemetry } from './open-telemetry.ts'
import { formatPath, formatProblems, Report, type Path, type Problem } from './problem.ts'
import { applyRules } from './rules.ts'
import type { Config, DraftConfig } from './schema.ts'
import { listSettings } from './settings.ts'
import { validate } from './validate.ts'

export interface LoadOptions {
  /** A YAML or JSON file. */
  readonly file?: string | undefined
  /** Settings in the form of the file, from a program that embeds this one. */
  readonly settings?: object | undefined
  readonly flags?: Flags | undefined
  /** The environment; that of the process unless given. */
  readonly env?: Environment | undefined
}

export interface LoadedConfig {
  readonly config: Config
  /** What is allowed and yet probably not meant; one sentence each. */
  readonly warnings: readonly string[]
  /** Where a value came from: `file gateway.yaml:12`, `environment MBS_…`, `flag --port`, `settings`, `default`. */
  originOf (path: Path): string
}

/** What looking at a configuration found. */
export interface ExaminedConfig {
  /** Empty where the configuration can be used. */
  readonly problems: readonly Problem[]
  readonly warnings: readonly string[]
  /** Absent where there are problems. */
  readonly loaded?: LoadedConfig
}

/**
 * The configuration to run with.
 * @throws MBS_ERR_CONFIG_FILE, MBS_ERR_CONFIG_SYNTAX; MBS_ERR_CONFIG_INVALID with all mistakes (see `problemsOf`)
 */
export function loadConfig (options: LoadOptions = {}): LoadedConfig {
  const { loaded, problems } = examineConfig(options)
  if (loaded !== undefined) return loaded
  const text = formatProblems(problems).replace(/^/gm, '  ')
  throw createError('MBS_ERR_CONFIG_INVALID', { count: problems.length, problems: `\n${text}` }, problems)
}

/** The mistakes that an MBS_ERR_CONFIG_INVALID was thrown for; empty for any other error. */
export function problemsOf (error: unknown): readonly Problem[] {
  return error instanceof Error && Array.isArray(error.cause) ? error.cause as readonly Problem[] : []
}

/**
 * Like `loadConfig`, with the mistakes as a value.
 * @throws MBS_ERR_CONFIG_FILE, MBS_ERR_CONFIG_SYNTAX
 */
export function examineConfig (options: LoadOptions): ExaminedConfig {
  const env = options.env ?? process.env
  const settings = listSettings()
  const draft = new Draft()
  const report = new Report((path) => draft.originOf(path))

  const called = nameFromKnative(env)
  if (called.warning !== undefined) report.warn(called.warning)
  if (called.name !== undefined) draft.set(['name'], called.name, 'environment NAME')
  if (options.file !== undefined) {
    const { values, lineOf } = readConfigFile(options.file)
    draft.merge(values, (path) => `file ${options.file}:${lineOf(path)}`)
  }
  if (options.settings !== undefined) draft.merge({ ...options.settings }, () => 'settings')

  const knative = fromKnative(env)
  const environment = fromEnvironment(env, settings)
  for (const problem of [...knative.problems, ...environment.problems]) report.addNamed(problem)
  const [openTelemetry, observability] = [fromOpenTelemetry(env), fromKnativeObservability(env)]
  const injected = [openTelemetry, observability, knative]
  for (const warning of injected.flatMap((found) => found.warnings)) report.warn(warning)
  const flags = fromFlags(options.flags ?? {}, settings)
  // Lowest first.
  const layers = [...injected, environment].flatMap(({ assignments }) => assignments)
  for (const { path, value, origin } of [...layers, ...flags]) {
    if (draft.set(path, value, origin)) continue
    report.addNamed({ path: formatPath(path), found: 'a place beyond the end of the list', allowed: 'places without gaps', origin })
  }

  validate(draft.values, report)
  useMountedToken(draft, report)
  // From here on the values have the schema's form, but for what the report names; the rules heed that.
  const config = draft.values as unknown as DraftConfig
  applyRules(config, report)

  const { problems, warnings } = report
  if (problems.length > 0) return { problems, warnings }
  const loaded: LoadedConfig = { config: deepFreeze(config), warnings, originOf: (path) => draft.exactOriginOf(path) }
  return { problems, warnings, loaded }
}

function deepFreeze<T> (value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}

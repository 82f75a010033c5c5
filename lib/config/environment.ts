/**
 * What the environment and the command line say, as assignments to settings. A variable that begins with `MBS_` and
 * belongs to no setting is a mistake. This folder is the only place that reads the environment.
 */
import { parse } from 'yaml'
import { nearest, type Path, type Problem } from './problem.ts'
import { ENVIRONMENT_PREFIX, LIST_PLACE, type Setting } from './settings.ts'
import type { SchemaNode } from './setting.ts'

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Flags of the command line that set something. */
export interface Flags {
  /** `--sink URL` */
  readonly sink?: string | undefined
  /** `--port N`, the port of the first listener */
  readonly port?: string | number | undefined
}

/** One value for one setting, and where it came from. */
export interface Assignment {
  readonly path: Path
  readonly value: unknown
  readonly origin: string
}

const FLAGS: Readonly<Record<keyof Flags, Path>> = { sink: ['sink', 'url'], port: ['listeners', 0, 'port'] }

/** Assignments in the order in which they have to be laid on: a list before its items, items in their order. */
export function fromEnvironment (
  env: Environment, settings: readonly Setting[]
): { assignments: Assignment[], problems: Problem[] } {
  const assignments: Assignment[] = []
  const problems: Problem[] = []
  for (const [name, raw] of Object.entries(env)) {
    // An empty variable is how shells and Kubernetes leave one unset.
    if (!name.startsWith(ENVIRONMENT_PREFIX) || raw === undefined || raw.trim() === '') continue
    const match = findSetting(name, settings)
    if (match === undefined) problems.push(unknownVariable(name, settings))
    else assignments.push({ path: match.path, value: valueOf(raw, match.setting.node), origin: `environment ${name}` })
  }
  assignments.sort((a, b) => placeOf(a.path) - placeOf(b.path))
  return { assignments, problems }
}

/** Assignments of the flags that are given. */
export function fromFlags (flags: Flags, settings: readonly Setting[]): Assignment[] {
  return (Object.keys(FLAGS) as (keyof Flags)[]).flatMap((flag) => {
    const given = flags[flag]
    if (given === undefined) return []
    const keys = FLAGS[flag].map((key) => typeof key === 'number' ? LIST_PLACE : key).join('.')
    const setting = settings.find((candidate) => candidate.keys.join('.') === keys)!
    return [{ path: FLAGS[flag], value: valueOf(String(given), setting.node), origin: `flag --${flag}` }]
  })
}

function findSetting (name: string, settings: readonly Setting[]): { setting: Setting, path: Path } | undefined {
  for (const setting of settings) {
    const [before, after] = setting.environment.split(LIST_PLACE) as [string, string?]
    if (after === undefined) {
      if (name === before) return { setting, path: setting.keys }
    } else if (name.startsWith(before) && name.endsWith(after)) {
      const place = name.slice(before.length, -after.length)
      if (/^\d{1,4}$/.test(place)) return { setting, path: setting.keys.map((key) => key === LIST_PLACE ? Number(place) : key) }
    }
  }
  return undefined
}

/** The place in a list that a path goes through; -1 where it goes through none. */
function placeOf (path: Path): number {
  return path.find((key) => typeof key === 'number') ?? -1
}

/** The text as a value of the setting's type; a text that is none is left as it is, for validation to name it. */
function valueOf (raw: string, node: SchemaNode): unknown {
  const text = raw.trim()
  if (node.type === 'integer' && /^-?\d{1,15}$/.test(text)) return Number(text)
  if (node.type === 'number' && /^-?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})$/.test(text)) return Number(text)
  if (node.type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  if (node.type === 'array' || node.type === 'object') return parsed(text)
  // Text, or a list of texts.
  if (node.items !== undefined && text.startsWith('[')) return parsed(text)
  return text
}

function parsed (text: string): unknown {
  try {
    return parse(text, { prettyErrors: false, logLevel: 'error' })
  } catch {
    return text
  }
}

/** Its value stays unsaid: nobody knows whether it is a secret. */
function unknownVariable (name: string, settings: readonly Setting[]): Problem {
  const serviceLink = /_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP)|^MBS(_\w+)?_PORT$/.test(name)
  const meant = nearest(name, settings.map((setting) => setting.environment))
  const hint = serviceLink
    ? 'Kubernetes sets it for a Service whose name begins with mbs: set enableServiceLinks: false in the pod'
    : meant === undefined ? undefined : `did you mean ${meant}?`
  return {
    path: name,
    found: 'a variable that belongs to no setting',
    allowed: `${ENVIRONMENT_PREFIX}… with the path of a setting, as docs/configuration.md lists them`,
    ...(hint === undefined ? {} : { hint }),
    origin: `environment ${name}`
  }
}

/**
 * What is wrong with a configuration: one entry per mistake, all of them at once. A mistake is a value with the path of
 * its setting, what was found, what is allowed and where it came from; it becomes an error only when loading gives up.
 * Must never show a secret: what is found is shortened, credentials and key material are left out.
 */
import { closest, distance } from 'fastest-levenshtein'
import type { MbsError } from '../errors.ts'

/** Keys from the root of the configuration; numbers are places in a list. */
export type Path = readonly (string | number)[]

/** One mistake in a configuration. */
export interface Problem {
  /** The setting, such as `limits.packetBytes` or `listeners[0].port`; the variable's name for an unknown variable. */
  readonly path: string
  readonly found: string
  readonly allowed: string
  /** What was probably meant. */
  readonly hint?: string
  /** `file gateway.yaml:12`, `environment MBS_…`, `flag --port`, `settings` or `default`. */
  readonly origin: string
  /** The error of this mistake, where it has one of its own. */
  readonly error?: MbsError
}

/** Collects the mistakes of one configuration, one per setting: the first one found explains the later ones. */
export class Report {
  readonly #originOf: (path: Path) => string
  readonly #problems: Problem[] = []
  readonly #warnings: string[] = []

  constructor (originOf: (path: Path) => string) {
    this.#originOf = originOf
  }

  get problems (): readonly Problem[] {
    return this.#problems
  }

  get warnings (): readonly string[] {
    return this.#warnings
  }

  /** Notes a mistake in a setting, unless it has one already. */
  add (path: Path, problem: Omit<Problem, 'path' | 'origin'>): void {
    this.addNamed({ path: formatPath(path), ...problem, origin: this.#originOf(path) })
  }

  /** Notes a mistake in something that is no setting, such as a variable that nobody knows. */
  addNamed (problem: Problem): void {
    if (!this.#problems.some((other) => other.path === problem.path)) this.#problems.push(problem)
  }

  /** Notes what is allowed and yet probably not meant. */
  warn (warning: string): void {
    this.#warnings.push(warning)
  }

  /** True where neither the setting nor anything above or below it has a mistake: only then can it be relied on. */
  sound (...paths: readonly Path[]): boolean {
    return paths.every((path) => {
      const name = formatPath(path)
      return !this.#problems.some((problem) => isWithin(name, problem.path) || isWithin(problem.path, name))
    })
  }
}

function isWithin (name: string, ancestor: string): boolean {
  return name === ancestor || name.startsWith(`${ancestor}.`) || name.startsWith(`${ancestor}[`)
}

/** `listeners[0].port` for `['listeners', 0, 'port']`. */
export function formatPath (path: Path): string {
  return path.map((key, at) => typeof key === 'number' ? `[${key}]` : at === 0 ? key : `.${key}`).join('')
}

/** The mistakes for people, one line each; below it code and remedy of those that have an error of their own. */
export function formatProblems (problems: readonly Problem[]): string {
  return problems.map(({ path, found, allowed, hint, origin, error }) => {
    const line = `${path}: found ${found}; allowed: ${allowed}${hint === undefined ? '' : `; ${hint}`} (${origin})`
    return error === undefined ? line : `${line}\n  ${error.code}: ${error.message} ${error.help}`
  }).join('\n')
}

const FOUND_LENGTH = 60

/** A value as a message may show it. */
export function describeFound (value: unknown): string {
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'a section'
  if (typeof value !== 'string') return String(value)
  if (value.includes('-----BEGIN')) return 'PEM text'
  const shown = redactUrl(value)
  return JSON.stringify(shown.length > FOUND_LENGTH ? `${shown.slice(0, FOUND_LENGTH)}…` : shown)
}

/** What kind of value it is, where the value itself may be a secret. */
export function describeKind (value: unknown): string {
  if (value === undefined || value === null || typeof value === 'object') return describeFound(value)
  return typeof value === 'string' ? 'a text' : `a ${typeof value}`
}

/** A URL without what may be secret in it: user and password, query, fragment. Other text is left as it is. */
export function redactUrl (text: string): string {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:)?\/\/[^/?#]*@/i, '$1//…@')
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^?#]*)[?#].*$/is, '$1?…')
}

/** The candidate that was probably meant: near in letters, however it is capitalized. */
export function nearest (word: string, candidates: readonly string[]): string | undefined {
  if (candidates.length === 0) return undefined
  const lower = candidates.map((candidate) => candidate.toLowerCase())
  const found = closest(word.toLowerCase(), lower)
  const near = word.length < 4 ? 1 : Math.max(2, Math.floor(word.length / 3))
  if (distance(word.toLowerCase(), found) > near) return undefined
  return candidates[lower.indexOf(found)]
}

/**
 * The topic pattern of a rule: a topic filter [MQTT-4.7] in which a level may have a name. `sites/{site}/+/telemetry`
 * matches what `sites/+/+/telemetry` does and remembers the second level; `{rest...}` at the end is a `#` with a name,
 * `{?bag}` a property bag: a level that begins with `?`, with all behind it, or nothing at all. Pure.
 */
import { overlaps, type Levels } from '../topic-filter.ts'

/** Where a named level stands in a topic. */
export interface Capture {
  readonly name: string
  /** Counted from 0. */
  readonly level: number
  /** It is that level and all behind it. */
  readonly tail: boolean
}

export interface RulePattern {
  readonly text: string
  /** The topic filter that matches the same topics; its last level may be `PROPERTY_BAG`. */
  readonly levels: Levels
  readonly captures: readonly Capture[]
}

/** Longest pattern, in UTF-16 code units, and most levels: what topics can be. */
const MAX_LENGTH = 65_535
const MAX_LEVELS = 100

/** Stands for a property bag among levels. No level of a topic or filter can be this. */
export const PROPERTY_BAG = '?#'

const NAMED = /^\{(\??)([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}$/

/** What placeholders mean everywhere; no level can be called that. */
export const RESERVED_NAMES: ReadonlySet<string> = new Set([
  'clientid', 'username', 'topic', 'qos', 'retain', 'name', 'cert', 'payload', 'property'
])

/** Reads a pattern; a sentence about what is wrong with it where it is none. */
export function parseRulePattern (text: string): RulePattern | string {
  if (text === '') return 'it is empty'
  if (text.length > MAX_LENGTH) return `it is longer than ${MAX_LENGTH} characters`
  if (text.includes('\0')) return 'it has a NUL'
  const parts = text.split('/')
  if (parts.length > MAX_LEVELS) return `it has more than ${MAX_LEVELS} levels`
  const captures: Capture[] = []
  const levels: string[] = []
  for (const [level, part] of parts.entries()) {
    const problem = readLevel(part, level, level === parts.length - 1, levels, captures)
    if (problem !== undefined) return problem
  }
  return { text, levels, captures }
}

/** Adds a level, and its name where it has one; or says what is wrong with it. */
function readLevel (
  part: string, level: number, isLast: boolean, levels: string[], captures: Capture[]
): string | undefined {
  const [, mark, name, dots] = NAMED.exec(part) ?? []
  if (name === undefined) {
    if (/[{}]/.test(part)) return `"${part}" is no name of a whole level, such as {site}, or {rest...} or {?properties} at the end`
    if (part.length > 1 && /[+#]/.test(part)) return 'a wildcard has to be a level of its own'
    if (part === '#' && !isLast) return '# has to be the last level'
    levels.push(part)
    return undefined
  }
  const isBag = mark === '?'
  if (isBag && dots !== undefined) return `{?${name}} needs no dots`
  const tail = isBag || dots !== undefined
  if (tail && !isLast) return `${part} has to be the last level`
  if (isBag && level === 0) return `${part} cannot be the first level`
  if (RESERVED_NAMES.has(name)) return `a level cannot be called ${name}, which has a meaning already`
  if (captures.some((capture) => capture.name === name)) return `two levels are called ${name}`
  captures.push({ name, level, tail })
  levels.push(isBag ? PROPERTY_BAG : tail ? '#' : '+')
  return undefined
}

/** What a named level stands for in a topic that matches; undefined for a tail that is not there. */
export function capturedBy ({ level, tail }: Capture, topicLevels: readonly string[]): string | undefined {
  if (!tail) return topicLevels[level]
  return level < topicLevels.length ? topicLevels.slice(level).join('/') : undefined
}

/** True where some topic matches both. */
export function patternsOverlap ({ levels: a }: RulePattern, { levels: b }: RulePattern): boolean {
  return filtersOf(a, b).some((one) => filtersOf(b, a).some((other) => overlaps(one, other)))
}

/** The topic filters that a pattern stands for, as far as the other one can tell: with a property bag, and without. */
function filtersOf (levels: Levels, other: Levels): readonly Levels[] {
  const at = levels.length - 1
  if (levels[at] !== PROPERTY_BAG) return [levels]
  const level = other[at]
  const bag = level !== undefined && level !== PROPERTY_BAG && level.startsWith('?') ? level : '?'
  return [levels.slice(0, at), [...levels.slice(0, at), bag, '#']]
}

/**
 * Which events a rule means: filters in the words of the CloudEvents Subscriptions API 1.0 [CE-SUBS 3.2.4], made into
 * a function once, when the configuration is read, and asked for every event. Pure.
 *
 * Additions to the specification: `data`, `data.…` and `data[…]` name fields of a JSON payload, a value may be a number
 * or a boolean, and `greaterThan` and `lessThan` compare the numbers of a payload.
 * Invariant: what is not there is never an error. A comparison with it is false, and `not` of that is true.
 */
import { FIELD_ROOT, isField, readerOf, textOf, type FilterInput, type Reader } from './filter-value.ts'

export type { FilterInput } from './filter-value.ts'

/** True for the events that are meant. Never throws, and leaves no trace: the same input gives the same answer. */
export type Filter = (input: FilterInput) => boolean

/** Why something is no filter. */
export interface FilterProblem {
  readonly kind: 'problem'
  /** Where, from the path that was handed in: `filters[1].any[0].prefix.subject`. */
  readonly path: string
  /** What is wrong there, in one sentence. */
  readonly reason: string
}

/** Filters inside one another: `all`, `any` and `not` each lead one deeper. */
export const MAX_FILTER_DEPTH = 16

/** Comparisons, `all`, `any` and `not` in one filter. A dialect with three names makes three comparisons. */
export const MAX_FILTER_NODES = 256

/** How much is still allowed, and in what place. */
interface Place {
  readonly path: string
  readonly depth: number
  /** Shared by all places of one filter. */
  readonly budget: { nodes: number }
}

/** Makes the comparison of one name with one value; or says what is wrong with the value, or with such a name. */
type Comparison = (name: string, read: Reader, wanted: unknown) => Filter | string

/** The dialects that compare: an object with one or more names and their values, all of which have to hold. */
const COMPARISONS: ReadonlyMap<string, Comparison> = new Map([
  ['exact', textComparison((text, wanted) => text === wanted)],
  ['prefix', textComparison((text, wanted) => text.startsWith(wanted))],
  ['suffix', textComparison((text, wanted) => text.endsWith(wanted))],
  ['greaterThan', numberComparison((number, wanted) => number > wanted)],
  ['lessThan', numberComparison((number, wanted) => number < wanted)]
])

const DIALECTS = [...COMPARISONS.keys(), 'all', 'any', 'not'].join(', ')

/**
 * Compiles a filter, or a list of filters that all have to hold. An empty list holds for every event
 * [CE-SUBS 3.2.1 filters]; the lists inside `all` and `any` must not be empty.
 * @param source a value as it comes from YAML or JSON; anything else is a problem as well, and never an exception
 * @param path where it stands, to begin the path of a problem with; may be empty
 */
export function compileFilter (source: unknown, path: string): Filter | FilterProblem {
  const place: Place = { path, depth: 1, budget: { nodes: MAX_FILTER_NODES } }
  try {
    return Array.isArray(source) ? compileList(source, place, every) : compileOne(source, place)
  } catch {
    return problem(place, 'it cannot be read') // what is no data: a getter or a proxy that throws
  }
}

/**
 * The fields of the payload without which a list of filters is false, whatever the attributes of the event are. Of a
 * filter that asks for both, nothing is said.
 * @param filters without mistakes
 */
export function neededFields (filters: readonly unknown[]): string[] {
  const needed = filters.flatMap(partsOf).filter((part) => {
    const filter = namesIn(part).every(isField) ? compileFilter(part, '') : undefined
    return typeof filter === 'function' && !filter(NOTHING)
  })
  return [...new Set(needed.flatMap(namesIn))]
}

/** Only fields are asked for. */
const NOTHING: FilterInput = {
  event: { id: '', source: '', type: '', time: '', extensions: {}, partitionKey: '', data: Buffer.alloc(0) },
  json: () => ({})
}

/** Filters that all have to hold for this one to hold. */
function partsOf (source: unknown): unknown[] {
  if (!isObject(source)) return []
  return Object.entries(source).flatMap(([dialect, given]) => {
    if (dialect === 'all' && Array.isArray(given)) return given.flatMap(partsOf)
    if (!COMPARISONS.has(dialect) || !isObject(given)) return [source]
    return Object.entries(given).map(([name, wanted]) => ({ [dialect]: { [name]: wanted } }))
  })
}

function namesIn (source: unknown): string[] {
  if (Array.isArray(source)) return source.flatMap(namesIn)
  if (!isObject(source)) return []
  return Object.entries(source).flatMap(([dialect, given]) =>
    COMPARISONS.has(dialect) && isObject(given) ? Object.keys(given) : namesIn(given))
}

function compileOne (source: unknown, place: Place): Filter | FilterProblem {
  if (place.depth > MAX_FILTER_DEPTH) return problem(place, `filters stand at most ${MAX_FILTER_DEPTH} deep`)
  if (!isObject(source)) return problem(place, `a filter is an object with one dialect of ${DIALECTS}`)
  const names = Object.keys(source)
  const dialect = names[0]
  if (dialect === undefined || names.length > 1) {
    return problem(place, `a filter has one dialect of ${DIALECTS}; here are ${names.length}`)
  }
  const given = source[dialect]
  const inner = memberOf(place, dialect)
  const comparison = COMPARISONS.get(dialect)
  if (comparison !== undefined) return compileComparisons(given, inner, comparison)
  if (dialect !== 'all' && dialect !== 'any' && dialect !== 'not') {
    return problem(inner, `this is no dialect; there are ${DIALECTS}`)
  }
  if (isSpent(place)) return tooMany(place)
  const deeper = { ...inner, depth: place.depth + 1 }
  if (dialect === 'not') {
    const filter = compileOne(given, deeper)
    return typeof filter === 'function' ? (input) => !filter(input) : filter
  }
  if (!Array.isArray(given) || given.length === 0) return problem(inner, `${dialect} needs a list of at least one filter`)
  return compileList(given, deeper, dialect === 'all' ? every : some)
}

function compileList (
  sources: readonly unknown[], place: Place, join: (filters: readonly Filter[]) => Filter
): Filter | FilterProblem {
  const filters: Filter[] = []
  for (let index = 0; index < sources.length; index++) {
    const filter = compileOne(sources[index], { ...place, path: `${place.path}[${index}]` })
    if (typeof filter !== 'function') return filter
    filters.push(filter)
  }
  return join(filters)
}

function compileComparisons (given: unknown, place: Place, comparison: Comparison): Filter | FilterProblem {
  const names = isObject(given) ? Object.keys(given) : []
  if (!isObject(given) || names.length === 0) return problem(place, 'at least one name with a value is needed here')
  const onAttributes: Filter[] = []
  const onFields: Filter[] = []
  for (const name of names) {
    const inner = memberOf(place, name)
    if (isSpent(inner)) return tooMany(inner)
    const read = readerOf(name)
    if (typeof read === 'string') return problem(inner, read)
    const filter = comparison(name, read, given[name])
    if (typeof filter === 'string') return problem(inner, filter)
    if (isField(name)) onFields.push(filter)
    else onAttributes.push(filter)
  }
  // The payload is not parsed for an event whose attributes have decided.
  return every([...onAttributes, ...onFields])
}

/** The value has to be text: that of an attribute, or of a scalar in the payload [CE-SUBS 3.2.4.1.1]. */
function textComparison (holds: (text: string, wanted: string) => boolean): Comparison {
  return (_name, read, value) => {
    const wanted = textOf(value)
    if (wanted === undefined) return 'a value is text, a number, true or false'
    if (wanted === '') return 'a value must not be empty'
    return (input) => {
      const text = textOf(read(input))
      return text !== undefined && holds(text, wanted)
    }
  }
}

/** The value has to be a number of the payload; text that looks like one is none. */
function numberComparison (holds: (number: number, wanted: number) => boolean): Comparison {
  return (name, read, wanted) => {
    if (!isField(name)) return `only fields of the payload are compared as numbers: ${FIELD_ROOT} or ${FIELD_ROOT}.name`
    if (typeof wanted !== 'number' || !Number.isFinite(wanted)) return 'a value is a number here'
    return (input) => {
      const number = read(input)
      return typeof number === 'number' && holds(number, wanted)
    }
  }
}

function every (filters: readonly Filter[]): Filter {
  if (filters.length === 1) return filters[0] as Filter
  return (input) => {
    for (let at = 0; at < filters.length; at++) if (!(filters[at] as Filter)(input)) return false
    return true
  }
}

function some (filters: readonly Filter[]): Filter {
  if (filters.length === 1) return filters[0] as Filter
  return (input) => {
    for (let at = 0; at < filters.length; at++) if ((filters[at] as Filter)(input)) return true
    return false
  }
}

function isObject (value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSpent ({ budget }: Place): boolean {
  return budget.nodes-- <= 0
}

function tooMany (place: Place): FilterProblem {
  return problem(place, `a filter has at most ${MAX_FILTER_NODES} comparisons, all, any and not together`)
}

/** Names that can stand in a path as they are; others are quoted and shortened. */
const PLAIN_NAME = /^[\w.[\]"-]{1,100}$/
const SHOWN_LENGTH = 60

function memberOf (place: Place, name: string): Place {
  const { path } = place
  if (!PLAIN_NAME.test(name)) {
    const shown = name.length > SHOWN_LENGTH ? `${name.slice(0, SHOWN_LENGTH)}…` : name
    return { ...place, path: `${path}[${JSON.stringify(shown)}]` }
  }
  return { ...place, path: path === '' ? name : `${path}.${name}` }
}

function problem ({ path }: Place, reason: string): FilterProblem {
  return { kind: 'problem', path, reason }
}

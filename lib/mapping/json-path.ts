/**
 * A place in a JSON value: `readings[0].value`, `meta["a.b"]`. Parsed once, when the configuration is read; followed
 * for every event, without making anything. Pure.
 *
 * Invariant: a path leads to what the JSON text has, never to what a prototype, a list or a string has besides
 * (`constructor`, `length`): names are own members of objects, numbers are places in lists.
 */

/** Names of members and places in lists, from the outside to the inside; an empty one is the value itself. */
export type Path = ReadonlyArray<string | number>

/** Longest path, in UTF-16 code units. */
export const MAX_PATH_LENGTH = 1024

/** `name`, `[0]` or `["any name"]`; the dot in front of a name that is not the first is the parser's. */
const STEP = /([^.[\]"]+)|\[(0|[1-9]\d{0,8})\]|\[("(?:[^"\\]|\\.)*")\]/sy

/**
 * Takes a path apart. What stands in `["..."]` is a JSON string, for names with dots, brackets or quotes in them.
 * @returns the path, or in words what is wrong with it
 */
export function parsePath (text: string): Path | string {
  if (text.length > MAX_PATH_LENGTH) return `a path has no more than ${MAX_PATH_LENGTH} characters`
  const path: Array<string | number> = []
  const steps = new RegExp(STEP)
  for (let at = 0; at < text.length;) {
    const hasDot = text[at] === '.' && at > 0
    steps.lastIndex = hasDot ? at + 1 : at
    const [step = '', name, place, quoted] = steps.exec(text) ?? []
    const isName = name !== undefined
    // A dot belongs in front of every name but the first, and nowhere else.
    if (step === '' || hasDot !== (isName && at > 0)) return expected(at)
    const key = isName ? name : place !== undefined ? Number(place) : unquote(quoted as string)
    if (key === undefined) return expected(at)
    path.push(key)
    at += step.length + (hasDot ? 1 : 0)
  }
  return path
}

/** What stands at the path; undefined where nothing does. Allocates nothing: it is asked for every event. */
export function valueAt (value: unknown, path: Path): unknown {
  let found = value
  for (let at = 0; at < path.length; at++) {
    const key = path[at] as string | number
    if (typeof found !== 'object' || found === null) return undefined
    if (Array.isArray(found) !== (typeof key === 'number') || !Object.hasOwn(found, key)) return undefined
    found = (found as Record<string | number, unknown>)[key]
  }
  return found
}

function unquote (quoted: string): string | undefined {
  try {
    return JSON.parse(quoted) as string
  } catch {
    return undefined
  }
}

function expected (at: number): string {
  const allowed = at === 0 ? 'a name, [0] or ["name"]' : '.name, [0] or ["name"]'
  return `${allowed} has to stand at character ${at + 1}`
}

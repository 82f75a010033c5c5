/**
 * Finds the functions that a JSONata expression calls and that nobody has: a misspelled name, which the library notices
 * only when it is called, so that every event would be a dead letter. Pure.
 *
 * Invariant: what can be evaluated is never refused. A name that is bound anywhere in the expression counts as known
 * everywhere, and where there is `$eval`, which may bind any name, none is looked at.
 */

/** What the library has, without the `$`; a test holds it against the library. */
export const BUILT_IN: ReadonlySet<string> = new Set([
  'sum', 'count', 'max', 'min', 'average',
  'string', 'substring', 'substringBefore', 'substringAfter', 'lowercase', 'uppercase', 'length', 'trim', 'pad', 'match',
  'contains', 'replace', 'split', 'join', 'formatNumber', 'formatBase', 'formatInteger', 'parseInteger', 'number',
  'floor', 'ceil', 'round', 'abs', 'sqrt', 'power', 'random', 'boolean', 'not',
  'map', 'zip', 'filter', 'single', 'reduce', 'sift', 'keys', 'lookup', 'append', 'exists', 'spread', 'merge', 'reverse',
  'each', 'error', 'assert', 'type', 'sort', 'shuffle', 'distinct',
  'base64encode', 'base64decode', 'encodeUrlComponent', 'encodeUrl', 'decodeUrlComponent', 'decodeUrl',
  'eval', 'toMillis', 'fromMillis', 'clone', 'now', 'millis'
])

export interface UnknownFunction {
  /** Without the `$`. */
  readonly name: string
  /** Where it is called; counted in characters. */
  readonly position: number
}

/** The first function that is called and cannot be there. @param ast of an expression that the library has read */
export function unknownFunctionIn (ast: unknown): UnknownFunction | undefined {
  const bound = new Set<string>()
  const called: UnknownFunction[] = []
  const seen = new Set<object>()
  // Not by calls of itself: an expression may be deep.
  const left: unknown[] = [ast]
  while (left.length > 0) {
    const node = left.pop()
    if (!isNode(node) || seen.has(node)) continue
    seen.add(node)
    for (const name of namesBoundBy(node)) bound.add(name)
    const callee = variableOf(calleeOf(node))
    if (callee !== undefined) called.push(callee)
    if (variableOf(node)?.name === 'eval') return undefined
    left.push(...Object.values(node))
  }
  const unknown = called.filter(({ name }) => !BUILT_IN.has(name) && !bound.has(name))
  return unknown.sort((one, other) => one.position - other.position)[0]
}

type Node = Readonly<Record<string, unknown>>

function isNode (value: unknown): value is Node {
  return typeof value === 'object' && value !== null
}

/** What is called here: by `f(…)`, by `f(?, …)`, or as the right side of `~>`. */
function calleeOf ({ type, procedure, rhs }: Node): unknown {
  if (type === 'function' || type === 'partial') return procedure
  return type === 'apply' ? rhs : undefined
}

/** Names are given by `:=`, by parameters, and by `@` and `#` in a path. */
function namesBoundBy ({ type, lhs, arguments: parameters, focus, index, value }: Node): string[] {
  const variables = type === 'bind' ? [lhs] : type === 'lambda' && Array.isArray(parameters) ? parameters as unknown[] : []
  const names = variables.map((node) => variableOf(node)?.name)
  return [...names, focus, index, type === 'index' ? value : undefined].filter((name) => typeof name === 'string')
}

function variableOf (node: unknown): UnknownFunction | undefined {
  if (!isNode(node) || node['type'] !== 'variable' || typeof node['value'] !== 'string') return undefined
  return { name: node['value'], position: Number(node['position']) }
}

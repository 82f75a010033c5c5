/** Reads a configuration file: YAML, and JSON with it. Knows the line of every value; knows no setting. */
import { readFileSync } from 'node:fs'
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node } from 'yaml'
import { createError, reasonOf } from '../errors.ts'
import type { Path } from './problem.ts'

export interface ConfigFile {
  readonly values: Record<string, unknown>
  /** The line, counted from 1, of a value or of the nearest thing around it that the file has. */
  lineOf (path: Path): number
}

/** @throws MBS_ERR_CONFIG_FILE, MBS_ERR_CONFIG_SYNTAX */
export function readConfigFile (file: string): ConfigFile {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw createError('MBS_ERR_CONFIG_FILE', { file, reason: reasonOf(error) }, error)
  }

  const lines = new LineCounter()
  // Pretty errors would quote the lines around a mistake, and a secret may stand there.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const mistakes = [...document.errors, ...document.warnings]
  if (mistakes.length > 0) {
    const reason = mistakes.map((mistake) => `line ${lines.linePos(mistake.pos[0]).line}: ${mistake.message}`).join('; ')
    throw createError('MBS_ERR_CONFIG_SYNTAX', { file, reason }, mistakes[0])
  }

  const values = valuesOf(document, file)
  if (typeof values !== 'object' || Array.isArray(values)) {
    throw createError('MBS_ERR_CONFIG_SYNTAX', { file, reason: 'line 1: it has to consist of `setting: value` lines' })
  }
  return { values: values as Record<string, unknown>, lineOf: (path) => lineOf(document, lines, path) }
}

function valuesOf (document: Document, file: string): unknown {
  let values: unknown
  try {
    values = document.toJS() ?? {}
  } catch (error) { // aliases that multiply without end
    throw createError('MBS_ERR_CONFIG_SYNTAX', { file, reason: reasonOf(error) }, error)
  }
  if (holdsItself(values, [])) {
    throw createError('MBS_ERR_CONFIG_SYNTAX', { file, reason: 'an alias stands inside what its anchor names' })
  }
  return values
}

/** @param done what is known not to, however often aliases name it */
function holdsItself (value: unknown, around: readonly unknown[], done = new Set<unknown>()): boolean {
  if (typeof value !== 'object' || value === null || done.has(value)) return false
  if (around.includes(value)) return true
  const inside = [...around, value]
  const found = Object.values(value).some((child) => holdsItself(child, inside, done))
  done.add(value)
  return found
}

function lineOf (document: Document, lines: LineCounter, path: Path): number {
  let node: unknown = document.contents
  let line = 1
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
      if (pair === undefined) return line
      line = lineAt(pair.key, lines) ?? line
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(key)]
      line = lineAt(node, lines) ?? line
    } else {
      return line
    }
  }
  return line
}

function lineAt (node: unknown, lines: LineCounter): number | undefined {
  const offset = (node as Node | undefined)?.range?.[0]
  return offset === undefined ? undefined : lines.linePos(offset).line
}

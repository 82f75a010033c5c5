/**
 * The chart's values.yaml, read with its comments: what each value is, its default, and its JSON Schema. The comments
 * are the one place that says so; the values' schema and the chart's README come from here. Pure.
 *
 * Above a value, `# --` begins its description, and `# @schema` a fragment of YAML: JSON Schema, or one of the words of
 * `Annotation`.
 */
import { isMap, isScalar, LineCounter, parse, parseDocument, type YAMLMap } from 'yaml'
import { programSchema, type JsonSchema } from './program-schema.ts'

/** What stands behind `@schema`, beside keywords of JSON Schema. */
interface Annotation extends JsonSchema {
  /** A setting of the program: type, bounds and, where none is written here, the description are its own. */
  readonly program?: string
  /** A section whose keys have no default. */
  readonly fields?: Readonly<Record<string, Annotation>>
  /** A section by name: each entry is like these paths of the values together. */
  readonly entry?: readonly string[]
  /** An object of Kubernetes, which the cluster judges. */
  readonly open?: boolean
  /** Texts by name. */
  readonly strings?: boolean
}

/** One value, or a section of them. */
export interface Value {
  /** `service.type` */
  readonly path: string
  readonly description: string
  readonly default: unknown
  /** Without those of the values in it. */
  readonly annotation: Annotation
  /** Of a section that is written out. */
  readonly children?: readonly Value[]
}

/** The values of a values.yaml, as a tree. */
export function readValues (text: string): Value[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const [mistake] = document.errors
  if (mistake !== undefined) throw new Error(mistake.message, { cause: mistake })
  return childrenOf(document.contents as unknown as YAMLMap, '', { lines, text: text.split('\n') })
}

interface Source {
  readonly lines: LineCounter
  readonly text: readonly string[]
}

function childrenOf (map: YAMLMap, prefix: string, source: Source): Value[] {
  return map.items.map(({ key, value }) => {
    if (!isScalar(key)) throw new Error(`${prefix}: a key that is no text`)
    const path = `${prefix}${String(key.value)}`
    const { line } = source.lines.linePos(key.range![0])
    const { annotation, description } = readComment(commentAbove(line, source), path)
    const about = { path, description: description || (annotation.description ?? ''), annotation }
    const written = isMap(value) && value.items.length > 0
    const opaque = annotation.open ?? annotation.strings ?? annotation.fields ?? annotation.program
    if (!written || opaque !== undefined) return { ...about, default: toPlain(value) }
    return { ...about, default: toPlain(value), children: childrenOf(value, `${path}.`, source) }
  })
}

function toPlain (node: unknown): unknown {
  return (node as { toJSON (): unknown } | null)?.toJSON() ?? null
}

/** The lines of the comment right above a line, counted from 1. */
function commentAbove (line: number, { text }: Source): string[] {
  let first = line - 1
  while (first > 0 && /^\s*#/.test(text[first - 1]!)) first--
  return text.slice(first, line - 1).map((comment) => comment.replace(/^\s*# ?/, ''))
}

function readComment (lines: readonly string[], path: string): { annotation: Annotation, description: string } {
  const schema: string[] = []
  const words: string[] = []
  let inSchema = false
  for (const line of lines) {
    inSchema = line.startsWith('@schema') || (inSchema && line.startsWith('  '))
    if (inSchema) schema.push(line.replace('@schema', ''))
    else words.push(line.replace(/^-- /, ''))
  }
  const annotation = (schema.length === 0 ? {} : parse(schema.join('\n'))) as Annotation
  if (typeof annotation !== 'object') throw new Error(`${path}: @schema is no section`)
  const { program } = annotation
  const own = program === undefined || program === '' ? undefined : programSchema(program).description
  return { annotation, description: words.join(' ').trim() || (own ?? '') }
}

// ---- JSON Schema ----------------------------------------------------------------------------------------------------

/** What Helm itself lays into the values of a chart that another one depends on. */
const OF_HELM = {
  global: { type: 'object', description: 'Values that a parent chart shares with its charts.' },
  enabled: { type: 'boolean', description: 'For the condition by which a parent chart takes this one in.' }
}

/** The values.schema.json of these values. */
export function valuesSchema (values: readonly Value[]): JsonSchema {
  const properties = Object.fromEntries(values.map((value) => [value.path, schemaOf(value, values)]))
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart mqtt-broker-source',
    type: 'object',
    additionalProperties: false,
    properties: { ...properties, ...OF_HELM }
  }
}

function schemaOf (value: Value, all: readonly Value[]): JsonSchema {
  const { path, annotation, description, children, default: byDefault } = value
  const about = description === '' ? {} : { description }
  if (annotation.entry !== undefined) {
    const alike = annotation.entry.map((like) => sectionOf(find(like, all), all).properties)
    const properties = withoutDefaults(Object.assign({}, ...alike)) as Readonly<Record<string, JsonSchema>>
    // The name of a port, and the end of the name of a Service: RFC 6335, RFC 1123.
    const propertyNames = { pattern: '^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$' }
    const additionalProperties = { type: 'object', additionalProperties: false, properties }
    return { ...about, type: 'object', propertyNames, additionalProperties }
  }
  if (children !== undefined) return { ...about, ...sectionOf(value, all) }
  return { ...annotated(annotation, byDefault, path), ...about, ...(isEmpty(byDefault) ? {} : { default: byDefault }) }
}

function sectionOf ({ children = [] }: Value, all: readonly Value[]): JsonSchema {
  const properties = Object.fromEntries(children.map((child) => [child.path.split('.').at(-1)!, schemaOf(child, all)]))
  return { type: 'object', additionalProperties: false, properties }
}

function find (path: string, values: readonly Value[]): Value {
  for (const value of values) {
    if (value.path === path) return value
    if (path.startsWith(`${value.path}.`)) return find(path, value.children ?? [])
  }
  throw new Error(`there is no value ${path}`)
}

/** An entry that leaves something out has not the default of the entry it is like. */
function withoutDefaults (node: unknown): unknown {
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return node
  return Object.fromEntries(Object.entries(node).flatMap(([key, child]) =>
    key === 'default' && typeof (node as JsonSchema).type !== 'object' ? [] : [[key, withoutDefaults(child)]]))
}

function annotated (annotation: Annotation, byDefault: unknown, path: string): JsonSchema {
  const { program, fields, entry, open, strings, ...keywords } = annotation
  if (program !== undefined) {
    const { default: _, ...node } = programSchema(program)
    return { ...node, ...keywords }
  }
  if (fields !== undefined) {
    const properties = Object.fromEntries(Object.entries(fields)
      .map(([name, field]) => [name, annotated(field, undefined, `${path}.${name}`)]))
    return { type: 'object', additionalProperties: false, properties, ...keywords }
  }
  if (open === true) return { type: 'object', ...keywords }
  if (strings === true) return { type: 'object', additionalProperties: { type: 'string' }, ...keywords }
  const typeIsKnown = keywords.type !== undefined || byDefault === undefined
  return { ...(typeIsKnown ? {} : { type: typeOf(byDefault, path) }), ...keywords }
}

function typeOf (value: unknown, path: string): string {
  if (Array.isArray(value)) return 'array'
  if (value === null) throw new Error(`${path}: a value without a default needs a type`)
  return typeof value === 'number' ? 'integer' : typeof value
}

function isEmpty (value: unknown): boolean {
  return value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
}

/**
 * Holds values against the schema: fills in defaults, converts durations and sizes, in place, and notes every mistake.
 * What takes two settings to judge is not here but in rules.ts.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { DataValidationCxt } from 'ajv/dist/types/index.js'
import { describeFound, describeKind, formatPath, nearest, type Path, type Report } from './problem.ts'
import { allowedBy, NOTES, type SchemaNode } from './setting.ts'
import { listSettings, schemaRoot } from './settings.ts'
import { parseDuration, parseSize } from './units.ts'

let check: ValidateFunction | undefined

/** Completes and converts `values` in place; what cannot be used is noted in `report` and left as it is. */
export function validate (values: Record<string, unknown>, report: Report): void {
  dropEmptySections(values, schemaRoot, report)
  // Compiled once: that takes a hundred times as long as to validate.
  check ??= createAjv().compile(inputSchema(schemaRoot))
  if (check(values)) return
  for (const error of check.errors ?? []) addMistake(error, values, report)
}

/** The schema of what a user gives: a setting with a default, written or computed, is not required. */
export function inputSchema (node: SchemaNode): SchemaNode {
  if (node.items !== undefined) return { ...node, items: inputSchema(node.items) }
  if (node.properties === undefined) return node
  const { required, properties, ...rest } = node
  const given = (key: string) => properties[key]?.default === undefined && properties[key]?.computed === undefined
  const needed = (required ?? []).filter(given)
  return {
    ...rest,
    properties: Object.fromEntries(Object.entries(properties).map(([key, child]) => [key, inputSchema(child)])),
    ...(needed.length === 0 ? {} : { required: needed })
  }
}

function createAjv (): Ajv {
  // Holding the schema itself against the meta schema would take longer than all the rest; a test does it.
  const ajv = new Ajv({
    allErrors: true,
    useDefaults: true,
    verbose: true,
    allowUnionTypes: true,
    validateSchema: false,
    // Shorter code is for what runs often; to shorten it takes a third of the time to compile.
    code: { optimize: false }
  })
  ajv.addKeyword({
    keyword: 'duration',
    type: 'string',
    modifying: true,
    validate: (bounds: DurationBounds, text: string, _node: unknown, context?: DataValidationCxt) =>
      replace(context, parseDuration(text), bounds.minimumMs, bounds.maximumMs)
  })
  ajv.addKeyword({
    keyword: 'size',
    type: ['number', 'string'],
    modifying: true,
    validate: (bounds: SizeBounds, given: string | number, _node: unknown, context?: DataValidationCxt) =>
      replace(context, parseSize(String(given)), bounds.minimumBytes, bounds.maximumBytes)
  })
  ajv.addVocabulary(NOTES.filter((keyword) => keyword !== 'duration' && keyword !== 'size'))
  return ajv
}

type DurationBounds = NonNullable<SchemaNode['duration']>
type SizeBounds = NonNullable<SchemaNode['size']>

/** Puts a number in the place of its text; false where there is none, or none within the bounds. */
function replace (
  context: DataValidationCxt | undefined, value: number | undefined, minimum: number, maximum: number
): boolean {
  if (value === undefined || value < minimum || value > maximum || context === undefined) return false
  context.parentData[context.parentDataProperty] = value
  return true
}

/**
 * `sink:` with everything below it commented out is an empty section, and not a mistake. One that is there only when it
 * is given is not there then, and whoever wrote its name may have meant something by it.
 */
function dropEmptySections (
  values: Record<string, unknown>, node: SchemaNode, report: Report, path: Path = []
): void {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const value = Object.hasOwn(values, key) ? values[key] : undefined
    const here = [...path, key]
    if (value === null && child.type === 'object') {
      delete values[key]
      if (child.default === undefined) report.warn(emptyWarning(here, child))
    } else if (isSection(value)) {
      dropEmptySections(value, child, report, here)
    } else if (Array.isArray(value) && child.items !== undefined) {
      for (const [at, item] of value.entries()) {
        if (isSection(item)) dropEmptySections(item, child.items, report, [...here, at])
      }
    }
  }
}

function emptyWarning (path: Path, node: SchemaNode): string {
  const needed = inputSchema(node).required ?? []
  const remedy = needed.length === 0
    ? `write \`${path.at(-1)}: {}\` to have it`
    : `it needs ${needed.join(' and ')}`
  return `${formatPath(path)} is empty and has no effect: ${remedy}, or leave it out`
}

function isSection (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function addMistake (error: ErrorObject, values: unknown, report: Report): void {
  const path = pathAt(error.instancePath, values)
  const node = error.parentSchema as SchemaNode
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(error.params['additionalProperty'])
      const meant = meantSetting(path, key, node)
      return report.add([...path, key], {
        found: 'a setting that does not exist',
        allowed: Object.keys(node.properties ?? {}).join(', '),
        ...(meant === undefined ? {} : { hint: `did you mean ${meant}?` })
      })
    }
    case 'required': {
      const key = String(error.params['missingProperty'])
      return report.add([...path, key], { found: 'nothing', allowed: allowedBy(node.properties?.[key] ?? {}) })
    }
    case 'propertyNames': {
      if (node.secret === true) return report.add(path, { found: 'a name of another form', allowed: allowedBy(node) })
      const name = String(error.params['propertyName'])
      return report.add([...path, name], { found: `the name ${describeFound(name)}`, allowed: allowedBy(node) })
    }
    default: {
      if (error.propertyName !== undefined) return // said again, for the whole name, by `propertyNames`
      const hint = hintFor(node, error.data)
      const found = node.secret === true ? describeKind(error.data) : describeFound(error.data)
      report.add(path, { found, allowed: allowedBy(node), ...(hint === undefined ? {} : { hint }) })
    }
  }
}

/** The path of a JSON pointer; which keys are places in a list, only the values tell. */
function pathAt (pointer: string, values: unknown): Path {
  const path: (string | number)[] = []
  let value = values
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    path.push(Array.isArray(value) ? Number(key) : key)
    value = (value as Record<string, unknown> | undefined)?.[key]
  }
  return path
}

function meantSetting (path: Path, key: string, node: SchemaNode): string | undefined {
  const sibling = nearest(key, Object.keys(node.properties ?? {}))
  if (sibling !== undefined) return formatPath([...path, sibling])
  return listSettings().find((setting) => setting.keys.at(-1) === key)?.path
}

function hintFor (node: SchemaNode, value: unknown): string | undefined {
  if (node.duration !== undefined && typeof value === 'number') return `${value} seconds are written PT${value}S`
  if (node.size !== undefined && typeof value === 'string') {
    const size = /^(\d+) ?([KMGT])i?B?$/i.exec(value)
    if (size !== null) return `the unit is ${size[2]!.toUpperCase()}iB: ${size[1]}${size[2]!.toUpperCase()}iB`
  }
  if (node.enum !== undefined && typeof value === 'string') {
    const meant = nearest(value, node.enum.map(String))
    return meant === undefined ? undefined : `did you mean ${meant}?`
  }
  return undefined
}

/** A loaded configuration as text for people: every setting with its value and where it came from. Pure. */
import type { LoadedConfig } from './load.ts'
import { formatPath, redactUrl, type Path } from './problem.ts'
import type { SchemaNode } from './setting.ts'
import { schemaRoot } from './settings.ts'
import { formatDuration, formatSize } from './units.ts'

/** One line per setting, `path = value  (origin)`, in the order of the schema; those without a value are left out. */
export function formatConfig (loaded: LoadedConfig): string {
  const lines = linesOf(schemaRoot, loaded.config, [], loaded)
  const width = Math.max(...lines.map(([setting]) => setting.length))
  return lines.map(([setting, origin]) => `${setting.padEnd(width)}  (${origin})`).join('\n')
}

function linesOf (node: SchemaNode, value: unknown, path: Path, loaded: LoadedConfig): [string, string][] {
  if (value === undefined) return []
  if (Array.isArray(value)) {
    return value.flatMap((item, at) => linesOf(node.items ?? {}, item, [...path, at], loaded))
  }
  if (node.properties !== undefined && typeof value === 'object') {
    return Object.entries(node.properties).flatMap(([key, child]) =>
      linesOf(child, (value as Record<string, unknown>)[key], [...path, key], loaded))
  }
  if (typeof value === 'object' && value !== null) {
    const { additionalProperties } = node
    const child = typeof additionalProperties === 'object' ? additionalProperties : {}
    return Object.entries(value).flatMap(([key, item]) => linesOf(child, item, [...path, key], loaded))
  }
  return [[`${formatPath(path)} = ${textOf(value, node)}`, loaded.originOf(path)]]
}

function textOf (value: unknown, node: SchemaNode): string {
  if (node.secret === true) return '(not shown)'
  if (typeof value === 'number' && node.duration !== undefined) return formatDuration(value)
  if (typeof value === 'number' && node.size !== undefined) return formatSize(value)
  if (typeof value !== 'string') return String(value)
  return value.includes('-----BEGIN') ? '(PEM text)' : redactUrl(value)
}

/** The schema as a flat list: every setting with its path and environment name. Pure. */
import { configSchema } from './schema.ts'
import type { SchemaNode } from './setting.ts'

/** One setting: a leaf of the schema, or a list. */
export interface Setting {
  /** Keys from the root; `LIST_PLACE` stands for the place in a list. */
  readonly keys: readonly string[]
  /** `limits.packetBytes`, `listeners[n].port`. */
  readonly path: string
  /** `MBS_LIMITS_PACKET_BYTES`, `MBS_LISTENERS_<n>_PORT`. */
  readonly environment: string
  readonly node: SchemaNode
}

/** The prefix of all environment variables of this program. */
export const ENVIRONMENT_PREFIX = 'MBS_'

/** Stands for the place in a list in `Setting.keys`. */
export const LIST_PLACE = '<n>'

/** The root of the schema as its readers see it. */
export const schemaRoot = configSchema as unknown as SchemaNode

/** All settings, in the order of the schema; a list comes before the settings of its items. */
export function listSettings (node: SchemaNode = schemaRoot, keys: readonly string[] = []): Setting[] {
  if (node.properties !== undefined) {
    return Object.entries(node.properties).flatMap(([key, child]) => listSettings(child, [...keys, key]))
  }
  const setting = { keys, path: pathOf(keys), environment: environmentName(keys), node }
  // The texts of a list are given together.
  if (node.items?.properties === undefined) return [setting]
  return [setting, ...listSettings(node.items, [...keys, LIST_PLACE])]
}

function pathOf (keys: readonly string[]): string {
  return keys.join('.').replaceAll(`.${LIST_PLACE}`, '[n]')
}

function environmentName (keys: readonly string[]): string {
  const words = keys.map((key) => key === LIST_PLACE ? key : key.replace(/[A-Z]/g, '_$&').toUpperCase())
  return ENVIRONMENT_PREFIX + words.join('_')
}

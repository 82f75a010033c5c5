/**
 * The kinds of settings that the schema is made of: what TypeBox has, and durations, sizes and values that depend on
 * other settings. Each kind says in words what it allows; messages and documentation use the same words.
 *
 * A schema node keeps what JSON Schema has no word for under the keywords of `NOTES`; they are not part of the
 * published JSON Schema.
 */
import type { TProperties } from 'typebox'
import { Type } from './type.ts'
import { DURATION_PATTERN, formatDuration, formatSize, SIZE_PATTERN } from './units.ts'

/** Keywords of ours: `duration` and `size` convert and check; the others are notes for people. */
export const NOTES = ['duration', 'size', 'allowed', 'computed', 'knative', 'example', 'secret'] as const

/** A node of the schema as its readers see it: validation, documentation, environment names. */
export interface SchemaNode {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly required?: readonly string[]
  readonly items?: SchemaNode
  /** Of a map, what each value is; false: no further keys. */
  readonly additionalProperties?: boolean | SchemaNode
  readonly minimum?: number
  readonly maximum?: number
  readonly pattern?: string
  /** Bounds in milliseconds of a duration. */
  readonly duration?: { readonly minimumMs: number, readonly maximumMs: number }
  /** Bounds of a size. */
  readonly size?: { readonly minimumBytes: number, readonly maximumBytes: number }
  /** What is allowed, in words, where the other keywords do not say it. */
  readonly allowed?: string
  /** What the value is when it is not given, in words: it depends on other settings. */
  readonly computed?: string
  /** The variable of Knative's contract that sets it too. */
  readonly knative?: string
  /** A value to show where there is no default. */
  readonly example?: unknown
  /** What is found here is not shown: it may be a secret, also where it is in the wrong place. */
  readonly secret?: boolean
}

/** What every setting says of itself. */
interface Notes {
  readonly description: string
  readonly allowed?: string
  readonly computed?: string
  readonly knative?: string
  readonly example?: string | number | boolean | readonly string[]
}

/** A section: unknown keys are mistakes, and it is there with its defaults when it is not given. */
export function section<P extends TProperties> (description: string, properties: P) {
  return Type.Object(properties, { description, default: {}, additionalProperties: false })
}

/** A section that is there only when it is given. */
export function optionalSection<P extends TProperties> (
  description: string, properties: P, notes: { readonly secret?: true } = {}
) {
  return Type.Optional(Type.Object(properties, { description, additionalProperties: false, ...notes }))
}

/** A text; `pattern` needs `allowed`, which says the same in words. */
export function text (
  notes: Notes & { readonly default?: string, readonly pattern?: string, readonly maxLength?: number }
) {
  return Type.String({ minLength: 1, ...notes })
}

/** A list of texts. `allowed` says in words what each may be, and `pattern` the same. */
export function texts (
  notes: Notes & { readonly allowed: string, readonly pattern?: string, readonly minItems?: number }
) {
  const { pattern, ...rest } = notes
  const item = { minLength: 1, allowed: notes.allowed, ...(pattern === undefined ? {} : { pattern }) }
  return Type.Array(Type.String(item), { ...rest, allowed: `a list of ${notes.allowed}` })
}

/** A whole number within bounds. */
export function wholeNumber (
  notes: Notes & { readonly default?: number, readonly minimum: number, readonly maximum: number }
) {
  return Type.Integer({ ...notes })
}

/** A number within bounds, not only whole ones. */
export function decimal (
  notes: Notes & { readonly default: number, readonly minimum: number, readonly maximum: number }
) {
  return Type.Number({ ...notes })
}

/** One of some words. */
export function oneOf<V extends string[]> (values: readonly [...V], notes: Notes & { readonly default?: V[number] }) {
  return Type.Enum(values, { ...notes })
}

/** An ISO 8601 duration; the configuration holds its milliseconds. */
export function duration (
  notes: Notes & { readonly default?: string, readonly minimumMs: number, readonly maximumMs: number }
) {
  const { minimumMs, maximumMs, ...rest } = notes
  return Type.Unsafe<number>({ type: 'string', pattern: DURATION_PATTERN, ...rest, duration: { minimumMs, maximumMs } })
}

/** A size in bytes, or with a unit; the configuration holds its bytes. */
export function size (
  notes: Notes & { readonly default: string, readonly minimumBytes: number, readonly maximumBytes: number }
) {
  const { minimumBytes, maximumBytes, ...rest } = notes
  return Type.Unsafe<number>({
    type: ['integer', 'string'], pattern: SIZE_PATTERN, ...rest, size: { minimumBytes, maximumBytes }
  })
}

/** What a setting allows, in words. */
export function allowedBy (node: SchemaNode): string {
  if (node.allowed !== undefined) return node.allowed
  if (node.enum !== undefined) return node.enum.join(', ')
  if (node.duration !== undefined) {
    const { minimumMs, maximumMs } = node.duration
    return `an ISO 8601 duration from ${formatDuration(minimumMs)} to ${formatDuration(maximumMs)}`
  }
  if (node.size !== undefined) {
    const { minimumBytes, maximumBytes } = node.size
    return `a size from ${formatSize(minimumBytes)} to ${formatSize(maximumBytes)}`
  }
  if (node.properties !== undefined) return `a section with ${Object.keys(node.properties).join(', ')}`
  if (node.type === 'integer') return `a whole number from ${node.minimum} to ${node.maximum}`
  if (node.type === 'number') return `a number from ${node.minimum} to ${node.maximum}`
  return node.type === 'boolean' ? 'true or false' : 'a text'
}

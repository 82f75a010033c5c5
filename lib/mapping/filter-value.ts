/**
 * What a filter may ask an event for: attributes by their names, fields of a JSON payload by their paths. Pure.
 *
 * Invariant: only what the event itself has is found, whatever the name: `constructor` is an extension that is not
 * there. The payload is parsed only when a field of it is asked for.
 */
import { extensionProblem, formatValue } from '../cloudevent/attributes.ts'
import type { Event } from '../message.ts'
import { parsePath, valueAt } from './json-path.ts'

/** What a filter looks at. */
export interface FilterInput {
  readonly event: Event
  /**
   * The payload, parsed; undefined where it is no JSON. Asked only for a payload field, once for each: whoever makes
   * it keeps what it parsed.
   */
  readonly json: () => unknown
}

/** Finds one value; undefined where it is not there. What it finds in a payload can be any JSON. */
export type Reader = (input: FilterInput) => unknown

/** The first step of a name that is a path into the payload. No extension can have this name: it is reserved. */
export const FIELD_ROOT = 'data'

const ATTRIBUTES: ReadonlyMap<string, (event: Event) => string | undefined> = new Map([
  ['specversion', () => '1.0'],
  ['id', ({ id }: Event) => id],
  ['source', ({ source }: Event) => source],
  ['type', ({ type }: Event) => type],
  ['subject', ({ subject }: Event) => subject],
  ['time', ({ time }: Event) => time],
  ['datacontenttype', ({ datacontenttype }: Event) => datacontenttype],
  ['dataschema', ({ dataschema }: Event) => dataschema]
])

/** True for the name of a payload field: `data`, `data.a`, `data[0]`, `data["a"]`. */
export function isField (name: string): boolean {
  if (!name.startsWith(FIELD_ROOT)) return false
  const behind = name[FIELD_ROOT.length]
  return behind === undefined || behind === '.' || behind === '['
}

/** How to find what the name says; or in words why it is no name. */
export function readerOf (name: string): Reader | string {
  if (isField(name)) {
    const path = parsePath(name)
    if (typeof path === 'string') return path
    const inPayload = path.slice(1)
    return (input) => valueAt(input.json(), inPayload)
  }
  const attribute = ATTRIBUTES.get(name)
  if (attribute !== undefined) return ({ event }) => attribute(event)
  const reason = extensionProblem(name, '')
  if (reason !== undefined) return `this is neither an attribute nor a path from ${FIELD_ROOT}: ${reason}`
  return ({ event: { extensions } }) => Object.hasOwn(extensions, name) ? extensions[name] : undefined
}

/**
 * A value as the text that is compared: the canonical form of an attribute [CE 3.1], the JSON text of a number or a
 * boolean in its shortest form, so that 1.0 is `1`. Undefined for what has none: null, lists, objects, a number
 * beyond the range of a double.
 */
export function textOf (value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return formatValue(value)
  return typeof value === 'number' && Number.isFinite(value) ? formatValue(value) : undefined
}

/** The filter of a sink: the same words as the filter of a rule, asked of events as they are stored. Pure. */
import type { Event } from '../message.ts'
import { compileFilter } from './filter.ts'
import { parseJson } from './json-value.ts'

/** Which events it lets through. @param filters without mistakes: the configuration has found them to be */
export function eventFilter (filters: readonly unknown[]): (event: Event) => boolean {
  const filter = compileFilter(filters, '')
  if (typeof filter !== 'function') throw new TypeError(`${filter.path}: ${filter.reason}`)
  return (event) => {
    let parsed: { readonly value: unknown } | undefined
    return filter({ event, json: () => (parsed ??= { value: parseJson(event.data) }).value })
  }
}

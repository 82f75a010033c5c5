/**
 * What becomes of an event once its rule has made it: it goes on, is left out by a filter, is set aside or refused
 * because a value is missing or its data does not fit the schema. In this order: filter, missing, schema. Pure.
 *
 * Invariant: no detail holds a part of a payload.
 */
import { isUtf8 } from 'node:buffer'
import { createError, type MbsError } from '../errors.ts'
import type { Aside, Event, Publish } from '../message.ts'
import type { CompiledRule, LeftOut } from './event-rules.ts'
import type { TemplateInput } from './template.ts'

/** @param json the data, parsed @param missing what `missingIn` found */
export function outcomeOf (
  publish: Publish, event: Event, rule: CompiledRule, json: () => unknown, missing: string | undefined
): Event | LeftOut | MbsError {
  if (rule.filter !== undefined && !rule.filter({ event, json })) return 'filter'
  if (missing !== undefined) return setAside(publish, event, 'missing', missing)
  const { schema } = rule
  if (schema === undefined) return event
  const value = isUtf8(event.data) ? json() : undefined
  const mistake = value === undefined ? 'it is no JSON' : schema.compiled.mistakeIn(value)
  if (mistake === undefined) return withSchema(event, schema.compiled.id)
  const detail = `the data does not fit the schema: ${mistake}`
  switch (schema.otherwise) {
    case 'deadLetter': return setAside(publish, event, 'schema', detail)
    case 'drop': return 'schema'
    case 'refuse': return refusal(rule, detail)
  }
}

/** The event as one that no sink gets: a dead letter from the beginning. */
export function setAside (
  { topic, client }: Publish, event: Event, reason: Aside['reason'], detail: string
): Event {
  return { ...event, handling: { ...event.handling, aside: { reason, detail, topic, clientId: client.id } } }
}

/** The publish is not acknowledged, and its connection is closed. */
export function refusal ({ index }: CompiledRule, reason: string): MbsError {
  return createError('MBS_ERR_MAPPING_REFUSED', { index, reason })
}

/**
 * The first attribute whose template has no value, in words; undefined: all have one.
 * @param isOwn the device has made the event, with the attributes that templates are otherwise for
 */
export function missingIn (rule: CompiledRule, input: TemplateInput, isOwn: boolean): string | undefined {
  const { partitionKey, ...others } = rule.templates
  const templates = [
    ...(isOwn ? [] : Object.entries(others)),
    ...(partitionKey === undefined ? [] : [['partitionKey', partitionKey] as const]),
    ...rule.extensions
  ]
  for (const [name, template] of templates) {
    const missing = template.missing(input)
    if (missing !== undefined) return `${name} has no value for ${missing}`
  }
  return undefined
}

/** What an expression can ask for beside the payload, as JSON: `$event`, the attributes so far, and `$topic`. */
export function variablesOf (event: Event, topic: string): string {
  const { id, source, type, subject, time, datacontenttype, dataschema, extensions } = event
  const attributes = { specversion: '1.0', id, source, type, subject, time, datacontenttype, dataschema, ...extensions }
  return JSON.stringify({ event: attributes, topic })
}

/** Says which schema the data fits, where nothing else has been said. */
function withSchema (event: Event, id: string | undefined): Event {
  return id === undefined || event.dataschema !== undefined ? event : { ...event, dataschema: id }
}

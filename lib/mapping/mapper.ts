/**
 * Publish -> CloudEvent, between access and the outbox. The default rule: the device is the source, the topic is the
 * subject; `events.rules` say otherwise for some topics. Whatever topic, client id and payload a device chooses, the
 * event is valid; the same publish and id give the same event, but for the trace that it may begin. Pure but for that,
 * and for transforms, which another process runs.
 */
import { assertExtension, toAttributeString } from '../cloudevent/attributes.ts'
import type { MbsError } from '../errors.ts'
import type { Event, ExtensionValue, Handling, Publish } from '../message.ts'
import type { DecodedEvent } from '../cloudevent/decode.ts'
import { isJson } from '../cloudevent/json-grammar.ts'
import { isMediaType } from '../cloudevent/media-type.ts'
import { parseTimestamp } from '../cloudevent/timestamp.ts'
import { detectContentType } from './content-type.ts'
import { readDeviceEvent } from './device-event.ts'
import type { CompiledRule, EventRules, LeftOut } from './event-rules.ts'
import { createPublishExtensions, DEFAULT_EXTENSIONS, keepExtensions, type ExtensionSwitches } from './extensions.ts'
import { parseJson } from './json-value.ts'
import { missingIn, outcomeOf, refusal, setAside, variablesOf } from './outcome.ts'
import { pathSegment } from './path-segment.ts'
import { extensionsOf, parseProperties } from './properties.ts'
import { capturedBy } from './rule-pattern.ts'
import { isUri } from './schema-formats.ts'
import type { TemplateInput } from './template.ts'
import type { Transformer } from './transformer.ts'

export interface MapperOptions {
  /** Names this broker in `source`. */
  readonly name: string
  /** Extensions put on every event, over those of the rule (K_CE_OVERRIDES). */
  readonly overrides: Readonly<Record<string, string>>
  /** Which extensions are set without being named by a rule. */
  readonly extensions?: ExtensionSwitches
  /** What topics become; the default rule is behind them. */
  readonly rules?: EventRules
  /** Runs the transforms of rules; needed where one has any. */
  readonly transformer?: Transformer
}

/** What a publish becomes: an event, none, or the reason why it is refused (MBS_ERR_MAPPING_REFUSED). */
export type Mapped = Event | LeftOut | MbsError

/**
 * Makes the event of a publish. A promise where its rule has a transform; it rejects with MBS_ERR_MAPPING_TRANSFORMER.
 * @param id the event's `id`, unique for its source
 */
export type Mapper = (publish: Publish, id: string) => Mapped | Promise<Mapped>

/** The `type` of every event of the default rule. */
export const DEFAULT_TYPE = 'dev.mqttbrokersource.publish'

/**
 * Makes the mapper.
 *
 * Topics and client ids may hold characters that no CloudEvents String may (control characters, noncharacters): in
 * `subject` and `partitionkey` those are percent-encoded, in `source` everything that a path segment cannot hold.
 * `partitionKey` is the client id as it is.
 * @throws MBS_ERR_CLOUDEVENT_ATTRIBUTE for an override that no event may carry
 */
export function createMapper (
  options: MapperOptions & { readonly rules?: undefined }
): (publish: Publish, id: string) => Event
export function createMapper (options: MapperOptions): Mapper
export function createMapper (options: MapperOptions): Mapper {
  const prefix = `/mqtt-broker-source/${pathSegment(options.name)}/clients/`
  const overrides = { ...options.overrides }
  for (const [name, value] of Object.entries(overrides)) assertExtension(name, value)
  const hasOverrides = Object.keys(overrides).length > 0
  const timestamp = createTimestamp()
  const { name, rules, transformer, extensions: on = DEFAULT_EXTENSIONS } = options
  const publishExtensions = createPublishExtensions(on)
  const byDefault = (publish: Publish, id: string): Writable<Event> => {
    const clientId = publish.client.id
    const event: Writable<Event> = {
      id,
      source: prefix + pathSegment(clientId),
      type: DEFAULT_TYPE,
      subject: toAttributeString(publish.topic),
      time: timestamp(publish.receivedAt),
      extensions: publishExtensions(publish),
      partitionKey: clientId,
      data: publish.payload
    }
    const datacontenttype = detectContentType(publish.payload)
    if (datacontenttype !== undefined) event.datacontenttype = datacontenttype
    return event
  }

  const byRule = (
    publish: Publish, id: string, levels: readonly string[], rule: CompiledRule
  ): Mapped | Promise<Mapped> => {
    if (rule.drop) return 'drop'
    const event = byDefault(publish, id)
    const json = once(() => parseJson(publish.payload))
    const bag = rule.properties?.capture
    const input: TemplateInput = bag === undefined
      ? { publish, levels, name, json }
      : { publish, levels, name, json, properties: once(() => parseProperties(capturedBy(bag, levels))) }
    const made = rule.deviceEvents === undefined ? undefined : readDeviceEvent(rule.deviceEvents, input)
    const wrong = made !== undefined && 'reason' in made ? made : undefined
    const invalid = wrong === undefined ? undefined : rule.deviceEvents?.invalid
    if (invalid === 'drop') return 'invalid'
    if (invalid === 'refuse') return refusal(rule, wrong?.detail ?? '')
    applyRule(event, rule, input, on)
    const own = made === undefined || 'reason' in made ? undefined : made
    if (own !== undefined) takeOver(event, own, rule, on)
    // Fields are those of the data: of an event that the device has made, of what stands in it.
    const fields = own === undefined ? json : once(() => parseJson(own.data))
    if (hasOverrides) Object.assign(event.extensions, overrides)
    const handling = handlingOf(rule, input)
    if (handling !== undefined) event.handling = { ...event.handling, ...handling }
    if (invalid === 'deadLetter') return setAside(publish, event, 'invalid', wrong?.detail ?? '')
    const missing = rule.missing === 'deadLetter' ? missingIn(rule, input, own !== undefined) : undefined
    return rule.transform === undefined
      ? outcomeOf(publish, event, rule, fields, missing)
      : byTransform(publish, event, rule, missing)
  }

  const byTransform = (
    publish: Publish, event: Writable<Event>, rule: CompiledRule, missing: string | undefined
  ): Mapped | Promise<Mapped> => {
    const { transform, index, templates } = rule
    if (transform === undefined || transformer === undefined) throw new Error('there is nothing that runs transforms')
    if (!isJson(event.data)) return setAside(publish, event, 'transform', 'the payload is no JSON')
    const variables = transform.usesVariables ? variablesOf(event, publish.topic) : ''
    const job = { transform, rule: index, clientId: publish.client.id, variables, input: event.data }
    return transformer.run(job).then((result) => {
      if (result.kind === 'failed') return setAside(publish, event, 'transform', result.detail)
      event.data = result.data
      event.datacontenttype = templates.contentType?.text ?? 'application/json'
      return outcomeOf(publish, event, rule, once(() => parseJson(result.data)), missing)
    })
  }

  return (publish, id) => {
    if (rules !== undefined) {
      const levels = publish.topic.split('/')
      const rule = rules.find(levels)
      if (rule !== undefined) return byRule(publish, id, levels, rule)
    }
    const event = byDefault(publish, id)
    if (hasOverrides) Object.assign(event.extensions, overrides)
    return event
  }
}

/** Sets what a rule says; where it has no value, what the default rule says stays. */
function applyRule (
  event: Writable<Event>, rule: CompiledRule, input: TemplateInput, on: ExtensionSwitches
): void {
  const { templates, extensions, properties, transform, expiryMs } = rule
  const type = templates.type?.render(input)
  if (type !== undefined) event.type = toAttributeString(type)
  event.source = templates.source?.render(input) ?? event.source
  if (templates.subject !== undefined) {
    const subject = templates.subject.render(input)
    if (subject === undefined) delete event.subject
    else event.subject = toAttributeString(subject)
  }
  const dataschema = templates.dataschema?.render(input)
  if (dataschema !== undefined && isUri(dataschema)) event.dataschema = dataschema
  // Where there is a transform, it is the type of what that makes.
  const typed = event.data.length > 0 && transform === undefined
  const contentType = typed ? templates.contentType?.render(input) : undefined
  if (contentType !== undefined && isMediaType(contentType)) event.datacontenttype = contentType
  const partitionKey = templates.partitionKey?.render(input)
  // Made for this event alone, a moment ago.
  const own = event.extensions as Record<string, ExtensionValue>
  if (partitionKey !== undefined) {
    event.partitionKey = partitionKey
    if (on.partitionkey) own['partitionkey'] = toAttributeString(partitionKey)
  }
  if (expiryMs !== undefined) {
    const expiresAt = input.publish.receivedAt + expiryMs
    event.handling = { ...event.handling, expiresAt }
    if (on.expirytime) own['expirytime'] = new Date(expiresAt).toISOString()
  }
  if (properties?.extensions === true && input.properties !== undefined) {
    for (const [name, value] of extensionsOf(input.properties())) own[name] = value
  }
  for (const [name, template] of extensions) {
    const value = template.render(input)
    if (value === undefined) delete own[name]
    else own[name] = toAttributeString(value)
  }
}

/**
 * Puts in force what a device says of its own event. Its partition key stays that of the rule, which no device can take
 * from another; so do extensions that the rule sets.
 */
function takeOver (event: Writable<Event>, own: DecodedEvent, rule: CompiledRule, on: ExtensionSwitches): void {
  const { extensions: given, time, ...attributes } = own
  const isRuled = (name: string): boolean => rule.extensions.some(([ruled]) => ruled === name)
  const kept = keepExtensions(given, on, isRuled)
  const set = { ...event.extensions }
  if (kept['traceparent'] !== undefined && !isRuled('traceparent')) delete set['traceparent']
  // It may have ended before the rule says that it does, and not later.
  const expiresAt = parseTimestamp(given['expirytime'])
  if (expiresAt !== undefined && expiresAt <= (event.handling?.expiresAt ?? Infinity)) {
    event.handling = { ...event.handling, expiresAt }
    if (!isRuled('expirytime')) delete set['expirytime']
  }
  // When it arrived is told beside when the device says that it happened; nobody changes what says so already [CE
  // recordedtime].
  if (on.recordedtime && time !== undefined) kept['recordedtime'] ??= event.time
  for (const name of ['subject', 'datacontenttype', 'dataschema'] as const) delete event[name]
  Object.assign(event, attributes, time !== undefined && { time }, { extensions: { ...kept, ...set } })
  // In JSON the type goes without saying [CE-JSON 3.1]; in binary mode nothing does.
  if (own.datacontenttype === undefined && isJson(own.data)) event.datacontenttype = 'application/json'
}

/** How the event is handled, where its rule says something of that. */
function handlingOf ({ ack, templates }: CompiledRule, input: TemplateInput): Handling | undefined {
  const supersede = templates.supersede?.render(input)
  if (ack === undefined && supersede === undefined) return undefined
  return { ...(ack !== undefined && { ack }), ...(supersede !== undefined && { supersede }) }
}

/** Does it when it is asked for, and then not again. */
function once<T> (work: () => T): () => T {
  let done: { readonly value: T } | undefined
  return () => (done ??= { value: work() }).value
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** RFC 3339 with milliseconds. Thousands of publishes share one: it is written once per millisecond. */
function createTimestamp (): (ms: number) => string {
  let lastMs = NaN
  let last = ''
  return (ms) => {
    if (ms !== lastMs) {
      last = new Date(ms).toISOString()
      lastMs = ms
    }
    return last
  }
}

/**
 * CloudEvents that a device makes itself, as structured JSON [CE-MQTT 3.2]: held against the specification, and against
 * the sources that the device may speak for. Pure.
 *
 * Invariant: what says whose an event is, and what orders it, never comes from the device alone.
 */
import { decode, type DecodedEvent } from '../cloudevent/decode.ts'
import type { Capture } from './rule-pattern.ts'
import { parseTemplate, type Template, type TemplateInput } from './template.ts'

/** The part of a rule about them. */
export interface DeviceEventRule {
  /** Sources that a device may claim: templates, with `*` at the end for anything that begins like this. */
  readonly trustSource: readonly string[]
  /** What becomes of a payload that is no such event: an event with it as data, none, a refusal, a dead letter. */
  readonly invalid: 'data' | 'drop' | 'refuse' | 'deadLetter'
}

export interface CompiledDeviceEvents {
  readonly invalid: DeviceEventRule['invalid']
  readonly sources: ReadonlyArray<{ readonly template: Template, readonly open: boolean }>
}

/** Why a payload is no event that may pass, in words. */
export interface NoDeviceEvent {
  readonly reason: string
  /** The same without a word of the payload. */
  readonly detail: string
}

const STRUCTURED = ['content-type', 'application/cloudevents+json']
/** What every CloudEvent in JSON has, and hardly anything else: to find out by an exception is expensive. */
const SPECVERSION = Buffer.from('"specversion"')
const OPEN_BRACE = 0x7b
/** Segments that lead elsewhere, plain or encoded: a source with them is not what it begins with [RFC 3986 5.2.4]. */
const DOT_SEGMENT = /(?:^|\/)(?:\.|%2e){1,2}(?:$|[/?#])/i
/** What some take for a slash: behind a trusted beginning it could hide a dot segment, or another device. */
const ENCODED_SLASH = /%2f|%5c/i

/** Compiles it; or says what is wrong with one of its sources, and which. */
export function compileDeviceEvents (
  { trustSource, invalid }: DeviceEventRule, captures: readonly Capture[]
): CompiledDeviceEvents | { readonly at: number, readonly reason: string } {
  const sources = []
  for (const [at, text] of trustSource.entries()) {
    const open = text.endsWith('*')
    const template = parseTemplate(open ? text.slice(0, -1) : text, captures, 'uri')
    if (typeof template === 'string') return { at, reason: template }
    sources.push({ template, open })
  }
  return { invalid, sources }
}

/** The event that a payload is; or why it is none that this device may make. */
export function readDeviceEvent (rule: CompiledDeviceEvents, input: TemplateInput): DecodedEvent | NoDeviceEvent {
  const { payload } = input.publish
  if (!looksLikeEvent(payload)) return because('it is no CloudEvent in JSON')
  let event: DecodedEvent
  try {
    const [first] = decode(STRUCTURED, payload)
    event = first as DecodedEvent
  } catch (error) {
    const reason = String((error as { details?: { reason?: unknown } }).details?.reason ?? 'it cannot be read')
    return { reason, detail: 'it is no CloudEvent as the specification has them' }
  }
  return isTrusted(event.source, rule, input) ? event : because('its source is not one that the device may claim')
}

function because (reason: string): NoDeviceEvent {
  return { reason, detail: reason }
}

function looksLikeEvent (payload: Buffer): boolean {
  let at = 0
  while (at < payload.length && (payload[at] as number) <= 0x20) at++
  return payload[at] === OPEN_BRACE && payload.includes(SPECVERSION)
}

function isTrusted (source: string, { sources }: CompiledDeviceEvents, input: TemplateInput): boolean {
  if (DOT_SEGMENT.test(source)) return false
  return sources.some(({ template, open }) => {
    const trusted = template.render(input)
    if (trusted === undefined || !open) return source === trusted
    // In the beginning an encoded slash is one of a value, as of a client identifier.
    return source.startsWith(trusted) && !ENCODED_SLASH.test(source.slice(trusted.length))
  })
}

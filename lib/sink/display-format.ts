/**
 * Event -> text, in the form of Knative's event_display. Pure. Invariant: whatever an event contains, its text moves no
 * cursor, colors nothing and cannot pass for a second event: control and direction characters are escaped, and only the
 * words of the form itself begin a line.
 */
import { isUtf8 } from 'node:buffer'
import { formatValue } from '../cloudevent/attributes.ts'
import { indentJson, jsonText } from '../cloudevent/json-text.ts'
import { contentKind, isUnicode } from '../cloudevent/media-type.ts'
import type { ExtensionValue } from '../message.ts'

/** What is shown of an event, whether it is ours or was received. */
export interface ShownEvent {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject?: string
  readonly time?: string
  readonly datacontenttype?: string
  readonly dataschema?: string
  readonly extensions: Readonly<Record<string, ExtensionValue>>
  readonly data: Buffer
}

const CONTEXT = ['type', 'source', 'subject', 'id', 'time', 'dataschema', 'datacontenttype'] as const

/** Everything a terminal acts on: controls (C0, DEL, C1), line separators, changes of direction. */
const UNSAFE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu
const UNSAFE_BUT_LAYOUT = /(?![\t\n])[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** Formats a valid event; ends with a line feed. */
export function formatEvent (event: ShownEvent): string {
  let text = '☁️  cloudevents.Event\nValidation: valid\nContext Attributes,\n  specversion: 1.0\n'
  for (const name of CONTEXT) {
    const value = event[name]
    if (value !== undefined) text += `  ${name}: ${escape(value, UNSAFE)}\n`
  }
  const extensions = Object.keys(event.extensions).sort()
  if (extensions.length > 0) text += 'Extensions,\n'
  for (const name of extensions) {
    text += `  ${name}: ${escape(formatValue(event.extensions[name] as ExtensionValue), UNSAFE)}\n`
  }
  return text + formatData(event.data, event.datacontenttype)
}

function formatData (data: Buffer, datacontenttype: string | undefined): string {
  if (data.length === 0) return ''
  if (!isUtf8(data) || (datacontenttype !== undefined && !isUnicode(datacontenttype))) {
    return `Data (binary),\n  ${data.toString('base64')}\n`
  }
  const isJson = datacontenttype === undefined || contentKind(datacontenttype) === 'json'
  const json = isJson ? jsonText(data) : undefined
  const text = json === undefined ? data.toString() : indentJson(json, '', '  ')
  return `Data,\n  ${escape(text, UNSAFE_BUT_LAYOUT).replaceAll('\n', '\n  ')}\n`
}

function escape (text: string, characters: RegExp): string {
  return text.replace(characters, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

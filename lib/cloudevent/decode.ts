/**
 * HTTP message -> CloudEvents, for what others send to us [CE-HTTP 3]. The SDK validates the URIs; headers and
 * body are read here, because the SDK's reader changes what it reads: it parses JSON data (74.12 becomes a string, 1.0
 * becomes 1), drops data that is 0, false or "", replaces a time that is none by the current one and a missing id by a
 * new one, knows two spellings of a content type, and takes an unknown specversion for valid. Pure.
 */
import { isUtf8 } from 'node:buffer'
import { CloudEvent } from 'cloudevents'
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'
import type { ExtensionValue } from '../message.ts'
import { CONTEXT_ATTRIBUTES, extensionProblem, isAttributeString, NO_STRING } from './attributes.ts'
import { jsonElements, jsonMembers, jsonText } from './json-text.ts'
import { contentKind, isMediaType, isUnicode, mediaType } from './media-type.ts'
import { decodeHeaderUri, decodeHeaderValue } from './percent.ts'
import { parseTimestamp } from './timestamp.ts'

/** A CloudEvent that was received. */
export interface DecodedEvent {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject?: string
  readonly time?: string
  readonly datacontenttype?: string
  readonly dataschema?: string
  readonly extensions: Readonly<Record<string, ExtensionValue>>
  /** The payload, byte for byte; of a JSON value in a structured event, the text as it was written. */
  readonly data: Buffer
}

const STRUCTURED = 'application/cloudevents+json'
const BATCH = 'application/cloudevents-batch+json'
const REQUIRED = ['id', 'source', 'type'] as const
const NO_DATA = Buffer.alloc(0)

/**
 * Reads the CloudEvents of a request: one in binary or structured mode, any number in a batch.
 * @param headers names and values in turn, as in node's `rawHeaders`
 * @throws MBS_ERR_DISPLAY_EVENT with the reason
 */
export function decode (headers: readonly string[], body: Buffer): DecodedEvent[] {
  try {
    const contentType = headerOf(headers, 'content-type') ?? ''
    switch (mediaType(contentType)) {
      case STRUCTURED:
        return [decodeJson(readText(contentType, body))]
      case BATCH: {
        const text = readText(contentType, body)
        if (!text.trimStart().startsWith('[')) throw invalid('a batch is a JSON array')
        return jsonElements(text).map(decodeJson)
      }
    }
    if (mediaType(contentType).startsWith('application/cloudevents')) {
      throw invalid(`the format ${mediaType(contentType)} is not supported`)
    }
    return [decodeBinary(headers, body)]
  } catch (error) {
    throw isMbsError(error) ? error : invalid(reasonOf(error), error)
  }
}

function decodeBinary (headers: readonly string[], body: Buffer): DecodedEvent {
  const attributes = new Map<string, ExtensionValue>()
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const header = (headers[at] as string).toLowerCase()
    const value = headers[at + 1] as string
    if (header === 'content-type') attributes.set('datacontenttype', value)
    if (!header.startsWith('ce-')) continue
    const name = header.slice(3)
    if (name === 'datacontenttype') throw invalid('it has a header ce-datacontenttype, where Content-Type is meant')
    if (attributes.has(name)) throw invalid(`the header ${header} appears twice`)
    const isUri = name === 'source' || name === 'dataschema'
    attributes.set(name, isUri ? decodeHeaderUri(value) : decodeHeaderValue(value))
  }
  if (!attributes.has('specversion')) throw invalid('there is no header ce-specversion, and no structured content type')
  return validated(attributes, body)
}

function decodeJson (text: string): DecodedEvent {
  if (!text.trimStart().startsWith('{')) throw invalid('an event is a JSON object')
  const members = new Map<string, string>()
  for (const [name, value] of jsonMembers(text)) {
    if (members.has(name)) throw invalid(`the member ${name} appears twice`)
    if (value !== 'null') members.set(name, value) // null is as good as absent [CE-JSON 2.2]
  }
  const data = members.get('data')
  const base64 = members.get('data_base64')
  members.delete('data')
  members.delete('data_base64')
  if (data !== undefined && base64 !== undefined) throw invalid('it has both data and data_base64')
  const attributes = new Map<string, ExtensionValue>()
  for (const [name, value] of members) attributes.set(name, JSON.parse(value) as ExtensionValue)
  if (base64 !== undefined) return validated(attributes, fromBase64(base64))
  return validated(attributes, data === undefined ? NO_DATA : fromData(data, attributes.get('datacontenttype')))
}

/** The bytes that the member `data` stands for [CE-JSON 3.1.1]: a string is itself, unless the type says JSON. */
function fromData (text: string, datacontenttype: ExtensionValue | undefined): Buffer {
  const isJson = datacontenttype === undefined || contentKind(String(datacontenttype)) === 'json'
  return Buffer.from(isJson || !text.startsWith('"') ? text : JSON.parse(text) as string)
}

function fromBase64 (text: string): Buffer {
  const value = JSON.parse(text) as unknown
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value) || value.length % 4 !== 0) {
    throw invalid('data_base64 is not a string in base64')
  }
  return Buffer.from(value, 'base64')
}

/** Holds the attributes against the specification and tells extensions from context attributes. */
function validated (attributes: ReadonlyMap<string, ExtensionValue>, data: Buffer): DecodedEvent {
  const specversion = attributes.get('specversion')
  if (specversion !== '1.0') {
    throw invalid(specversion === undefined ? 'specversion is missing' : `specversion ${specversion} is not supported`)
  }
  for (const name of REQUIRED) {
    const value = attributes.get(name)
    if (value === undefined || value === '') throw invalid(`${name} is missing`)
  }
  const context: Record<string, ExtensionValue> = {}
  const extensions: Record<string, ExtensionValue> = {}
  for (const [name, value] of attributes) {
    if (CONTEXT_ATTRIBUTES.has(name)) {
      const problem = contextProblem(name, value)
      if (problem !== undefined) throw invalid(problem)
      if (name !== 'specversion') context[name] = value
    } else {
      const problem = extensionProblem(name, value)
      if (problem !== undefined) throw invalid(`the extension ${name}: ${problem}`)
      extensions[name] = value
    }
  }
  // Without the extensions, which it would make its own members: `validate` is a legal name.
  // eslint-disable-next-line no-new -- the constructor validates, and its object is not used: see the top
  new CloudEvent({ specversion, ...context } as ConstructorParameters<typeof CloudEvent>[0], true)
  return { ...context as unknown as Omit<DecodedEvent, 'extensions' | 'data'>, extensions, data }
}

/** What is wrong with a context attribute, as far as the SDK does not find out, in words. */
function contextProblem (name: string, value: ExtensionValue): string | undefined {
  if (typeof value !== 'string') return `${name} is not a string`
  if (!isAttributeString(value)) return `${name}: ${NO_STRING}`
  if (name === 'time' && parseTimestamp(value) === undefined) return 'time is no timestamp'
  if (name === 'datacontenttype' && !isMediaType(value)) return 'datacontenttype is no media type'
  return undefined
}

function readText (contentType: string, body: Buffer): string {
  if (!isUnicode(contentType) || !isUtf8(body)) throw invalid('the body is not UTF-8')
  const text = jsonText(body)
  if (text === undefined) throw invalid('the body is not JSON')
  return text
}

function headerOf (headers: readonly string[], name: string): string | undefined {
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if ((headers[at] as string).toLowerCase() === name) return headers[at + 1]
  }
  return undefined
}

function invalid (reason: string, cause?: unknown): MbsError {
  return createError('MBS_ERR_DISPLAY_EVENT', { reason }, cause)
}

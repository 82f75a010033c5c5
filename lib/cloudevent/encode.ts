/**
 * Event -> HTTP message, on the way to a sink [CE-HTTP 3]. The payload's bytes are never changed: binary mode sends
 * them as they are, structured mode puts JSON into the document as the text it was written as. Pure.
 */
import { isUtf8 } from 'node:buffer'
import type { Event } from '../message.ts'
import { formatValue } from './attributes.ts'
import { jsonText } from './json-text.ts'
import { contentKind, isCloudEventsType } from './media-type.ts'
import { encodeHeaderValue, needsPercentEncoding } from './percent.ts'

/**
 * `auto`: binary, or structured where binary mode would have to escape or to send too many headers. `batch`: several
 * events in a request; here, a batch of one.
 */
export type ContentMode = 'auto' | 'binary' | 'structured' | 'batch'

/** What is POSTed. Content-Length, Host and whatever else is not the event's is the HTTP client's to add. */
export interface HttpMessage {
  /** Names, in lower case, and values in turn: name, value, name, value… */
  readonly headers: string[]
  readonly body: Buffer
}

/** Servers commonly take 8 KiB of headers in all (Vert.x, in front of Knative's Kafka broker); others add their own. */
const MAX_HEADER_BYTES = 6 * 1024

const STRUCTURED_TYPE = 'application/cloudevents+json; charset=utf-8'
const BATCH_TYPE = 'application/cloudevents-batch+json; charset=utf-8'

const [OPEN, COMMA, CLOSE] = [Buffer.from('['), Buffer.from(','), Buffer.from(']')] as const

/** What an HTTP header cannot carry. */
const NO_HEADER_TEXT = /[^\t\u0020-\u007e]/

/** A content type that Content-Type cannot carry, or that would make the data be taken for the event. */
function isNoHeader (contentType: string): boolean {
  return NO_HEADER_TEXT.test(contentType) || isCloudEventsType(contentType)
}

/** Encodes an event in the mode that is asked for, or that suits it. */
export function encode (event: Event, mode: ContentMode): HttpMessage {
  switch (mode) {
    case 'auto': {
      const headers = plainHeaders(event)
      return headers === undefined ? encodeStructured(event) : { headers, body: event.data }
    }
    case 'binary': return encodeBinary(event)
    case 'structured': return encodeStructured(event)
    case 'batch': return encodeBatch([encodeJson(event)])
  }
}

/**
 * True for an event that is better sent in structured mode: an attribute would have to be percent-encoded, which the Go
 * and the JavaScript SDK do not decode, or its headers would be larger than many servers allow.
 */
export function needsStructured (event: Event): boolean {
  return plainHeaders(event) === undefined
}

/**
 * Binary content mode [CE-HTTP 3.1], with percent-encoded attributes where they need it. A content type that no header
 * can carry makes it structured in spite of all; so does one of CloudEvents, with which a device could forge an event.
 */
export function encodeBinary (event: Event): HttpMessage {
  if (event.datacontenttype !== undefined && isNoHeader(event.datacontenttype)) return encodeStructured(event)
  const headers = collectHeaders(event)
  for (let at = 1; at < headers.length; at += 2) {
    if (headers[at - 1] !== 'content-type') headers[at] = encodeHeaderValue(headers[at] as string)
  }
  return { headers, body: event.data }
}

/** Structured content mode in the JSON format [CE-HTTP 3.2, CE-JSON 3]. */
export function encodeStructured (event: Event): HttpMessage {
  return { headers: ['content-type', STRUCTURED_TYPE], body: encodeJson(event) }
}

/** Batched content mode [CE-HTTP 3.3, CE-JSON 4]. @param documents events in the JSON format */
export function encodeBatch (documents: readonly Buffer[]): HttpMessage {
  const pieces = documents.flatMap((document, at) => at === 0 ? [document] : [COMMA, document])
  return { headers: ['content-type', BATCH_TYPE], body: Buffer.concat([OPEN, ...pieces, CLOSE]) }
}

/** An event in the JSON format [CE-JSON 3]. */
export function encodeJson (event: Event): Buffer {
  const { id, source, type, subject, time, datacontenttype, dataschema, extensions, data } = event
  const attributes = JSON.stringify({
    specversion: '1.0', id, source, type, subject, time, datacontenttype, dataschema, ...extensions
  })
  return Buffer.from(attributes.slice(0, -1) + dataMember(data, datacontenttype) + '}')
}

/** The member that carries the payload, with the comma before it [CE-JSON 3.1]. */
function dataMember (data: Buffer, datacontenttype: string | undefined): string {
  if (data.length === 0) return ''
  // Without a content type `data` would mean JSON [CE-JSON 3.1.1]: bytes of no declared type stay bytes.
  const kind = datacontenttype === undefined ? 'bytes' : contentKind(datacontenttype)
  if (kind === 'json') {
    const text = jsonText(data)
    if (text !== undefined) return ',"data":' + text
  } else if (kind === 'text' && isUtf8(data)) {
    return ',"data":' + JSON.stringify(data.toString())
  }
  return ',"data_base64":"' + data.toString('base64') + '"'
}

/** The headers of binary mode, unless one needs escaping or they are too many. On the path of every event. */
function plainHeaders (event: Event): string[] | undefined {
  const headers = collectHeaders(event)
  let bytes = 0
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string
    const value = headers[at + 1] as string
    bytes += name.length + value.length
    if (name === 'content-type' ? isNoHeader(value) : needsPercentEncoding(value)) return undefined
  }
  return bytes > MAX_HEADER_BYTES ? undefined : headers
}

/** `datacontenttype` becomes Content-Type; a header ce-datacontenttype must not be sent [CE-HTTP 3.1.1]. */
function collectHeaders (event: Event): string[] {
  const headers = [
    'ce-specversion', '1.0', 'ce-id', event.id, 'ce-source', event.source, 'ce-type', event.type, 'ce-time', event.time
  ]
  if (event.subject !== undefined) headers.push('ce-subject', event.subject)
  if (event.dataschema !== undefined) headers.push('ce-dataschema', event.dataschema)
  if (event.datacontenttype !== undefined) headers.push('content-type', event.datacontenttype)
  const extensions = event.extensions
  for (const name of Object.keys(extensions)) {
    headers.push('ce-' + name, formatValue(extensions[name] as string | number | boolean))
  }
  return headers
}

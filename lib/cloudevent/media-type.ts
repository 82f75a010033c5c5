/** What a content type says about how its bytes can be shown or written into JSON. Pure. */

const JSON_TYPE = /^[^/;\s]+\/(?:[^;\s]+\+)?json$/i
const TEXT_TYPE = /^text\/[^;\s]+$/i
const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]+)/i

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
/** [RFC 9110 8.3.1] */
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|"(?:[ !#-[\\]-~]|\\\\[ -~])*"))*$`)
const MAX_LENGTH = 256
/** The content types by which a receiver knows structured and batch mode [CE-HTTP 3]. */
const CLOUDEVENTS = /^application\/cloudevents/i

/** `json`: any type that is JSON (`application/json`, `+json`); `text`: `text/*`; both in UTF-8. `bytes`: all else. */
export type ContentKind = 'json' | 'text' | 'bytes'

/** @param contentType a media type, with or without parameters */
export function contentKind (contentType: string): ContentKind {
  switch (contentType) { // what the default rule finds, without a regular expression
    case 'application/json': return 'json'
    case 'text/plain': return 'text'
    case 'application/octet-stream': return 'bytes'
  }
  const kind = JSON_TYPE.test(mediaType(contentType)) ? 'json' : TEXT_TYPE.test(mediaType(contentType)) ? 'text' : 'bytes'
  return kind === 'bytes' || isUnicode(contentType) ? kind : 'bytes'
}

/** True for a media type, with or without parameters, that is short enough for an attribute. */
export function isMediaType (text: string): boolean {
  return text.length <= MAX_LENGTH && MEDIA_TYPE.test(text)
}

/** True for what HTTP says of whole CloudEvents: in binary mode the data would be taken for the event. */
export function isCloudEventsType (contentType: string): boolean {
  return CLOUDEVENTS.test(contentType.trimStart())
}

/** The type and subtype, without parameters, in lower case. */
export function mediaType (contentType: string): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase()
}

/** False where the type declares a character set in which bytes cannot be read as UTF-8. */
export function isUnicode (contentType: string): boolean {
  const charset = CHARSET.exec(contentType)?.[1]?.toLowerCase()
  return charset === undefined || charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii'
}

/**
 * What `format` means in a JSON Schema. Devices choose what is held against it, so each takes time in proportion to
 * the text, whatever the text is. Pure.
 */
import { isIPv4, isIPv6 } from 'node:net'

type Format = (text: string) => boolean

const DATE = /^(\d{4})-(\d\d)-(\d\d)$/
const TIME = /^([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(?:\.\d+)?(?:z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i
const DURATION = /^P(?!$)(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?)$/
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const EMAIL = /^[^\s@]{1,64}@[^\s@]{1,255}$/
const HOST_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i
const JSON_POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/
const SCHEME = '[A-Za-z][A-Za-z0-9+.-]*:'
const NAME_CHARACTER = "(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
const PATH_CHARACTER = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
const AUTHORITY = `(?:(?:${NAME_CHARACTER}|:)*@)?(?:\\[[0-9A-Fa-f:.]+\\]|${NAME_CHARACTER}*)(?::\\d*)?`
const SEGMENTS = `${PATH_CHARACTER}+(?:/${PATH_CHARACTER}*)*`
/** One that is empty is legal, names nothing, and is none for the JavaScript SDK. */
const PATH = `(?://${AUTHORITY}(?:/${PATH_CHARACTER}*)*|/(?:${SEGMENTS})?|${SEGMENTS})`
const BEHIND = `(?:${PATH_CHARACTER}|[/?])*`
const URI = new RegExp(`^${SCHEME}${PATH}(?:\\?${BEHIND})?(?:#${BEHIND})?$`)
const BEGINS_AS_URI = new RegExp(`^${SCHEME}`)
/** What stands in no URI-reference [RFC 3986 2]. */
const NO_URI = /[^A-Za-z0-9._~:/?#[\]@!$&'()*+,;=%-]|%(?![0-9A-Fa-f]{2})/

function isDate (text: string): boolean {
  const [, year, month, day] = DATE.exec(text)?.map(Number) ?? []
  if (year === undefined || month === undefined || day === undefined) return false
  const date = new Date(Date.UTC(2000, month - 1, day))
  date.setUTCFullYear(year)
  // A day that its month does not have leads into the next one.
  return month >= 1 && day >= 1 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day
}

function isDateTime (text: string): boolean {
  return /^[t ]$/i.test(text.charAt(10)) && isDate(text.slice(0, 10)) && TIME.test(text.slice(11))
}

function isHostname (text: string): boolean {
  return text.length <= 253 && text.split('.').every((label) => HOST_LABEL.test(label))
}

/** True for a URI with a scheme [RFC 3986 3]. */
export function isUri (text: string): boolean {
  return URI.test(text)
}

/** True for a text that begins with a scheme. */
export function hasScheme (text: string): boolean {
  return BEGINS_AS_URI.test(text)
}

function isRegExp (text: string): boolean {
  try {
    return new RegExp(text, 'u') instanceof RegExp
  } catch {
    return false
  }
}

export const FORMATS: Readonly<Record<string, Format>> = {
  'date-time': isDateTime,
  date: isDate,
  time: (text) => TIME.test(text),
  duration: (text) => DURATION.test(text),
  uuid: (text) => UUID.test(text),
  email: (text) => EMAIL.test(text),
  hostname: isHostname,
  ipv4: isIPv4,
  ipv6: isIPv6,
  uri: isUri,
  'uri-reference': (text) => !NO_URI.test(text),
  'json-pointer': (text) => JSON_POINTER.test(text),
  regex: isRegExp
}

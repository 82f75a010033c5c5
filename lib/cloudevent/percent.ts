/**
 * Percent-encoding of HTTP header values [CE-HTTP 3.1.3.2] and of single characters in attributes. Pure.
 *
 * The JavaScript and Go SDKs neither encode nor decode. That is why events with such a value are normally sent in
 * structured mode (encode.ts), and why decoding is careful with what an unencoding sender may have meant.
 */
import { isUtf8 } from 'node:buffer'

/** A character that a header value cannot carry as it is: outside U+0021..U+007E, `"` or `%`. */
const UNSAFE = /[^\u0021-\u007e]|["%]/
const EVERY_UNSAFE = /[^\u0021-\u007e]|["%]/gu
const NON_ASCII = /[^\0-\u007f]/

/** True for a value that percent-encoding would change. */
export function needsPercentEncoding (value: string): boolean {
  return UNSAFE.test(value)
}

/** Encodes a context attribute for an HTTP header [CE-HTTP 3.1.3.2]. */
export function encodeHeaderValue (value: string): string {
  return UNSAFE.test(value) ? percentEncode(value, EVERY_UNSAFE) : value
}

/**
 * Replaces each match by its UTF-8 bytes as %XX in upper case. A lone surrogate becomes U+FFFD.
 * @param characters has the flags `g` and `u`, and matches one character at a time
 */
export function percentEncode (text: string, characters: RegExp): string {
  return text.replace(characters, (character) => {
    let encoded = ''
    for (const byte of Buffer.from(character)) encoded += '%' + byte.toString(16).toUpperCase().padStart(2, '0')
    return encoded
  })
}

/**
 * Decodes a header value into a context attribute [CE-HTTP 3.1.3.2]: unquotes, then decodes percent sequences once.
 * What is no valid percent-encoding of UTF-8 comes from a sender that does not encode, and stays as it is.
 * @param value as node reads it: one character per byte
 */
export function decodeHeaderValue (value: string): string {
  const text = unquote(fromLatin1(value))
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * Decodes a header value into an attribute that is a URI. Of a URI's characters only `%` is ever encoded, as %25: with
 * any other sequence in it, the sender did not encode, and the value is the URI itself.
 */
export function decodeHeaderUri (value: string): string {
  const text = unquote(fromLatin1(value))
  return /%(?!25)/.test(text) ? text : text.replaceAll('%25', '%')
}

/** Senders that do not encode put UTF-8 into the header, which node reads as Latin-1. */
function fromLatin1 (value: string): string {
  if (!NON_ASCII.test(value)) return value
  const bytes = Buffer.from(value, 'latin1')
  return isUtf8(bytes) ? bytes.toString() : value
}

function unquote (value: string): string {
  if (value.length < 2 || !value.startsWith('"') || !value.endsWith('"')) return value
  return value.slice(1, -1).replace(/\\(.)/g, '$1')
}

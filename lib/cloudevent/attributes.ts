/**
 * What the CloudEvents specification allows as the name and the value of an attribute [CE 3.1]. Every string that a
 * device chooses passes `toAttributeString` before it becomes one, so that no topic or client id can make an event
 * invalid. Pure; knows no encoding.
 */
import { createError } from '../errors.ts'
import type { ExtensionValue } from '../message.ts'
import { percentEncode } from './percent.ts'

/** The context attributes of CloudEvents 1.0: an extension can never have one of these names [CE 3.1]. */
export const CONTEXT_ATTRIBUTES: ReadonlySet<string> = new Set([
  'specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema'
])

/** Members of the JSON format that are no attributes, and names that older versions gave a meaning. */
const RESERVED_NAMES: ReadonlySet<string> = new Set(['data', 'database64', 'datacontentencoding', 'schemaurl'])

/**
 * Legal names that are members of the class `CloudEvent` of the JavaScript SDK: it makes a property of each extension,
 * and throws where one of these is called then, at the sink for the whole batch. Devices cannot choose them.
 */
export const SDK_MEMBERS: ReadonlySet<string> = new Set(['constructor', 'emit', 'validate'])

const NAME = /^[a-z0-9]{1,20}$/

/** Control characters, lone surrogates and noncharacters: what a String must not contain [CE 3.1 String]. */
const ILLEGAL = /[\p{Cc}\p{Cs}\p{NChar}]/u
const EVERY_ILLEGAL = /[\p{Cc}\p{Cs}\p{NChar}]/gu
/** Why a text with one of these is no legal value, in words. */
export const NO_STRING = 'it contains a control character or another that is not allowed'
const PRINTABLE_ASCII = /^[ -~]*$/

const MIN_INTEGER = -(2 ** 31)
const MAX_INTEGER = 2 ** 31 - 1

/**
 * The text as a legal CloudEvents String: what is not allowed in one (control characters, noncharacters, lone
 * surrogates) is percent-encoded as UTF-8, everything else stays as it is.
 */
export function toAttributeString (text: string): string {
  if (PRINTABLE_ASCII.test(text)) return text
  return percentEncode(text, EVERY_ILLEGAL)
}

/** True for a legal CloudEvents String. */
export function isAttributeString (text: string): boolean {
  return PRINTABLE_ASCII.test(text) || !ILLEGAL.test(text)
}

/** An extension's value in the canonical string form of its type [CE 3.1]. */
export function formatValue (value: ExtensionValue): string {
  return typeof value === 'string' ? value : String(value)
}

/**
 * Says what is wrong with an extension, or nothing when it is legal.
 * @returns the reason, in words
 */
export function extensionProblem (name: string, value: unknown): string | undefined {
  if (CONTEXT_ATTRIBUTES.has(name)) return 'it is a context attribute and cannot be an extension'
  if (RESERVED_NAMES.has(name)) return 'the name is reserved'
  if (!NAME.test(name)) return 'a name has 1 to 20 characters of a-z and 0-9'
  if (typeof value === 'boolean') return undefined
  if (typeof value === 'number') {
    const isInteger = Number.isInteger(value) && value >= MIN_INTEGER && value <= MAX_INTEGER
    return isInteger ? undefined : 'a number has to be a 32-bit integer'
  }
  if (typeof value !== 'string') return 'a value is a string, a boolean or an integer'
  return isAttributeString(value) ? undefined : NO_STRING
}

/**
 * Lets a legal extension pass.
 * @throws MBS_ERR_CLOUDEVENT_ATTRIBUTE
 */
export function assertExtension (name: string, value: unknown): asserts value is ExtensionValue {
  const reason = extensionProblem(name, value)
  if (reason !== undefined) throw createError('MBS_ERR_CLOUDEVENT_ATTRIBUTE', { name, reason })
}

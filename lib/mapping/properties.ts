/**
 * The property bag of a topic: `name=value` pairs, percent-encoded and separated by `&`, as Azure IoT Hub and Eclipse
 * Hono append them to topics. Pure.
 *
 * Invariant: what cannot be read is left out and never an error, and nothing of it makes an event invalid: not its
 * names, not its values, not their number.
 */
import { extensionProblem, SDK_MEMBERS, toAttributeString } from '../cloudevent/attributes.ts'
import type { ExtensionValue } from '../message.ts'

/** Values by name, decoded. */
export type Properties = ReadonlyMap<string, string>

/** Longest value, in UTF-16 code units: attributes travel as headers. A longer one is none. */
export const MAX_VALUE = 1024

/** Pairs that are looked at; those behind them are left out. */
export const MAX_PROPERTIES = 64

const NONE: Properties = new Map()

/** Extensions that say what the program knows, or documented ones by which sinks and networks are steered. */
const OWN_EXTENSIONS: ReadonlySet<string> = new Set([
  'partitionkey', 'mqttqos', 'mqttretain', 'recordedtime', 'expirytime', 'sequence', 'sampledrate', 'traceparent',
  'tracestate', 'authtype', 'authid', 'knativeerrordest', 'knativeerrorcode', 'knativeerrordata'
])

/**
 * Takes a bag apart. Left out are pairs that are no percent-encoded UTF-8, that have no name, and all of a name that
 * comes twice: nobody can say which is meant. A name without `=` has an empty value.
 * @param bag what the topic has, with the `?` in front of it or without
 */
export function parseProperties (bag: string | undefined): Properties {
  if (bag === undefined || bag === '' || bag === '?') return NONE
  const properties = new Map<string, string>()
  const twice = new Set<string>()
  let at = bag.startsWith('?') ? 1 : 0
  for (let count = 0; count < MAX_PROPERTIES && at < bag.length; count++) {
    const ampersand = bag.indexOf('&', at)
    const end = ampersand === -1 ? bag.length : ampersand
    const pair = bag.slice(at, end)
    at = end + 1
    const equals = pair.indexOf('=')
    const name = decode(equals === -1 ? pair : pair.slice(0, equals))
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1))
    if (name === undefined || name === '' || value === undefined) continue
    if (properties.has(name)) twice.add(name)
    properties.set(name, value)
  }
  for (const name of twice) properties.delete(name)
  return properties
}

/**
 * The properties that can be extension attributes, by their names in lower case. Those that cannot are left out: other
 * characters than a-z and 0-9, more than 20 of them, names of attributes, of what the program says itself and of what
 * the SDK's class has, two that differ in case alone, and values that are empty or longer than `MAX_VALUE`.
 */
export function extensionsOf (properties: Properties): Array<readonly [name: string, value: ExtensionValue]> {
  const extensions = new Map<string, string | undefined>()
  for (const [property, text] of properties) {
    const name = property.toLowerCase()
    if (OWN_EXTENSIONS.has(name) || SDK_MEMBERS.has(name) || extensionProblem(name, '') !== undefined) continue
    const isValue = text !== '' && text.length <= MAX_VALUE && !extensions.has(name)
    extensions.set(name, isValue ? toAttributeString(text) : undefined)
  }
  return [...extensions].flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])
}

function decode (text: string): string | undefined {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/**
 * Texts with placeholders, as a rule gives them for the attributes of an event: `{site}` is a named level of the topic,
 * `{payload.temperature}` a field of a JSON payload, `{room|unknown}` has a text for when there is no value. Pure.
 *
 * Invariant: a placeholder without a value and without such a text makes the whole attribute absent; nothing is ever
 * put together from half of what was asked for. An empty value is none.
 */
import type { ClientIdentity, Publish } from '../message.ts'
import { parsePath, valueAt, type Path } from './json-path.ts'
import { pathSegment } from './path-segment.ts'
import { MAX_VALUE, type Properties } from './properties.ts'
import { capturedBy, type Capture } from './rule-pattern.ts'

/** What placeholders are taken from. */
export interface TemplateInput {
  readonly publish: Publish
  /** The levels of its topic. */
  readonly levels: readonly string[]
  /** Names this broker. */
  readonly name: string
  /** The payload as JSON; undefined where it is none. */
  readonly json: () => unknown
  /** What the property bag of the topic holds; absent where the rule has none. */
  readonly properties?: () => Properties
}

/**
 * `text`: as it is; `uri`: what is put in is percent-encoded, so that the whole is a URI-reference [RFC 3986], and a
 * value with a dot segment is none.
 */
export type TemplateKind = 'text' | 'uri'

export interface Template {
  readonly text: string
  /** True where no publish changes it. */
  readonly fixed: boolean
  /** The text for one publish; undefined: a value is missing. */
  render (input: TemplateInput): string | undefined
  /** The first placeholder without a value, as it is written; undefined: none is. */
  missing (input: TemplateInput): string | undefined
}

type Value = (input: TemplateInput) => unknown

/** A placeholder. */
interface Placeholder {
  /** As it is written, with its braces. */
  readonly text: string
  readonly value: Value
  /** What stands in the place of a value that is missing. */
  readonly otherwise: string | undefined
  /** Its slashes separate levels; in every other value they are letters. */
  readonly isPath: boolean
}

/** Segments that lead elsewhere [RFC 3986 5.2.4]: who puts one into a URI may speak for what is above or beside it. */
const DOT_SEGMENT = /^\.{1,2}$/
/** What stands in no URI-reference [RFC 3986 2]. */
const NO_URI = /[^A-Za-z0-9._~:/?#[\]@!$&'()*+,;=%-]|%(?![0-9A-Fa-f]{2})/

const TOPIC_LEVEL = /^topic\[(\d{1,3})\]$/
const PROPERTY = 'property.'
const SAN = /^cert\.san\.(URI|DNS|email)$/

/**
 * Reads a template; a sentence about what is wrong with it where it is none.
 * @param captures the named levels that the pattern of its rule has
 * @param hasProperties true where the rule says which of them is a property bag
 */
export function parseTemplate (
  text: string, captures: readonly Capture[], kind: TemplateKind, hasProperties = false
): Template | string {
  const pieces: Array<string | Placeholder> = []
  for (const [index, part] of text.split(/\{([^{}]*)\}/).entries()) {
    if (index % 2 === 0) {
      if (/[{}]/.test(part)) return 'a brace in it has no other one'
      if (kind === 'uri' && NO_URI.test(part)) return `"${part}" has a character that no URI has; write it percent-encoded`
      if (part !== '') pieces.push(part)
      continue
    }
    const bar = part.indexOf('|')
    const name = bar === -1 ? part : part.slice(0, bar)
    const value = valueOf(name, captures, hasProperties)
    if (typeof value === 'string') return value
    const isPath = name === 'topic' || captures.some((capture) => capture.name === name && capture.tail)
    pieces.push({ text: `{${part}}`, value, otherwise: bar === -1 ? undefined : part.slice(bar + 1), isPath })
  }
  const textIn = (piece: Placeholder, input: TemplateInput): string | undefined => {
    const found = textOf(piece.value(input))
    return found !== undefined && kind === 'uri' && hasDotSegment(found, piece.isPath) ? undefined : found
  }
  const render = (input: TemplateInput): string | undefined => {
    let rendered = ''
    for (const piece of pieces) {
      if (typeof piece === 'string') {
        rendered += piece
        continue
      }
      const found = textIn(piece, input) ?? piece.otherwise
      if (found === undefined) return undefined
      rendered += kind === 'uri' ? encodeForUri(found, piece.isPath) : found
    }
    return rendered === '' ? undefined : rendered
  }
  const missing = (input: TemplateInput): string | undefined => {
    for (const piece of pieces) {
      if (typeof piece === 'string' || piece.otherwise !== undefined) continue
      if (textIn(piece, input) === undefined) return piece.text
    }
    return undefined
  }
  return { text, fixed: pieces.every((piece) => typeof piece === 'string'), render, missing }
}

/** Where the value of a placeholder is found; or what is wrong with its name. */
function valueOf (name: string, captures: readonly Capture[], hasProperties: boolean): Value | string {
  const capture = captures.find((one) => one.name === name)
  if (capture !== undefined) return ({ levels }) => capturedBy(capture, levels)
  const level = TOPIC_LEVEL.exec(name)?.[1]
  if (level !== undefined) return ({ levels }) => levels[Number(level)]
  const san = SAN.exec(name)?.[1]
  if (san !== undefined) return ofClient(({ certificate }) => certificate?.sans.find(({ type }) => type === san)?.value)
  if (name.startsWith(PROPERTY) && name.length > PROPERTY.length) {
    if (!hasProperties) return `{${name}}: the rule has no properties`
    const property = name.slice(PROPERTY.length)
    return ({ properties }) => properties?.().get(property)
  }
  if (name.startsWith('payload.') || name.startsWith('payload[')) return ofPayload(name.slice('payload'.length))
  switch (name) {
    case 'clientid': return ofClient(({ id }) => id)
    case 'username': return ofClient(({ username }) => username)
    case 'username.user': return ofClient(({ username }) => username?.slice(0, atSign(username)))
    case 'username.realm': return ofClient(({ username }) => username?.slice(atSign(username) + 1))
    case 'cert.cn': return ofClient(({ certificate }) => certificate?.cn)
    case 'cert.fingerprint': return ofClient(({ certificate }) => certificate?.fingerprint)
    case 'topic': return ({ publish }) => publish.topic
    case 'qos': return ({ publish }) => publish.qos
    case 'retain': return ({ publish }) => publish.retain
    case 'name': return (input) => input.name
    default: return `{${name}} is no placeholder: there are the named levels of the topic (${namesOf(captures)}), clientid, ` +
      'username, username.user, username.realm, topic, topic[N], qos, retain, name, cert.cn, cert.fingerprint, ' +
      'cert.san.TYPE, payload.FIELD, property.NAME'
  }
}

function ofClient (take: (client: ClientIdentity) => unknown): Value {
  return ({ publish }) => take(publish.client)
}

/** Where `user@realm` is parted: at the last one. Without any, all of it is the user. */
function atSign (username: string): number {
  const at = username.lastIndexOf('@')
  return at === -1 ? username.length : at
}

function ofPayload (text: string): Value | string {
  const path: Path | string = parsePath(text.replace(/^\./, ''))
  if (typeof path === 'string') return `{payload${text}}: ${path}`
  if (path.length === 0) return `{payload${text}}: a field has to be named`
  return ({ json }) => valueAt(json(), path)
}

function namesOf (captures: readonly Capture[]): string {
  return captures.length === 0 ? 'none here' : captures.map(({ name }) => name).join(', ')
}

/** Texts, numbers and truth values as they are written in JSON; everything else is no value. */
function textOf (value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' || value.length > MAX_VALUE ? undefined : value
  return Number.isFinite(value) || typeof value === 'boolean' ? String(value) : undefined
}

/** Encoding helps nobody against dots: those who normalize decode them first. */
function hasDotSegment (text: string, isPath: boolean): boolean {
  return isPath ? text.split('/').some((segment) => DOT_SEGMENT.test(segment)) : DOT_SEGMENT.test(text)
}

/** One segment of a path [RFC 3986 3.3], or several. */
function encodeForUri (text: string, isPath: boolean): string {
  return isPath ? text.split('/').map(pathSegment).join('/') : pathSegment(text)
}

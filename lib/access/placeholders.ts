/**
 * Topic patterns with placeholders: `devices/{clientid}/#` becomes a pattern of one session when it is known who that
 * is. Pure.
 *
 * Invariant: what a placeholder brings in is one level or a part of one, letter for letter. A value that could be more
 * (`+`, `#`, `/`, NUL), that is empty or is not there, brings in nothing, and then the pattern has no meaning. Nor does
 * one bring in the `$` with which reserved topics begin.
 */
import type { Identity } from '../message.ts'
import type { Levels } from '../topic-filter.ts'

/** A piece of a level: text, or what is known of the session. */
type Piece = string | ((identity: Identity) => unknown)

/** A pattern as it stands in the configuration. */
export interface Template {
  readonly text: string
  /** Its levels, where there are no placeholders. */
  readonly fixed: Levels | undefined
  readonly levels: ReadonlyArray<readonly Piece[]>
}

const CLAIM = 'claim.'

/** Takes a pattern apart. The schema of the configuration has checked it; an unknown placeholder has no value. */
export function parseTemplate (text: string): Template {
  const levels: Piece[][] = [[]]
  // Placeholders first: the name of a claim may have a slash.
  for (const [index, part] of text.split(/\{([^{}]*)\}/).entries()) {
    if (index % 2 === 1) {
      levels.at(-1)!.push(placeholder(part))
      continue
    }
    for (const [at, level] of part.split('/').entries()) {
      if (at > 0) levels.push([])
      if (level !== '') levels.at(-1)!.push(level)
    }
  }
  const isFixed = levels.every((level) => level.every((piece) => typeof piece === 'string'))
  return { text, fixed: isFixed ? text.split('/') : undefined, levels }
}

/** The pattern for one session; undefined: a placeholder of it has no value that can stand in a level. */
export function resolveTemplate ({ text: written, fixed, levels }: Template, identity: Identity): Levels | undefined {
  if (fixed !== undefined) return fixed
  const resolved: string[] = []
  for (const level of levels) {
    const text = textOf(level, identity)
    if (text === undefined) return undefined
    resolved.push(text)
  }
  return resolved[0]?.startsWith('$') === true && !written.startsWith('$') ? undefined : resolved
}

/**
 * The pattern for one session where it denies: a level without a value, and all below it, is anything. Whoever chooses
 * a value that cannot be used must not be rid of the denial with it.
 */
export function resolveDenial ({ fixed, levels }: Template, identity: Identity): Levels {
  if (fixed !== undefined) return fixed
  const resolved: string[] = []
  for (const level of levels) {
    const text = textOf(level, identity)
    if (text === undefined) return [...resolved, '#']
    resolved.push(text)
  }
  return resolved
}

function placeholder (name: string): Piece {
  if (name === 'clientid') return ({ clientId }) => clientId
  if (name === 'username') return ({ username }) => username
  if (name === 'cert.cn') return ({ certificate }) => certificate?.cn
  if (name.startsWith(CLAIM)) return ({ claims }) => claimOf(claims, name.slice(CLAIM.length))
  return () => undefined
}

/** A claim of a token; undefined where there is none of this name. */
export function claimOf (claims: Identity['claims'], name: string): unknown {
  return claims !== undefined && Object.hasOwn(claims, name) ? claims[name] : undefined
}

function textOf (level: readonly Piece[], identity: Identity): string | undefined {
  let text = ''
  for (const piece of level) {
    const part = typeof piece === 'string' ? piece : valueOf(piece(identity))
    if (part === undefined) return undefined
    text += part
  }
  return text
}

function valueOf (value: unknown): string | undefined {
  const text = Number.isSafeInteger(value) ? String(value) : value
  return typeof text === 'string' && text !== '' && !/[+#/\0]/.test(text) ? text : undefined
}

/**
 * Which client identifiers an identity may take: a text in which `{username}` stands for the name that was proven, and
 * `*` at the end for anything. So no device takes over the session of another. Pure.
 *
 * What is put in for `{username}` counts letter by letter, also where it holds `*` or `{username}`.
 */

const USERNAME = '{username}'

export interface ClientIdPattern {
  /** The text around each `{username}`. */
  readonly parts: readonly string[]
  /** True where more may follow. */
  readonly open: boolean
}

/** Reads a pattern; a sentence about what is wrong with it where it is none. */
export function parseClientIdPattern (text: string): ClientIdPattern | string {
  const open = text.endsWith('*')
  const fixed = open ? text.slice(0, -1) : text
  if (fixed.includes('*')) return '* can stand at the end only'
  const parts = fixed.split(USERNAME)
  if (parts.some((part) => /[{}]/.test(part))) return 'the only placeholder is {username}'
  if (text === '') return 'it is empty'
  if (open && parts.length > 1 && parts.at(-1) === '') {
    return 'with * directly behind {username}, the user "a" could take the session of the user "ab"; put a character between them that no name has'
  }
  return { parts, open }
}

/** True for a client identifier that the owner of the name may take. */
export function matchesClientId ({ parts, open }: ClientIdPattern, clientId: string, username: string): boolean {
  const expected = parts.join(username)
  return open ? clientId.startsWith(expected) : clientId === expected
}

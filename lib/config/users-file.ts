/**
 * The user file: YAML with a section `users`, which has the entry of each user under its name. Every scalar is a text,
 * whatever it looks like: the user 0123 is not the user 83. Either all of a file can be used, or none of it.
 */
import { readFile } from 'node:fs/promises'
import { isMap, isScalar, LineCounter, parseDocument, type Document, type Node } from 'yaml'
import { parseClientIdPattern, type ClientIdPattern } from '../access/client-id-pattern.ts'
import { parsePasswordHash, type PasswordHash } from '../access/password-hash.ts'
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'

export interface UserEntry {
  readonly name: string
  readonly password: PasswordHash
  /** The client identifiers that the user may take, where the entry says so. */
  readonly clientId?: ClientIdPattern
}

/** A user file as a document that can be changed and keeps its comments, with the line of each of its nodes. */
export interface UsersDocument {
  readonly document: Document.Parsed
  lineOf (node: unknown): number
}

/** Mistakes that one error names. */
const MAX_MISTAKES = 5
/** Longest name of a user, in characters. */
const MAX_NAME = 256
// eslint-disable-next-line no-control-regex
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f\ufffd]/

/** Reads a user file. @throws MBS_ERR_ACCESS_USERS */
export async function readUsersFile (file: string): Promise<UserEntry[]> {
  try {
    return parseUsers(await readFile(file, 'utf8'), file)
  } catch (error) {
    throw toUsersError(file, error)
  }
}

/** The users of a text; `file` is for the error. @throws MBS_ERR_ACCESS_USERS with the mistakes and their lines */
export function parseUsers (text: string, file: string): UserEntry[] {
  const source = parseUsersDocument(text, file)
  const mistakes: string[] = []
  const entries = entriesOf(source, (node, what) => { mistakes.push(`line ${source.lineOf(node)}: ${what}`) })
  if (mistakes.length === 0) return entries
  const more = mistakes.length > MAX_MISTAKES ? [`and ${mistakes.length - MAX_MISTAKES} more`] : []
  throw createError('MBS_ERR_ACCESS_USERS', { file, reason: [...mistakes.slice(0, MAX_MISTAKES), ...more].join('; ') })
}

/** The text of a user file as a document. @throws MBS_ERR_ACCESS_USERS for what is no YAML, a name twice among it */
export function parseUsersDocument (text: string, file: string): UsersDocument {
  const lines = new LineCounter()
  // Pretty errors would quote the lines around a mistake, and a hash may stand there.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, schema: 'failsafe' })
  const lineAt = (offset: number): number => lines.linePos(offset).line
  const mistakes = [...document.errors, ...document.warnings]
  if (mistakes.length > 0) {
    const reason = mistakes.slice(0, MAX_MISTAKES).map(({ pos, message }) => `line ${lineAt(pos[0])}: ${message}`).join('; ')
    throw createError('MBS_ERR_ACCESS_USERS', { file, reason }, mistakes[0])
  }
  return { document, lineOf: (node) => lineAt((node as Node | null)?.range?.[0] ?? 0) }
}

/** What is wrong with the name of a user; undefined: nothing. */
export function userNameProblem (name: string): string | undefined {
  if (name === '') return 'it is empty'
  if (name.length > MAX_NAME) return `it has ${name.length} characters of ${MAX_NAME} allowed`
  return CONTROL_CHARACTERS.test(name) ? 'it has control characters, or bytes that are not UTF-8' : undefined
}

/** Any failure as the error of the file. */
export function toUsersError (file: string, error: unknown): MbsError {
  return isMbsError(error) ? error : createError('MBS_ERR_ACCESS_USERS', { file, reason: reasonOf(error) }, error)
}

type AddMistake = (node: unknown, what: string) => void

function entriesOf ({ document: { contents } }: UsersDocument, mistake: AddMistake): UserEntry[] {
  // Of a file with nothing but `---`, the contents are an empty text.
  if (contents === null || textOf(contents) === '') return []
  if (!isMap(contents)) {
    mistake(contents, 'the file has to consist of a section `users`')
    return []
  }
  const entries: UserEntry[] = []
  for (const { key, value } of contents.items) {
    if (textOf(key) !== 'users') mistake(key, 'beside `users` there is no other section')
    else if (isMap(value)) for (const user of value.items) entries.push(...entryOf(user.key, user.value, mistake))
    else if (textOf(value) !== '') mistake(value, '`users` has to be a section with a name on each line')
  }
  return entries
}

/** The entry of a user; none where it has a mistake. */
function entryOf (key: unknown, value: unknown, mistake: AddMistake): UserEntry[] {
  const name = textOf(key)
  const problem = name === undefined ? 'it is no text' : userNameProblem(name)
  if (name === undefined || problem !== undefined) {
    mistake(key, `the name of a user cannot be used: ${problem}`)
    return []
  }
  const who = `user ${JSON.stringify(name)}`
  if (!isMap(value)) {
    mistake(value ?? key, `${who} has to have \`password\` below it`)
    return []
  }
  const fields = new Map(value.items.map((item) => [textOf(item.key), item]))
  for (const [field, item] of fields) {
    if (field !== 'password' && field !== 'clientId') mistake(item.key, `${who}: there are only \`password\` and \`clientId\``)
  }
  const text = textOf(fields.get('password')?.value)
  const password = text === undefined ? 'it is missing' : parsePasswordHash(text)
  if (typeof password === 'string') {
    mistake(fields.get('password')?.value ?? key, `${who}: \`password\` cannot be used: ${password}`)
    return []
  }
  const pair = fields.get('clientId')
  if (pair === undefined) return [{ name, password }]
  const clientId = parseClientIdPattern(textOf(pair.value) ?? '')
  if (typeof clientId !== 'string') return [{ name, password, clientId }]
  mistake(pair.value ?? key, `${who}: \`clientId\` cannot be used: ${clientId}`)
  return []
}

/** The text of a scalar; undefined for anything else, an alias among it. */
function textOf (node: unknown): string | undefined {
  return isScalar(node) && typeof node.value === 'string' ? node.value : undefined
}

/**
 * What is in a file with a secret: one line, without the white space around it. Pure, but for `readSecret`.
 * Invariant: what is wrong is said without repeating any of it.
 */
import { readFile } from 'node:fs/promises'
import { createError, reasonOf } from '../errors.ts'

/** Names of headers in which secrets stand. */
const SECRET_HEADER = /authorization|cookie|key|password|secret|token/i

/** Whether a header of this name is likely to hold a secret. */
export function isSecretHeader (name: string): boolean {
  return SECRET_HEADER.test(name)
}

/** Longer ones are taken for another kind of file; servers take no longer headers. */
const MAX_BYTES = 16 * 1024

/** Reads one line out of the text of a file. @throws Error, saying what is wrong with it */
export type ReadText = (text: string) => string

/** A token that can stand behind `Bearer` [RFC 6750 2.1]. */
export const parseBearerToken = reader(/^[!-~]+$/, 'it holds no token: one line of visible ASCII')

/** The value of a header [RFC 9110 5.5]. */
export const parseHeaderValue = reader(/^[ -~]+$/, 'it holds no value of a header: one line of visible ASCII')

/** A password for `Basic` [RFC 7617 2]. */
// eslint-disable-next-line no-control-regex -- they are what must not be in it
export const parsePassword = reader(/^[^\u0000-\u001f\u007f-\u009f]+$/, 'it holds no password: one line without control characters')

/** A client secret [RFC 6749 A.2]. */
export const parseClientSecret = reader(/^[ -~]+$/, 'it holds no client secret: one line of visible ASCII')

/**
 * What a file holds.
 * @throws MBS_ERR_SINK_CREDENTIALS
 */
export async function readSecret (file: string, parse: ReadText): Promise<string> {
  try {
    return parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw createError('MBS_ERR_SINK_CREDENTIALS', { reason: `${file}: ${reasonOf(error)}` }, error)
  }
}

function reader (pattern: RegExp, mistake: string): ReadText {
  return (text) => {
    const line = text.trim()
    if (line.length > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`)
    if (!pattern.test(line)) throw new Error(mistake)
    return line
  }
}

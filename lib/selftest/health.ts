/**
 * One question to the HTTP server of a program that runs: is all well? Bounded in time and bytes. For the command
 * `health`, which is asked every few seconds: what this file imports has to load at once.
 */
import { fetchBounded } from '../bounded-fetch.ts'
import { createError } from '../errors.ts'

const MAX_BYTES = 64 * 1024

/**
 * Asks a health endpoint.
 * @returns the body of the answer
 * @throws MBS_ERR_HTTP_UNHEALTHY where there is no answer in time, or another one than 200
 */
export async function askHealth (url: string, timeoutMs: number): Promise<string> {
  const outcome = await fetchBounded(url, { method: 'GET' }, { timeoutMs, maxBytes: MAX_BYTES })
  if (outcome.kind === 'failed') throw createError('MBS_ERR_HTTP_UNHEALTHY', { url, reason: outcome.reason })
  const body = outcome.body.toString()
  if (outcome.status === 200) return body
  const why = reasonIn(body)
  throw createError('MBS_ERR_HTTP_UNHEALTHY', { url, reason: `status ${outcome.status}${why === undefined ? '' : `, ${why}`}` })
}

/** The reason that the program itself gives; what anybody else answers is not repeated. */
function reasonIn (body: string): string | undefined {
  const { reason } = jsonOf(body) as { reason?: unknown }
  return typeof reason === 'string' ? reason.replace(/\.$/, '') : undefined
}

/** The object that a JSON text is; an empty one for any other text. */
export function jsonOf (text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

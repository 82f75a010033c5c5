/**
 * What an authentication hook said, read strictly: an answer that is not understood lets nobody in. Pure. Reasons never
 * repeat what stands in the answer.
 */
import { isBoundedClaims, isUsername, type Claims } from './claims.ts'

export type HookAnswer =
  | {
    readonly kind: 'allow'
    /** Who the device is; as it said itself, unless given. */
    readonly username?: string
    readonly claims?: Claims
    /** How long the session may last. */
    readonly expiresInMs?: number
  }
  | { readonly kind: 'deny' }
  | { readonly kind: 'ignore' }
  | { readonly kind: 'invalid', readonly reason: string }

/** Longest time of a session that an answer can set: a hundred years. */
const MAX_EXPIRES_IN_SECONDS = 3_155_760_000

export function readHookAnswer (status: number, body: Buffer): HookAnswer {
  switch (status) {
    case 200: return readBody(body)
    case 204: return { kind: 'allow' }
    case 401:
    case 403: return { kind: 'deny' }
    default: return invalid(`the answer has the status ${status}`)
  }
}

function readBody (body: Buffer): HookAnswer {
  let answer: unknown
  try {
    answer = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    return invalid('the answer is not JSON')
  }
  if (typeof answer !== 'object' || answer === null) return invalid('the answer is not a JSON object')
  const { result } = answer as { result?: unknown }
  switch (result) {
    case 'allow': return readAllow(answer)
    case 'deny':
    case 'ignore': return { kind: result }
    default: return invalid('`result` is not allow, deny or ignore')
  }
}

function readAllow (answer: { username?: unknown, claims?: unknown, expiresIn?: unknown }): HookAnswer {
  const { username, claims, expiresIn } = answer
  if (username !== undefined && !isUsername(username)) return invalid('`username` is not the name of a user')
  if (claims !== undefined && !isBoundedClaims(claims)) return invalid('`claims` is not an object within its bounds')
  if (expiresIn !== undefined && !isExpiresIn(expiresIn)) return invalid('`expiresIn` is not a number of seconds above 0')
  return {
    kind: 'allow',
    ...(username !== undefined && { username }),
    ...(claims !== undefined && { claims }),
    ...(expiresIn !== undefined && { expiresInMs: Math.ceil(expiresIn * 1000) })
  }
}

function isExpiresIn (value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value <= MAX_EXPIRES_IN_SECONDS
}

function invalid (reason: string): HookAnswer {
  return { kind: 'invalid', reason }
}

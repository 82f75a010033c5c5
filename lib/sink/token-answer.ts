/** Reads what a token endpoint answers [RFC 6749 5]. Pure. Invariant: no reason repeats any of the answer. */

export type TokenAnswer =
  | { readonly kind: 'token', readonly token: string, readonly lifetimeMs: number }
  /** `status`: it is not 200. `answer`: there is no token in it that can be used. */
  | { readonly kind: 'status' | 'answer', readonly reason: string }

/** What a token is good for that says nothing of it. */
const DEFAULT_LIFETIME_MS = 300_000
/** Longer ones are asked for again all the same. */
const MAX_LIFETIME_MS = 86_400_000

/** What is wrong, in a word of the specification [RFC 6749 5.2]: nothing else that an endpoint says is shown. */
const ERRORS: readonly unknown[] = [
  'invalid_request', 'invalid_client', 'invalid_grant', 'unauthorized_client', 'unsupported_grant_type', 'invalid_scope'
]

export function readTokenAnswer (status: number, body: Buffer): TokenAnswer {
  const answer = objectIn(body)
  if (status !== 200) {
    const error = answer?.['error']
    const word = ERRORS.includes(error) ? ` (${String(error)})` : ''
    return { kind: 'status', reason: `the answer has the status ${status}${word}` }
  }
  if (answer === undefined) return unusable('the answer is not a JSON object')
  const { access_token: token, token_type: type, expires_in: expiresIn } = answer
  if (typeof token !== 'string') return unusable('the answer has no access_token')
  if (!/^[!-~]{1,16384}$/.test(token)) return unusable('its access_token cannot be sent in a header')
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') return unusable('its token_type is not Bearer')
  const lifetimeMs = lifetimeOf(expiresIn)
  if (lifetimeMs === undefined) return unusable('its expires_in is no number of seconds')
  if (lifetimeMs <= 0) return unusable('its token has expired already')
  return { kind: 'token', token, lifetimeMs: Math.min(lifetimeMs, MAX_LIFETIME_MS) }
}

function unusable (reason: string): TokenAnswer {
  return { kind: 'answer', reason }
}

function objectIn (body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString())
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : undefined
  } catch {
    return undefined
  }
}

/** Some write the number as a text. */
function lifetimeOf (expiresIn: unknown): number | undefined {
  if (expiresIn === undefined || expiresIn === null) return DEFAULT_LIFETIME_MS
  const seconds = typeof expiresIn === 'string' && /^-?\d{1,12}(?:\.\d+)?$/.test(expiresIn) ? Number(expiresIn) : expiresIn
  return typeof seconds === 'number' && Number.isFinite(seconds) ? seconds * 1000 : undefined
}

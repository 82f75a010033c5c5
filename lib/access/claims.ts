/**
 * What may go on from a token, or from the answer of an authentication hook, into the identity of a session: bounded,
 * because it lives as long as the session does. What is too much is refused whole: to leave out a claim could open
 * what a rule about that claim keeps shut. Pure.
 */

/** Claims of a token, by name. */
export type Claims = Readonly<Record<string, unknown>>

/** Most bytes of claims as JSON. */
export const MAX_CLAIMS_BYTES = 8 * 1024

const MAX_CLAIMS = 128
const MAX_DEPTH = 8

/** Longest name of a user, in UTF-16 code units. */
const MAX_USERNAME_LENGTH = 1024

/** True for a JSON object within the bounds. */
export function isBoundedClaims (value: unknown): value is Claims {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  if (Object.keys(value).length > MAX_CLAIMS || Object.hasOwn(value, '__proto__')) return false
  return isShallow(value, MAX_DEPTH) && Buffer.byteLength(JSON.stringify(value)) <= MAX_CLAIMS_BYTES
}

/** True for what may be the name of a user: it ends up in logs and in topics. */
export function isUsername (value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_USERNAME_LENGTH &&
    !/[\p{Cc}\p{Cs}]/u.test(value)
}

function isShallow (value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1))
}

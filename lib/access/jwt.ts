/**
 * A JSON Web Token in the place of the password [RFC 7519]. The key is found among those that are configured, by `kid`;
 * nothing in a token can bring a key of its own or name one elsewhere (`jwk`, `jku`, `x5c`, `x5u` are not looked at).
 * Invariant: the algorithm is one that is allowed and of the kind of the key; `none` and HMAC are of no key's kind.
 */
import type { KeyObject } from 'node:crypto'
import { errors, jwtVerify, type JWTPayload } from 'jose'
import type { Credentials } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { isBoundedClaims, isUsername } from './claims.ts'
import type { KeySource } from './jwks.ts'
import type { Guess, MethodResult } from './method.ts'
import type { ReloadableMethod } from './reloadable.ts'

/** Longest token, in bytes; claims are bounded further. */
export const MAX_TOKEN_BYTES = 16 * 1024

/** The end of what a Date can be, in milliseconds since the epoch. */
const END_OF_TIME_MS = 8.64e15

/** Header, claims and signature; the last one is empty in an unsecured token [RFC 7515 7.1, RFC 7519 6]. */
const COMPACT = /^([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$/

/** Why a token was refused, more closely than a device may know; a label of a metric, so the list is closed. */
export type TokenFault =
  | 'malformed' | 'too-large' | 'algorithm' | 'key' | 'signature' | 'expired' | 'not-yet-valid' | 'issuer' | 'audience'
  | 'expiry' | 'username' | 'claims'

export interface JwtOptions {
  readonly keys: KeySource
  /** What `iss` has to be; anything, unless given. */
  readonly issuer?: string
  /** What `aud` has to be or to contain. */
  readonly audience: string
  readonly algorithms: readonly string[]
  /** The claim that names the user. */
  readonly usernameClaim: string
  /** False: a token without `exp` is good for ever. */
  readonly expiryRequired: boolean
  /** How far the clocks of issuer and broker may be apart. */
  readonly clockSkewMs: number
  readonly telemetry: Telemetry
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

/** The method for passwords that are tokens; every other password is skipped. */
export function createJwtMethod (options: JwtOptions): ReloadableMethod {
  return new JwtMethod(options)
}

class JwtMethod implements ReloadableMethod {
  readonly method = 'jwt'
  readonly files: readonly string[]
  readonly #options: JwtOptions
  readonly #now: () => number

  constructor (options: JwtOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.files = options.keys.files
  }

  async reload (): Promise<void> {
    await this.#options.keys.reload()
  }

  guessOf ({ password }: Credentials): Guess | undefined {
    return headerOf(password) === undefined ? undefined : 'token'
  }

  async authenticate (credentials: Credentials, signal: AbortSignal): Promise<MethodResult> {
    const result = await this.#authenticate(credentials.password, signal)
    if (typeof result !== 'string') return result
    const { clientId, address, listener } = credentials
    this.#options.telemetry.tokenRefused(result, { listener, address, clientId })
    return { kind: 'refused', reason: result === 'expired' ? 'token-expired' : 'token-invalid' }
  }

  async #authenticate (password: Buffer | undefined, signal: AbortSignal): Promise<MethodResult | TokenFault> {
    const header = headerOf(password)
    if (header === undefined) return { kind: 'skipped' }
    const token = password?.toString('latin1') ?? ''
    if (token.length > MAX_TOKEN_BYTES) return 'too-large'

    const { alg, kid } = header
    if (typeof alg !== 'string' || !this.#options.algorithms.includes(alg)) return 'algorithm'
    if (kid !== undefined && typeof kid !== 'string') return 'malformed'
    const found = await this.#options.keys.find(kid, alg, signal)
    if (found.kind === 'unavailable') return { kind: 'unavailable', reason: 'token-keys' }
    if (found.kind === 'unknown') return 'key'
    const verified = await this.#verify(token, alg, found.keys)
    return typeof verified === 'string' ? verified : this.#accept(verified)
  }

  /** The claims of the token, if it is good. */
  async #verify (token: string, alg: string, keys: readonly KeyObject[]): Promise<JWTPayload | TokenFault> {
    const { issuer, audience, expiryRequired, clockSkewMs } = this.#options
    let fault: TokenFault = 'key'
    for (const key of keys) {
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [alg],
          audience,
          ...(issuer !== undefined && { issuer }),
          requiredClaims: expiryRequired ? ['exp'] : [],
          clockTolerance: clockSkewMs / 1000,
          currentDate: new Date(this.#now())
        })
        return payload
      } catch (error) {
        fault = faultOf(error)
        if (fault !== 'signature') break
      }
    }
    return fault
  }

  #accept (claims: JWTPayload): MethodResult | TokenFault {
    const { usernameClaim, clockSkewMs } = this.#options
    const username = claims[usernameClaim]
    if (!isUsername(username)) return 'username'
    if (!isBoundedClaims(claims)) return 'claims'
    if (claims.exp === undefined) return { kind: 'accepted', username, claims }
    // JSON has numbers that no clock ever reaches, 1e999 among them.
    const expiresAt = Math.floor(claims.exp * 1000 + clockSkewMs)
    if (!(expiresAt <= END_OF_TIME_MS)) return 'expiry'
    if (expiresAt <= this.#now()) return 'expired'
    return { kind: 'accepted', username, claims, expiresAt }
  }
}

/** The header of a token; undefined for what is none: `a.b.c` may well be a password. */
function headerOf (password: Buffer | undefined): Record<string, unknown> | undefined {
  const encoded = COMPACT.exec(password?.toString('latin1') ?? '')?.[1]
  return encoded === undefined ? undefined : parseObject(Buffer.from(encoded, 'base64url').toString('utf8'))
}

function parseObject (text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return value as Record<string, unknown>
  } catch {
    return undefined
  }
}

const FAULT_BY_CLAIM: Readonly<Record<string, TokenFault>> = {
  iss: 'issuer', aud: 'audience', nbf: 'not-yet-valid', exp: 'expiry'
}

function faultOf (error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) return 'expired'
  if (error instanceof errors.JWTClaimValidationFailed) return FAULT_BY_CLAIM[error.claim] ?? 'malformed'
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature'
  return 'malformed'
}

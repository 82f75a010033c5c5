/**
 * The public keys that tokens are checked with. Invariant: a key comes with the algorithms of its own kind and no
 * other, so that no token can have a key used for what it is not; symmetric and private keys never get in. Pure.
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'

/** Most keys of a JWK Set. */
const MAX_KEYS = 256

/** Most keys that one token without `kid` is tried with. */
const MAX_CANDIDATES = 4

/** Smallest RSA key, in bits [RFC 7518 3.3]. */
const MIN_RSA_BITS = 2048

const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const EC_ALGORITHMS: Readonly<Record<string, readonly string[]>> = {
  prime256v1: ['ES256'], secp384r1: ['ES384'], secp521r1: ['ES512']
}

interface VerificationKey {
  /** Absent where any token may be meant for it. */
  readonly kid?: string
  readonly algorithms: readonly string[]
  readonly key: KeyObject
}

/** Keys by id and algorithm. */
export class KeySet {
  readonly #keys: readonly VerificationKey[]
  readonly #anyKid: boolean

  /** @param anyKid the `kid` of a token is not looked at: there is one key, and it has no name */
  constructor (keys: readonly VerificationKey[], anyKid: boolean) {
    this.#keys = keys
    this.#anyKid = anyKid
  }

  get size (): number {
    return this.#keys.length
  }

  /** The keys that a token with this header may have been signed with; several only for one without `kid`. */
  candidates (kid: string | undefined, algorithm: string): readonly KeyObject[] {
    return this.#keys
      .filter((key) => key.algorithms.includes(algorithm) && (this.#anyKid || kid === undefined || key.kid === kid))
      .slice(0, MAX_CANDIDATES)
      .map(({ key }) => key)
  }
}

/**
 * The keys of a JWK Set [RFC 7517 5]. One that cannot be used is left out, as the specification asks for.
 * @param allowed algorithms
 * @throws Error, saying what is wrong with it, where no key is left
 */
export function parseJwks (text: string, allowed: readonly string[]): KeySet {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    // What JSON.parse says quotes the text.
    throw new Error('it is not JSON')
  }
  const entries = (document as { keys?: unknown } | null)?.keys
  if (!Array.isArray(entries)) throw new Error('it is not a JWK Set: it has no list `keys`')
  if (entries.length > MAX_KEYS) throw new Error(`it holds more than ${MAX_KEYS} keys`)
  const keys = entries.flatMap((entry) => readJwk(entry, allowed))
  if (keys.length === 0) {
    const [first] = entries
    const reason = entries.length === 1 && isPublicKey(first) ? `: ${whyNotJwk(first, allowed)}` : ''
    throw new Error(`none of its ${entries.length} keys is a public key for signatures with ${allowed.join(', ')}${reason}`)
  }
  return new KeySet(keys, false)
}

/**
 * The one key of a PEM text: a public key (SPKI or PKCS#1), or a certificate with one.
 * @param allowed algorithms
 * @throws Error, saying what is wrong with it
 */
export function parsePublicKey (pem: string, allowed: readonly string[]): KeySet {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) throw new Error('it holds a private key, which does not belong here')
  if (!pem.includes('-----BEGIN')) throw new Error('it is not PEM')
  const key = createPublicKey(pem)
  const possible = algorithmsOf(key)
  const algorithms = possible.filter((algorithm) => allowed.includes(algorithm))
  if (algorithms.length === 0) throw new Error(`the key cannot be used: ${whyNot(key, possible, allowed)}`)
  return new KeySet([{ key, algorithms }], true)
}

/** A list of one, or of none where the key cannot be used. */
function readJwk (jwk: unknown, allowed: readonly string[]): VerificationKey[] {
  if (typeof jwk !== 'object' || jwk === null) return []
  const { kty, kid, use, key_ops: operations, alg, d, k } = jwk as Record<string, unknown>
  if (kty === 'oct' || d !== undefined || k !== undefined) return []
  if (kid !== undefined && typeof kid !== 'string') return []
  if (use !== undefined && use !== 'sig') return []
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return []
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    const algorithms = algorithmsOf(key)
      .filter((algorithm) => allowed.includes(algorithm) && (alg === undefined || alg === algorithm))
    return algorithms.length === 0 ? [] : [{ key, algorithms, ...(kid !== undefined && { kid }) }]
  } catch {
    return []
  }
}

function isPublicKey (jwk: unknown): jwk is JsonWebKey {
  try {
    createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    return true
  } catch {
    return false
  }
}

function whyNotJwk (jwk: JsonWebKey, allowed: readonly string[]): string {
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  return whyNot(key, algorithmsOf(key), allowed)
}

/** Why a key is good for none of the algorithms that are allowed, in words. */
function whyNot (key: KeyObject, possible: readonly string[], allowed: readonly string[]): string {
  const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  if (possible.length > 0) return `it is made for ${possible.join(', ')}, of which access.jwt.algorithms has none (${allowed.join(', ')})`
  if (key.asymmetricKeyType === 'rsa') return `it has ${modulusLength} bits, and ${MIN_RSA_BITS} are needed [RFC 7518 3.3]`
  return `no algorithm is made for keys of the type ${key.asymmetricKeyType ?? 'secret'}`
}

/** The algorithms of JWS that a key is made for [RFC 7518 3.1, RFC 8037 3.1]. */
function algorithmsOf (key: KeyObject): readonly string[] {
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {}
  const type: string = key.asymmetricKeyType ?? ''
  switch (type) {
    case 'rsa': return modulusLength < MIN_RSA_BITS ? [] : RSA_ALGORITHMS
    case 'ec': return EC_ALGORITHMS[namedCurve] ?? []
    case 'ed25519': return ['EdDSA', 'Ed25519']
    default: return []
  }
}

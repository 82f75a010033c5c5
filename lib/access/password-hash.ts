/**
 * What a hashed password is as text: `$scrypt$ln=14,r=8,p=1$salt$hash`, salt and hash in base64 without padding. It
 * says of itself how it was made, so that the cost can be raised without making old ones useless. Pure.
 *
 * Invariant: what is read here never demands more than 128 MiB or about a second, whoever wrote the file.
 */

/** How expensive a hash is [RFC 7914, 2]. */
export interface HashCost {
  /** Base-2 logarithm of N, the cost in time and memory. */
  readonly ln: number
  readonly r: number
  readonly p: number
}

export interface PasswordHash extends HashCost {
  readonly salt: Buffer
  readonly hash: Buffer
}

const MIN_LN = 10
const MAX_LN = 17
const MAX_MEMORY_BYTES = 128 * 1024 ** 2
/** N * r * p; the cost in time. */
const MAX_WORK = 2 ** 21
const SALT_BYTES = { min: 8, max: 64 }
const HASH_BYTES = { min: 16, max: 64 }

const FORMAT = /^\$scrypt\$ln=([1-9]\d?),r=([1-9]\d?),p=([1-9]\d?)\$([A-Za-z0-9+/]{1,200})\$([A-Za-z0-9+/]{1,200})$/

/** Reads a hash; a sentence about what is wrong with it where it is none. The sentence never quotes the text. */
export function parsePasswordHash (text: string): PasswordHash | string {
  const match = FORMAT.exec(text)
  if (match === null) return 'it is no hash of the form $scrypt$ln=…,r=…,p=…$salt$hash, which the command passwd makes'
  const [ln, r, p] = match.slice(1, 4).map(Number) as [number, number, number]
  const [salt, hash] = match.slice(4).map((part) => Buffer.from(part, 'base64')) as [Buffer, Buffer]
  if (ln < MIN_LN || ln > MAX_LN) return `its ln has to be from ${MIN_LN} to ${MAX_LN}`
  if (memoryOf({ ln, r, p }) > MAX_MEMORY_BYTES) return 'it would take more than 128 MiB to check'
  if (2 ** ln * r * p > MAX_WORK) return 'it would take too long to check: ln, r or p is too large'
  if (isOutside(salt, SALT_BYTES) || isOutside(hash, HASH_BYTES)) return 'its salt or its hash has a wrong length'
  return { ln, r, p, salt, hash }
}

/** The text that `parsePasswordHash` reads. */
export function formatPasswordHash ({ ln, r, p, salt, hash }: PasswordHash): string {
  return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`
}

/** Bytes of memory that one hash takes while it is computed. */
export function memoryOf ({ ln, r }: HashCost): number {
  return 128 * 2 ** ln * r
}

function isOutside (bytes: Buffer, { min, max }: { readonly min: number, readonly max: number }): boolean {
  return bytes.length < min || bytes.length > max
}

function unpadded (bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

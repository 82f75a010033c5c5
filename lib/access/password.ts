/**
 * Hashes passwords with scrypt and compares them in constant time. Each call occupies a thread of the pool that also
 * writes the disk, for tens of milliseconds: who answers devices goes through hash-slots.ts.
 */
import { randomBytes, scrypt, timingSafeEqual, type BinaryLike } from 'node:crypto'
import { formatPasswordHash, memoryOf, type HashCost, type PasswordHash } from './password-hash.ts'

/** What new hashes cost: 16 MiB, and some 50 ms on a gateway. */
export const DEFAULT_COST: HashCost = Object.freeze({ ln: 14, r: 8, p: 1 })

const SALT_BYTES = 16
const HASH_BYTES = 32

/** The hash of a password, as text, with a salt of its own. */
export async function hashPassword (password: BinaryLike, cost: HashCost = DEFAULT_COST): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  return formatPasswordHash({ ...cost, salt, hash: await derive(password, salt, HASH_BYTES, cost) })
}

/** True for the password that the hash was made of. */
export async function verifyPassword (password: BinaryLike, expected: PasswordHash): Promise<boolean> {
  const { salt, hash } = expected
  return timingSafeEqual(await derive(password, salt, hash.length, expected), hash)
}

/** A hash that no password has, and that takes as long to check as others of its cost. */
export function dummyHash (cost: HashCost = DEFAULT_COST): PasswordHash {
  const { ln, r, p } = cost
  return { ln, r, p, salt: randomBytes(SALT_BYTES), hash: randomBytes(HASH_BYTES) }
}

async function derive (password: BinaryLike, salt: Buffer, bytes: number, cost: HashCost): Promise<Buffer> {
  // scrypt takes a little more than N * r blocks, and refuses where maxmem does not leave room for it.
  const options = { N: 2 ** cost.ln, r: cost.r, p: cost.p, maxmem: 2 * memoryOf(cost) }
  return await new Promise((resolve, reject) => {
    scrypt(password, salt, bytes, options, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}

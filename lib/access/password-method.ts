/**
 * User name and password, held against the user file. An unknown user takes as long as a wrong password. What was right
 * once is remembered in memory under a key of this process, so that a device that comes back costs no hash: a flood of
 * wrong passwords does not delay it, and the return of thousands does not either.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Credentials } from '../message.ts'
import { addressKey } from '../address-key.ts'
import type { HashSlots } from './hash-slots.ts'
import type { AuthenticationMethod, MethodResult } from './method.ts'
import { dummyHash, verifyPassword } from './password.ts'
import type { PasswordHash } from './password-hash.ts'
import type { User, Users } from './users.ts'

export interface PasswordMethodOptions {
  readonly users: Users
  /** Bounds the hashes at a time. */
  readonly slots: HashSlots
  /** True where a method behind this one knows users that the file does not: they are left to it. */
  readonly leavesUnknown?: boolean
}

export class PasswordMethod implements AuthenticationMethod {
  readonly method = 'password'
  readonly #options: PasswordMethodOptions
  readonly #processKey = randomBytes(32)
  /** Digests of passwords that were right. Forgotten with their user at the next reload. */
  readonly #proven = new WeakMap<User, Buffer>()
  #dummy = dummyHash()

  constructor (options: PasswordMethodOptions) {
    this.#options = options
  }

  async authenticate (credentials: Credentials, signal: AbortSignal): Promise<MethodResult> {
    const { username, password = NO_PASSWORD } = credentials
    if (username === undefined) return { kind: 'skipped' }
    const user = this.#options.users.find(username)
    if (user === undefined && this.#options.leavesUnknown === true) return { kind: 'skipped' }

    const digest = createHmac('sha256', this.#processKey).update(password).digest()
    const proven = user === undefined ? undefined : this.#proven.get(user)
    if (proven !== undefined && timingSafeEqual(proven, digest)) return { kind: 'accepted', username }

    const hash = user?.password ?? this.#dummyHash()
    const lane = addressKey(credentials.address)
    const outcome = await this.#options.slots.run(lane, signal, async () => await verifyPassword(password, hash))
    if (outcome.kind === 'busy') return { kind: 'unavailable', reason: 'too many passwords wait to be checked' }
    if (outcome.kind !== 'done') return { kind: 'unavailable', reason: 'it was not checked in time' }
    if (user === undefined) return { kind: 'refused', reason: 'unknown-user' }
    if (!outcome.value || password.length === 0) return { kind: 'refused', reason: 'wrong-password' }
    this.#proven.set(user, digest)
    return { kind: 'accepted', username }
  }

  /** As expensive as the hashes of most users. */
  #dummyHash (): PasswordHash {
    const cost = this.#options.users.usualCost
    const { ln, r, p } = this.#dummy
    if (cost !== undefined && (cost.ln !== ln || cost.r !== r || cost.p !== p)) this.#dummy = dummyHash(cost)
    return this.#dummy
  }
}

/** A user name without a password takes the same time, and is refused even if a hash was made of nothing. */
const NO_PASSWORD = Buffer.alloc(0)

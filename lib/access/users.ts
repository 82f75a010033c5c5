/**
 * Who is in the user file, in memory. A reload replaces all of it or nothing: a file that is broken leaves the last
 * good one in force. Sessions that are open stay open.
 */
import type { ClientIdPattern } from './client-id-pattern.ts'
import type { HashCost, PasswordHash } from './password-hash.ts'

/** One user. Made anew with every reload. */
export interface User {
  readonly name: string
  readonly password: PasswordHash
  /** The client identifiers it may take; those that all may, where it has none of its own. */
  readonly clientId?: ClientIdPattern
}

/** Reads the file. Rejects with MBS_ERR_ACCESS_USERS where it cannot be used. */
export type ReadUsers = () => Promise<readonly User[]>

export class Users {
  readonly #read: ReadUsers
  #byName: ReadonlyMap<string, User> = new Map()
  #usualCost: HashCost | undefined
  #reading: Promise<void> = Promise.resolve()

  constructor (read: ReadUsers) {
    this.#read = read
  }

  get size (): number {
    return this.#byName.size
  }

  /** What most of the hashes cost; undefined where there are none. */
  get usualCost (): HashCost | undefined {
    return this.#usualCost
  }

  find (name: string): User | undefined {
    return this.#byName.get(name)
  }

  /**
   * Reads the file again, one call after the other: what is read last is in force.
   * @throws MBS_ERR_ACCESS_USERS; then everything is as before
   */
  async reload (): Promise<void> {
    const reading = this.#reading.then(async () => {
      const users = await this.#read()
      this.#byName = new Map(users.map((user) => [user.name, user]))
      this.#usualCost = usualCostOf(users)
    })
    this.#reading = reading.catch(() => {})
    await reading
  }
}

function usualCostOf (users: readonly User[]): HashCost | undefined {
  const counts = new Map<string, { cost: HashCost, count: number }>()
  for (const { password: { ln, r, p } } of users) {
    const key = `${ln} ${r} ${p}`
    const seen = counts.get(key) ?? { cost: { ln, r, p }, count: 0 }
    seen.count++
    counts.set(key, seen)
  }
  return [...counts.values()].sort((a, b) => b.count - a.count)[0]?.cost
}

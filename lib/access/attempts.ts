/**
 * How often credentials may be wrong: by address, by user, and by user at an address from which that user has got in
 * before. Beyond that nothing is looked at for a while, and what is under way is dismissed.
 *
 * A user at an address where it has got in before is judged by itself: neither who tries its name from elsewhere nor
 * its neighbors behind the same address keep it out. A success undoes no failure, whose ever; time alone does.
 */
import { createHash } from 'node:crypto'
import { addressKey } from '../address-key.ts'
import { FailureCounter } from './failure-counter.ts'

/** Longer names are counted under their digest, so that a key has a bound. */
const MAX_NAME = 64

export interface AttemptLimits {
  /** Failures of one user that have no consequence. */
  readonly perUser: number
  /** The same for one address, which may be that of many devices. */
  readonly perAddress: number
  /** The first wait, in milliseconds; doubled with each further failure. */
  readonly backoffMs: number
  readonly backoffMaxMs: number
}

/** One attempt that was admitted. One of its functions is called, once, when it has ended. */
export interface Attempt {
  succeeded (): void
  /** The credentials were wrong. */
  failed (): void
  /** It was not found out whether they were. */
  abandoned (): void
}

export class Attempts {
  readonly #addresses: FailureCounter
  readonly #users: FailureCounter
  /** Users at addresses from which they have got in. */
  readonly #known: FailureCounter

  /** @param now milliseconds of a clock that is never set back */
  constructor ({ perUser, perAddress, ...backoff }: AttemptLimits, now: () => number = () => performance.now()) {
    this.#addresses = new FailureCounter({ free: perAddress, ...backoff }, now)
    this.#users = new FailureCounter({ free: perUser, ...backoff }, now)
    this.#known = new FailureCounter({ free: perUser, ...backoff }, now)
  }

  /**
   * Admits an attempt; undefined: it comes too soon after others that failed.
   * @param username the name that is shown, proven or not
   * @param dismiss called while the attempt is under way, if others make that it has to wait
   * @param countsUser false where the name says nothing of whose secret is shown: it counts for the address alone
   */
  begin (address: string, username: string, dismiss: () => void, countsUser = true): Attempt | undefined {
    const from = addressKey(address)
    const user = nameKey(username)
    const pair = `${from} ${user}`
    const isKnown = this.#known.has(pair)
    const counted: ReadonlyArray<readonly [FailureCounter, string]> = isKnown
      ? [[this.#known, pair]]
      : countsUser ? [[this.#addresses, from], [this.#users, user]] : [[this.#addresses, from]]
    if (counted.some(([counter, key]) => counter.isBlocked(key))) return undefined

    for (const [counter, key] of counted) counter.opened(key, dismiss)
    const end = (): void => { for (const [counter, key] of counted) counter.ended(key, dismiss) }
    return {
      abandoned: end,
      succeeded: () => {
        end()
        this.#known.remember(pair)
      },
      failed: () => {
        end()
        for (const [counter, key] of counted) counter.fail(key)
        // It is no reason to let others try more from there.
        if (isKnown) this.#addresses.fail(from)
      }
    }
  }
}

function nameKey (username: string): string {
  return username.length <= MAX_NAME ? username : createHash('sha256').update(username).digest('base64')
}

/**
 * How long to wait before trying again. Pure: randomness comes in as a parameter.
 */

/** The names are those of Knative's delivery spec. */
export interface Backoff {
  readonly policy: 'exponential' | 'linear'
  /** Knative's backoffDelay in milliseconds. */
  readonly delayMs: number
  /** No wait is longer. */
  readonly maxMs: number
}

/** The share of a wait that chance may take off it, so that senders which failed together do not return together. */
const JITTER = 0.2

/**
 * The wait before a retry, in milliseconds.
 *
 * Exponential is `delay * 2^n`, linear is `delay * n`, with n counted from 0 as Knative does: the first linear retry
 * comes at once. The result is cut to `maxMs` first and shortened by up to a fifth at random afterwards: it never
 * exceeds what the policy or the cap says, and still varies at the cap, where an outage spends most of its time.
 *
 * @param retry n: how many retries came before this one
 * @param random at least 0, less than 1
 */
export function backoffMs (backoff: Backoff, retry: number, random: number): number {
  const { policy, delayMs, maxMs } = backoff
  const wait = policy === 'exponential' ? delayMs * 2 ** retry : delayMs * retry
  return Math.min(wait, maxMs) * (1 - JITTER * random)
}

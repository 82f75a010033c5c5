/**
 * Time as delivery sees it, so that a test can let two days of outage pass in a moment. `now` never jumps: a gateway
 * whose wall clock is set by hours after boot must neither fire every retry at once nor stop retrying.
 */

/** Ends a timer; harmless once it has fired. */
export type CancelTimer = () => void

export interface Clock {
  /** Monotonic milliseconds; only differences mean something. */
  now (): number
  /** Milliseconds since the epoch, for what is kept or measured across processes. */
  wallNow (): number
  /** Calls `run` once after `delayMs`. */
  setTimer (run: () => void, delayMs: number): CancelTimer
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  setTimer (run, delayMs) {
    const timer = setTimeout(run, delayMs)
    return () => { clearTimeout(timer) }
  }
}

/** Resolves after `delayMs`, or as soon as the signal is aborted. Never rejects. */
export function sleep (clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const cancel = clock.setTimer(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, delayMs)
    const onAbort = () => {
      cancel()
      resolve()
    }
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** Resolves when the promise does, or when the time is up. */
export async function within (clock: Clock, timeoutMs: number, promise: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([promise, sleep(clock, timeoutMs, over.signal)])
  over.abort()
}

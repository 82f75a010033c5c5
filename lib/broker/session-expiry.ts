/** Ends a connection when what its client proved itself with is no longer valid. */
import { createError } from '../errors.ts'
import type { Connection } from './contract.ts'

/** The longest time of a timer of Node.js, in milliseconds; it fires at once for longer ones. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Destroys the connection at the given time with MBS_ERR_ACCESS_EXPIRED; forgets about it when it closes before.
 * @param expiresAt milliseconds since the epoch; a clock that is set meanwhile counts at the end of a timer
 */
export function endAt (connection: Connection, expiresAt: number): void {
  let timer: NodeJS.Timeout
  const arm = (): void => {
    const leftMs = expiresAt - Date.now()
    if (leftMs <= 0) {
      connection.destroy(createError('MBS_ERR_ACCESS_EXPIRED'))
      return
    }
    timer = setTimeout(arm, Math.min(leftMs, MAX_TIMER_MS))
  }
  connection.once('close', () => { clearTimeout(timer) })
  arm()
}

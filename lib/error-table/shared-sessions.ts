/** What goes wrong with sessions that several programs share in Redis. */
import type { ErrorEntry } from './entry.ts'

export const sharedSessionErrors = {
  MBS_ERR_SESSIONS_REDIS: {
    message: 'Redis does not answer for a session: {reason}.',
    help: 'Devices with persistent sessions come back by themselves; events are stored all the same, but a publish that a persistent session waits for is not acknowledged. Look at the state of Redis: away, out of memory, read-only, loading; docs/redis-sessions.md says what goes on without it.',
    retryable: true
  },
  MBS_ERR_SESSIONS_TAKEN: {
    message: 'The session is not, or no longer, that of this connection: {reason}.',
    help: 'Nothing is to be done when a device has connected elsewhere. Where it comes often, two devices have the same client identifier.',
    retryable: true
  }
} as const satisfies Record<string, ErrorEntry>

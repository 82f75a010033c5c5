/**
 * Why the connection of a session ended, from what is left of it: what Aedes knows of the client, the error with which
 * its stream was destroyed, how far the stream got. Pure.
 */
import { createError, isMbsError, reasonOf, type ErrorCode, type MbsError } from '../errors.ts'
import type { EndReason } from '../message.ts'

/**
 * What no broker has to put up with: the device sent what MQTT does not allow, or more than a limit. Whatever is not
 * here or among `OTHERS` is `kicked`: the broker ended it for a reason of its own.
 */
const PROTOCOL_ERRORS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'MBS_ERR_BROKER_PROTOCOL', 'MBS_ERR_BROKER_TOPIC', 'MBS_ERR_GATE_MALFORMED', 'MBS_ERR_GATE_PACKET_TOO_LARGE',
  'MBS_ERR_GATE_SUBSCRIPTIONS', 'MBS_ERR_GATE_WEBSOCKET'
])

const OTHERS: Readonly<Partial<Record<ErrorCode, EndReason>>> = {
  MBS_ERR_GATE_KEEPALIVE: 'keepalive',
  MBS_ERR_INGEST_CLOSING: 'server-shutdown',
  MBS_ERR_SESSIONS_TAKEN: 'takenover'
}

/** What is left of a session when its end is heard of. */
export interface SessionRemains {
  /** DISCONNECT came. */
  readonly saidGoodbye: boolean
  /** With which its connection was destroyed. */
  readonly error: Error | null
  /** Its connection is destroyed, or its device has closed its side. */
  readonly isGone: boolean
  /** The broker is ending all sessions. */
  readonly isClosing: boolean
}

/** Why it ended, and the code of the error where there was one. */
export function endReasonOf (remains: SessionRemains): { readonly reason: EndReason, readonly code?: ErrorCode } {
  if (remains.saidGoodbye) return { reason: 'clean' }
  const problem = remains.error === null ? undefined : toConnectionError(remains.error)
  if (problem !== undefined) return { reason: reasonOfCode(problem.code), code: problem.code }
  if (remains.error !== null) return { reason: 'connection-lost' }
  if (remains.isClosing) return { reason: 'server-shutdown' }
  // Aedes itself ends a session whose connection is sound only when another connection takes it over [MQTT-3.1.4-2].
  return { reason: remains.isGone ? 'connection-lost' : 'takenover' }
}

/** The reason that an error of ours stands for. */
export function reasonOfCode (code: ErrorCode): EndReason {
  return OTHERS[code] ?? (PROTOCOL_ERRORS.has(code) ? 'protocol-error' : 'kicked')
}

/** The error of ours that closed a connection; undefined: its socket broke, which is nobody's mistake. */
export function toConnectionError (error: Error): MbsError | undefined {
  if (isMbsError(error)) return error
  if ('syscall' in error || error.message === 'connection closed') return undefined
  return createError('MBS_ERR_BROKER_PROTOCOL', { reason: reasonOf(error) }, error)
}

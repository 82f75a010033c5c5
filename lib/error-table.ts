/**
 * The one table of errors. Each entry has a sentence and a remedy; docs/errors.md is generated from it. A code that is
 * retired is never used again. The entries stand in lib/error-table/, by where they happen; errors are made by
 * errors.ts alone.
 */
import { brokerErrors } from './error-table/broker.ts'
import { deliveryErrors } from './error-table/delivery.ts'
import { eventErrors } from './error-table/events.ts'
import { listenerErrors } from './error-table/listeners.ts'
import { probeErrors } from './error-table/probes.ts'
import { programErrors } from './error-table/program.ts'
import { redisErrors } from './error-table/redis.ts'
import { sharedSessionErrors } from './error-table/shared-sessions.ts'
import { tracingErrors } from './error-table/tracing.ts'

export { EXIT_CONFIG, type ErrorEntry } from './error-table/entry.ts'

/** Its parts, in the order of docs/errors.md; a test holds that no code stands in two of them. */
export const parts = [
  programErrors, listenerErrors, brokerErrors, eventErrors, deliveryErrors, probeErrors, tracingErrors,
  redisErrors, sharedSessionErrors
] as const

export const table = {
  ...programErrors,
  ...listenerErrors,
  ...brokerErrors,
  ...eventErrors,
  ...deliveryErrors,
  ...probeErrors,
  ...tracingErrors,
  ...redisErrors,
  ...sharedSessionErrors
} as const

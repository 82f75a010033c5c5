/**
 * What a broken session of the self-test means: from where it stood and what was seen to an error with a remedy. Pure.
 */
import { createError, reasonOf, type MbsError } from '../errors.ts'

/** What the self-test is waiting for. */
export type Phase = 'connack' | 'suback' | 'puback' | 'message'

/** What was seen: an error of the transport, one of MQTT's, or the end of the connection without either. */
export type Sight =
  | { readonly kind: 'transport', readonly error: unknown }
  | { readonly kind: 'mqtt', readonly error: unknown }
  | { readonly kind: 'closed' }

export interface Place {
  readonly url: string
  readonly topic: string
  readonly phase: Phase
}

/** The return codes of CONNACK [MQTT-3.2.2.3]. */
const REFUSALS: Readonly<Record<number, string>> = {
  1: 'it does not speak MQTT 3.1.1 (CONNACK 1)',
  2: 'it does not accept the client identifier (CONNACK 2)',
  3: 'it cannot serve at the moment (CONNACK 3)',
  4: 'user name or password are wrong (CONNACK 4)',
  5: 'whoever this is may not connect (CONNACK 5)'
}

const WHEN: Readonly<Record<Phase, string>> = {
  connack: 'before the session was established',
  suback: 'before the subscription was answered',
  puback: 'before the publish was acknowledged',
  message: 'before the message came back'
}

/** The error of a session that broke. */
export function faultOf (sight: Sight, { url, topic, phase }: Place): MbsError {
  if (sight.kind === 'closed') return closed({ url, topic, phase })
  const { error } = sight
  const code = (error as { code?: unknown } | undefined)?.code
  if (sight.kind === 'mqtt') {
    const refusal = typeof code === 'number' && phase === 'connack' ? REFUSALS[code] : undefined
    if (refusal !== undefined) return createError('MBS_ERR_SELFTEST_REFUSED', { url, reason: refusal }, error)
    return createError('MBS_ERR_SELFTEST_PROTOCOL', { url, reason: reasonOf(error) }, error)
  }
  if (phase === 'connack') return createError('MBS_ERR_SELFTEST_CONNECT', { url, reason: networkReason(error) }, error)
  return closed({ url, topic, phase }, error)
}

function closed ({ url, topic, phase }: Place, cause?: unknown): MbsError {
  if (phase === 'puback') return createError('MBS_ERR_SELFTEST_PUBLISH', { url, topic }, cause)
  return createError('MBS_ERR_SELFTEST_CLOSED', { url, when: WHEN[phase] }, cause)
}

/** A host with several addresses fails with several errors. */
function networkReason (error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(reasonOf).join('; ')
  return reasonOf(error)
}

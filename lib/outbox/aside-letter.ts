/** The dead letter that an event is from the moment on in which it is stored, because no sink is to get it. Pure. */
import type { Aside, DeadLetter, StoredEvent } from '../message.ts'
import { MAPPING } from './outbox.ts'

/** As the data plane of Knative has it: what can never be processed is 422. */
export function asideLetter (stored: StoredEvent, { reason, detail }: Aside): DeadLetter {
  const data = Buffer.from(detail)
  return { stored, sink: MAPPING, reason, attempts: 0, code: 422, destination: MAPPING, data, diedAt: stored.storedAt }
}

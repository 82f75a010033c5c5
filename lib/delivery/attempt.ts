/**
 * One attempt to send one event, between the dispatcher and a sink. Nothing in here retries.
 */
import type { Event, StoredEvent } from '../message.ts'
import type { Outcome, Sink } from '../sink/sink.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

/**
 * Sends once. A sink that breaks its contract, by throwing or by giving up unasked, is a network failure and not the
 * end of a lane.
 */
export async function send (sink: Sink, event: Event, signal: AbortSignal, telemetry: Telemetry): Promise<Outcome> {
  try {
    const outcome = await sink.send(event, signal)
    if (outcome.kind !== 'aborted' || signal.aborted) return outcome
    return { kind: 'network', code: 'ABORTED', reason: 'the sink gave up the attempt', timedOut: false }
  } catch (error) {
    telemetry.unexpected(error, `sink ${sink.name}`)
    return { kind: 'network', code: 'UNEXPECTED', reason: String(error), timedOut: false }
  }
}

/** An outcome in words, for the log. */
export function describe (outcome: Outcome): string {
  switch (outcome.kind) {
    case 'answer': return `status ${outcome.status}`
    case 'network': return outcome.reason
    case 'aborted': return 'aborted'
  }
}

/** What a log line says of an event. */
export function fieldsOf ({ sequence, event: { id, source, partitionKey } }: StoredEvent) {
  return { sequence, id, source, partitionKey }
}

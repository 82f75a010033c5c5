/**
 * One attempt to send one event, or a few of one lane, between the dispatcher and a sink. Nothing in here retries.
 */
import type { Event, StoredEvent } from '../message.ts'
import type { Outcome, Sink } from '../sink/sink.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

const GIVEN_UP: Outcome = {
  kind: 'network', code: 'ABORTED', reason: 'the sink gave up the attempt', timedOut: false
}

/** An attempt that was made and not given up. */
function isMade ({ kind }: Outcome): boolean {
  return kind !== 'aborted' && kind !== 'untried'
}

/**
 * Sends events of one lane once, in their order, together with those of other lanes where the sink takes batches. The
 * outcomes are theirs; where there are fewer, the others were not tried. A sink that breaks its contract, by throwing
 * or by giving up unasked, is a network failure of the first and not the end of a lane.
 */
export async function sendAll (
  sink: Sink, events: readonly Event[], signal: AbortSignal, telemetry: Telemetry
): Promise<readonly Outcome[]> {
  if (sink.sendAll === undefined) return [await send(sink, events[0] as Event, signal, telemetry)]
  try {
    const outcomes = await sink.sendAll(events, signal)
    const [first] = outcomes
    return first !== undefined && (isMade(first) || signal.aborted) ? outcomes : [GIVEN_UP]
  } catch (error) {
    return [unexpected(sink, error, telemetry)]
  }
}

/** Sends one event once, in a request of its own: whatever becomes of it is its own doing, or the sink's. */
export async function send (sink: Sink, event: Event, signal: AbortSignal, telemetry: Telemetry): Promise<Outcome> {
  try {
    const outcome = await sink.send(event, signal)
    return isMade(outcome) || signal.aborted ? outcome : GIVEN_UP
  } catch (error) {
    return unexpected(sink, error, telemetry)
  }
}

function unexpected (sink: Sink, error: unknown, telemetry: Telemetry): Outcome {
  telemetry.unexpected(error, `sink ${sink.name}`)
  return { kind: 'network', code: 'UNEXPECTED', reason: String(error), timedOut: false }
}

/** An outcome in words, for the log. */
export function describe (outcome: Outcome): string {
  switch (outcome.kind) {
    case 'answer': return `status ${outcome.status}`
    case 'network': return outcome.reason
    case 'untried': return 'not tried'
    case 'aborted': return 'aborted'
  }
}

/** What a log line says of an event. */
export function fieldsOf ({ sequence, event: { id, source, partitionKey } }: StoredEvent) {
  return { sequence, id, source, partitionKey }
}

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
 * Sends events of one lane once, in their order: one, or several to a sink that takes batches. The outcomes are theirs;
 * where there are fewer, the others were not tried. A sink that breaks its contract, by throwing or by giving up
 * unasked, is a network failure of the first and not the end of a lane.
 */
export async function send (
  sink: Sink, events: readonly Event[], signal: AbortSignal, telemetry: Telemetry
): Promise<readonly Outcome[]> {
  const [only] = events
  try {
    const outcomes = events.length === 1 || sink.sendAll === undefined
      ? [await sink.send(only as Event, signal)]
      : await sink.sendAll(events, signal)
    const [first] = outcomes
    return first !== undefined && (isMade(first) || signal.aborted) ? outcomes : [GIVEN_UP]
  } catch (error) {
    telemetry.unexpected(error, `sink ${sink.name}`)
    return [{ kind: 'network', code: 'UNEXPECTED', reason: String(error), timedOut: false }]
  }
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

/**
 * What an outcome means for the event, by the table of Knative's data plane specification. Pure. Nothing else in the
 * program knows what a status code means.
 */
import type { Outcome } from '../sink/sink.ts'

/**
 * `delivered`: the sink has taken the event. `retry`: try again later. `refused`: the sink will never take this event.
 * `untried`: it was not sent, because one before it was not taken. `aborted`: the attempt was given up by us and says
 * nothing.
 */
export type Verdict = 'delivered' | 'retry' | 'refused' | 'untried' | 'aborted'

/**
 * Judges one attempt. 2xx is delivered; 404, 408, 409, 429, 5xx, what is not in the table at all (below 100, 600 and
 * above) and a missing answer are tried again; 1xx, 3xx and every other 4xx are final. So is 401, unless the sink was
 * sent credentials: they are the same for all events, and none is to be set aside because a token has expired.
 */
export function classify (outcome: Outcome): Verdict {
  switch (outcome.kind) {
    case 'answer': return outcome.unauthorized === true ? 'retry' : classifyStatus(outcome.status)
    case 'network': return 'retry'
    case 'untried': return 'untried'
    case 'aborted': return 'aborted'
  }
}

function classifyStatus (status: number): Verdict {
  if (status >= 200 && status < 300) return 'delivered'
  switch (status) {
    // The sink may not exist yet, or not know its address yet; the others say by their meaning that it can pass.
    case 404:
    case 408:
    case 409:
    case 429:
      return 'retry'
  }
  return status >= 100 && status < 500 ? 'refused' : 'retry'
}

/**
 * How long the sink asked to be left alone, in milliseconds; 0 where it did not. Retry-After is heard on 429 and 503
 * only, as Knative's delivery spec says, and for `maxMs` at most: a sink must not stop delivery for a year.
 */
export function retryAfterMs (outcome: Outcome, maxMs: number): number {
  if (outcome.kind !== 'answer' || outcome.retryAfterMs === undefined) return 0
  if (outcome.status !== 429 && outcome.status !== 503) return 0
  return Math.max(0, Math.min(outcome.retryAfterMs, maxMs))
}

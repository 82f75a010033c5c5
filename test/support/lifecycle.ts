/** Life-cycle events as tests read them. */
import { LIFECYCLE_TYPE_PREFIX } from '../../lib/mapping/lifecycle-event.ts'
import type { Event } from '../../lib/message.ts'

export interface LifecycleLine {
  readonly kind: string
  readonly sequence: string
  readonly event: Event
  readonly data: Readonly<Record<string, unknown>>
}

/** The life-cycle events among others. */
export function lifecycleOf (events: readonly Event[]): LifecycleLine[] {
  return events.filter(({ type }) => type.startsWith(LIFECYCLE_TYPE_PREFIX)).map((event) => ({
    kind: event.type.slice(LIFECYCLE_TYPE_PREFIX.length),
    sequence: String(event.extensions['sequence']),
    event,
    data: JSON.parse(event.data.toString()) as Record<string, unknown>
  }))
}

/** All events in a word each: the kind of a life-cycle event with its reason, else the payload. */
export function wordsOf (events: readonly Event[]): string[] {
  return events.map((event) => {
    const [line] = lifecycleOf([event])
    if (line === undefined) return event.data.toString()
    return typeof line.data['reason'] === 'string' ? `${line.kind} ${line.data['reason']}` : line.kind
  })
}

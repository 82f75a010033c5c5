/**
 * A lane: the undelivered events of one partition key, and what can be told of it. `Lanes` has all of them and is the
 * only one to change one (except for its trouble).
 */
import type { Event, StoredEvent } from '../message.ts'

/** What has gone wrong with the head of a lane. Times are monotonic unless they say otherwise. */
export interface Trouble {
  /** Attempts that failed, counted or not. */
  failures: number
  /** Those of them that failed while the sink was proven to take others. */
  counted: number
  /** The number of the sink's successes when the last of them was counted. */
  countedAt: number
  /** Failures in a row, up to the last one, in which the sink took nothing else; `successes` tells when it did. */
  alone: number
  successes: number
  /** When the last attempt ended. */
  attemptedAt: number
  retryAt: number
  /** No success brings the retry further forward than this: one backoff delay, or what the sink asked for. */
  earliestAt: number
  /** There was no success to hold the last failure against: the next one brings the retry forward. */
  unproven: boolean
  /** Sequences of the events behind it that were tried in its place and failed as well, in order. */
  run: readonly number[]
  /** When the event was stored, milliseconds since the epoch. */
  readonly storedAt: number
}

/**
 * `ready`: its head is loaded and waits for its turn. `busy`: an attempt is under way, or the head is being set aside.
 * `failing`: waits for its retry. `fetching`: would be ready if its head were loaded.
 */
export type LaneState = 'ready' | 'busy' | 'failing' | 'fetching'

export interface Lane {
  readonly key: string
  state: LaneState
  trouble: Trouble | undefined
  /** Events, or their sequence numbers where they are not loaded; everything before `first` is done with. */
  queue: Array<StoredEvent | number>
  first: number
  /** How many from `first` on are loaded. */
  loaded: number
  /** Size of the event seen last, to guess what fetching would load. */
  eventBytes: number
  previous: Lane | undefined
  next: Lane | undefined
}

/** What an event takes beside its data: attributes, strings, objects. A guess on the high side. */
const OVERHEAD_BYTES = 512

/** Undelivered events of a lane that have been read, loaded or not. */
export function waiting (lane: Lane): number {
  return lane.queue.length - lane.first
}

/** The head of a lane, where it is loaded. */
export function loadedHead (lane: Lane): StoredEvent | undefined {
  const head = lane.queue[lane.first]
  return typeof head === 'object' ? head : undefined
}

/** The sequence at a place of a lane; 0 is its head. */
export function sequenceAt (lane: Lane, offset: number): number | undefined {
  const item = lane.queue[lane.first + offset]
  return typeof item === 'object' ? item.sequence : item
}

/**
 * The events at the front of a lane that can be sent together. One that may not have to be sent any more when its turn
 * comes is sent as the first of its run.
 */
export function runOf (lane: Lane, limit: { readonly count: number, readonly bytes: number }): StoredEvent[] {
  const run: StoredEvent[] = []
  let bytes = 0
  for (let at = lane.first; at < lane.first + lane.loaded && run.length < limit.count; at++) {
    const item = lane.queue[at]
    if (typeof item !== 'object') break
    bytes += sizeOf(item)
    const isAlone = mayBecomeObsolete(item.event) || lane.trouble !== undefined
    if (run.length > 0 && (isAlone || bytes > limit.bytes)) break
    run.push(item)
  }
  return run
}

function mayBecomeObsolete ({ handling }: Event): boolean {
  return handling?.expiresAt !== undefined || handling?.supersede !== undefined
}

/** When the oldest of the events at the heads of these lanes was stored; undefined where none is known. */
export function oldestStoredAt (lanes: Iterable<Lane>): number | undefined {
  let lowest = Infinity
  let storedAt: number | undefined
  for (const lane of lanes) {
    const sequence = sequenceAt(lane, 0)
    const known = loadedHead(lane)?.storedAt ?? lane.trouble?.storedAt
    if (sequence === undefined || known === undefined || sequence > lowest) continue
    lowest = sequence
    storedAt = known
  }
  return storedAt
}

/** What an event takes of memory, about. */
export function sizeOf (stored: StoredEvent): number {
  return OVERHEAD_BYTES + stored.event.data.length
}

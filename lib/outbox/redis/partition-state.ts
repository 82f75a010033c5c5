/**
 * What this program knows of one partition: as Redis said last, in the answer to whatever was asked. Between the
 * scripts, which answer, and all who ask how things stand.
 */
import { Waiters } from '../waiters.ts'
import { OVERHEAD_BYTES } from './scripts.ts'

/** How many numbers make a state in the answer of a script. */
export const STATE_LENGTH = 8

/**
 * Answers to what was asked at the same time are not always handled in the order in which they came. One that is older
 * than the last one by no more than this, by the clock of the server, is one of those; more, and it is another server.
 */
const OVERTAKEN_MS = 5000

export class PartitionState {
  /** The newest sequence; 0 where there has been none. */
  last = 0
  /** The oldest sequence that may be kept; 0 where there has been none. */
  first = 0
  events = 0
  letters = 0
  /** What counts towards the bound of the outbox. */
  bytes = 0
  /** Up to this sequence enough replicas have it; of interest where they are asked for. */
  replicated = 0
  /** The newest sequence in the state that came last; news of others may be ahead of it. */
  #told = 0
  /** When that state was made, in milliseconds since the epoch by the clock of the server. */
  #toldAtMs = 0
  /** How far the clock of the server is ahead of ours, in milliseconds. */
  clockAheadMs = 0
  /** Those who wait for an event that is not there yet. */
  readonly waiters = new Waiters()

  /** The sequence behind the newest event. */
  get next (): number {
    return this.last + 1
  }

  /** Bytes of an event, on average. */
  get eventBytes (): number {
    return this.events === 0 ? OVERHEAD_BYTES : Math.max(OVERHEAD_BYTES, this.bytes / this.events)
  }

  /** Takes over a state out of an answer. @returns how many sequences there were before that are gone */
  update (numbers: readonly number[]): number {
    const [last = 0, offset = 0, trimmed = 0, letterBytes = 0, letters = 0, events = 0, nowMs = 0, first = 0] = numbers
    const olderMs = this.#toldAtMs - nowMs
    if ((olderMs > 0 || (olderMs === 0 && last < this.#told)) && olderMs <= OVERTAKEN_MS) return 0
    const gone = Math.max(0, this.#told - last)
    this.#told = last
    this.#toldAtMs = nowMs
    this.bytes = offset - trimmed + letterBytes
    this.letters = letters
    this.events = events
    this.first = first
    this.clockAheadMs = nowMs - Date.now()
    if (gone > 0) this.last = last
    this.advance(last)
    return gone
  }

  /** There is an event of this sequence. */
  advance (last: number): void {
    if (last <= this.last) return
    this.last = last
    this.waiters.advance(last + 1)
  }
}

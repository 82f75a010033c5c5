/**
 * What the log knows of itself while it is open: where it begins and ends, and how large it is. Changed in one place,
 * by the committer, when a write has succeeded; `first` alone moves ahead of its write, so that no reader mistakes what
 * is being trimmed for damage.
 *
 * The marks are the part of it that the blocks do not tell: they are written with every trim, so that a sequence is
 * never used twice when all blocks are gone.
 */
import { seal, unseal } from '../level/sealed.ts'

/** What one write changes beside the events that it adds. */
export interface StateChange {
  readonly first?: number
  readonly firstOffset?: number
  readonly letters?: number
  readonly letterBytes?: number
}

/** The marks as they are stored. */
export interface Marks {
  readonly first: number
  readonly next: number
  readonly offset: number
  readonly letters: number
  readonly letterBytes: number
}

export class LogState {
  /** The oldest sequence that is kept. */
  first = 1
  /** Bytes of all blocks ever written before the oldest one kept. */
  firstOffset = 0
  /** The sequence behind the newest durable event. */
  next = 1
  /** Bytes of all blocks ever written. */
  offset = 0
  letters = 0
  letterBytes = 0

  /** What counts towards the bound. */
  get bytes (): number {
    return this.offset - this.firstOffset + this.letterBytes
  }

  get events (): number {
    return this.next - this.first
  }

  /** Events were added. */
  grow (count: number, bytes: number): void {
    this.next += count
    this.offset += bytes
  }

  apply (change: StateChange): void {
    this.first = Math.max(this.first, change.first ?? 0)
    this.firstOffset = change.firstOffset ?? this.firstOffset
    this.letters += change.letters ?? 0
    this.letterBytes += change.letterBytes ?? 0
  }
}

/** The marks of a state in which `changes` and a block have been written as well. */
export function encodeMarks (state: LogState, changes: readonly StateChange[], count: number, bytes: number): Buffer {
  let { first, letters, letterBytes } = state
  for (const change of changes) {
    first = Math.max(first, change.first ?? 0)
    letters += change.letters ?? 0
    letterBytes += change.letterBytes ?? 0
  }
  const marks: Marks = { first, next: state.next + count, offset: state.offset + bytes, letters, letterBytes }
  return seal(Buffer.from(JSON.stringify(marks)))
}

/** Undefined where there are none, or they are damaged. */
export function decodeMarks (value: Buffer | undefined): Marks | undefined {
  const body = value === undefined ? undefined : unseal(value)
  return body === undefined ? undefined : JSON.parse(body.toString()) as Marks
}

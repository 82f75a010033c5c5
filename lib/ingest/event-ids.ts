/**
 * Makes event ids: UUIDs whose last twelve digits count up, behind a beginning that is random for each start of the
 * program. As unlikely to meet another as a random one, cheaper to make, and a number is enough to remember it.
 */
import { randomUUID } from 'node:crypto'

/** Digits of a UUID that count. */
const COUNTING = 12

export class EventIds {
  readonly #beginning = randomUUID().slice(0, -COUNTING)
  #last = 0

  /** The number of a new id. */
  next (): number {
    return ++this.#last
  }

  /** The id of a number. */
  textOf (number: number): string {
    return this.#beginning + number.toString(16).padStart(COUNTING, '0')
  }
}

/** Lanes that wait for their turn, first in first out, linked through themselves: taking turns costs no allocation. */
import type { Lane } from './lane.ts'

export class LaneQueue {
  #first: Lane | undefined
  #last: Lane | undefined
  #size = 0

  get size (): number {
    return this.#size
  }

  get first (): Lane | undefined {
    return this.#first
  }

  /** Puts a lane that is in no queue at the end. */
  push (lane: Lane): void {
    lane.previous = this.#last
    lane.next = undefined
    if (this.#last === undefined) this.#first = lane
    else this.#last.next = lane
    this.#last = lane
    this.#size++
  }

  /** Takes out a lane of this queue, wherever it is. */
  remove (lane: Lane): void {
    if (lane.previous === undefined) this.#first = lane.next
    else lane.previous.next = lane.next
    if (lane.next === undefined) this.#last = lane.previous
    else lane.next.previous = lane.previous
    lane.previous = lane.next = undefined
    this.#size--
  }
}

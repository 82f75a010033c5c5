/**
 * What the sink has taken, in memory: everything below `lowest`, and a set beyond it, because lanes do not wait for
 * each other. The set is a ring of bits, so that a delivery costs a few instructions and a million events delivered
 * behind a blocked one cost 128 KiB. Pure: saving it is the checkpoint's business.
 *
 * Invariant: the bit of `lowest` itself is never set.
 */
import type { CursorState } from '../outbox/outbox.ts'

const SMALLEST_BITS = 1024

export class Cursor {
  #lowest: number
  /** Bit s & mask stands for sequence s; only lowest to lowest + mask can be held. */
  #bits = new Uint8Array(SMALLEST_BITS >> 3)
  #mask = SMALLEST_BITS - 1
  /** Sequences in the set, and one above the highest of them. */
  #size = 0
  #end: number

  /** @param state as it was saved; without one, nothing has been taken */
  constructor (state: CursorState = { lowest: 1, beyond: new Uint8Array(0) }) {
    this.#lowest = state.lowest
    this.#end = state.lowest
    for (let i = 0; i < state.beyond.length * 8; i++) {
      if (((state.beyond[i >> 3] ?? 0) >> (i & 7) & 1) === 1) this.add(state.lowest + i)
    }
  }

  /** The lowest sequence that the sink has not taken. */
  get lowest (): number {
    return this.#lowest
  }

  /** How many sequences above `lowest` it has taken. */
  get beyond (): number {
    return this.#size
  }

  has (sequence: number): boolean {
    if (sequence < this.#lowest) return true
    return sequence < this.#end && this.#isSet(sequence)
  }

  /** The sink is done with this sequence. Again for the same one changes nothing. */
  add (sequence: number): void {
    if (sequence === this.#lowest) {
      this.#lowest++
      if (this.#size > 0) this.#advance()
      return
    }
    if (this.has(sequence)) return
    if (sequence - this.#lowest > this.#mask) this.#grow(sequence)
    const bit = sequence & this.#mask
    this.#bits[bit >> 3] = (this.#bits[bit >> 3] ?? 0) | 1 << (bit & 7)
    this.#size++
    if (sequence >= this.#end) this.#end = sequence + 1
  }

  /** The same for every sequence from `from` up to, not including, `to`. */
  addRange (from: number, to: number): void {
    // A gap at the very front may be as wide as the sequence space; it needs no bits.
    if (from <= this.#lowest && this.#size === 0) {
      this.#lowest = Math.max(this.#lowest, to)
      return
    }
    for (let sequence = Math.max(from, this.#lowest); sequence < to; sequence++) this.add(sequence)
  }

  /** What to save. A copy: it does not change with the cursor. */
  state (): CursorState {
    const beyond = new Uint8Array(this.#size === 0 ? 0 : (this.#end - this.#lowest + 7) >> 3)
    const shift = this.#lowest & 7
    const bytes = this.#bits.length - 1
    const from = (this.#lowest & this.#mask) >> 3
    for (let i = 0; i < beyond.length; i++) {
      const low = this.#bits[(from + i) & bytes] ?? 0
      const high = this.#bits[(from + i + 1) & bytes] ?? 0
      beyond[i] = (low >> shift) | (high << (8 - shift))
    }
    return { lowest: this.#lowest, beyond }
  }

  #isSet (sequence: number): boolean {
    const bit = sequence & this.#mask
    return ((this.#bits[bit >> 3] ?? 0) >> (bit & 7) & 1) === 1
  }

  /** Moves over what has been taken already, and clears its bits for their next turn of the ring. */
  #advance (): void {
    while (this.#size > 0 && this.#isSet(this.#lowest)) {
      const bit = this.#lowest & this.#mask
      this.#bits[bit >> 3] = (this.#bits[bit >> 3] ?? 0) & ~(1 << (bit & 7))
      this.#size--
      this.#lowest++
    }
  }

  #grow (sequence: number): void {
    const held: number[] = []
    for (let s = this.#lowest; s < this.#end; s++) if (this.#isSet(s)) held.push(s)
    let bits = this.#mask + 1
    while (sequence - this.#lowest >= bits) bits *= 2
    this.#bits = new Uint8Array(bits >> 3)
    this.#mask = bits - 1
    for (const s of held) this.#bits[(s & this.#mask) >> 3]! |= 1 << (s & 7)
  }
}

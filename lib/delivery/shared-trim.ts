/**
 * Frees what no sink needs any more: the log is trimmed up to where the last of the saved cursors stands. Between the
 * checkpoints of all sinks and the outbox. Invariant: while one sink has saved nothing, nothing is trimmed.
 */
import type { Outbox } from '../outbox/outbox.ts'

export class SharedTrim {
  readonly #outbox: Pick<Outbox, 'trim'>
  /** Where the saved cursor of each sink stands. */
  readonly #lowest: Map<string, number>
  #trimmed = 0

  /** @param sinks the names of all that are to get events, those among them that nothing is sent to yet */
  constructor (outbox: Pick<Outbox, 'trim'>, sinks: readonly string[]) {
    this.#outbox = outbox
    this.#lowest = new Map(sinks.map((name) => [name, 0]))
  }

  /** The saved cursor of a sink stands here. Rejects as `outbox.trim` does; the next call makes up for it. */
  async saved (sink: string, lowest: number): Promise<void> {
    this.#lowest.set(sink, lowest)
    const before = Math.min(...this.#lowest.values())
    if (before <= this.#trimmed) return
    await this.#outbox.trim(before)
    this.#trimmed = Math.max(this.#trimmed, before)
  }
}

/**
 * The sequences that are known to be lost, so that each is reported once however often its place is read. Damage comes
 * in few runs; neighbours are merged.
 */

/** From a sequence up to, not including, another. */
export interface Run {
  readonly from: number
  readonly to: number
}

export class Losses {
  #runs: Run[] = []

  /** Adds a run; returns how many of its sequences were not known before. */
  add (from: number, to: number): number {
    let fresh = to - from
    const apart: Run[] = []
    let merged = { from, to }
    for (const run of this.#runs) {
      fresh -= Math.max(0, Math.min(run.to, to) - Math.max(run.from, from))
      if (run.to < merged.from || run.from > merged.to) apart.push(run)
      else merged = { from: Math.min(run.from, merged.from), to: Math.max(run.to, merged.to) }
    }
    if (to > from) apart.push(merged)
    this.#runs = apart
    return fresh
  }

  /** Forgets what lies before a sequence. */
  trimBefore (sequence: number): void {
    if (this.#runs.length > 0) this.#runs = this.#runs.filter((run) => run.to > sequence)
  }
}

/** In words, for the log. */
export function describeRun ({ from, to }: Run): string {
  return to - from === 1 ? `sequence ${from}` : `sequences ${from} to ${to - 1}`
}

/**
 * The counters of sources on disk: portions of those that changed, the newer ones above the older, and a mark that says
 * up to where in the outbox they tell everything. What lies behind the mark is read from the events themselves. Written
 * with other batches, and at times all of them anew, in the place of the portions before.
 */
import { eachEntry, readValue } from '../level/scan.ts'
import { seal, unseal } from '../level/sealed.ts'
import type { Counter } from './counters.ts'
import type { BatchOperation, Database } from './database.ts'
import { COUNTERS_ALL, COUNTERS_MARK_KEY, countersKey, parseCountersKey } from './keys.ts'

/** Counters of one value. */
const PORTION = 4096
/** Portions, and counters in them beyond two for each source, after which all are written anew. */
const MOST_PORTIONS = 1024
const SPARE_COUNTERS = 10_000

/** What the mark says. */
export interface CountersMark {
  /** Everything that was stored before it is in the portions. */
  readonly from: number
  /** False where what was stored behind it has not been numbered. */
  readonly on: boolean
  /** The portions that there are: from one number up to, not including, another. */
  readonly portions: readonly [first: number, end: number]
}

/** What was found on disk. */
export interface SavedCounters {
  readonly mark: CountersMark | undefined
  /** Sources with their last numbers, and where their last events are; oldest first. */
  readonly counters: ReadonlyArray<readonly [source: string, value: number, at: number]>
  /** True where something is missing of what the mark says. */
  readonly damaged: boolean
}

/** What one batch changes. */
interface Change {
  readonly from: number
  readonly portions: readonly [first: number, end: number]
  readonly stored: number
}

export class CounterLog {
  #from = 1
  #first = 0
  #end = 0
  /** Counters in all portions. */
  #stored = 0
  #change: Change | undefined

  /** Everything that was stored before it is saved. */
  get from (): number {
    return this.#from
  }

  async load (database: Database): Promise<SavedCounters> {
    const mark = decodeMark(await readValue(database, COUNTERS_MARK_KEY))
    const counters: Array<readonly [string, number, number]> = []
    const numbers: number[] = []
    await eachEntry(database, COUNTERS_ALL, (key, value) => {
      const portion = decodePortion(value)
      if (portion === undefined) return
      numbers.push(parseCountersKey(key))
      counters.push(...portion)
    })
    const [first, end] = mark?.portions ?? [numbers[0] ?? 0, (numbers.at(-1) ?? -1) + 1]
    const found = numbers.filter((number) => number >= first && number < end).length
    this.#first = first
    this.#end = end
    this.#stored = counters.length
    this.#from = mark?.from ?? 1
    this.#change = undefined
    return { mark, counters, damaged: (mark === undefined && numbers.length > 0) || found !== end - first }
  }

  /**
   * The operations that save counters. Changes nothing before `wrote`.
   * @param from what was stored before it is saved now
   * @param changed gives the counters whose last event is at a place or behind it, the newest first
   * @param sources how many there are in all
   */
  operations (
    from: number, on: boolean, changed: (since: number) => Iterable<Counter>, sources: number
  ): BatchOperation[] {
    const isAnew = this.#end - this.#first >= MOST_PORTIONS || this.#stored > 2 * sources + SPARE_COUNTERS
    return this.#write(from, on, [...changed(isAnew ? 0 : this.#from)].filter(({ at }) => isAnew || at < from), isAnew)
  }

  /** The operations that save all counters in the place of what there is. Changes nothing before `wrote`. */
  anew (from: number, on: boolean, all: Iterable<Counter>): BatchOperation[] {
    return this.#write(from, on, [...all], true)
  }

  /** The operations are durable. */
  wrote (): void {
    if (this.#change === undefined) return
    const { from, portions, stored } = this.#change
    this.#from = from
    this.#first = portions[0]
    this.#end = portions[1]
    this.#stored = stored
    this.#change = undefined
  }

  #write (from: number, on: boolean, counters: Counter[], isAnew: boolean): BatchOperation[] {
    const operations: BatchOperation[] = []
    if (isAnew) {
      for (let old = this.#first; old < this.#end; old++) operations.push({ type: 'del', key: countersKey(old) })
    }
    counters.reverse()
    let end = this.#end
    for (let at = 0; at < counters.length; at += PORTION) {
      operations.push({ type: 'put', key: countersKey(end++), value: encodePortion(counters.slice(at, at + PORTION)) })
    }
    const portions = [isAnew ? this.#end : this.#first, end] as const
    operations.push({ type: 'put', key: COUNTERS_MARK_KEY, value: encodeMark({ from, on, portions }) })
    this.#change = { from, portions, stored: (isAnew ? 0 : this.#stored) + counters.length }
    return operations
  }
}

function encodeMark (mark: CountersMark): Buffer {
  return seal(Buffer.from(JSON.stringify(mark)))
}

function decodeMark (value: Buffer | undefined): CountersMark | undefined {
  const body = value === undefined ? undefined : unseal(value)
  return body === undefined ? undefined : JSON.parse(body.toString()) as CountersMark
}

/** A flat array is what JSON does fastest. */
function encodePortion (counters: readonly Counter[]): Buffer {
  const flat: Array<string | number> = []
  for (const { source, value, at } of counters) flat.push(source, value, at)
  return seal(Buffer.from(JSON.stringify(flat)))
}

function decodePortion (value: Buffer): Array<readonly [string, number, number]> | undefined {
  const body = unseal(value)
  if (body === undefined) return undefined
  const flat = JSON.parse(body.toString()) as Array<string | number>
  const portion: Array<readonly [string, number, number]> = []
  for (let at = 0; at + 2 < flat.length; at += 3) {
    portion.push([flat[at] as string, flat[at + 1] as number, flat[at + 2] as number])
  }
  return portion
}

/**
 * The extension `sequence` [CE sequence]: each event of a source gets the number behind that of the one before, from 1
 * on, when its block is formed; so that a receiver that has 1 to n of a source has all of them. Between appends and the
 * committer; `counters.ts` has the numbers, `counter-log.ts` puts them on disk.
 *
 * Invariant: what is stored of a source is numbered without a gap and no number is given twice, whatever fails in
 * between. A number is taken only by an event that goes into a batch, and after a batch that failed all counters are
 * read again from what is stored. Where files are damaged, numbers are passed over rather than given twice.
 */
import { createHash } from 'node:crypto'
import type { Event, ExtensionValue, StoredEvent } from '../message.ts'
import { eachEvent } from './blocks.ts'
import { CounterLog } from './counter-log.ts'
import { Counters, type Counter } from './counters.ts'
import type { BatchOperation, Database } from './database.ts'

const DIGITS = 16
/** What stands before a number of so many digits. */
const ZEROS = Array.from({ length: DIGITS }, (_, digits) => '0'.repeat(DIGITS - digits))
const GIVEN = /^\d{16}$/

/** A longer source is known by its hash: what a device chooses must not take up the memory. */
const MAX_KEY = 256

export interface SequencesOptions {
  /** Sources that are remembered. */
  readonly limit: number
  /** About so many events are read again at most when the outbox is opened. */
  readonly unsavedEvents: number
  /** False: nothing is numbered, and what has been is only written down. */
  readonly on: boolean
  /** Counters are gone: that of a source for which there was no room, or what a damaged file had. */
  readonly onForgotten: (reason: 'limit' | 'damage') => void
}

/** Where the outbox begins and ends. */
interface Ends {
  readonly first: number
  readonly next: number
}

export class Sequences {
  readonly #options: SequencesOptions
  readonly #counters: Counters
  readonly #log = new CounterLog()
  /** Whose number was given last, and has not been taken. */
  #given: Counter | undefined

  constructor (options: SequencesOptions) {
    this.#options = options
    this.#counters = new Counters(options.limit)
  }

  /**
   * Learns what a database that has just been opened says: the counters as saved, and what was numbered since.
   * @param repaired true where what was saved may have been lost
   * @returns what has to be written with the first batch
   */
  async load (database: Database, ends: Ends, repaired: boolean): Promise<BatchOperation[]> {
    this.#counters.clear()
    const operations = await this.#load(database, ends, repaired)
    if (!this.#options.on) this.#counters.clear()
    return operations
  }

  async #load (database: Database, { first, next }: Ends, repaired: boolean): Promise<BatchOperation[]> {
    const { on, onForgotten } = this.#options
    const counters = this.#counters
    const { mark, counters: saved, damaged } = await this.#log.load(database)
    if (!on && mark === undefined && !damaged) return []
    for (const [source, value, at] of inOrder(saved)) counters.set(counters.of(source), value, at)
    if (damaged) onForgotten('damage')
    const all = counters.since.bind(counters)
    const isWhole = !damaged && (mark !== undefined || !repaired)
    if (isWhole && mark?.on !== true) return on ? this.#log.anew(next, on, all(0)) : []

    const from = isWhole && mark !== undefined ? Math.min(mark.from, next) : first
    const read = await eachEvent(database, Math.max(from, first), next, (stored) => { this.#replay(stored) })
    const lost = next - from - read
    // Whose numbers the lost events had, nobody knows.
    if (lost > 0) counters.skip(lost)
    if (!isWhole || lost > 0 || mark?.from !== from) return this.#log.anew(next, on, all(0))
    return on ? [] : this.#log.operations(next, on, all, counters.size)
  }

  /**
   * The event as it is to be stored. Its number counts when `take` is called; the next call gives it again otherwise.
   * One that has a sequence keeps it, and one that is set aside gets none.
   */
  give (event: Event): Event {
    this.#given = undefined
    const { extensions, handling } = event
    const own = extensions['sequence']
    if (looksGiven(own)) return { ...event, handling: { ...handling, ownSequence: true } }
    if (own !== undefined || handling?.aside !== undefined) return event
    const counter = this.#counters.of(keyOf(event.source))
    this.#given = counter
    // On the path of every append: two spreads in one literal are measured to cost three times as much.
    const numbered: Record<string, ExtensionValue> = Object.assign({}, extensions)
    numbered['sequence'] = textOf(counter.value + 1)
    return { ...event, extensions: numbered }
  }

  /** The event that was given its number last is in the block, at this place in the outbox. */
  take (at: number): void {
    const counter = this.#given
    if (counter !== undefined && this.#counters.set(counter, counter.value + 1, at)) this.#options.onForgotten('limit')
  }

  /**
   * What has to be written with a batch: counters whose events it trims, and where many are not saved, all of these.
   * @param trimmed what lies before it goes with the batch
   * @param end where the outbox ends behind the batch
   */
  operations (trimmed: number, end: number): BatchOperation[] {
    const { from } = this.#log
    if (end - from > this.#options.unsavedEvents) return this.closing(end)
    return trimmed > from ? this.closing(trimmed) : []
  }

  /** Saves everything that was stored before a place: nothing of it has to be read again. */
  closing (end: number): BatchOperation[] {
    return this.#log.operations(end, this.#options.on, this.#counters.since.bind(this.#counters), this.#counters.size)
  }

  /** The operations given last are durable. */
  wrote (): void {
    this.#log.wrote()
  }

  #replay ({ sequence: at, event }: StoredEvent): void {
    const { extensions, handling, source } = event
    const given = extensions['sequence']
    if (handling?.ownSequence === true || handling?.aside !== undefined || !looksGiven(given)) return
    this.#counters.set(this.#counters.of(keyOf(source)), Number(given), at)
  }
}

function textOf (number: number): string {
  const digits = String(number)
  return (ZEROS[digits.length] ?? '') + digits
}

function looksGiven (sequence: unknown): boolean {
  return typeof sequence === 'string' && GIVEN.test(sequence)
}

function keyOf (source: string): string {
  return source.length <= MAX_KEY ? source : createHash('sha256').update(source).digest('base64')
}

/** Each source as it was saved last, the one whose event is oldest first. */
function inOrder (saved: ReadonlyArray<readonly [source: string, value: number, at: number]>) {
  const newest = new Map(saved.map((counter) => [counter[0], counter]))
  return [...newest.values()].sort((one, other) => one[2] - other[2])
}

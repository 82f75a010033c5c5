/**
 * The way out: pages of events, from memory where the reader keeps up, else from the blocks on disk. What is damaged is
 * passed over and counted; reading never stops at it. Never holds more than one page, one block and its read-ahead.
 */
import { readValue, readValues } from '../level/scan.ts'
import type { StoredEvent } from '../message.ts'
import type { Access } from './access.ts'
import { BlockReader } from './block.ts'
import { blockAt, blocksBehind } from './blocks.ts'
import type { Database } from './database.ts'
import { blockKey, endOf, type BlockKey } from './keys.ts'
import type { LogState } from './log-state.ts'
import type { Run } from './losses.ts'
import type { Page, PageLimit } from './outbox.ts'
import type { TailCache } from './tail-cache.ts'

/** Keys of blocks that are read at once; and about how many bytes of blocks are. */
const KEYS_AT_ONCE = 64
const AHEAD_BYTES = 256 * 1024

/** The value of a block that cannot be read: none of its records can. */
const NOTHING = Buffer.alloc(0)

export interface LogReaderOptions {
  readonly state: LogState
  readonly tail: TailCache
  readonly access: Access
  /** Told of every run of events that cannot be read, each time it is come across. */
  readonly onLost: (run: Run) => void
}

export class LogReader {
  readonly #state: LogState
  readonly #tail: TailCache
  readonly #access: Access
  readonly #onLost: (run: Run) => void
  /** Blocks read ahead, and behind them the keys of those that follow, in order and as they lie on disk. */
  #ahead: BlockReader[] = []
  #known: BlockKey[] = []
  /** Where the block read last ends, which is where the next one begins. */
  #boundary = 0
  /** One page is read from disk at a time: pages share what is read ahead. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor (options: LogReaderOptions) {
    this.#state = options.state
    this.#tail = options.tail
    this.#access = options.access
    this.#onLost = options.onLost
  }

  async read (from: number, limit: PageLimit): Promise<Page> {
    const position = Math.max(from, this.#state.first)
    if (position >= this.#state.next) return { events: [], next: position, lost: 0 }
    const page = this.#tail.page(position, limit)
    if (page !== undefined) return page
    const turn = this.#turn.then(() => this.#readPage(position, limit))
    this.#turn = turn.catch(() => {})
    return await turn
  }

  async readMany (sequences: readonly number[]): Promise<StoredEvent[]> {
    const events: StoredEvent[] = []
    let block: BlockReader | undefined
    for (const sequence of sequences) {
      if (sequence < this.#state.first || sequence >= this.#state.next) continue
      const cached = this.#tail.get(sequence)
      if (cached !== undefined) {
        events.push(cached)
        continue
      }
      if (block === undefined || sequence >= block.end || sequence < block.sequence) {
        block = await this.#access.read((database) => readBlock(database, sequence))
      }
      block?.skipTo(sequence)
      const event = block?.next()
      if (event !== undefined) events.push(event)
    }
    return events
  }

  async #readPage (from: number, limit: PageLimit): Promise<Page> {
    const page = new PageBuilder(from, limit)
    while (page.next < this.#state.next && !page.full) {
      const block = await this.#access.read((database) => this.#block(database, page.next))
      // What was trimmed while the block was looked for is not lost.
      page.skipTo(this.#state.first)
      if (block === undefined) {
        page.lose(this.#state.next)
        break
      }
      page.lose(Math.min(block.key.first, this.#state.next))
      block.skipTo(page.next)
      page.take(block, Math.min(block.end, this.#state.next))
      if (page.events.length > 0 && this.#tail.has(page.next)) break
    }
    for (const run of page.runs) this.#onLost(run)
    const lost = page.runs.reduce((sum, run) => sum + run.to - run.from, 0)
    return { events: page.events, next: page.next, lost }
  }

  /** The block that holds a sequence, or the first one behind it where none does, not read beyond that sequence. */
  async #block (database: Database, sequence: number): Promise<BlockReader | undefined> {
    let block = this.#ahead[0]
    for (; block !== undefined && block.end <= sequence; block = this.#ahead[0]) {
      this.#boundary = block.end
      this.#ahead.shift()
    }
    if (block !== undefined && block.sequence <= sequence) return block
    while (this.#known[0] !== undefined && endOf(this.#known[0]) <= sequence) this.#known.shift()
    if (block !== undefined || this.#known[0]?.first !== sequence) {
      const start = sequence === this.#boundary ? sequence : (await blockAt(database, sequence))?.first ?? sequence
      this.#known = await blocksBehind(database, start, KEYS_AT_ONCE)
    }
    this.#ahead = await this.#load(database)
    return this.#ahead[0]
  }

  async #load (database: Database): Promise<BlockReader[]> {
    let bytes = 0
    const beyond = this.#known.findIndex((key) => (bytes += key.bytes) > AHEAD_BYTES)
    const keys = this.#known.splice(0, beyond === -1 ? this.#known.length : Math.max(1, beyond))
    const values = await readValues(database, keys.map(blockKey))
    return keys.map((key, index) => new BlockReader(key, values[index] ?? NOTHING))
  }
}

async function readBlock (database: Database, sequence: number): Promise<BlockReader | undefined> {
  const key = await blockAt(database, sequence)
  return key === undefined ? undefined : new BlockReader(key, await readValue(database, blockKey(key)) ?? NOTHING)
}

/** A page as it grows. */
class PageBuilder {
  readonly events: StoredEvent[] = []
  /** What could not be read. */
  readonly runs: Run[] = []
  readonly #limit: PageLimit
  #bytes = 0
  /** The sequence that comes next. */
  next: number
  /** True when the next event would pass a bound. */
  full = false

  constructor (from: number, limit: PageLimit) {
    this.next = from
    this.#limit = limit
  }

  skipTo (sequence: number): void {
    this.next = Math.max(this.next, sequence)
  }

  /** Everything up to, not including, a sequence cannot be read. */
  lose (to: number): void {
    if (to <= this.next) return
    const last = this.runs.at(-1)
    if (last !== undefined && last.to === this.next) this.runs[this.runs.length - 1] = { from: last.from, to }
    else this.runs.push({ from: this.next, to })
    this.next = to
  }

  /** Takes the events of a block that stands at `next`, up to `end`, as far as they fit. */
  take (block: BlockReader, end: number): void {
    while (this.next < end) {
      const size = block.size
      if (this.events.length > 0 &&
        (this.events.length >= this.#limit.events || this.#bytes + size > this.#limit.bytes)) {
        this.full = true
        return
      }
      const event = block.next()
      if (event === undefined) {
        this.lose(this.next + 1)
      } else {
        this.events.push(event)
        this.#bytes += size
        this.next++
      }
    }
  }
}

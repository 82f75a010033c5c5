/**
 * One partition of the outbox of a group, as whoever delivers it sees it: its log, its cursors, its dead letters.
 * Between the dispatchers and Redis. Reading waits while Redis is away; writing is refused to who has lost the lease.
 *
 * Invariant: cursors and trims are taken only from who has the lease. Whatever a program that had lost it unnoticed
 * would write is true all the same, since it says what sinks have taken; it would only be repeated.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createError, isMbsError, type MbsError } from '../../errors.ts'
import type { DeadLetter, Event, LetterId, StoredEvent } from '../../message.ts'
import type { RedisValue, Script } from '../../redis/script.ts'
import { decodeCursor, encodeCursor } from '../cursor-record.ts'
import { decodeDeadLetter, encodeDeadLetter } from '../dead-letter-codec.ts'
import type { CursorState, Outbox, OutboxStats, Page, PageLimit, Receipt, Recovery } from '../outbox.ts'
import { readRecord } from '../record.ts'
import type { GroupOutbox } from './group-outbox.ts'
import type { PartitionState } from './partition-state.ts'
import { fromPlace } from './places.ts'
import {
  cursorScript, deleteLettersScript, putLetterScript, readLettersScript, readManyScript, readScript, trimScript
} from './scripts.ts'

/** The time until Redis is asked again; doubles up to the longest. */
const RETRY_MS = 100
const RETRY_MAX_MS = 2000
/** Dead letters that are asked for at a time. */
const LETTERS = 256
/** Redis has no memory for more. */
const FULL = /^OOM/

export class PartitionLog implements Outbox {
  readonly partition: number
  readonly #group: GroupOutbox
  readonly #state: PartitionState
  /** Who has to have the lease. */
  readonly #owner: string
  readonly #closing = new AbortController()
  #isLost = false

  /** Use `GroupOutbox.partition`. */
  constructor (group: GroupOutbox, partition: number, owner: string, state: PartitionState) {
    this.#group = group
    this.partition = partition
    this.#owner = owner
    this.#state = state
  }

  /** Another program delivers it from now on: what is still written from here is dropped. */
  lose (): void {
    this.#isLost = true
  }

  async open (): Promise<Recovery> {
    if (this.#closing.signal.aborted) throw createError('MBS_ERR_OUTBOX_CLOSED')
    return await this.#group.open()
  }

  /** Ends whoever waits here; the group stays open. */
  async close (): Promise<void> {
    this.#closing.abort()
  }

  async append (event: Event, receipt?: Receipt): Promise<number> {
    return fromPlace(await this.#group.append(event, receipt)).sequence
  }

  hasRoomFor (event: Event): boolean {
    return this.#group.hasRoomFor(event)
  }

  async settled (): Promise<void> {
    await this.#group.settled()
  }

  stats (): OutboxStats {
    const { status, maxBytes, held } = this.#group.stats()
    const { events, bytes, next, letters } = this.#state
    return { status, events, bytes, maxBytes, nextSequence: next, deadLetters: letters, held }
  }

  async read (from: number, { events, bytes }: PageLimit): Promise<Page> {
    const most = Math.max(1, Math.min(events, Math.ceil(bytes / this.#state.eventBytes)))
    const end = this.#state.next
    const found = await this.#ask(async () => await this.#run(readScript, [from, most, Math.min(bytes, 2 ** 40)]))
    const page = this.#decode(found)
    const last = page.last ?? from - 1
    if (page.last !== undefined) await this.#ask(async () => { await this.#group.replicated(this.partition, last) })
    // Where all of it was read, what lies behind the last event was given to none.
    const isAll = page.last === undefined
    const next = isAll ? Math.max(from, end) : last + 1
    this.#state.advance(last)
    return { events: page.events, next, lost: page.lost }
  }

  async readMany (sequences: readonly number[]): Promise<StoredEvent[]> {
    return this.#decode(await this.#ask(async () => await this.#run(readManyScript, sequences))).events
  }

  async waitFor (sequence: number, signal: AbortSignal): Promise<void> {
    if (sequence > this.#state.last) await this.#state.waiters.wait(sequence, signal)
  }

  async loadCursor (sink: string): Promise<CursorState | undefined> {
    const { client, keysOf } = this.#group
    const value = await this.#ask(async () => await client.hgetBuffer(keysOf(this.partition).cursors, sink))
    return value === null ? undefined : decodeCursor(value)
  }

  async saveCursor (sink: string, cursor: CursorState): Promise<void> {
    await this.#write(async () => {
      try {
        const [status] = await this.#run(cursorScript, [this.#owner, sink, encodeCursor(cursor)])
        return status
      } catch (error) {
        // Trimming makes room; it comes next, and needs no cursor in Redis: what it removes has been delivered.
        if (error instanceof Error && FULL.test(error.message)) return undefined
        throw error
      }
    })
  }

  async trim (before: number): Promise<void> {
    for (let more = true; more;) {
      await this.#write(async () => {
        const [status, ...state] = await this.#run(trimScript, [this.#owner, before])
        more = String(status) === 'more'
        if (state.length > 0) this.#group.stateChanged(this.partition, state as number[])
        return status
      })
      if (this.#isLost) return
    }
  }

  async putDeadLetter (letter: DeadLetter): Promise<void> {
    const { sink, stored: { sequence } } = letter
    await this.#write(async () => {
      const state = await this.#run(putLetterScript, [sequence, sink, encodeDeadLetter(letter)])
      this.#group.stateChanged(this.partition, state)
    })
  }

  async readDeadLetters (from: number, limit: PageLimit): Promise<DeadLetter[]> {
    const most = Math.min(LETTERS, limit.events)
    const found = await this.#ask(async () => await this.#run(readLettersScript, [from, most, limit.bytes]))
    const letters: DeadLetter[] = []
    for (let at = 0; at < found.length; at += 2) {
      const { sequence, sink } = letterIdOf(found[at] as Buffer)
      const letter = decodeDeadLetter(found[at + 1] as Buffer, sink)
      if (letter !== undefined) letters.push({ ...letter, stored: { ...letter.stored, sequence } })
    }
    return letters
  }

  async deleteDeadLetters (letters: readonly LetterId[]): Promise<void> {
    if (letters.length === 0) return
    await this.#write(async () => {
      const names = letters.map(({ sequence, sink }) => `${sequence} ${sink}`)
      this.#group.stateChanged(this.partition, await this.#run(deleteLettersScript, names))
    })
  }

  async #run<T> (script: Script<T>, args: readonly RedisValue[]): Promise<T> {
    return await script.run(this.#group.client, this.#group.scriptKeys(this.partition), args)
  }

  /** Asks until there is an answer. @throws MBS_ERR_OUTBOX_CLOSED, and nothing else */
  async #ask<T> (call: () => Promise<T>): Promise<T> {
    for (let delayMs = RETRY_MS; ; delayMs = Math.min(2 * delayMs, RETRY_MAX_MS)) {
      if (this.#isClosed) throw createError('MBS_ERR_OUTBOX_CLOSED')
      try {
        return await call()
      } catch (error) {
        this.#group.failed(error)
        await sleep(delayMs, undefined, { signal: this.#closing.signal }).catch(() => {})
      }
    }
  }

  /** @throws MBS_ERR_OUTBOX_CLOSED, MBS_ERR_OUTBOX_LEASE, MBS_ERR_OUTBOX_REDIS */
  async #write (call: () => Promise<unknown>): Promise<void> {
    if (this.#isLost) return
    if (this.#isClosed) throw createError('MBS_ERR_OUTBOX_CLOSED')
    let status: unknown
    try {
      status = await call()
    } catch (error) {
      throw isMbsError(error) ? error : this.#group.failed(error)
    }
    if (String(status) === 'lease') throw this.#leaseLost()
  }

  #leaseLost (): MbsError {
    return createError('MBS_ERR_OUTBOX_LEASE', { partition: this.partition })
  }

  get #isClosed (): boolean {
    return this.#closing.signal.aborted || this.#group.stats().status === 'closed'
  }

  /** Events out of an answer: sequence, record, and so on. */
  #decode (found: readonly Buffer[]): { events: StoredEvent[], last: number | undefined, lost: number } {
    const events: StoredEvent[] = []
    let last: number | undefined
    let lost = 0
    for (let at = 0; at < found.length; at += 2) {
      const record = found[at + 1] as Buffer
      last = Number.parseInt((found[at] as Buffer).toString('latin1'), 10)
      const read = readRecord(record, 0, record.length)
      if (read === undefined) lost++
      else events.push({ sequence: last, ...read })
    }
    if (lost > 0) this.#group.lost(lost, `records of partition ${this.partition} that are damaged`)
    return { events, last, lost }
  }
}

function letterIdOf (name: Buffer): LetterId {
  const text = name.toString()
  const at = text.indexOf(' ')
  return { sequence: Number(text.slice(0, at)), sink: text.slice(at + 1) }
}

/**
 * The outbox as a log of blocks in an ordered database, on disk or in memory. Puts the parts together: the committer
 * writes, the reader reads, the access opens the way to the database, and this class opens it, reopens it after a
 * failure and closes it.
 *
 * After a failed write LevelDB accepts no other until it has been opened again: then everything waiting is rejected,
 * appends are refused, and a loop tries until a write works.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'
import { isDamage } from '../level/scan.ts'
import type { DeadLetter, Event, LetterId, StoredEvent } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { Access } from './access.ts'
import { Committer, type CommittedBlock } from './committer.ts'
import { decodeCursor, encodeCursor } from './cursor-record.ts'
import type { BatchOperation, Database, Evidence, OpenedDatabase, Store } from './database.ts'
import { DeadLetterStore } from './dead-letter-store.ts'
import { cursorKey, MARKS_KEY } from './keys.ts'
import { LogReader } from './log-reader.ts'
import { encodeMarks, LogState } from './log-state.ts'
import { describeRun, Losses, type Run } from './losses.ts'
import type { CursorState, Outbox, OutboxStats, OutboxStatus, Page, PageLimit, Receipt, Recovery } from './outbox.ts'
import { ReceiptLog } from './receipt-log.ts'
import { survey, type Survey } from './recovery.ts'
import { Sequences } from './sequences.ts'
import { TailCache } from './tail-cache.ts'
import { findTrimPoint, nextTrim } from './trim.ts'
import { Waiters } from './waiters.ts'

export type OutboxTelemetry = Pick<Telemetry,
  'outboxOpened' | 'outboxFailed' | 'outboxRecovered' | 'outboxFull' | 'eventsLost' | 'publishHeld' | 'sequenceForgotten' |
  'unexpected'>

export interface OutboxOptions {
  /** Events and dead letters together; an append that would pass it waits. */
  readonly maxBytes: number
  /** The longest time that an append waits for room. */
  readonly holdTimeoutMs: number
  /** About so many receipts are kept, the newest ones. */
  readonly receiptLimit: number
  /** Bytes of the newest events that are kept in memory as well. */
  readonly tailCacheBytes: number
  /** The time until a failed disk is tried again; doubles with each try up to the longest. */
  readonly reopenMinMs: number
  readonly reopenMaxMs: number
  /**
   * Numbers the events of each source (`sequences.ts`), for so many sources, and saves how far it came after so many
   * events at the latest. Nothing is numbered unless given.
   */
  readonly sequences?: { readonly limit: number, readonly unsavedEvents: number }
  readonly telemetry: OutboxTelemetry
}

export class LogOutbox implements Outbox {
  readonly #store: Store
  readonly #options: OutboxOptions
  readonly #state = new LogState()
  readonly #losses = new Losses()
  readonly #lostLetters = new Losses()
  readonly #waiters = new Waiters()
  readonly #receipts: ReceiptLog
  readonly #sequences: Sequences
  readonly #tail: TailCache
  readonly #access: Access
  readonly #committer: Committer
  readonly #reader: LogReader
  readonly #letters: DeadLetterStore
  /** Below it no block is left; where the next trim begins to look. */
  #trimmed = 0
  #trimming: Promise<void> = Promise.resolve()
  #database: Database | undefined
  #failing = false
  #opening: Promise<Recovery> | undefined
  #reopening: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor (store: Store, options: OutboxOptions) {
    this.#store = store
    this.#options = options
    const { telemetry, maxBytes, holdTimeoutMs } = options
    const location = store.location
    this.#receipts = new ReceiptLog(options.receiptLimit)
    this.#sequences = new Sequences({
      ...options.sequences ?? { limit: Infinity, unsavedEvents: Infinity },
      on: options.sequences !== undefined,
      onForgotten: (reason) => { telemetry.sequenceForgotten(reason) }
    })
    this.#tail = new TailCache(options.tailCacheBytes)
    this.#access = new Access({ minMs: options.reopenMinMs, maxMs: options.reopenMaxMs }, (error) => {
      telemetry.unexpected(error, 'reading the outbox')
    })
    this.#committer = new Committer({
      state: this.#state,
      receipts: this.#receipts,
      sequences: options.sequences === undefined ? undefined : this.#sequences,
      maxBytes,
      holdTimeoutMs,
      location,
      onCommitted: (block) => { this.#committed(block) },
      onFailed: (error) => { this.#failed(error) },
      onHeld: () => { telemetry.publishHeld() },
      onFull: () => { telemetry.outboxFull({ bytes: this.#state.bytes, maxBytes }) }
    })
    this.#reader = new LogReader({
      state: this.#state,
      tail: this.#tail,
      access: this.#access,
      onLost: (run) => { this.#lost(this.#losses, run, 'events') }
    })
    this.#letters = new DeadLetterStore({
      access: this.#access,
      committer: this.#committer,
      location,
      onLost: (run) => { this.#lost(this.#lostLetters, run, 'dead letters') }
    })
  }

  // ---- opening and closing ---------------------------------------------------------------------------------------

  open (): Promise<Recovery> {
    if (this.#closing !== undefined) return Promise.reject(createError('MBS_ERR_OUTBOX_CLOSED'))
    this.#opening ??= this.#open()
    return this.#opening
  }

  async #open (): Promise<Recovery> {
    const evidence = await this.#store.inspect()
    const { found, repaired } = await this.#openAndBegin(evidence)
    const lostEvents = found.missing.reduce((sum, run) => sum + run.to - run.from, 0)
    const damage = describeDamage(repaired, found.missing)
    const recovery: Recovery = {
      firstSequence: this.#state.first,
      nextSequence: this.#state.next,
      lostEvents,
      ...(damage === undefined ? undefined : { damage }),
      unclean: !evidence.clean,
      receipts: found.receipts
    }
    const { kind, location } = this.#store
    this.#options.telemetry.outboxOpened(recovery, kind === 'disk' ? { store: kind, directory: location } : { store: kind })
    return recovery
  }

  async #openAndBegin (evidence: Evidence): Promise<{ found: Survey, repaired: string | undefined }> {
    const opened = await this.#store.open(false)
    try {
      return { found: await this.#begin(opened, evidence), repaired: opened.repaired }
    } catch (error) {
      // Damage that LevelDB came across after opening, when it compacted.
      if (!isMbsError(error) || !isDamage(error.cause)) throw error
      const again = await this.#store.open(true)
      return { found: await this.#begin(again, evidence), repaired: again.repaired }
    }
  }

  /** Takes up a database that has just been opened: learns what it holds and tries it with a write. */
  async #begin ({ database, repaired }: OpenedDatabase, evidence: Evidence): Promise<Survey> {
    try {
      const { next, walFirst } = evidence
      const found = await survey(database, { next, walFirst, recount: repaired !== undefined })
      Object.assign(this.#state, found.state)
      this.#receipts.load(found.receiptKeys)
      const counters = await this.#sequences.load(database, found.state, repaired !== undefined)
      await database.batch([this.#marks(), ...counters], { sync: true })
      this.#sequences.wrote()
      for (const { from, to } of found.missing) this.#losses.add(from, to)
      this.#trimmed = 0
      this.#tail.clear()
      this.#database = database
      if (this.#closing === undefined) this.#committer.resume(database)
      this.#access.open(database)
      return found
    } catch (cause) {
      await database.close().catch(() => {})
      if (isMbsError(cause)) throw cause
      throw createError('MBS_ERR_OUTBOX_DIRECTORY', { directory: this.#store.location, reason: reasonOf(cause) }, cause)
    }
  }

  close (): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close (): Promise<void> {
    const written = this.#committer.close()
    await this.#opening?.catch(() => {})
    await written
    this.#access.close()
    await this.#reopening
    const database = this.#database
    this.#database = undefined
    if (database === undefined) return
    try {
      // After a write that failed, what is numbered is not what is stored.
      const isNumbering = this.#options.sequences !== undefined && !this.#failing
      const counters = isNumbering ? this.#sequences.closing(this.#state.next) : []
      // Synced, so that the cursors saved before it are on disk as well.
      await database.batch([this.#marks(), ...counters], { sync: true })
      await database.close()
      await this.#store.closed(this.#state.next)
    } catch (error) {
      // All that was acknowledged is stored; the next opening finds an outbox that was not closed in order.
      this.#options.telemetry.unexpected(error, 'closing the outbox')
      await database.close().catch(() => {})
    }
  }

  #marks (): BatchOperation {
    return { type: 'put', key: MARKS_KEY, value: encodeMarks(this.#state, [], 0, 0) }
  }

  // ---- failing and recovering --------------------------------------------------------------------------------------

  #failed (error: MbsError): void {
    this.#failing = true
    this.#access.suspend()
    this.#options.telemetry.outboxFailed(error)
    this.#reopening = this.#reopen(error.cause)
  }

  async #reopen (cause: unknown): Promise<void> {
    const { reopenMinMs, reopenMaxMs, telemetry } = this.#options
    const { signal } = this.#access
    let reason = cause
    for (let delayMs = reopenMinMs; ; delayMs = Math.min(2 * delayMs, reopenMaxMs)) {
      await sleep(delayMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      try {
        await this.#database?.close()
        this.#database = undefined
        const opened = await this.#store.open(isDamage(reason))
        const { missing } = await this.#begin(opened, { clean: true, next: this.#state.next, walFirst: undefined })
        this.#failing = false
        telemetry.outboxRecovered()
        for (const run of missing) telemetry.eventsLost(run.to - run.from, describeRun(run))
        this.#waiters.advance(this.#state.next)
        return
      } catch (error) {
        reason = isMbsError(error) ? error.cause : error
        telemetry.outboxFailed(isMbsError(error) ? error : this.#writeError(reason))
      }
    }
  }

  #writeError (cause: unknown): MbsError {
    return createError('MBS_ERR_OUTBOX_WRITE', { directory: this.#store.location, reason: reasonOf(cause) }, cause)
  }

  #lost (known: Losses, run: Run, what: string): void {
    const fresh = known.add(run.from, run.to)
    if (fresh > 0) this.#options.telemetry.eventsLost(fresh, `${what}: ${describeRun(run)}`)
  }

  // ---- the way in ------------------------------------------------------------------------------------------------

  append (event: Event, receipt?: Receipt): Promise<number> {
    return this.#committer.append(event, receipt)
  }

  hasRoomFor (event: Event): boolean {
    return this.#status() === 'ready' && this.#committer.hasRoomFor(event)
  }

  #committed ({ first, events, sizes, bytes }: CommittedBlock): void {
    this.#tail.push(first, events, sizes, bytes)
    this.#waiters.advance(this.#state.next)
  }

  settled (): Promise<void> {
    return this.#committer.settled()
  }

  stats (): OutboxStats {
    const { events, bytes, next, letters } = this.#state
    const { maxBytes } = this.#options
    return {
      status: this.#status(),
      events,
      bytes,
      maxBytes,
      nextSequence: next,
      deadLetters: letters,
      held: this.#committer.held
    }
  }

  #status (): OutboxStatus {
    if (this.#closing !== undefined) return 'closed'
    if (this.#failing) return 'failed'
    if (this.#database === undefined) return 'closed'
    return this.#committer.full || this.#state.bytes >= this.#options.maxBytes ? 'full' : 'ready'
  }

  // ---- the way out -----------------------------------------------------------------------------------------------

  read (from: number, limit: PageLimit): Promise<Page> {
    return this.#reader.read(from, limit)
  }

  readMany (sequences: readonly number[]): Promise<StoredEvent[]> {
    return this.#reader.readMany(sequences)
  }

  waitFor (sequence: number, signal: AbortSignal): Promise<void> {
    return sequence < this.#state.next ? Promise.resolve() : this.#waiters.wait(sequence, signal)
  }

  async loadCursor (sink: string): Promise<CursorState | undefined> {
    const value = await this.#access.read((database) => database.get(cursorKey(sink)))
    return value === undefined ? undefined : decodeCursor(value)
  }

  saveCursor (sink: string, cursor: CursorState): Promise<void> {
    return this.#committer.write({
      operations: [{ type: 'put', key: cursorKey(sink), value: encodeCursor(cursor) }], sync: false
    })
  }

  trim (before: number): Promise<void> {
    const turn = this.#trimming.then(() => this.#trim(before))
    this.#trimming = turn.catch(() => {})
    return turn
  }

  async #trim (wanted: number): Promise<void> {
    const state = this.#state
    const before = Math.min(wanted, state.next)
    if (before <= state.first) return
    try {
      const database = this.#access.current
      if (database === undefined) throw this.#committer.refusal ?? createError('MBS_ERR_OUTBOX_CLOSED')
      const point = await findTrimPoint(database, before, state.offset)
      // From here on readers know that what goes away is not lost.
      state.first = Math.max(state.first, point.first)
      this.#tail.trimBefore(point.first)
      this.#losses.trimBefore(point.first)
      for (let step = await nextTrim(database, this.#trimmed, point); step !== undefined;) {
        await this.#committer.write(step.write)
        this.#trimmed = step.from
        step = await nextTrim(database, this.#trimmed, point)
      }
    } catch (cause) {
      if (isMbsError(cause)) throw cause
      throw this.#writeError(cause)
    }
  }

  // ---- dead letters ----------------------------------------------------------------------------------------------

  putDeadLetter (letter: DeadLetter): Promise<void> {
    return this.#letters.put(letter)
  }

  readDeadLetters (from: number, limit: PageLimit): Promise<DeadLetter[]> {
    return this.#letters.read(from, limit)
  }

  deleteDeadLetters (letters: readonly LetterId[]): Promise<void> {
    return this.#letters.delete(letters)
  }
}

/** What opening found damaged, in words; undefined where nothing was. */
function describeDamage (repaired: string | undefined, missing: readonly Run[]): string | undefined {
  const parts: string[] = []
  if (repaired !== undefined) parts.push(`the database was repaired (${repaired})`)
  if (missing.length > 0) parts.push(`lost: ${missing.map(describeRun).join(', ')}`)
  return parts.length === 0 ? undefined : parts.join('; ')
}

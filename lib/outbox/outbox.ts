/**
 * The contract of the outbox: the durable log between the devices and the sinks. Every store implements it and passes
 * test/contract/outbox.ts. The way in (append) and the way out (read, cursors) never wait for each other.
 *
 * Invariants: an append that has resolved is durable; sequences count up by one, are never used twice and are read in
 * order; events are never edited; nothing is removed but by `trim` and by the dead-letter calls.
 */
import type { DeadLetter, Event, LetterId, StoredEvent } from '../message.ts'

/**
 * What is remembered of a publish at QoS 1 or 2, so that its retransmission gets the same event id, also after a
 * restart [MQTT-3.3.1-1]. Kept apart from the events, and for the newest `receiptLimit` publishes only.
 */
export interface Receipt {
  readonly clientId: string
  readonly messageId: number
  /** A checksum of topic and payload: a reused packet identifier is no retransmission. */
  readonly digest: number
  readonly eventId: string
  /** It says itself that it was sent before [MQTT-3.3.1-1]. */
  readonly again?: boolean
}

/** What opening found. Everything that was acknowledged and can be read is there. */
export interface Recovery {
  /** Sequence of the oldest event kept, and of the next one to be appended. */
  readonly firstSequence: number
  readonly nextSequence: number
  /** Events that were stored and cannot be read any more; 0 unless the files are damaged. */
  readonly lostEvents: number
  /** Says in words what was damaged, where something was. */
  readonly damage?: string
  /** True where the previous owner did not close it (crash, power cut). */
  readonly unclean: boolean
  /** The newest receipts, oldest first. */
  readonly receipts: readonly Receipt[]
}

/** What a sink has taken: everything below `lowest`, and the sequences in `beyond` above it. */
export interface CursorState {
  /** The lowest sequence that the sink has not taken. */
  readonly lowest: number
  /** Bitmap of delivered sequences: bit i (least significant first) of byte i >> 3 stands for `lowest + i`. */
  readonly beyond: Uint8Array
}

/** A run of events in order, and where the next one begins. */
export interface Page {
  readonly events: readonly StoredEvent[]
  /** Where to go on reading; equal to `nextSequence` of the outbox when all has been read. */
  readonly next: number
  /** Events that should have been in this run and cannot be read (damage); normally 0. */
  readonly lost: number
}

/** Bounds of one page: it ends before either is passed, but holds at least one event where there is one. */
export interface PageLimit {
  readonly events: number
  readonly bytes: number
}

/** `ready`: appends are stored; `full`: they wait for room; `failed`: the disk refuses them; `closed`. */
export type OutboxStatus = 'ready' | 'full' | 'failed' | 'closed'

export interface OutboxStats {
  readonly status: OutboxStatus
  /** Events kept: from the oldest one not trimmed to the newest. */
  readonly events: number
  /** Their size and that of the dead letters as stored; what `maxBytes` bounds. */
  readonly bytes: number
  readonly maxBytes: number
  readonly nextSequence: number
  readonly deadLetters: number
  /** Appends that wait for room at the moment (overflow `hold`). */
  readonly held: number
}

/** Stands for the sink of events that no sink was asked to take: their mapping made them dead letters. */
export const MAPPING = 'mapping'

/** The way in, and how the outbox stands: all that is needed by who does not deliver. */
export interface Intake {
  /** Opens and recovers. @throws MBS_ERR_OUTBOX_DIRECTORY, _LOCKED, _CORRUPT, _PARTITIONS, MBS_ERR_REDIS_* */
  open (): Promise<Recovery>

  /**
   * Stores an event; resolves with its sequence when it is durable, in the order of the calls.
   * While the outbox is full it waits, at most `holdTimeoutMs`.
   * An event that is to be set aside (`handling.aside`) is a dead letter of `mapping` from that moment on.
   * Rejects with MBS_ERR_OUTBOX_FULL, _DEAD_LETTERS, _WRITE, _REDIS, _REPLICAS, _TOO_LARGE or _CLOSED: then it must
   * not be acknowledged.
   */
  append (event: Event, receipt?: Receipt): Promise<number>

  /**
   * True where an event that is appended now finds room, whatever comes behind it: all that waits is reckoned with, on
   * the safe side. Then only a crash or a disk that fails keeps it from being stored.
   */
  hasRoomFor (event: Event): boolean

  /** Resolves when every append called before has been settled, well or badly. Never rejects. */
  settled (): Promise<void>

  stats (): OutboxStats

  /** Lets appends under way finish, then closes. Idempotent. Appends after it reject with MBS_ERR_OUTBOX_CLOSED. */
  close (): Promise<void>
}

export interface Outbox extends Intake {
  /**
   * Reads events from a sequence on. Reads what is durable only.
   * While the disk fails it waits until it has been opened again; rejects with MBS_ERR_OUTBOX_CLOSED only.
   */
  read (from: number, limit: PageLimit): Promise<Page>

  /**
   * Reads the events of these sequences (ascending); what was trimmed or cannot be read is left out.
   * Waits and rejects as `read` does.
   */
  readMany (sequences: readonly number[]): Promise<StoredEvent[]>

  /**
   * Resolves as soon as there is an event at `sequence` or beyond, or the signal is aborted. Never rejects.
   * Closing the outbox does not end it; the signal does.
   */
  waitFor (sequence: number, signal: AbortSignal): Promise<void>

  /** The cursor of a sink as last saved; undefined for a sink that is new. */
  loadCursor (sink: string): Promise<CursorState | undefined>

  /**
   * Saves a cursor. Not synced: a power cut may bring an older one back, a killed process may not.
   * This and the calls below that write reject with MBS_ERR_OUTBOX_WRITE while the disk refuses writes (nothing has
   * happened then; the same call works again later) and with MBS_ERR_OUTBOX_CLOSED after closing.
   */
  saveCursor (sink: string, cursor: CursorState): Promise<void>

  /**
   * Forgets what lies before a sequence; some of it may stay readable for a while, as space is freed in larger pieces.
   * The caller has saved every cursor at or beyond it.
   */
  trim (before: number): Promise<void>

  /** Keeps an event as dead letter, durably, also while the outbox is full; again for the same sink replaces it. */
  putDeadLetter (letter: DeadLetter): Promise<void>

  /** Dead letters from a sequence on, oldest first; those of one sequence, by different sinks, are never parted. */
  readDeadLetters (from: number, limit: PageLimit): Promise<DeadLetter[]>

  /** Removes dead letters. */
  deleteDeadLetters (letters: readonly LetterId[]): Promise<void>
}

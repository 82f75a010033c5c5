/**
 * The changes of the broker's state, as the journal gets them. Each is made together with that in memory, in the same
 * step; `written` says when all so far are on disk.
 */
import type { MbsError } from '../errors.ts'
import type { QoS } from '../message.ts'
import {
  encodeMessage, encodeNothing, encodeQos, encodeQueued, encodeRetained, encodeSession, messageKey, queuedKey,
  retainedKey, sessionKey, subscriptionKey, unreleasedKey,
  type MessageRecord, type QueuedRecord, type RetainedRecord, type SessionRecord
} from './journal-records.ts'
import type { Journal } from './journal.ts'

const WAITING: QueuedRecord = { isReleased: false, messageId: undefined }

export class StateJournal {
  readonly #journal: Journal

  constructor (journal: Journal) {
    this.#journal = journal
  }

  /** MBS_ERR_SESSIONS_WRITE while nothing can be written. */
  get failure (): MbsError | undefined {
    return this.#journal.failure
  }

  /** Resolves when all changes so far are on disk. @throws MBS_ERR_SESSIONS_WRITE */
  async written (): Promise<void> {
    await this.#journal.written()
  }

  session (clientId: string, session: SessionRecord): void {
    this.#journal.put(sessionKey(clientId), encodeSession(session))
  }

  sessionEnded (clientId: string): void {
    this.#journal.delete(sessionKey(clientId))
  }

  subscribed (clientId: string, filter: string, qos: QoS): void {
    this.#journal.put(subscriptionKey(clientId, filter), encodeQos(qos))
  }

  unsubscribed (clientId: string, filter: string): void {
    this.#journal.delete(subscriptionKey(clientId, filter))
  }

  unreleased (clientId: string, messageId: number): void {
    this.#journal.put(unreleasedKey(clientId, messageId), encodeNothing())
  }

  released (clientId: string, messageId: number): void {
    this.#journal.delete(unreleasedKey(clientId, messageId))
  }

  /** A message that waits for someone; `queued` says for whom. */
  message (serial: number, message: MessageRecord): void {
    this.#journal.put(messageKey(serial), encodeMessage(message), true)
  }

  messageGone (serial: number): void {
    this.#journal.delete(messageKey(serial))
  }

  queued (clientId: string, serial: number): void {
    this.#journal.put(queuedKey(clientId, serial), encodeQueued(WAITING), true)
  }

  /** It has its packet identifier, or PUBREL has taken its place. */
  identified (clientId: string, serial: number, record: QueuedRecord): void {
    this.#journal.put(queuedKey(clientId, serial), encodeQueued(record))
  }

  unqueued (clientId: string, serial: number): void {
    this.#journal.delete(queuedKey(clientId, serial))
  }

  retained (topic: string, message: RetainedRecord): void {
    this.#journal.put(retainedKey(topic), encodeRetained(message))
  }

  retainedGone (topic: string): void {
    this.#journal.delete(retainedKey(topic))
  }
}

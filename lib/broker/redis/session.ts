/**
 * One connection of a persistent session, and what it has told its client: which messages are under way, and under
 * which packet identifiers. Made of what Redis has when the connection takes the session over; from then on nobody else
 * changes that, since the scripts turn away every other connection.
 */
import type { AedesClient } from '../aedes-types.ts'
import type { SessionKeys } from './keys.ts'

const MAX_MESSAGE_ID = 65_535

export class RedisSession {
  readonly client: AedesClient
  readonly serial: number
  readonly keys: SessionKeys
  /** Messages that Redis knows to have been sent, by name: their packet identifier, and whether PUBREL replaced it. */
  readonly sent = new Map<string, { readonly messageId: number, readonly isReleased: boolean }>()
  /** Names of messages by the packet identifier that they have for this client. */
  readonly names = new Map<number, string>()
  /** Messages that were handed to this connection and not acknowledged. */
  readonly handed = new Set<string>()
  /** What waited is being handed out: whatever comes now is in the queue behind it. */
  isDraining = true
  /** Something has come since the queue was last read. */
  hasMissed = false
  /** The serial up to which the client was handed everything. */
  handedTo = 0
  /** That serial is not to be relied on: Redis may have lost what it has counted. */
  isDoubtful = false
  /** Acknowledged a moment ago: one that comes late is no new one. Two generations. */
  #acknowledged = new Set<string>()
  #acknowledgedBefore = new Set<string>()

  /** @param sent pairs of name, and `p` or `r` with the packet identifier */
  constructor (client: AedesClient, serial: number, keys: SessionKeys, sent: readonly string[]) {
    this.client = client
    this.serial = serial
    this.keys = keys
    for (let at = 0; at + 1 < sent.length; at += 2) {
      const state = sent[at + 1] as string
      this.note(sent[at] as string, Number(state.slice(1)), state.startsWith('r'))
    }
  }

  /** A message has this packet identifier; or PUBREL has replaced it. */
  note (name: string, messageId: number, isReleased: boolean): void {
    this.sent.set(name, { messageId, isReleased })
    this.names.set(messageId, name)
  }

  /** A packet identifier that no other message of this session has; the wanted one, if it is free. */
  freeId (wanted: number, name: string): number {
    let messageId = wanted
    for (let tries = 0; tries < MAX_MESSAGE_ID; tries++) {
      const holder = this.names.get(messageId)
      if (holder === undefined || holder === name) return messageId
      messageId = messageId >= MAX_MESSAGE_ID ? 1 : messageId + 1
    }
    return wanted
  }

  /** True where a message is under way, or was acknowledged a moment ago. */
  has (name: string): boolean {
    return this.handed.has(name) || this.#acknowledged.has(name) || this.#acknowledgedBefore.has(name)
  }

  /** A message is done with. */
  forget (name: string): void {
    const messageId = this.sent.get(name)?.messageId
    if (messageId !== undefined && this.names.get(messageId) === name) this.names.delete(messageId)
    this.sent.delete(name)
    this.handed.delete(name)
    this.#acknowledged.add(name)
  }

  /** Time has passed: what was acknowledged long ago cannot come late any more. */
  age (): void {
    this.#acknowledgedBefore = this.#acknowledged
    this.#acknowledged = new Set()
  }
}

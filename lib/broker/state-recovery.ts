/**
 * Reads back what the journal has: sessions with all that belongs to them, retained messages. A record that is damaged
 * costs that record, and what means nothing without it; it is counted, and deleted with all that belongs to no one.
 */
import { createError } from '../errors.ts'
import type { Database } from '../level/database.ts'
import { eachKey, readValues } from '../level/scan.ts'
import type { QoS } from '../message.ts'
import {
  bodyOf, decodeMessage, decodeQos, decodeQueued, decodeRetained, decodeSession, KINDS, nameOf, partsOf, rangeOf,
  serialOf, type MessageRecord, type QueuedRecord, type RetainedRecord, type SessionRecord
} from './journal-records.ts'

/** Values that are read at once. */
const VALUES_AT_ONCE = 256

export interface RecoveredQueued extends QueuedRecord {
  readonly serial: number
  /** Not needed where PUBREL has taken its place. */
  readonly message: MessageRecord | undefined
}

export interface RecoveredSession extends SessionRecord {
  readonly subscriptions: Array<{ topic: string, qos: QoS }>
  readonly unreleased: number[]
  /** In the order of the publishes. */
  readonly queue: RecoveredQueued[]
}

export interface Recovered {
  readonly sessions: Map<string, RecoveredSession>
  readonly retained: Map<string, RetainedRecord>
  /** The highest that a message has; 0 where there is none. */
  readonly lastSerial: number
  /** Records that are damaged. */
  readonly lost: number
  /** Keys of what is damaged, or belongs to no one. */
  readonly useless: readonly Buffer[]
}

/** @throws MBS_ERR_SESSIONS_VERSION; what LevelDB fails with */
export async function recover (database: Database, directory: string): Promise<Recovered> {
  const sessions = new Map<string, RecoveredSession>()
  const messages = new Map<number, { key: Buffer, record: MessageRecord, isNeeded: boolean }>()
  const retained = new Map<string, RetainedRecord>()
  const useless: Buffer[] = []
  let lost = 0
  let lastSerial = 0

  /** Calls back with each record of a kind; false: it belongs to no one, or means nothing. */
  const each = async <T>(kind: string, decode: (body: Buffer) => T, use: (key: Buffer, record: T) => boolean) => {
    const keys: Buffer[] = []
    await eachKey(database, rangeOf(kind), (key) => { keys.push(key) })
    for (let at = 0; at < keys.length; at += VALUES_AT_ONCE) {
      const some = keys.slice(at, at + VALUES_AT_ONCE)
      for (const [index, value] of (await readValues(database, some)).entries()) {
        const key = some[index] as Buffer
        const record = read(value, decode, directory)
        if (record === undefined) lost++
        if (record === undefined || !use(key, record.value)) useless.push(key)
      }
    }
  }

  await each(KINDS.session, decodeSession, (key, record) => {
    sessions.set(nameOf(key), { ...record, subscriptions: [], unreleased: [], queue: [] })
    return true
  })
  await each(KINDS.subscription, decodeQos, (key, qos) => {
    const { clientId, rest } = partsOf(key)
    return sessions.get(clientId)?.subscriptions.push({ topic: rest.toString(), qos }) !== undefined
  })
  await each(KINDS.unreleased, () => true, (key) => {
    const { clientId, rest } = partsOf(key)
    return sessions.get(clientId)?.unreleased.push(rest.readUInt16BE()) !== undefined
  })
  await each(KINDS.message, decodeMessage, (key, record) => {
    const serial = serialOf(key.subarray(1))
    lastSerial = Math.max(lastSerial, serial)
    messages.set(serial, { key, record, isNeeded: false })
    return true
  })
  await each(KINDS.queued, decodeQueued, (key, record) => {
    const { clientId, rest } = partsOf(key)
    const serial = serialOf(rest)
    lastSerial = Math.max(lastSerial, serial)
    const session = sessions.get(clientId)
    const message = messages.get(serial)
    if (session === undefined || (message === undefined && !record.isReleased)) return false
    if (message !== undefined && !record.isReleased) message.isNeeded = true
    session.queue.push({ ...record, serial, message: record.isReleased ? undefined : message?.record })
    return true
  })
  await each(KINDS.retained, decodeRetained, (key, record) => {
    retained.set(nameOf(key), record)
    return true
  })
  for (const { key, isNeeded } of messages.values()) if (!isNeeded) useless.push(key)
  return { sessions, retained, lastSerial, lost, useless }
}

/** Undefined: it is damaged. */
function read<T> (value: Buffer | undefined, decode: (body: Buffer) => T, directory: string): { value: T } | undefined {
  const body = value === undefined ? undefined : bodyOf(value)
  if (body === undefined) return undefined
  if (body === 'newer') throw createError('MBS_ERR_SESSIONS_VERSION', { directory })
  try {
    return { value: decode(body) }
  } catch {
    return undefined
  }
}

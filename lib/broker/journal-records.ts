/**
 * The form of what is kept for clients on disk: keys and values of the journal. Pure.
 *
 *   s <client>                  a persistent session: since when it is away, whose it is
 *   f <client> NUL <filter>     a subscription: its QoS
 *   i <client> NUL <identifier> a packet identifier at QoS 2 that was not released
 *   m <serial>                  a message that waits, once for all who wait for it
 *   q <client> NUL <serial>     it waits for this client: as PUBLISH or PUBREL, its packet identifier
 *   r <topic>                   a retained message
 *
 * Neither client identifiers nor filters have NUL. Serials grow, so that the order of keys is that of the publishes.
 * A value is sealed by a checksum and begins with the version of its form.
 */
import { seal, unseal } from '../level/sealed.ts'
import type { Range } from '../level/database.ts'
import type { QoS } from '../message.ts'

const VERSION = 1
const NUL = Buffer.of(0)
const SERIAL_BYTES = 8

/** The kinds of records, by the first letter of their keys. */
export const KINDS = { session: 's', subscription: 'f', unreleased: 'i', message: 'm', queued: 'q', retained: 'r' } as const

export interface SessionRecord {
  /** Milliseconds since the epoch; undefined: it was connected. */
  readonly awaySince: number | undefined
  readonly owner: string | undefined
}

export interface MessageRecord {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
}

export interface QueuedRecord {
  readonly isReleased: boolean
  readonly messageId: number | undefined
}

export type RetainedRecord = Pick<MessageRecord, 'payload' | 'qos'>

// ---- keys ---------------------------------------------------------------------------------------------------------

export function sessionKey (clientId: string): Buffer {
  return Buffer.from(KINDS.session + clientId)
}

export function subscriptionKey (clientId: string, filter: string): Buffer {
  return Buffer.from(`${KINDS.subscription}${clientId}\0${filter}`)
}

export function unreleasedKey (clientId: string, messageId: number): Buffer {
  const identifier = Buffer.alloc(2)
  identifier.writeUInt16BE(messageId)
  return Buffer.concat([Buffer.from(KINDS.unreleased + clientId), NUL, identifier])
}

export function messageKey (serial: number): Buffer {
  return Buffer.concat([Buffer.from(KINDS.message), serialBytes(serial)])
}

export function queuedKey (clientId: string, serial: number): Buffer {
  return Buffer.concat([Buffer.from(KINDS.queued + clientId), NUL, serialBytes(serial)])
}

export function retainedKey (topic: string): Buffer {
  return Buffer.from(KINDS.retained + topic)
}

/** All keys of one kind. */
export function rangeOf (kind: string): Range {
  return { gte: Buffer.from(kind), lt: Buffer.of(kind.charCodeAt(0) + 1) }
}

/** The client or topic of a key that has nothing else. */
export function nameOf (key: Buffer): string {
  return key.toString('utf8', 1)
}

/** The client of a key, and what stands behind it. */
export function partsOf (key: Buffer): { clientId: string, rest: Buffer } {
  const at = key.indexOf(0)
  return { clientId: key.toString('utf8', 1, at), rest: key.subarray(at + 1) }
}

export function serialOf (bytes: Buffer): number {
  return Number(bytes.readBigUInt64BE())
}

function serialBytes (serial: number): Buffer {
  const bytes = Buffer.alloc(SERIAL_BYTES)
  bytes.writeBigUInt64BE(BigInt(serial))
  return bytes
}

// ---- values -------------------------------------------------------------------------------------------------------

export function encodeSession ({ awaySince, owner }: SessionRecord): Buffer {
  const head = Buffer.alloc(9)
  head.writeDoubleLE(awaySince ?? -1)
  head[8] = owner === undefined ? 0 : 1
  return versioned(head, Buffer.from(owner ?? ''))
}

export function decodeSession (body: Buffer): SessionRecord {
  const since = body.readDoubleLE()
  return { awaySince: since < 0 ? undefined : since, owner: body[8] === 0 ? undefined : body.toString('utf8', 9) }
}

export function encodeQos (qos: QoS): Buffer {
  return versioned(Buffer.of(qos))
}

export function decodeQos (body: Buffer): QoS {
  return body.readUInt8() as QoS
}

export function encodeMessage ({ topic, payload, qos, retain }: MessageRecord): Buffer {
  const name = Buffer.from(topic)
  const head = Buffer.alloc(4)
  head[0] = qos
  head[1] = retain ? 1 : 0
  head.writeUInt16LE(name.length, 2)
  return versioned(head, name, payload)
}

export function decodeMessage (body: Buffer): MessageRecord {
  const end = 4 + body.readUInt16LE(2)
  return {
    topic: body.toString('utf8', 4, end),
    payload: Buffer.from(body.subarray(end)),
    qos: body.readUInt8() as QoS,
    retain: body[1] === 1
  }
}

export function encodeQueued ({ isReleased, messageId }: QueuedRecord): Buffer {
  const body = Buffer.alloc(3)
  body[0] = isReleased ? 1 : 0
  body.writeUInt16LE(messageId ?? 0, 1)
  return versioned(body)
}

export function decodeQueued (body: Buffer): QueuedRecord {
  const messageId = body.readUInt16LE(1)
  return { isReleased: body[0] === 1, messageId: messageId === 0 ? undefined : messageId }
}

export function encodeRetained ({ payload, qos }: RetainedRecord): Buffer {
  return versioned(Buffer.of(qos), payload)
}

export function decodeRetained (body: Buffer): RetainedRecord {
  return { qos: body.readUInt8() as QoS, payload: Buffer.from(body.subarray(1)) }
}

export function encodeNothing (): Buffer {
  return versioned()
}

function versioned (...parts: Buffer[]): Buffer {
  return seal(Buffer.of(VERSION), ...parts)
}

/** What is in a value: its body; `newer` where a later version of the program wrote it; undefined: it is damaged. */
export function bodyOf (value: Buffer): Buffer | 'newer' | undefined {
  const body = unseal(value)
  if (body === undefined || body.length === 0) return undefined
  return body.readUInt8() > VERSION ? 'newer' : body.subarray(1)
}

/**
 * A dead letter as bytes: sealed; a JSON head behind its length, the answer's body behind its length, the record. The
 * name of the sink stands in the key.
 */
import { seal, unseal } from '../level/sealed.ts'
import type { DeadLetter } from '../message.ts'
import { extensionsText, readRecord, recordBound, recordLength, writeRecord } from './record.ts'

type Head = Omit<DeadLetter, 'stored' | 'data' | 'sink'> & { readonly sequence: number }

export function encodeDeadLetter (letter: DeadLetter): Buffer {
  const { stored, data, sink, ...rest } = letter
  const head: Head = { ...rest, sequence: stored.sequence }
  const extensions = extensionsText(stored.event)
  const record = Buffer.alloc(recordBound(stored.event, extensions))
  const length = writeRecord(record, 0, stored.storedAt, stored.event, extensions)
  const text = Buffer.from(JSON.stringify(head))
  return seal(lengthOf(text), text, lengthOf(data), data, record.subarray(0, length))
}

/** Undefined where the bytes are damaged. */
export function decodeDeadLetter (value: Buffer, sink: string): DeadLetter | undefined {
  const body = unseal(value)
  if (body === undefined) return undefined
  const dataAt = 4 + body.readUInt32LE(0)
  const recordAt = dataAt + 4 + body.readUInt32LE(dataAt)
  const length = recordLength(body, recordAt)
  const record = length === undefined ? undefined : readRecord(body, recordAt, length)
  if (record === undefined) return undefined
  const { sequence, ...head } = JSON.parse(body.toString('utf8', 4, dataAt)) as Head
  const { storedAt, event } = record
  return { ...head, sink, stored: { sequence, storedAt, event }, data: body.subarray(dataAt + 4, recordAt) }
}

function lengthOf (part: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(part.length)
  return length
}

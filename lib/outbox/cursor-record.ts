/** A cursor as bytes: sealed, the lowest sequence as u64, then the bitmap. */
import { seal, unseal } from '../level/sealed.ts'
import type { CursorState } from './outbox.ts'

export function encodeCursor ({ lowest, beyond }: CursorState): Buffer {
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(lowest))
  return seal(head, beyond)
}

/** Undefined where the bytes are damaged. */
export function decodeCursor (value: Buffer): CursorState | undefined {
  const body = unseal(value)
  if (body === undefined || body.length < 8) return undefined
  return { lowest: Number(body.readBigUInt64LE()), beyond: Uint8Array.from(body.subarray(8)) }
}

/** The sequence behind everything that the cursor's sink has taken. */
export function cursorEnd ({ lowest, beyond }: CursorState): number {
  for (let index = beyond.length - 1; index >= 0; index--) {
    const byte = beyond[index] as number
    if (byte !== 0) return lowest + index * 8 + (32 - Math.clz32(byte))
  }
  return lowest
}

/** A checksum around small values of a database (cursors, receipts, sessions). LevelDB verifies none. */
import { crc32 } from 'node:zlib'

/** The parts behind each other, behind their checksum. */
export function seal (...parts: readonly Uint8Array[]): Buffer {
  const sealed = Buffer.concat([Buffer.alloc(4), ...parts])
  sealed.writeUInt32LE(crc32(sealed.subarray(4)))
  return sealed
}

/** What was sealed, as a view; undefined where the checksum does not match. */
export function unseal (sealed: Buffer): Buffer | undefined {
  if (sealed.length < 4) return undefined
  const body = sealed.subarray(4)
  return crc32(body) === sealed.readUInt32LE() ? body : undefined
}

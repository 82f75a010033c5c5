/**
 * Copies of what Aedes hands out: there, payloads are views on all the bytes that were read together. Kept, one byte
 * would keep 64 KiB.
 */

/** A copy for what is gone soon; small ones share a slab. */
export function copyOf (payload: Buffer): Buffer {
  return Buffer.from(payload)
}

/** A copy with memory of its own, for what is kept for long: a retained message, a will. */
export function ownCopyOf (payload: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(payload.length)
  payload.copy(copy)
  return copy
}

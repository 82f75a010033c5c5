/** As much of DER [X.690] as it takes to walk to a field of a certificate or a revocation list. Pure. */

/** One element: its tag, its content, and all of its bytes. */
export interface DerElement {
  readonly tag: number
  readonly content: Buffer
  readonly bytes: Buffer
}

export const DER_SEQUENCE = 0x30
export const DER_INTEGER = 0x02
const DER_UTC_TIME = 0x17
const DER_GENERALIZED_TIME = 0x18

/** Year with two digits or four, month, day, hour, minute, second; UTC. */
const TIME = /^(\d{2}|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/

/** The elements that stand one after the other. @throws Error where the bytes are no DER */
export function readDer (bytes: Buffer): DerElement[] {
  const elements: DerElement[] = []
  for (let at = 0; at < bytes.length;) {
    const [start, length] = contentAt(bytes, at)
    if (start + length > bytes.length) throw new Error('it is cut off')
    const end = start + length
    elements.push({ tag: bytes[at] as number, content: bytes.subarray(start, end), bytes: bytes.subarray(at, end) })
    at = end
  }
  return elements
}

/** Milliseconds since the epoch; undefined for an element that is no time [RFC 5280 4.1.2.5]. */
export function timeOf ({ tag, content }: DerElement): number | undefined {
  const text = content.toString('latin1')
  const [, digits = '', ...fields] = TIME.exec(text) ?? []
  if (tag !== DER_UTC_TIME && tag !== DER_GENERALIZED_TIME) return undefined
  const [month, day, hour, minute, second] = fields.map(Number) as [number, number, number, number, number]
  const year = tag === DER_GENERALIZED_TIME ? Number(digits) : Number(digits) + (Number(digits) < 50 ? 2000 : 1900)
  const ms = Date.UTC(year, month - 1, day, hour, minute, second)
  return Number.isNaN(ms) ? undefined : ms
}

/** Where the content of the element at `at` begins, and how long it is. */
function contentAt (bytes: Buffer, at: number): [start: number, length: number] {
  const first = bytes[at + 1]
  if (first === undefined) throw new Error('it is cut off')
  if (first < 0x80) return [at + 2, first]
  const size = first & 0x7f
  if (size === 0 || size > 4 || at + 2 + size > bytes.length) throw new Error('a length in it cannot be read')
  return [at + 2 + size, bytes.readUIntBE(at + 2, size)]
}

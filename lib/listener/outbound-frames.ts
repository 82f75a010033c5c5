/**
 * Follows the packets that go out to a device, so that the gate puts a PINGRESP of its own between two of them and
 * never into one, however the bytes were cut into writes.
 */
export class OutboundFrames {
  #place: 'between' | 'length' | 'body' = 'between'
  #remaining = 0
  #factor = 1

  /** True where the bytes so far end with a whole packet. */
  get between (): boolean {
    return this.#place === 'between'
  }

  /**
   * Takes the next bytes that go out.
   * @returns the offset of the first place in them that lies between two packets: 0 where they begin with one, their
   * length where one ends with them, -1 where there is none
   */
  advance (bytes: Buffer): number {
    let first = this.between ? 0 : -1
    let at = 0
    while (at < bytes.length) {
      if (this.#place === 'body') {
        const step = Math.min(this.#remaining, bytes.length - at)
        at += step
        this.#remaining -= step
      } else if (this.#place === 'between') {
        at++
        this.#place = 'length'
        this.#remaining = 0
        this.#factor = 1
        continue
      } else {
        const byte = bytes[at++] as number
        this.#remaining += (byte & 0x7f) * this.#factor
        this.#factor *= 128
        if ((byte & 0x80) !== 0) continue
        this.#place = 'body'
      }
      if (this.#remaining === 0) {
        this.#place = 'between'
        if (first === -1) first = at
      }
    }
    return first
  }
}

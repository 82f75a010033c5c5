/**
 * Counts the topic filters of one SUBSCRIBE while its bytes pass, in whatever pieces they come. Aedes needs time in the
 * square of their number, so the gate has to know it before Aedes has the whole packet.
 */
export class FilterCounter {
  /** Filters begun so far. */
  count = 0
  /** Bytes to skip: at first the packet identifier [MQTT-3.8.2]. */
  #skip = 2
  /** The upper byte of a filter's length; -1 while the next byte is that one. */
  #upper = -1

  /** Takes the next bytes of the packet, from `at` to `end`. */
  feed (chunk: Buffer, at: number, end: number): void {
    while (at < end) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, end - at)
        this.#skip -= step
        at += step
      } else if (this.#upper === -1) {
        this.#upper = chunk[at++] as number
        this.count++
      } else {
        // The filter and the byte with its QoS [MQTT-3.8.3].
        this.#skip = this.#upper * 256 + (chunk[at++] as number) + 1
        this.#upper = -1
      }
    }
  }
}

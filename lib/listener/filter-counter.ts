/**
 * Counts the topic filters of one SUBSCRIBE or UNSUBSCRIBE while its bytes pass, in whatever pieces they come. Aedes
 * takes all of them in one step, so the gate has to know their number before Aedes has the whole packet.
 */
export class FilterCounter {
  /** Filters begun so far. */
  count = 0
  /** The sum of the two bytes of the packet identifier. */
  #identifier = 0
  /** Bytes to skip: at first the packet identifier [MQTT-3.8.2]. */
  #skip = 2
  /** The upper byte of a filter's length; -1 while the next byte is that one. */
  #upper = -1
  /** Bytes behind a filter: in SUBSCRIBE the one with its QoS [MQTT-3.8.3]. */
  readonly #trailer: 0 | 1

  /** @param trailer bytes behind each filter: 1 in SUBSCRIBE, 0 in UNSUBSCRIBE [MQTT-3.10.3] */
  constructor (trailer: 0 | 1) {
    this.#trailer = trailer
  }

  /** True where the packet identifier is 0, which none may be [MQTT-2.3.1-1]. */
  get unidentified (): boolean {
    return this.count > 0 && this.#identifier === 0
  }

  /** Takes the next bytes of the packet, from `at` to `end`. */
  feed (chunk: Buffer, at: number, end: number): void {
    while (at < end) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, end - at)
        if (this.count === 0) for (const byte of chunk.subarray(at, at + step)) this.#identifier += byte
        this.#skip -= step
        at += step
      } else if (this.#upper === -1) {
        this.#upper = chunk[at++] as number
        this.count++
      } else {
        this.#skip = this.#upper * 256 + (chunk[at++] as number) + this.#trailer
        this.#upper = -1
      }
    }
  }
}

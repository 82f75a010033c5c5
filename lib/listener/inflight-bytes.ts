/**
 * The bytes of packets that are under way, over all connections: received, or about to be, and not settled. What a
 * device sends is held in memory until it is stored; with thousands of devices a bound for each is none for all.
 *
 * Every connection may have a little under way whatever the others do. So a few that send large packets, or begin them
 * and do not go on, hold up each other and nobody else. What was admitted is never held back half way, so that
 * everything that has room goes on to its end and makes room again.
 */

/** What each connection may have under way in any case, in bytes. */
const OWN_BYTES = 16 * 1024

/** Shared by all connections. */
export class InflightBytes {
  readonly max: number
  #total = 0
  readonly #waiting = new Set<() => void>()

  /** @param max bytes of all connections; one packet is admitted however large it is */
  constructor (max: number) {
    this.max = max
  }

  get total (): number {
    return this.#total
  }

  /** Connections that wait for room. */
  get waiting (): number {
    return this.#waiting.size
  }

  /**
   * Takes room for a packet; false where there is none, or others wait for it already. Then `goOn` is called when there
   * may be, and has to ask again at once: nobody behind it gets any before.
   */
  take (bytes: number, own: number, goOn: () => void): boolean {
    const isNext = this.#waiting.size === 0 || this.#first() === goOn
    if (own + bytes > OWN_BYTES && this.#total > 0 && (!isNext || this.#total + bytes > this.max)) {
      this.#waiting.add(goOn) // one that waits keeps its place
      return false
    }
    this.#waiting.delete(goOn)
    this.#total += bytes
    return true
  }

  /** Gives room back. Who waited longest goes on first, so that a large packet is not overtaken for ever. */
  give (bytes: number): void {
    this.#total -= bytes
    for (let goOn = this.#first(); goOn !== undefined && this.#total < this.max; goOn = this.#first()) {
      goOn()
      if (this.#first() === goOn) return
    }
  }

  #first (): (() => void) | undefined {
    return this.#waiting.values().next().value
  }

  /** Does not wait any more. */
  leave (goOn: () => void): void {
    this.#waiting.delete(goOn)
  }
}

/** The part of one connection. */
export class OwnInflightBytes {
  readonly #all: InflightBytes
  readonly #goOn: () => void
  /** Of publishes, in the order in which they came, which is the order in which they are settled. */
  #publishes: number[] = []
  /** Of the packet that is being received, where it is no publish. */
  #other = 0
  #bytes = 0

  /** @param goOn called when a packet that found no room may try again */
  constructor (all: InflightBytes, goOn: () => void) {
    this.#all = all
    this.#goOn = goOn
  }

  /** Takes room for a publish; false: not now. */
  takePublish (bytes: number): boolean {
    if (!this.#take(bytes)) return false
    this.#publishes.push(bytes)
    return true
  }

  /** Takes room for another packet, until it has been read; false: not now. */
  takeOther (bytes: number): boolean {
    if (!this.#take(bytes)) return false
    this.#other = bytes
    return true
  }

  /** It has been read. */
  otherRead (): void {
    const bytes = this.#other
    this.#other = 0
    this.#give(bytes)
  }

  /** So many publishes are left under way. */
  left (count: number): void {
    while (this.#publishes.length > count) this.#give(this.#publishes.shift() as number)
  }

  /** The connection has closed. What it sent is in memory as long as before: so many publishes are still under way. */
  close (publishes: number): void {
    this.#all.leave(this.#goOn)
    this.otherRead()
    while (this.#publishes.length > publishes) this.#give(this.#publishes.pop() as number)
  }

  #take (bytes: number): boolean {
    if (!this.#all.take(bytes, this.#bytes, this.#goOn)) return false
    this.#bytes += bytes
    return true
  }

  #give (bytes: number): void {
    if (bytes === 0) return
    this.#bytes -= bytes
    this.#all.give(bytes)
  }
}

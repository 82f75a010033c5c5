/**
 * The lanes: one per partition key with undelivered events, in the order of the log. Between the loader, which fills
 * them, and the dispatcher, which takes one head at a time out of each. No time, no sink, no outbox in here.
 *
 * Invariants: at most one attempt is under way per lane (`busy`). Of a lane, a prefix is loaded, and everything behind
 * it is only a sequence number. A lane whose head has failed holds numbers only: an event too large for the sink must
 * not keep memory from the others while it waits.
 */
import type { StoredEvent } from '../message.ts'
import { LaneQueue } from './lane-queue.ts'
import { sequenceAt, sizeOf, waiting, type Lane } from './lane.ts'
import type { DeliveryLimits } from './options.ts'

/** The sequences that a lane wants loaded next. */
export interface LoadRequest {
  readonly lane: Lane
  readonly sequences: readonly number[]
}

/** Heads that have failed more often than this are probed in rotation. */
const FAILURES_RANKED = 3

export class Lanes {
  readonly #limits: DeliveryLimits
  readonly #byKey = new Map<string, Lane>()
  readonly #failing = new Set<Lane>()
  readonly #hungry = new Set<Lane>()
  /** Lanes whose head has failed and may be sent again, ready or on their way to be. */
  readonly #retrying = new Set<Lane>()
  /** The ready lanes: those with a head that was never tried, and the others. */
  readonly #untried = new LaneQueue()
  readonly #tried = new LaneQueue()
  #retryNext = false
  #loadedEvents = 0
  #loadedBytes = 0

  constructor (limits: DeliveryLimits) {
    this.#limits = limits
  }

  /** Lanes with undelivered events. */
  get size (): number {
    return this.#byKey.size
  }

  get failing (): ReadonlySet<Lane> {
    return this.#failing
  }

  /** Lanes that want events loaded. */
  get hungry (): number {
    return this.#hungry.size
  }

  /** Ready lanes whose head was never tried. */
  get untried (): number {
    return this.#untried.size
  }

  /** Lanes whose head has failed and may be sent again. */
  get retrying (): number {
    return this.#retrying.size
  }

  get loadedEvents (): number {
    return this.#loadedEvents
  }

  get loadedBytes (): number {
    return this.#loadedBytes
  }

  all (): IterableIterator<Lane> {
    return this.#byKey.values()
  }

  /** Puts an event of the log, which must come in order, at the end of its lane. */
  add (stored: StoredEvent): void {
    const key = stored.event.partitionKey
    const lane = this.#byKey.get(key)
    if (lane === undefined) {
      const fresh: Lane = {
        key,
        state: 'ready',
        trouble: undefined,
        queue: [stored],
        first: 0,
        loaded: 1,
        eventBytes: sizeOf(stored),
        previous: undefined,
        next: undefined
      }
      this.#byKey.set(key, fresh)
      this.#account(stored)
      this.#pushReady(fresh)
      return
    }
    const room = lane.loaded < this.#laneEvents() && lane.trouble === undefined
    if (room && lane.loaded > 0 && lane.loaded === waiting(lane)) {
      lane.queue.push(stored)
      lane.loaded++
      this.#account(stored)
    } else {
      lane.queue.push(stored.sequence)
    }
    lane.eventBytes = sizeOf(stored)
  }

  /**
   * Takes the next ready lane; it is busy until it is advanced or parked. Retries and others take turns, so that
   * neither waits for all of the other kind: retries may take long to fail, and a backlog to drain.
   */
  take (): Lane | undefined {
    const { first: retry } = this.#tried
    const lane = this.#retryNext ? retry ?? this.#untried.first : this.#untried.first ?? retry
    if (lane === undefined) return undefined
    this.#retryNext = lane !== retry
    this.claim(lane)
    return lane
  }

  /** Takes this lane, out of its turn. */
  claim (lane: Lane): void {
    this.#leave(lane)
    lane.state = 'busy'
  }

  /** The head of a busy lane is done with: the next event's turn, or the end of the lane. */
  advance (lane: Lane): void {
    const head = lane.queue[lane.first]
    lane.queue[lane.first++] = 0
    lane.trouble = undefined
    if (typeof head === 'object') {
      lane.loaded--
      this.#discount(head)
    }
    if (waiting(lane) === 0) {
      this.#byKey.delete(lane.key)
      this.#hungry.delete(lane)
      return
    }
    if (lane.first > 64 && lane.first * 2 > lane.queue.length) {
      lane.queue = lane.queue.slice(lane.first)
      lane.first = 0
    }
    this.resume(lane)
    // Ask for more while there is still something to send, so that a long lane does not wait at every refill.
    if (lane.loaded < waiting(lane) && lane.loaded * 2 < this.#laneEvents()) this.#hungry.add(lane)
  }

  /** The head of a lane has failed: it waits, and gives back what it had loaded. */
  park (lane: Lane): void {
    this.#leave(lane)
    for (let i = lane.first; i < lane.first + lane.loaded; i++) {
      const item = lane.queue[i]
      if (typeof item !== 'object') continue
      this.#discount(item)
      lane.queue[i] = item.sequence
    }
    lane.loaded = 0
    lane.state = 'failing'
    this.#hungry.delete(lane)
    this.#failing.add(lane)
  }

  /** Parks every lane that was about to send a head again. */
  parkRetrying (): void {
    for (const lane of this.#retrying) this.park(lane)
  }

  /** A lane that is not ready may send its head, as soon as that is loaded. */
  resume (lane: Lane): void {
    this.#failing.delete(lane)
    if (lane.trouble !== undefined) this.#retrying.add(lane)
    if (lane.loaded > 0) {
      this.#pushReady(lane)
    } else {
      lane.state = 'fetching'
      this.#hungry.add(lane)
    }
  }

  /** Removes an event from behind the head of a busy lane. */
  remove (lane: Lane, sequence: number): void {
    for (let offset = 1; offset < waiting(lane); offset++) {
      if (sequenceAt(lane, offset) !== sequence) continue
      const [item] = lane.queue.splice(lane.first + offset, 1)
      if (typeof item === 'object') {
        lane.loaded--
        this.#discount(item)
      }
      return
    }
  }

  /**
   * What to load next: about `max` sequences at most. While there is no room for more events, a lane with nothing
   * loaded still gets its head, and the others have to ask again.
   */
  requests (max: number): LoadRequest[] {
    const requests: LoadRequest[] = []
    const { loadedEvents, loadedBytes } = this.#limits
    let events = Math.min(max, loadedEvents - this.#loadedEvents)
    let bytes = loadedBytes - this.#loadedBytes
    for (const lane of this.#hungry) {
      const least = lane.loaded === 0 ? 1 : 0
      const room = Math.min(events, Math.floor(bytes / lane.eventBytes), this.#target(lane) - lane.loaded)
      const begin = lane.first + lane.loaded
      const sequences = lane.queue.slice(begin, begin + Math.max(least, room)).filter((item) => typeof item === 'number')
      this.#hungry.delete(lane)
      if (sequences.length === 0) continue
      requests.push({ lane, sequences })
      events -= sequences.length
      bytes -= sequences.length * lane.eventBytes
      if (requests.length === max) break
    }
    return requests
  }

  /** The requests could not be served now: they are asked for again. */
  retryRequests (requests: readonly LoadRequest[]): void {
    for (const { lane } of requests) {
      if (lane.state !== 'failing' && this.#byKey.get(lane.key) === lane) this.#hungry.add(lane)
    }
  }

  /**
   * Puts loaded events in their places. A sequence that was asked for and is not among them cannot be read any more:
   * it is dropped and returned.
   */
  fill (requests: readonly LoadRequest[], events: ReadonlyMap<number, StoredEvent>): number[] {
    const gone: number[] = []
    for (const { lane, sequences } of requests) {
      // It may have been parked, delivered or claimed meanwhile; only what still continues its prefix is taken.
      if (lane.state === 'failing') continue
      for (const sequence of sequences) {
        const at = lane.first + lane.loaded
        if (lane.queue[at] !== sequence) continue
        const stored = events.get(sequence)
        if (stored !== undefined) {
          lane.queue[at] = stored
          lane.loaded++
          this.#account(stored)
        } else if (lane.state !== 'busy' || lane.loaded > 0) {
          if (at === lane.first) this.#forgetTrouble(lane)
          lane.queue.splice(at, 1)
          gone.push(sequence)
        }
      }
      if (lane.state !== 'fetching') continue
      if (waiting(lane) > 0) {
        this.resume(lane)
      } else {
        this.#byKey.delete(lane.key)
        this.#leave(lane)
      }
    }
    return gone
  }

  /**
   * The lane to probe the sink with: one that was never tried; else the one with the fewest failures, up to three; else
   * the one that has waited longest. Without that bound one head could fail many times in a row while others are not
   * asked, and look like poison.
   */
  probeCandidate (): Lane | undefined {
    if (this.#untried.first !== undefined) return this.#untried.first
    let best: Lane | undefined
    for (const lane of this.#byKey.values()) {
      if (lane.state === 'busy') continue
      if (best === undefined || isTriedLess(lane, best)) best = lane
    }
    return best
  }

  #target (lane: Lane): number {
    if (lane.trouble !== undefined) return 1
    return Math.max(1, Math.min(this.#laneEvents(), Math.floor(this.#limits.laneBytes / lane.eventBytes)))
  }

  /** How many events of one lane are loaded: more while there are few lanes, but never so many that reading stops. */
  #laneEvents (): number {
    const { laneEvents, loadedEvents } = this.#limits
    return Math.max(laneEvents, Math.floor(loadedEvents / (4 * this.#byKey.size)))
  }

  #account (stored: StoredEvent): void {
    this.#loadedEvents++
    this.#loadedBytes += sizeOf(stored)
  }

  #discount (stored: StoredEvent): void {
    this.#loadedEvents--
    this.#loadedBytes -= sizeOf(stored)
  }

  #pushReady (lane: Lane): void {
    lane.state = 'ready'
    if (lane.trouble === undefined) this.#untried.push(lane)
    else this.#tried.push(lane)
  }

  /** Takes a lane out of wherever its state had put it. A ready lane goes on wanting what lies behind its head. */
  #leave (lane: Lane): void {
    if (lane.state === 'ready') {
      if (lane.trouble === undefined) this.#untried.remove(lane)
      else this.#tried.remove(lane)
    } else if (lane.state === 'fetching') {
      this.#hungry.delete(lane)
    }
    this.#failing.delete(lane)
    this.#retrying.delete(lane)
  }

  #forgetTrouble (lane: Lane): void {
    lane.trouble = undefined
    this.#retrying.delete(lane)
  }
}

function isTriedLess (lane: Lane, than: Lane): boolean {
  const difference = rank(lane) - rank(than)
  return difference < 0 || (difference === 0 && attemptedAt(lane) < attemptedAt(than))
}

function rank (lane: Lane): number {
  return Math.min(lane.trouble?.failures ?? 0, FAILURES_RANKED)
}

function attemptedAt (lane: Lane): number {
  return lane.trouble?.attemptedAt ?? -Infinity
}

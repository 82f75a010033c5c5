/** An outbox whose appends the test settles: `auto` at once, else by `release` and `fail`. */
import type { Event } from '../../lib/message.ts'
import type { Receipt } from '../../lib/outbox/outbox.ts'

interface Append {
  readonly event: Event
  readonly receipt: Receipt | undefined
  readonly resolve: (sequence: number) => void
  readonly reject: (error: unknown) => void
}

export class ScriptedOutbox {
  /** What was handed in, in order, whatever became of it. */
  readonly appends: Append[] = []
  /** What was stored, in order. */
  readonly stored: Event[] = []
  auto = true
  /** While set, appends fail with it. */
  failure: Error | undefined
  /** What it says of the room for an event. */
  hasRoom = true
  /** The most that were under way at a time. */
  maxOpen = 0
  #waiting: Append[] = []
  #watchers: Array<{ count: number, resolve: () => void }> = []

  append (event: Event, receipt?: Receipt): Promise<number> {
    return new Promise((resolve, reject) => {
      const append = { event, receipt, resolve, reject }
      this.appends.push(append)
      this.#waiting.push(append)
      this.maxOpen = Math.max(this.maxOpen, this.#waiting.length)
      if (this.failure !== undefined) this.fail(this.failure)
      else if (this.auto) setImmediate(() => { if (this.auto) this.release() })
      for (const { count, resolve } of this.#watchers) if (this.appends.length >= count) resolve()
    })
  }

  hasRoomFor (): boolean {
    return this.hasRoom
  }

  /** Appends that wait for the test. */
  get open (): number {
    return this.#waiting.length
  }

  /** Stores the oldest ones that wait. */
  release (count = Infinity): void {
    for (const append of this.#waiting.splice(0, count)) {
      append.resolve(this.stored.push(append.event))
    }
  }

  /** Fails all that wait. */
  fail (error: unknown): void {
    for (const append of this.#waiting.splice(0)) append.reject(error)
  }

  /** Resolves when so many appends have been asked for. */
  async arrived (count: number): Promise<void> {
    if (this.appends.length < count) await new Promise<void>((resolve) => { this.#watchers.push({ count, resolve }) })
  }

  /** What was stored, as text. */
  get texts (): string[] {
    return this.stored.map((event) => event.data.toString())
  }
}

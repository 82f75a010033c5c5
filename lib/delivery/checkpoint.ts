/**
 * Keeps the sink's cursor and saves it now and then, so that a delivery costs no write. What lies between two saves is
 * what is sent again after a crash. Invariant: the log is trimmed only up to where a saved cursor stands.
 */
import type { Outbox } from '../outbox/outbox.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { Cursor } from './cursor.ts'

/** So many deliveries are saved before the time is up: it bounds what a crash makes come twice at high rates. */
const UNSAVED_EVENTS = 8192

export interface CheckpointOptions {
  readonly outbox: Outbox
  /** The name of the sink, which is the name of the cursor. */
  readonly sink: string
  /** The saved cursor stands here: nothing before it is needed by this sink. */
  readonly saved: (lowest: number) => Promise<void>
  /** Told of every event that the sink, or the dead letters, have, or that it is not to get. */
  readonly onPassed: (from: number, to: number) => void
  readonly telemetry: Telemetry
}

export class Checkpoint {
  readonly #options: CheckpointOptions
  #cursor = new Cursor()
  #unsaved = 0
  #saving: Promise<void> | undefined

  constructor (options: CheckpointOptions) {
    this.#options = options
  }

  get cursor (): Cursor {
    return this.#cursor
  }

  /** Begins where the sink left off. Rejects as `outbox.loadCursor` does. */
  async load (): Promise<void> {
    const { outbox, sink } = this.#options
    this.#cursor = new Cursor(await outbox.loadCursor(sink))
  }

  /** The sink, or the dead letters, have this event; or it is not to be sent; or it is lost. */
  passed (sequence: number): void {
    this.#cursor.add(sequence)
    this.#options.onPassed(sequence, sequence + 1)
    if (++this.#unsaved >= UNSAVED_EVENTS && this.#saving === undefined) void this.save()
  }

  /** Nothing readable lies from `from` up to, not including, `to`. */
  passedRange (from: number, to: number): void {
    if (to <= from) return
    this.#cursor.addRange(from, to)
    this.#options.onPassed(from, to)
    this.#unsaved++
  }

  /** Saves what has changed. Never rejects; what fails is tried again at the next save. */
  save (): Promise<void> {
    this.#saving ??= this.#save().finally(() => { this.#saving = undefined })
    return this.#saving
  }

  /** Waits for a save under way, and saves what has changed since. */
  async flush (): Promise<void> {
    await this.#saving
    await this.save()
  }

  async #save (): Promise<void> {
    if (this.#unsaved === 0) return
    const { outbox, sink, saved, telemetry } = this.#options
    const unsaved = this.#unsaved
    const state = this.#cursor.state()
    this.#unsaved = 0
    try {
      await outbox.saveCursor(sink, state)
      await saved(state.lowest)
    } catch (error) {
      this.#unsaved += unsaved
      telemetry.unexpected(error, 'save the cursor')
    }
  }
}

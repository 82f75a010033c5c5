/**
 * What an operator does with the outbox of a program that is not running: look at it, look at its dead letters, put
 * them back. Beside source.ts; opens the same outbox alone, since two processes cannot share one.
 */
import { existsSync } from 'node:fs'
import type { Config } from './config/schema.ts'
import { Cursor } from './delivery/cursor.ts'
import { createError } from './errors.ts'
import type { DeadLetter, Event } from './message.ts'
import { MAPPING, type Outbox } from './outbox/outbox.ts'
import { createOutbox, outboxDirectory } from './parts.ts'
import { sinkNames } from './sink-parts.ts'
import { Telemetry } from './telemetry/telemetry.ts'

/** So many are read at a time. */
const PAGE = { events: 256, bytes: 4 * 1024 * 1024 } as const

export interface SinkReport {
  readonly name: string
  /** Events that it has not taken; those that its filter leaves out among them, until it comes to them. */
  readonly waiting: number
  /** Milliseconds since the epoch at which the oldest of them was stored. */
  readonly oldestStoredAt: number | undefined
}

export interface OutboxReport {
  /** Where it lies. */
  readonly directory: string
  /** How far each sink is. */
  readonly sinks: readonly SinkReport[]
  readonly bytes: number
  readonly maxBytes: number
  readonly deadLetters: number
  /** Stored events that cannot be read any more. */
  readonly lostEvents: number
}

/**
 * How full the outbox is.
 * @throws MBS_ERR_OUTBOX_LOCKED while the program runs, MBS_ERR_OUTBOX_DIRECTORY, MBS_ERR_OUTBOX_CORRUPT
 */
export async function readOutboxStatus (config: Config): Promise<OutboxReport> {
  return await withOutbox(config, async (outbox, lostEvents) => {
    const { bytes, maxBytes, nextSequence, deadLetters } = outbox.stats()
    const sinks: SinkReport[] = []
    for (const name of sinkNames(config)) {
      const cursor = new Cursor(await outbox.loadCursor(name))
      const [oldest] = (await outbox.read(cursor.lowest, { events: 1, bytes: 1 })).events
      const waiting = oldest === undefined ? 0 : nextSequence - oldest.sequence - cursor.beyond
      sinks.push({ name, waiting, oldestStoredAt: oldest?.storedAt })
    }
    const directory = outboxDirectory(config)
    return { directory, sinks, bytes, maxBytes, deadLetters, lostEvents }
  })
}

/** Hands every dead letter to `visit`, oldest first. @throws as `readOutboxStatus` */
export async function readDeadLetters (config: Config, visit: (letter: DeadLetter) => void): Promise<void> {
  await withOutbox(config, async (outbox) => {
    for await (const letter of lettersOf(outbox)) visit(letter)
  })
}

/** What became of dead letters. */
export interface LettersDone {
  readonly done: number
  /** Those that stay, because they have to be named for it. */
  readonly left: number
}

/**
 * Puts dead letters back behind what waits, with their ids, so that the next start delivers them. What the mapping set
 * aside was never what its rule wants, and is put back where it is named only: as it is, nothing is done to it again.
 * @param sequences those of the letters; undefined: all
 * @throws as `readOutboxStatus`, and what `Outbox.append` rejects with
 */
export async function requeueDeadLetters (config: Config, sequences?: ReadonlySet<number>): Promise<LettersDone> {
  return await withOutbox(config, async (outbox) => {
    let [done, left] = [0, 0]
    for await (const letter of lettersOf(outbox)) {
      const { sequence } = letter.stored
      if (sequences !== undefined && !sequences.has(sequence)) continue
      if (sequences === undefined && letter.sink === MAPPING) {
        left++
        continue
      }
      // Stored again before the letter goes: a crash in between leaves both, and never neither.
      await outbox.append(requeued(letter, sinkNames(config)))
      await outbox.deleteDeadLetters([{ sequence, sink: letter.sink }])
      done++
    }
    return { done, left }
  })
}

/**
 * Removes dead letters for good.
 * @param sequences those of the letters; undefined: all
 * @throws as `readOutboxStatus`
 */
export async function discardDeadLetters (config: Config, sequences?: ReadonlySet<number>): Promise<LettersDone> {
  return await withOutbox(config, async (outbox) => {
    let done = 0
    for await (const { stored: { sequence }, sink } of lettersOf(outbox)) {
      if (sequences !== undefined && !sequences.has(sequence)) continue
      await outbox.deleteDeadLetters([{ sequence, sink }])
      done++
    }
    return { done, left: 0 }
  })
}

/**
 * The event of a dead letter as it is stored again: for the sink that did not take it, where there is still one of this
 * name, and for all otherwise. What would keep it from being delivered now is left off: somebody asks for it.
 */
function requeued ({ stored: { event }, sink }: DeadLetter, sinks: readonly string[]): Event {
  const { handling: { trace } = {}, ...rest } = event
  const only = sinks.includes(sink) && sinks.length > 1 ? sink : undefined
  if (trace === undefined && only === undefined) return rest
  return { ...rest, handling: { ...(only !== undefined && { only }), ...(trace !== undefined && { trace }) } }
}

async function * lettersOf (outbox: Outbox): AsyncGenerator<DeadLetter> {
  for (let from = 0; ;) {
    const page = await outbox.readDeadLetters(from, PAGE)
    const last = page.at(-1)
    if (last === undefined) return
    yield * page
    from = last.stored.sequence + 1
  }
}

async function withOutbox<T> (config: Config, use: (outbox: Outbox, lostEvents: number) => Promise<T>): Promise<T> {
  // Opening would make it: nothing would seem to wait where only the path is wrong.
  const directory = outboxDirectory(config)
  if (!existsSync(directory)) throw createError('MBS_ERR_OUTBOX_DIRECTORY', { directory, reason: 'it does not exist' })
  const outbox = createOutbox(config, new Telemetry({ level: 'silent', format: 'json' }))
  const { lostEvents } = await outbox.open()
  try {
    return await use(outbox, lostEvents)
  } finally {
    await outbox.close()
  }
}

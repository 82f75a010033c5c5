/**
 * What an operator does with an outbox: look at it, look at its dead letters, put them back. Beside source.ts. One on
 * disk is opened alone, since two processes cannot share one; that of a group, while the group goes on with it.
 */
import { existsSync } from 'node:fs'
import type { Config } from './config/schema.ts'
import { Cursor } from './delivery/cursor.ts'
import { createError } from './errors.ts'
import type { DeadLetter, Event } from './message.ts'
import { MAPPING, type Outbox } from './outbox/outbox.ts'
import type { GroupOutbox } from './outbox/redis/group-outbox.ts'
import { memberKeys, toPlace } from './outbox/redis/places.ts'
import { sinkNames } from './sink-parts.ts'
import { createGroup, createLog, outboxDirectory } from './store-parts.ts'
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
  /** Of an outbox in Redis: who there is, and who delivers what. */
  readonly group?: GroupReport
}

/** A program of a group. */
export interface MemberReport {
  readonly id: string
  /** The `name` of its configuration, its host, its process. */
  readonly name: string
  readonly host: string
  readonly pid: number
  /** Partitions that it delivers. */
  readonly partitions: readonly number[]
  /** What waits there, for the sink that is furthest behind, and since when (milliseconds since the epoch). */
  readonly waiting: number
  readonly oldestStoredAt: number | undefined
}

export interface GroupReport {
  readonly partitions: number
  readonly members: readonly MemberReport[]
  /** Partitions that nobody delivers at the moment, and what waits there. */
  readonly unowned: Pick<MemberReport, 'partitions' | 'waiting' | 'oldestStoredAt'>
}

/** One log: that of the program, or of a partition of the group. */
interface Log {
  readonly outbox: Outbox
  /** The number by which an operator knows an event; of a group, its partition is in it. */
  readonly placeOf: (sequence: number) => number
}

/** Logs, and what they are part of. */
interface Opened {
  readonly logs: readonly Log[]
  readonly whole: Pick<Outbox, 'append' | 'stats'>
  readonly location: string
  readonly lostEvents: number
  readonly group?: GroupOutbox
}

/**
 * How full the outbox is.
 * @throws MBS_ERR_OUTBOX_LOCKED while the program runs, MBS_ERR_OUTBOX_DIRECTORY, MBS_ERR_OUTBOX_CORRUPT; of a group
 * MBS_ERR_REDIS_*, MBS_ERR_OUTBOX_PARTITIONS
 */
export async function readOutboxStatus (config: Config): Promise<OutboxReport> {
  return await withOutbox(config, async ({ logs, whole, location, lostEvents, group }) => {
    const { bytes, maxBytes, deadLetters } = whole.stats()
    const names = sinkNames(config)
    const reportsOf = async ({ outbox }: Log) => await Promise.all(names.map((name) => sinkReport(outbox, name)))
    const perLog = await Promise.all(logs.map(reportsOf))
    const sinks = names.map((name, at) => ({ name, ...together(perLog.map((reports) => reports[at] as SinkReport)) }))
    const report = { directory: location, sinks, bytes, maxBytes, deadLetters, lostEvents }
    // Each partition waits for the sink that is furthest behind.
    const worst = perLog.map((reports) => ({
      waiting: Math.max(0, ...reports.map(({ waiting }) => waiting)), oldestStoredAt: together(reports).oldestStoredAt
    }))
    return group === undefined ? report : { ...report, group: await groupReport(group, worst) }
  })
}

async function sinkReport (outbox: Outbox, name: string): Promise<SinkReport> {
  const cursor = new Cursor(await outbox.loadCursor(name))
  const [oldest] = (await outbox.read(cursor.lowest, { events: 1, bytes: 1 })).events
  const { nextSequence, events } = outbox.stats()
  // In a group's log sequences may be passed over, so that there are fewer events than numbers.
  const waiting = oldest === undefined ? 0 : Math.min(events, nextSequence - oldest.sequence) - cursor.beyond
  return { name, waiting, oldestStoredAt: oldest?.storedAt }
}

function together (reports: ReadonlyArray<Pick<SinkReport, 'waiting' | 'oldestStoredAt'>>) {
  const times = reports.flatMap(({ oldestStoredAt }) => oldestStoredAt ?? [])
  return {
    waiting: reports.reduce((sum, { waiting }) => sum + waiting, 0),
    oldestStoredAt: times.length === 0 ? undefined : Math.min(...times)
  }
}

async function groupReport (
  group: GroupOutbox, waiting: ReadonlyArray<Pick<SinkReport, 'waiting' | 'oldestStoredAt'>>
): Promise<GroupReport> {
  const owners = await group.refresh()
  const { facts } = memberKeys(group.keyPrefix)
  const told = await group.client.hgetall(facts)
  const of = (id: string | undefined) => {
    const partitions = owners.flatMap((owner, partition) => owner === id ? partition : [])
    return { partitions, ...together(partitions.map((partition) => waiting[partition] as SinkReport)) }
  }
  const ids = new Set([...Object.keys(told), ...owners.filter((owner) => owner !== undefined)])
  const members = [...ids].map((id) => {
    // Who has a lease and has not been heard of lately is about to lose it.
    const { name = 'unknown', host = 'unknown', pid = 0 } = JSON.parse(told[id] ?? '{}') as Partial<MemberReport>
    return { id, name, host, pid, ...of(id) }
  })
  return { partitions: group.partitions, members, unowned: of(undefined) }
}

/** Hands every dead letter to `visit`, oldest first. @throws as `readOutboxStatus` */
export async function readDeadLetters (config: Config, visit: (letter: DeadLetter) => void): Promise<void> {
  await withOutbox(config, async ({ logs }) => {
    for await (const { letter, place } of lettersOf(logs)) {
      visit({ ...letter, stored: { ...letter.stored, sequence: place } })
    }
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
  return await withOutbox(config, async ({ logs, whole }) => {
    let [done, left] = [0, 0]
    for await (const { letter, place, outbox } of lettersOf(logs)) {
      const { sequence } = letter.stored
      if (sequences !== undefined && !sequences.has(place)) continue
      if (sequences === undefined && letter.sink === MAPPING) {
        left++
        continue
      }
      // Stored again before the letter goes: a crash in between leaves both, and never neither.
      await whole.append(requeued(letter, sinkNames(config)))
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
  return await withOutbox(config, async ({ logs }) => {
    let done = 0
    for await (const { letter: { stored: { sequence }, sink }, place, outbox } of lettersOf(logs)) {
      if (sequences !== undefined && !sequences.has(place)) continue
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

/** All dead letters, each with the number by which an operator knows it, and the log that has it. */
async function * lettersOf (
  logs: readonly Log[]
): AsyncGenerator<{ letter: DeadLetter, place: number, outbox: Outbox }> {
  for (const { outbox, placeOf } of logs) {
    for (let from = 0; ;) {
      const page = await outbox.readDeadLetters(from, PAGE)
      const last = page.at(-1)
      if (last === undefined) break
      for (const letter of page) yield { letter, place: placeOf(letter.stored.sequence), outbox }
      from = last.stored.sequence + 1
    }
  }
}

async function withOutbox<T> (config: Config, use: (opened: Opened) => Promise<T>): Promise<T> {
  const telemetry = new Telemetry({ level: 'silent', format: 'json' })
  if (config.outbox.store === 'redis') return await withGroup(config, telemetry, use)
  // Opening would make it: nothing would seem to wait where only the path is wrong.
  const directory = outboxDirectory(config)
  if (!existsSync(directory)) throw createError('MBS_ERR_OUTBOX_DIRECTORY', { directory, reason: 'it does not exist' })
  const outbox = createLog(config, telemetry)
  const { lostEvents } = await outbox.open()
  try {
    const logs = [{ outbox, placeOf: (sequence: number) => sequence }]
    return await use({ logs, whole: outbox, location: directory, lostEvents })
  } finally {
    await outbox.close()
  }
}

async function withGroup<T> (config: Config, telemetry: Telemetry, use: (opened: Opened) => Promise<T>): Promise<T> {
  const group = createGroup(config, telemetry)
  try {
    await group.open({ mayCreate: false })
    const logs = Array.from({ length: group.partitions }, (_, partition) => ({
      outbox: group.partition(partition, group.member), placeOf: (sequence: number) => toPlace(partition, sequence)
    }))
    return await use({ logs, whole: group, location: group.location, lostEvents: 0, group })
  } finally {
    await group.close()
  }
}

/** What the crash suites look for in what arrived: is all of it there, in order, and every duplicate recognizable? */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { CrashPublisher } from './crash-publisher.ts'
import type { CrashSink, Taken } from './crash-sink.ts'

/** Longer than anything takes that is not stuck. */
const PATIENCE_MS = 60_000
/** Lines of a history that are shown. */
const SHOWN = 60

/** What the devices of the crash suites send. */
export function bodyOf (client: string, number: number): string {
  return JSON.stringify({ client, number })
}

/** What arrived by its body, read as it comes. */
export class ArrivedBodies {
  readonly #sink: CrashSink
  readonly #ids = new Map<string, Set<string>>()
  #seen = 0

  constructor (sink: CrashSink) {
    this.#sink = sink
  }

  /** The (source, id) with which this body came: one, however often it came. */
  idsOf (client: string, number: number): ReadonlySet<string> {
    const { taken } = this.#sink
    for (; this.#seen < taken.length; this.#seen++) {
      const { source, id, body } = taken[this.#seen] as Taken
      const ids = this.#ids.get(body) ?? new Set()
      this.#ids.set(body, ids.add(`${source} ${id}`))
    }
    return this.#ids.get(bodyOf(client, number)) ?? new Set()
  }
}

/** Has all of them end; where one gets no answer any more, what it did is shown. */
export async function untilFinished (t: Test, publishers: readonly CrashPublisher[]): Promise<void> {
  await Promise.all(publishers.map(async (publisher) => {
    const isLate = await Promise.race([publisher.finish(), sleep(PATIENCE_MS, true, { ref: false })])
    if (isLate !== true) return
    t.fail(`${publisher.id}: what it sent is neither acknowledged nor given up`)
    for (const line of publisher.history.slice(-SHOWN)) t.comment(`${publisher.id} ${line}`)
  }))
}

/** Resolves when everything that was acknowledged has arrived, or nothing arrives any more. */
export async function untilArrived (publishers: readonly CrashPublisher[], sink: CrashSink): Promise<void> {
  const missing = new Set(publishers.flatMap(({ id, acknowledged }) =>
    Array.from(acknowledged, (number) => bodyOf(id, number))))
  let seen = 0
  const isComplete = () => {
    for (; seen < sink.taken.length; seen++) missing.delete(sink.taken[seen]?.body ?? '')
    return missing.size === 0
  }
  const complete = sink.until(isComplete)
  for (let before = -1; !isComplete() && before !== sink.taken.length;) {
    before = sink.taken.length
    await Promise.race([complete, sleep(PATIENCE_MS, undefined, { ref: false })])
  }
}

/** Holds what arrived against what was acknowledged. */
export function checkArrivals (t: Test, publishers: readonly CrashPublisher[], sink: CrashSink): void {
  t.strictSame(sink.invalid, [], 'everything that arrived is a CloudEvent')
  const idsOf = new Map<string, Set<string>>()
  const bodies = new Map<string, string>()
  const order = new Map<string, number[]>()
  const clashes: string[] = []
  for (const { source, id, body } of sink.taken) {
    const { client, number } = JSON.parse(body) as { client: string, number: number }
    const key = `${source} ${id}`
    if ((bodies.get(key) ?? body) !== body) clashes.push(`${key}: ${bodies.get(key)} and ${body}`)
    bodies.set(key, body)
    const ids = idsOf.get(body)
    if (ids !== undefined) {
      ids.add(key)
      continue
    }
    idsOf.set(body, new Set([key]))
    let numbers = order.get(client)
    if (numbers === undefined) order.set(client, numbers = [])
    numbers.push(number)
  }

  t.strictSame(clashes, [], 'a (source, id) stands for one message')
  const twice = [...idsOf].filter(([, ids]) => ids.size > 1).map(([body, ids]) => [body, ...ids])
  if (!t.strictSame(twice, [], 'a message has one (source, id), however often it arrives')) {
    const { client } = JSON.parse(twice[0]?.[0] ?? '') as { client: string }
    for (const line of publishers.find(({ id }) => id === client)?.history ?? []) t.comment(`${client} ${line}`)
  }
  const lost: Record<string, number[]> = {}
  const disordered: Record<string, number[]> = {}
  for (const { id, acknowledged, used } of publishers) {
    const numbers = order.get(id) ?? []
    const missing = [...acknowledged].filter((number) => !idsOf.has(bodyOf(id, number)))
    if (missing.length > 0) lost[id] = missing
    if (numbers.some((number, at) => number < (numbers[at - 1] ?? 0))) disordered[id] = numbers
    t.ok(numbers.every((number) => number >= 1 && number <= used), `${id}: nothing arrived that was not sent`)
    t.ok(acknowledged.size > 0, `${id}: it had ${acknowledged.size} acknowledged`)
  }
  t.strictSame(lost, {}, 'every acknowledged message arrived')
  t.strictSame(disordered, {}, 'each device in order, duplicates removed')
  t.comment(`${sink.taken.length} arrived, ${idsOf.size} different, ${publishers.reduce((sum, each) => sum + each.acknowledged.size, 0)} acknowledged`)
}

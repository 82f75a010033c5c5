/**
 * Random events in batches to a real sink that refuses some of them, fails now and then, and may take no batches at
 * all: every event that it takes arrives unchanged, and those of a key in order. MODEL_SEED repeats a run by its seed.
 */
import t, { test, type Test } from 'tap'
import { decode, type DecodedEvent } from '../../lib/cloudevent/decode.ts'
import { classify } from '../../lib/delivery/classify.ts'
import type { Event } from '../../lib/message.ts'
import { batchSink } from '../support/http-sink-client.ts'
import { startHttpSink, type Answer, type ReceivedRequest } from '../support/http-sink.ts'
import { seededRandom } from '../support/random.ts'

t.jobs = 1

const SEED = Number(process.env['MODEL_SEED'] ?? Date.now() % 1e9)

type Random = () => number
const pick = <T>(random: Random, of: readonly T[]): T => of[Math.floor(random() * of.length)] as T

const WORDS = ['', 'a', '"', '\\', ',', ']', '}', '%', ' ', 'ü', '😀', '\\u0041', '{"a":[1,2]}', '\n']
const words = (random: Random, atMost: number) =>
  Array.from({ length: Math.floor(random() * atMost) }, () => pick(random, WORDS)).join('')

/** A value of JSON, written in one of many ways. */
function jsonOf (random: Random, depth = 0): string {
  switch (Math.floor(random() * (depth > 3 ? 4 : 6))) {
    case 0: return pick(random, ['1.0', '-0', '1e300', '12345678901234567890', '0.1'])
    case 1: return JSON.stringify(words(random, 6))
    case 2: return pick(random, ['true', 'false', 'null'])
    case 3: return pick(random, ['[]', '{ }', '""', '"\\u00fc\\/"'])
    case 4: return `[ ${Array.from({ length: Math.floor(random() * 4) }, () => jsonOf(random, depth + 1)).join(' ,')}]`
    default: return `{"a":${jsonOf(random, depth + 1)},"a" : ${jsonOf(random, depth + 1)}}`
  }
}

function dataOf (random: Random): Pick<Event, 'datacontenttype' | 'data'> {
  const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 256)))
  switch (Math.floor(random() * 6)) {
    // `null` alone is no data to whoever reads the JSON format [CE-JSON 2.2].
    case 0: return { datacontenttype: 'application/json', data: Buffer.from(jsonOf(random).replace(/^null$/, '[null]')) }
    case 1: return { datacontenttype: 'application/vnd.x+json; a="b"', data: bytes }
    case 2: return { datacontenttype: 'text/plain', data: Buffer.from(words(random, 20)) }
    case 3: return { datacontenttype: 'text/plain; charset=utf-8', data: bytes }
    case 4: return { datacontenttype: 'application/octet-stream', data: Buffer.concat(Array(Math.floor(random() * 60)).fill(bytes)) }
    default: return { data: bytes }
  }
}

function eventOf (random: Random, key: string, number: number): Event {
  const subject = words(random, 5).replaceAll('\n', '')
  return {
    id: `${key}-${number}${random() < 0.1 ? '-bad' : ''}`,
    source: `/test/${key}`,
    type: 'test',
    time: '2026-01-01T00:00:00.000Z',
    ...(subject !== '' && { subject }),
    extensions: { partitionkey: key, n: number, b: random() < 0.5 },
    partitionKey: key,
    ...dataOf(random)
  }
}

/** What the sink takes, and how it fails. */
interface Script {
  readonly takesBatches: boolean
  /** The share of requests that fail in a way that may pass. */
  readonly failing: number
}

function answerTo (random: Random, { takesBatches, failing }: Script, request: ReceivedRequest, bad: boolean): Answer {
  if (random() < failing) return pick<Answer>(random, [{ status: 503 }, { status: 429 }, { instead: 'drop' }])
  if (request.mode === 'batch' && !takesBatches) return { status: pick(random, [400, 413, 415]) }
  return { status: bad ? pick(random, [400, 403, 422]) : 202 }
}

/** Sends the events of each key as delivery does: the first ones of a lane, until each was taken or refused. */
async function deliver (
  random: Random, lanes: ReadonlyMap<string, Event[]>, sink: ReturnType<typeof batchSink>, refused: Set<string>
): Promise<void> {
  const { signal } = new AbortController()
  await Promise.all([...lanes.values()].map(async (lane) => {
    while (lane.length > 0) {
      const handed = lane.slice(0, 1 + Math.floor(random() * 30))
      const outcomes = await sink.sendAll(handed, signal)
      if (outcomes.length !== handed.length) throw new Error(`${outcomes.length} outcomes of ${handed.length} events`)
      for (const [at, outcome] of outcomes.entries()) {
        const verdict = classify(outcome)
        if (verdict !== 'delivered' && verdict !== 'refused') break
        // Behind what was not taken, nothing may have been tried: checked by the order at the sink.
        if (verdict === 'refused') refused.add(handed[at]!.id)
        lane.shift()
        if (verdict === 'refused') break
      }
    }
  }))
}

const scripts: Record<string, Script> = {
  'a sink that takes batches': { takesBatches: true, failing: 0 },
  'a sink that fails now and then': { takesBatches: true, failing: 0.3 },
  'a sink that takes no batches': { takesBatches: false, failing: 0.1 }
}

for (const [name, script] of Object.entries(scripts)) {
  for (const run of [1, 2, 3]) {
    test(`${name}: what is taken arrives unchanged and in order per key (${run})`, async (t) => {
      await runModel(t, seededRandom(SEED + run), script)
    })
  }
}

async function runModel (t: Test, random: Random, script: Script): Promise<void> {
  t.comment('seed', SEED)
  const sent = new Map<string, Event>()
  const lanes = new Map<string, Event[]>()
  for (let key = 0; key < 12; key++) {
    const lane = Array.from({ length: 40 }, (_, number) => eventOf(random, `k${key}`, number))
    for (const event of lane) sent.set(event.id, event)
    lanes.set(`k${key}`, lane)
  }
  const taken: DecodedEvent[] = []
  let modes = ''
  const server = await startHttpSink(t)
  server.answer = (request) => {
    const events = decode(request.rawHeaders, request.body)
    const ids = request.events().map(({ id }) => id)
    if (ids.join() !== events.map(({ id }) => id).join()) throw new Error('the SDK reads something else')
    const answer = answerTo(random, script, request, ids.some((id) => id.endsWith('-bad')))
    modes += request.mode[0]
    if (answer.status === 202) taken.push(...events)
    return answer
  }
  const refused = new Set<string>()
  const count = 1 + Math.floor(random() * 25)
  await deliver(random, lanes, batchSink(t, server.url, { count, bytes: 2048, waitMs: 1, connections: 4 }), refused)

  t.same(refused, new Set([...sent.keys()].filter((id) => id.endsWith('-bad'))), 'the bad ones, and no others')
  t.match(modes, 'b', 'there were batches')
  const first = new Map(taken.toReversed().map((event) => [event.id, event]))
  const seen = new Set<string>()
  const inOrder = taken.filter(({ id }) => !seen.has(id) && seen.add(id))
  for (const key of lanes.keys()) {
    const ids = inOrder.filter(({ source }) => source === `/test/${key}`).map(({ id }) => id)
    const expected = [...sent.values()].filter((event) => event.partitionKey === key && !refused.has(event.id))
    t.same(ids, expected.map(({ id }) => id), `${key} in order`)
  }
  const changed = [...first.values()].filter((event) => !isSame(event, sent.get(event.id)!))
  t.same(changed, [], 'unchanged')
}

function isSame (received: DecodedEvent, { partitionKey: _, data, ...attributes }: Event): boolean {
  const { data: arrived, ...rest } = received
  return arrived.equals(data) && JSON.stringify(sorted(rest)) === JSON.stringify(sorted(attributes))
}

/** With its keys in order and its values as texts, which is what headers make of them [CE 3.1]. */
function sorted (value: object): unknown {
  return Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)
    .map(([key, item]) => [key, typeof item === 'object' ? sorted(item as object) : String(item)])
}

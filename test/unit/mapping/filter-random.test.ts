/**
 * Random filters over random events, against an evaluator that follows the words of the specification and knows
 * nothing of names, paths and compiling. The seed is printed; MBS_TEST_SEED repeats a run.
 */
import { test } from 'tap'
import { compileFilter } from '../../../lib/mapping/filter.ts'
import type { Event, ExtensionValue } from '../../../lib/message.ts'
import { event, untyped } from '../../support/http-sink-events.ts'
import { seededRandom } from '../../support/random.ts'

type Pick = <T>(choices: readonly T[]) => T

/** Any JSON, looked into without care. */
interface Json { a?: Json, b?: Json[], 'a.b'?: Json }

/** How a person would look for what each name says. */
const NAMES: Readonly<Record<string, (event: Event, json: Json | null | undefined) => unknown>> = {
  type: ({ type }) => type,
  subject: ({ subject }) => subject,
  datacontenttype: ({ datacontenttype }) => datacontenttype,
  site: ({ extensions }) => extensions['site'],
  level: ({ extensions }) => extensions['level'],
  data: (_, json) => json,
  'data.a': (_, json) => json?.a,
  'data.b[0]': (_, json) => json?.b?.[0],
  'data.b[1].a': (_, json) => json?.b?.[1]?.a,
  'data["a.b"]': (_, json) => json?.['a.b']
}

/** Few, so that filters hold about as often as they do not. */
const TEXTS = ['a', 'ab', 'b', 'ba', 'aba', '1', '12', 'true', 't', '-1.5'] as const
const SCALARS = [...TEXTS, 1, 12, 2, -1.5, 0, true, false] as const

const COMPARING = ['exact', 'prefix', 'suffix', 'greaterThan', 'lessThan'] as const
const JOINING = ['all', 'any', 'not'] as const

function randomFilter (random: () => number, pick: Pick, depth: number): unknown {
  if (depth === 0 || random() < 0.4) {
    const dialect = pick(COMPARING)
    const isNumeric = dialect === 'greaterThan' || dialect === 'lessThan'
    const names = Object.keys(NAMES).filter((name) => !isNumeric || /^data\b/.test(name))
    const wanted: Record<string, unknown> = {}
    do wanted[pick(names)] = isNumeric ? pick([0, 1, -1.5, 2, 11.5]) : pick(SCALARS)
    while (random() < 0.3)
    return { [dialect]: wanted }
  }
  const dialect = pick(JOINING)
  if (dialect === 'not') return { not: randomFilter(random, pick, depth - 1) }
  const inner = () => randomFilter(random, pick, depth - 1)
  return { [dialect]: Array.from({ length: 1 + Math.floor(random() * 3) }, inner) }
}

function randomJson (random: () => number, pick: Pick, depth: number): unknown {
  const kind = depth === 0 ? 1 : random()
  const inner = () => randomJson(random, pick, depth - 1)
  if (kind < 0.15) return Array.from({ length: Math.floor(random() * 3) }, inner)
  if (kind > 0.75) return pick([...SCALARS, null])
  const object: Record<string, unknown> = {}
  if (random() < 0.7) object['a'] = inner()
  if (random() < 0.7) object['b'] = Array.from({ length: Math.floor(random() * 3) }, inner)
  if (random() < 0.4) object['a.b'] = pick(SCALARS)
  return object
}

function randomEvent (random: () => number, pick: Pick): Event {
  const extensions: Record<string, ExtensionValue> = {}
  if (random() < 0.7) extensions['site'] = pick(TEXTS)
  if (random() < 0.7) extensions['level'] = pick([1, 12, -1, true, '1'])
  const given = { type: pick(TEXTS), subject: pick(TEXTS), extensions }
  return random() < 0.5 ? untyped(given) : event({ ...given, datacontenttype: pick(TEXTS) })
}

/** The specification's sentences, one by one. */
function naively (filter: unknown, given: Event, json: unknown): boolean {
  const [[dialect, content]] = Object.entries(filter as object) as [[string, never]]
  if (dialect === 'not') return !naively(content, given, json)
  if (dialect === 'all') return (content as unknown[]).every((inner) => naively(inner, given, json))
  if (dialect === 'any') return (content as unknown[]).some((inner) => naively(inner, given, json))
  return Object.entries(content as object).every(([name, wanted]) => {
    const value = NAMES[name]!(given, json as Json)
    if (dialect === 'greaterThan') return typeof value === 'number' && value > wanted
    if (dialect === 'lessThan') return typeof value === 'number' && value < wanted
    if (value === null || value === undefined || typeof value === 'object') return false
    if (dialect === 'exact') return `${value as string}` === `${wanted}`
    if (dialect === 'prefix') return `${value as string}`.startsWith(`${wanted}`)
    return `${value as string}`.endsWith(`${wanted}`)
  })
}

test('a compiled filter says what the specification says, over random filters and events', async (t) => {
  const seed = Number(process.env['MBS_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}: MBS_TEST_SEED=${seed} repeats the choices`)
  const random = seededRandom(seed)
  const pick: Pick = (choices) => choices[Math.floor(random() * choices.length)] as never
  let held = 0
  const rounds = 20_000
  for (let round = 0; round < rounds; round++) {
    const list = Array.from({ length: 1 + Math.floor(random() * 2) }, () => randomFilter(random, pick, 4))
    const source = random() < 0.5 ? list : list[0]
    const filter = compileFilter(source, '')
    if (typeof filter !== 'function') return t.fail(`${filter.path}: ${filter.reason} (${JSON.stringify(source)}, seed ${seed})`)
    for (let events = 0; events < 5; events++) {
      const given = randomEvent(random, pick)
      const json = random() < 0.1 ? undefined : randomJson(random, pick, 3)
      const expected = [source].flat().every((one) => naively(one, given, json))
      if (expected) held++
      if (filter({ event: given, json: () => json }) !== expected) {
        const { type, subject, datacontenttype, extensions } = given
        const shown = JSON.stringify({ source, type, subject, datacontenttype, extensions, json })
        return t.fail(`${shown} should be ${expected} (seed ${seed})`)
      }
    }
  }
  t.ok(held > rounds / 2 && held < rounds * 4.5, `both answers are met often: ${held} of ${rounds * 5}`)
})

/** Out of these, filters are made that are nearly right. */
const PIECES: readonly unknown[] = [
  'type', '', 'data.a', 'data.', 0, 1, -1.5, NaN, true, null, undefined, [], {}, [[]], 1n, Symbol('s'), () => true, new Date(0), new Map()
]
const KEYS = [...COMPARING, ...JOINING, 'sql', '', '__proto__', 'constructor', 'toString', 'type', 'data.a', 'data[0', 'data', '0', 'a b']

function randomThing (random: () => number, pick: Pick, depth: number): unknown {
  if (depth === 0 || random() < 0.2) return pick(PIECES)
  const inner = () => randomThing(random, pick, depth - 1)
  if (random() < 0.3) return Array.from({ length: Math.floor(random() * 3) }, inner)
  const count = random() < 0.8 ? 1 : Math.floor(random() * 3)
  const entries = Array.from({ length: count }, () => [pick(KEYS), inner()] as const)
  return Object.fromEntries(entries)
}

test('whatever is handed in is compiled or a problem with its place, never an exception', async (t) => {
  const seed = Number(process.env['MBS_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}: MBS_TEST_SEED=${seed} repeats the choices`)
  const random = seededRandom(seed)
  const pick: Pick = (choices) => choices[Math.floor(random() * choices.length)] as never
  let compiled = 0
  for (let round = 0; round < 50_000; round++) {
    const found = compileFilter(randomThing(random, pick, 6), 'when')
    if (typeof found !== 'function') {
      const isWhole = found.kind === 'problem' && found.path.startsWith('when') && found.reason.length > 10
      if (!isWhole) return t.fail(`round ${round}, seed ${seed}: ${JSON.stringify(found)}`)
      continue
    }
    compiled++
    const answer = found({ event: event(), json: () => randomThing(random, pick, 3) })
    if (typeof answer !== 'boolean') return t.fail(`round ${round}, seed ${seed}: ${String(answer)}`)
  }
  t.ok(compiled > 100, `some are filters: ${compiled}`)
})

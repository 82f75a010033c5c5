/**
 * What /metrics says of the way of events, and what follows from it for the event of the self-test. Pure. Counters know
 * no single event: what is looked for is that as many events went on as were there when this one had been stored.
 */

/** What is told of one sink. */
export interface SinkCounts {
  readonly waiting: number
  readonly taken: number
  /** Left out by its filter, expired, superseded. */
  readonly passedOver: number
  readonly deadLettered: number
  /** Attempts that failed. */
  readonly failed: number
}

export interface Counts {
  /** Events that became part of the outbox, those of sessions among them. */
  readonly stored: number
  /** Publishes that became no event, because their rule says so. */
  readonly leftOut: number
  /** Events that cannot be what their rule wants. */
  readonly setAside: number
  readonly sinks: ReadonlyMap<string, SinkCounts>
}

/** How far the event of the self-test has come. */
export type Progress =
  | { readonly kind: 'pending', readonly reason: string }
  | { readonly kind: 'failed', readonly reason: string }
  | { readonly kind: 'done', readonly told: string }

const PREFIX = 'mqtt_broker_source_'
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** The name under which dead letters are counted that no sink has refused. */
const MAPPING = 'mapping'

/** Reads the text of /metrics. What is not there counts as 0. */
export function readCounts (text: string): Counts {
  const samples = text.split('\n').flatMap((line) => {
    const [, name = '', labels = '', value] = SAMPLE.exec(line) ?? []
    if (!name.startsWith(PREFIX)) return []
    return [{
      name: name.slice(PREFIX.length),
      labels: new Map([...labels.matchAll(LABEL)].map(([, key, text]) => [key, text])),
      value: Number(value)
    }]
  })
  const sum = (name: string, wanted: Readonly<Record<string, string>> = {}): number => samples
    .filter((sample) => sample.name === name)
    .filter(({ labels }) => Object.entries(wanted).every(([key, text]) => labels.get(key) === text))
    .reduce((total, { value }) => total + value, 0)

  const names = new Set(samples.flatMap(({ labels }) => labels.get('sink') ?? []).filter((sink) => sink !== MAPPING))
  const sinks = [...names].map((sink): [string, SinkCounts] => [sink, {
    waiting: sum('delivery_waiting', { sink }),
    taken: sum('delivery_attempts_total', { sink, outcome: 'delivered' }),
    passedOver: sum('events_not_delivered_total', { sink }),
    deadLettered: sum('dead_lettered_total', { sink }),
    failed: ['retry', 'network'].reduce((total, outcome) => total + sum('delivery_attempts_total', { sink, outcome }), 0)
  }])
  return {
    stored: sum('stored_total') + sum('lifecycle_events_total'),
    leftOut: sum('publishes_left_out_total'),
    setAside: sum('dead_lettered_total', { sink: MAPPING }),
    sinks: new Map(sinks)
  }
}

const NOTHING: SinkCounts = { waiting: 0, taken: 0, passedOver: 0, deadLettered: 0, failed: 0 }

/**
 * How far the event is.
 * @param before read before the session began
 * @param acknowledged read once the publish had been acknowledged
 * @param now read last
 * @param health of each sink, as /readyz says it: `none` is one without an address
 */
export function progressOf (
  before: Counts, acknowledged: Counts, now: Counts, health: ReadonlyMap<string, string>
): Progress {
  if (now.setAside > before.setAside) {
    return { kind: 'failed', reason: 'it cannot be what the rule of its topic wants, and became a dead letter' }
  }
  if (now.stored === before.stored) {
    if (now.leftOut > before.leftOut) return { kind: 'done', told: 'no event: the rule of the topic leaves it out' }
    return { kind: 'pending', reason: 'stored_total does not count it' }
  }
  if (health.size === 0) return { kind: 'pending', reason: '/readyz names no sink' }
  const parts = [...health].map(([sink, state]): Progress => {
    if (state === 'none') return { kind: 'done', told: `it waits in the outbox: ${sink} has no address yet` }
    return progressAt(sink, before, acknowledged, now, state)
  })
  const first = (kind: 'failed' | 'pending') => parts.find((part) => part.kind === kind)
  return first('failed') ?? first('pending') ?? {
    kind: 'done', told: parts.map((part) => part.kind === 'done' ? part.told : '').join('; ')
  }
}

function progressAt (sink: string, before: Counts, acknowledged: Counts, now: Counts, state: string): Progress {
  const [then, last] = [before, now].map((counts) => counts.sinks.get(sink) ?? NOTHING) as [SinkCounts, SinkCounts]
  const since = (what: keyof SinkCounts) => last[what] - then[what]
  const [taken, passedOver, dead, failed] = [since('taken'), since('passedOver'), since('deadLettered'), since('failed')]
  const settled = taken + passedOver + dead
  // Nothing that waits: whatever had been stored has been settled.
  const isSettled = settled > 0 && (last.waiting === 0 || settled >= then.waiting + acknowledged.stored - before.stored)
  if (!isSettled) {
    const attempts = failed > 0 ? `, ${failed} attempt(s) failed` : ''
    return { kind: 'pending', reason: `${sink} is ${state}, ${last.waiting} event(s) wait for it${attempts}` }
  }
  if (taken > 0) return { kind: 'done', told: `${sink} took it` }
  if (passedOver > 0) return { kind: 'done', told: `${sink} is not to get it: filtered, expired or superseded` }
  return { kind: 'failed', reason: `${sink} refused it, and it became a dead letter` }
}

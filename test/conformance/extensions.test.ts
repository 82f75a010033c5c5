/**
 * The tables of the documented extensions (cloudevents/extensions/*.md, with the constraints in their words), held
 * against what arrives at a sink: of publishes, and of CloudEvents whose devices say whatever they like.
 */
import { test, type Test } from 'tap'
import { parseTimestamp } from '../../lib/cloudevent/timestamp.ts'
import { compileRules, type EventRule } from '../../lib/mapping/event-rules.ts'
import { DEFAULT_EXTENSIONS } from '../../lib/mapping/extensions.ts'
import { createMapper } from '../../lib/mapping/mapper.ts'
import { isTraceparent, isTracestate } from '../../lib/mapping/trace-context.ts'
import type { AuthMethod, Publish } from '../../lib/message.ts'
import { isMbsError } from '../../lib/errors.ts'
import { createMemoryOutbox } from '../../lib/outbox/memory.ts'
import { publish } from '../support/http-sink-events.ts'
import { httpSink, noAbort } from '../support/http-sink-client.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { ALL, outboxOptions } from '../support/outbox-fixtures.ts'

type Arrived = Readonly<Record<string, unknown>>

/** An attribute of an extension, as its table has it. */
interface Row {
  readonly extension: string
  readonly attribute: string
  readonly type: 'String' | 'Timestamp'
  /** What it must not be without; a REQUIRED attribute is that of its extension. */
  readonly needs?: string
  readonly constraints: ReadonlyArray<readonly [words: string, holds: (value: string, event: Arrived) => boolean]>
}

const AUTH_TYPES = ['app_user', 'user', 'service_account', 'api_key', 'system', 'unauthenticated', 'unknown']

const TABLE: readonly Row[] = [
  {
    extension: 'partitioning',
    attribute: 'partitionkey',
    type: 'String',
    constraints: [['MUST be a non-empty string', (value) => value !== '']]
  },
  {
    extension: 'recordedtime',
    attribute: 'recordedtime',
    type: 'Timestamp',
    constraints: [['MUST adhere to the format specified in RFC 3339', (value) => parseTimestamp(value) !== undefined]]
  },
  {
    extension: 'expirytime',
    attribute: 'expirytime',
    type: 'Timestamp',
    constraints: [
      ['MUST adhere to the format specified in RFC 3339', (value) => parseTimestamp(value) !== undefined],
      ['SHOULD be equal to or later than the `time` attribute', (value, { time }) => parseTimestamp(value)! >= parseTimestamp(time)!]
    ]
  },
  {
    extension: 'sequence',
    attribute: 'sequence',
    type: 'String',
    constraints: [['MUST be a non-empty lexicographically-orderable string', (value) => /^\d{16}$/.test(value)]]
  },
  {
    extension: 'distributed-tracing',
    attribute: 'traceparent',
    type: 'String',
    constraints: [['as defined in section 3.2 of Trace Context', isTraceparent]]
  },
  {
    extension: 'distributed-tracing',
    attribute: 'tracestate',
    type: 'String',
    needs: 'traceparent',
    constraints: [['as defined in section 3.3 of Trace Context', isTracestate]]
  },
  {
    extension: 'authcontext',
    attribute: 'authtype',
    type: 'String',
    constraints: [['it is RECOMMENDED that one of these values be used', (value) => AUTH_TYPES.includes(value)]]
  },
  {
    extension: 'authcontext',
    attribute: 'authid',
    type: 'String',
    needs: 'authtype',
    constraints: [['a unique identifier of the principal that triggered the occurrence', (value) => value === 'alice']]
  },
  {
    extension: 'authcontext',
    attribute: 'authclaims',
    type: 'String',
    needs: 'authtype',
    constraints: [['representing claims of the principal: no device makes its own', () => false]]
  }
]

const METHODS: ReadonlyArray<AuthMethod | undefined> = ['anonymous', 'password', 'certificate', 'jwt', 'http', undefined]
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const NONSENSE: readonly unknown[] = [
  undefined, '', 'x', '0', 5, true, '2020-02-30T00:00:00Z', '2024-01-01T00:00:00Z', '00-00-00-00',
  TRACEPARENT, 'rojo=1,rojo=2', 'congo=t61'
]

/** Publishes of all kinds, with whatever a device may say of its own event. */
function publishes (): Publish[] {
  return METHODS.flatMap((method) => NONSENSE.map((value) => {
    const said: Record<string, unknown> = Object.fromEntries(TABLE.filter(({ attribute }) => attribute !== 'sequence').map(({ attribute }) => [attribute, value]))
    // A tracestate is of use with a traceparent only.
    if (String(value).includes('=')) said['traceparent'] = TRACEPARENT
    const own = { specversion: '1.0', id: '1', source: '/own/c1', type: 't', time: '2020-01-01T00:00:00Z', ...said }
    const username = method === undefined || method === 'anonymous' ? {} : { username: 'alice' }
    return publish({
      client: { id: 'c1', ...username, ...(method !== undefined && { method }) },
      topic: `${value === undefined ? 'plain' : 'own'}/x`,
      payload: Buffer.from(JSON.stringify(own))
    })
  }))
}

const rule: EventRule = { topic: '#', drop: false, extensions: {}, expiry: 3_600_000 }
const rules = [{ ...rule, topic: 'own/#', cloudevents: { trustSource: ['/own/{clientid}'], invalid: 'drop' } as const }, rule]

/** What arrives of these publishes with every extension on. */
async function arrived (t: Test, contentMode: 'binary' | 'structured'): Promise<Arrived[]> {
  const extensions = { ...DEFAULT_EXTENSIONS, traceparent: true, authtype: true, authid: true }
  const map = createMapper({ name: 'gw', overrides: {}, extensions, rules: compileRules(rules) })
  const outbox = createMemoryOutbox(outboxOptions({ sequences: { limit: 100, unsavedEvents: 1000 } }))
  await outbox.open()
  t.teardown(() => outbox.close())
  const server = await startHttpSink(t)
  const sink = httpSink(t, server.url, { contentMode })
  for (const [id, given] of publishes().entries()) {
    const event = await map(given, String(id))
    if (typeof event === 'string' || isMbsError(event)) throw new Error(String(event))
    await outbox.append(event)
  }
  for (const { event } of (await outbox.read(1, ALL)).events) await sink.send(event, noAbort())
  return server.requests.map((request) => request.event() as unknown as Arrived)
}

for (const contentMode of ['binary', 'structured'] as const) {
  test(`every attribute of a documented extension is as its table says, in ${contentMode} mode`, async (t) => {
    const events = await arrived(t, contentMode)
    t.equal(events.length, METHODS.length * NONSENSE.length)
    for (const { extension, attribute, needs, constraints } of TABLE) {
      const having = events.filter((event) => event[attribute] !== undefined)
      if (attribute !== 'authclaims') t.ok(having.length > 0, `${attribute} is there at all`)
      for (const event of having) {
        const value = event[attribute]
        if (typeof value !== 'string') t.fail(`${attribute} is no text: ${String(value)}`)
        if (needs !== undefined && event[needs] === undefined) t.fail(`${attribute} without ${needs}`)
        for (const [words, holds] of constraints) {
          if (!holds(value as string, event)) t.fail(`${extension}, ${attribute} ${JSON.stringify(value)}: ${words}`)
        }
      }
    }
  })
}

test('sequence is monotonically increasing and contiguous within its source [sequence: RECOMMENDED]', async (t) => {
  const bySource = new Map<string, unknown[]>()
  for (const { source, sequence } of await arrived(t, 'binary')) {
    bySource.set(String(source), [...bySource.get(String(source)) ?? [], sequence])
  }
  t.equal(bySource.size, 2)
  for (const numbers of bySource.values()) {
    t.same(numbers, [...numbers].sort(), 'by comparing texts')
    t.same(numbers.map(Number), numbers.map((_, index) => index + 1))
  }
})

test('an intermediary does not change what says when it was recorded, nor remove when it expires', async (t) => {
  const events = await arrived(t, 'structured')
  const kept = events.filter(({ recordedtime }) => recordedtime === '2024-01-01T00:00:00Z')
  t.equal(kept.length, METHODS.length)
  t.ok(events.every(({ expirytime }) => expirytime !== undefined))
})

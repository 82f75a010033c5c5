import { test } from 'tap'
import { LifecycleEvents } from '../../../lib/ingest/lifecycle-events.ts'
import type { Event, LifecycleChange } from '../../../lib/message.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'
import { event } from '../../support/http-sink-events.ts'

const session = { client: { id: 'dev', username: 'ada' }, listener: 'l', address: 'a' } as LifecycleChange['session']
const connected: LifecycleChange = { kind: 'connected', session }

const AT_ONCE = (_clientId: string, run: () => void): void => { run() }

function setUp (append: (event: Event) => Promise<number>, map = (): Event => event()) {
  const { telemetry, lines } = createTestTelemetry()
  const events = new LifecycleEvents({
    kinds: ['connected'], map, outbox: { append }, inTurn: AT_ONCE, maxWaitingBytes: 100_000, telemetry
  })
  return { events, lines }
}

test('whatever fails, whoever tells does not hear of it', async (t) => {
  const defect = new Error('a defect')
  for (const [append, map] of [
    [() => { throw defect }], [async () => { throw defect }], [async () => 1, () => { throw defect }]
  ] as Array<[() => Promise<number>, (() => Event)?]>) {
    const { events, lines } = setUp(append, map)
    events.tell(connected)
    await events.settled()
    t.match(lines.objects, [{ code: 'MBS_ERR_INGEST_APPEND', event: 'connected', clientId: 'dev', username: 'ada' }])
  }
})

test('appends are started at once, in the order of the calls', async (t) => {
  const appended: string[] = []
  const { telemetry } = createTestTelemetry()
  const events = new LifecycleEvents({
    kinds: ['connected', 'disconnected'],
    inTurn: AT_ONCE,
    map: ({ kind }, { id, sequence }) => event({ id, type: `${kind} ${sequence}` }),
    outbox: {
      append: ({ id, type }) => {
        appended.push(`${type} ${id}`)
        return new Promise(() => {})
      }
    },
    maxWaitingBytes: 100_000,
    telemetry,
    now: () => 5
  })
  const end = { reason: 'clean', durationMs: 1, messagesReceived: 0 } as const
  for (const change of [connected, { kind: 'disconnected', session, end }, connected] as const) {
    events.tell(change)
  }
  t.same(appended.map((text) => text.split(' ').slice(0, 2)), [
    ['connected', '0000000000005000'], ['disconnected', '0000000000005001'], ['connected', '0000000000005002']
  ])
  t.equal(new Set(appended.map((text) => text.split(' ')[2])).size, 3, 'each has an id of its own')
})

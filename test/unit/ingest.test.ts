import t, { test } from 'tap'
import { createError } from '../../lib/errors.ts'
import { Acks } from '../../lib/ingest/acks.ts'
import { createIngest, type Ingest, type IngestOptions } from '../../lib/ingest.ts'
import type { Event, Handling, Publish } from '../../lib/message.ts'
import { ScriptedOutbox } from '../support/broker-outbox.ts'
import { toEvent, until } from '../support/broker.ts'
import { createTestTelemetry } from '../support/log-lines.ts'

// The timers of ingest do not keep a process alive; in the program the sockets do.
const alive = setInterval(() => {}, 60_000)
t.teardown(() => { clearInterval(alive) })

function create (options: Partial<IngestOptions> = {}) {
  const outbox = new ScriptedOutbox()
  outbox.auto = false
  const { telemetry } = createTestTelemetry()
  const clock = { now: 0 }
  const ingest = createIngest({
    map: toEvent,
    outbox,
    settled: async () => {},
    setAside: () => {},
    receipts: [],
    receiptLimit: 100,
    publishTimeoutMs: 60_000,
    willRetryMs: 5,
    maxWaitingWills: 10,
    telemetry,
    now: () => clock.now,
    ...options
  })
  return { outbox, ingest, clock, telemetry }
}

function publishOf (fields: Partial<Publish> = {}): Publish {
  return {
    client: { id: 'device' },
    topic: 'a',
    payload: Buffer.from('x'),
    qos: 1,
    retain: false,
    dup: false,
    messageId: 1,
    will: false,
    receivedAt: 0,
    ...fields
  }
}

const will = (() => {
  const { messageId, ...rest } = publishOf({ will: true })
  return rest
})()

const failed = createError('MBS_ERR_OUTBOX_WRITE', { directory: 'd', reason: 'r' })

test('says stored when the outbox has stored, not before', async (t) => {
  const { ingest, outbox } = create()
  let outcome: unknown
  const said = ingest.publish(publishOf()).then((value) => { outcome = value })
  await new Promise(setImmediate)
  t.equal(outcome, undefined)
  t.equal(ingest.open, 1)
  outbox.release()
  await said
  t.same(outcome, { kind: 'stored' })
  t.equal(ingest.open, 0)
})

test('says refused with the error of the outbox', async (t) => {
  const { ingest, outbox } = create()
  const outcome = ingest.publish(publishOf())
  outbox.fail(failed)
  t.same(await outcome, { kind: 'refused', error: failed })
})

test('whatever the outbox throws is a refusal with a code', async (t) => {
  const rejecting = create({ outbox: { hasRoomFor: () => true, append: async () => { throw new Error('odd') } } })
  const throwing = create({ outbox: { hasRoomFor: () => true, append: () => { throw new Error('odd') } } })
  for (const { ingest } of [rejecting, throwing]) {
    const outcome = await ingest.publish(publishOf())
    t.match(outcome, { kind: 'refused', error: { code: 'MBS_ERR_INGEST_APPEND', cause: { message: 'odd' } } })
  }
})

test('a mapping that fails is a refusal with a code, for a will too', async (t) => {
  const { ingest, outbox } = create({ map: () => { throw new Error('no such field') } })
  for (const publish of [publishOf(), will]) {
    t.match(await ingest.publish(publish), { kind: 'refused', error: { code: 'MBS_ERR_INGEST_MAPPING' } })
  }
  t.same(outbox.appends, [])
  t.equal(ingest.open, 0)
})

test('an append that takes longer than publishTimeoutMs is refused, the others are not', async (t) => {
  const { ingest, outbox, clock } = create({ publishTimeoutMs: 100 })
  const early = ingest.publish(publishOf({ messageId: 1 }))
  clock.now = 60
  const late = ingest.publish(publishOf({ messageId: 2 }))
  clock.now = 110
  t.match(await early, { kind: 'refused', error: { code: 'MBS_ERR_INGEST_TIMEOUT', details: { timeoutMs: 100 } } })
  t.equal(ingest.open, 1)
  outbox.release()
  t.same(await late, { kind: 'stored' })
})

test('appends are started in the order of the calls, within the calls', async (t) => {
  const { ingest, outbox } = create()
  const outcomes = []
  for (let messageId = 1; messageId <= 10; messageId++) {
    outcomes.push(ingest.publish(publishOf({ messageId, qos: [1, 2][messageId % 2] as 1 | 2 })))
    t.equal(outbox.appends.at(-1)?.receipt?.messageId, messageId)
  }
  outbox.release()
  await Promise.all(outcomes)
})

test('what a rule leaves out is not stored, and answered behind what arrived before', async (t) => {
  const { ingest, outbox, telemetry } = create({ map: (publish, id) => publish.topic === 'out' ? 'drop' : toEvent(publish, id) })
  const order: string[] = []
  const publish = (topic: string, messageId: number) =>
    ingest.publish(publishOf({ topic, messageId })).then(({ kind }) => { order.push(`${topic} ${kind}`) })
  const all = [publish('a', 1), publish('out', 2), publish('b', 3), publish('out', 4)]
  await new Promise(setImmediate)
  t.same(order, [])
  outbox.release()
  await Promise.all(all)
  t.same(order, ['a stored', 'out stored', 'b stored', 'out stored'], 'also where all are stored at once')
  t.equal(outbox.stored.length, 2)

  outbox.failure = failed
  const late = [publish('a', 5), publish('out', 6)]
  outbox.release()
  await Promise.all(late)
  t.same(order.slice(4), ['a refused', 'out stored'], 'whatever becomes of what arrived before')
  await publish('out', 7)
  t.same(order.slice(6), ['out stored'], 'nothing is waited for where nothing is open')
  const metrics = await telemetry.registry.metrics()
  t.match(metrics, 'publishes_left_out_total{reason="drop"} 4')
  await ingest.close()
})

/** Events of topics that begin with `slow` are there when the test says so; other topics become what their name is. */
function createSlowMap () {
  const waiting = new Map<string, (mapped: Event | 'drop' | Error) => void>()
  const map: IngestOptions['map'] = (publish, id) => {
    const { topic } = publish
    if (topic.startsWith('refused')) return createError('MBS_ERR_MAPPING_REFUSED', { index: 0, reason: topic })
    if (topic.startsWith('out')) return 'drop'
    if (!topic.startsWith('slow')) return toEvent(publish, id)
    return new Promise((resolve, reject) => {
      waiting.set(topic, (mapped) => { if (mapped instanceof Error) reject(mapped); else resolve(mapped) })
    })
  }
  const make = async (topic: string, mapped?: Event | 'drop' | Error) => {
    waiting.get(topic)!(mapped ?? toEvent(publishOf({ topic }), `id of ${topic}`))
    await new Promise(setImmediate)
  }
  return { map, make }
}

/** Publishes, and notes the outcomes in the order in which they come. */
function follow (ingest: Ingest) {
  const order: string[] = []
  const publish = (client: string, topic: string, messageId = 1) =>
    ingest.publish(publishOf({ client: { id: client }, topic, messageId }))
      .then((outcome) => { order.push(`${topic} ${outcome.kind === 'refused' ? outcome.error.code : 'stored'}`) })
  return { order, publish }
}

test('what comes behind an event that takes a while waits for it, and for no other client\'s', async (t) => {
  const { map, make } = createSlowMap()
  const { ingest, outbox } = create({ map })
  const { order, publish } = follow(ingest)
  const topics = () => outbox.appends.map(({ event }) => event.subject)
  const all = [publish('a', 'slow 1'), publish('a', 'fast 1', 2), publish('a', 'slow 2', 3), publish('a', 'out 1', 4), publish('a', 'fast 2', 5)]
  all.push(publish('b', 'other 1'), publish('b', 'out 2', 2))
  t.same(topics(), ['other 1'], 'started in its call, as without')
  t.equal(ingest.open, 6, 'each is open, but for the follower of another')
  outbox.release()
  await new Promise(setImmediate)
  t.same(order, ['other 1 stored', 'out 2 stored'], 'nor does who has nothing to store')
  await make('slow 2')
  t.same(topics(), ['other 1'])
  await make('slow 1')
  t.same(topics(), ['other 1', 'slow 1', 'fast 1', 'slow 2', 'fast 2'])
  all.push(publish('a', 'fast 3', 6), publish('a', 'out 3', 7))
  outbox.release()
  await Promise.all(all)
  t.same(order.slice(2), ['slow 1 stored', 'fast 1 stored', 'slow 2 stored', 'out 1 stored', 'fast 2 stored', 'fast 3 stored', 'out 3 stored'],
    'answered in order although all were stored at once [MQTT-4.6.0-2]')
  t.equal(ingest.open, 0)
})

test('what is refused, left out or cannot be made after a while is answered in its turn', async (t) => {
  const { map, make } = createSlowMap()
  const { ingest, outbox } = create({ map })
  const { order, publish } = follow(ingest)
  const all = [
    publish('a', 'fast'), publish('a', 'refused 1', 2), publish('a', 'slow 1', 3), publish('a', 'refused 2', 4),
    publish('a', 'slow 2', 5), publish('a', 'slow 3', 6), publish('a', 'last', 7)
  ]
  await make('slow 3', createError('MBS_ERR_MAPPING_TRANSFORMER', { reason: 'r' }))
  await make('slow 2', new Error('odd'))
  await make('slow 1', 'drop')
  t.same(order, [], 'behind the one that is being stored')
  outbox.release()
  await Promise.all(all)
  t.same(order, [
    'fast stored', 'refused 1 MBS_ERR_MAPPING_REFUSED', 'slow 1 stored', 'refused 2 MBS_ERR_MAPPING_REFUSED',
    'slow 2 MBS_ERR_INGEST_MAPPING', 'slow 3 MBS_ERR_MAPPING_TRANSFORMER', 'last stored'
  ])
  t.same(outbox.stored.map(({ subject }) => subject), ['fast', 'last'])
})

test('an event that is made too late is refused, and not stored; what came with it neither waits for ever', async (t) => {
  const { map, make } = createSlowMap()
  const { ingest, outbox, clock } = create({ map, publishTimeoutMs: 100 })
  const { order, publish } = follow(ingest)
  const late = [publish('a', 'slow 1'), publish('a', 'fast 1', 2)]
  clock.now = 60
  const intime = publish('a', 'fast 2', 3)
  clock.now = 110
  await Promise.all(late)
  const code = 'MBS_ERR_MAPPING_TIMEOUT'
  t.same(order, [`slow 1 ${code}`, `fast 1 ${code}`], 'and the disk is not blamed')
  t.equal(ingest.open, 1)
  await make('slow 1')
  outbox.release()
  await intime
  t.same(outbox.stored.map(({ subject }) => subject), ['fast 2'], 'the device sends the others again')
})

test('an append that is late is refused though its event took a while and younger ones are before it', async (t) => {
  const { map, make } = createSlowMap()
  const { ingest, clock } = create({ map, publishTimeoutMs: 100 })
  const { order, publish } = follow(ingest)
  const slow = publish('a', 'slow 1')
  clock.now = 90
  void publish('b', 'young')
  await make('slow 1')
  clock.now = 105
  await slow
  t.same(order, ['slow 1 MBS_ERR_INGEST_TIMEOUT'])
})

test('the time from its arrival counts, and a retransmission meanwhile has the same id', async (t) => {
  const { map, make } = createSlowMap()
  const ids: string[] = []
  const { ingest, outbox, clock, telemetry } = create({
    map: (publish, id) => {
      ids.push(id)
      return map(publish, id)
    }
  })
  const first = ingest.publish(publishOf({ topic: 'slow 1', messageId: 7 }))
  await make('slow 1')
  void ingest.publish(publishOf({ topic: 'slow 1', messageId: 7, dup: true }))
  t.equal(ids[0], ids[1])
  clock.now = 20
  outbox.release()
  await first
  t.match(await telemetry.registry.metrics(), /store_seconds_sum 0\.02/)
})

test('quiesce waits for events that are being made, of wills too', async (t) => {
  const { map, make } = createSlowMap()
  const { ingest, outbox } = create({ map })
  outbox.auto = true
  const { order, publish } = follow(ingest)
  void publish('device', 'slow 1')
  const lastWill = ingest.publish({ ...will, topic: 'slow 2' })
  const dropped = ingest.publish({ ...will, topic: 'out' })
  const wrong = ingest.publish({ ...will, topic: 'refused' })
  t.equal(ingest.open, 4)
  let isQuiet = false
  const quiet = ingest.close().then(() => { isQuiet = true })
  await make('slow 2')
  t.same([order, isQuiet, outbox.appends.length], [[], false, 0], 'the will is stored behind what its device sent before')
  await make('slow 1')
  await quiet
  t.same(await lastWill, { kind: 'stored' })
  t.same(await dropped, { kind: 'stored' })
  t.match(await wrong, { kind: 'refused', error: { code: 'MBS_ERR_MAPPING_REFUSED' } })
  t.same(outbox.stored.map(({ subject }) => subject), ['slow 1', 'slow 2'])
})

test('publishes at QoS 1 and 2 leave a receipt, others do not', async (t) => {
  const { ingest, outbox } = create()
  const { messageId, ...atMostOnce } = publishOf({ qos: 0 })
  void ingest.publish(publishOf({ messageId: 7 }))
  void ingest.publish(atMostOnce)
  void ingest.publish(will)
  const [first, second, third] = outbox.appends
  t.match(first?.receipt, { clientId: 'device', messageId: 7, digest: Number, eventId: first?.event.id })
  t.equal(second?.receipt, undefined)
  t.equal(third?.receipt, undefined)
  outbox.release()
})

test('a retransmission is known after a restart by what the outbox kept', async (t) => {
  const before = create()
  void before.ingest.publish(publishOf({ messageId: 7 }))
  const receipt = before.outbox.appends[0]?.receipt
  if (receipt === undefined) throw new Error('no receipt')
  before.outbox.release()
  const { ingest, outbox } = create({ receipts: [receipt] })
  void ingest.publish(publishOf({ messageId: 7, dup: true }))
  void ingest.publish(publishOf({ messageId: 7 }))
  t.equal(outbox.appends[0]?.event.id, receipt.eventId)
  t.not(outbox.appends[1]?.event.id, receipt.eventId, 'without DUP it is another message')
  outbox.release()
})

test('a will is tried until it is stored, under one id, and counts as open meanwhile', async (t) => {
  const { ingest, outbox } = create()
  const outcome = ingest.publish(will)
  for (let count = 1; count <= 3; count++) {
    await outbox.arrived(count)
    outbox.fail(failed)
    await new Promise(setImmediate)
    t.equal(ingest.open, 1)
  }
  await outbox.arrived(4)
  outbox.release()
  t.same(await outcome, { kind: 'stored' })
  t.equal(new Set(outbox.appends.map(({ event }) => event.id)).size, 1)
})

test('a will that can never be stored is refused', async (t) => {
  const { ingest, outbox } = create()
  const outcome = ingest.publish(will)
  outbox.fail(createError('MBS_ERR_OUTBOX_TOO_LARGE', { bytes: 2, maxBytes: 1 }))
  t.match(await outcome, { kind: 'refused', error: { code: 'MBS_ERR_OUTBOX_TOO_LARGE' } })
})

test('no more than maxWaitingWills wait to be tried again', async (t) => {
  const { ingest, outbox } = create({ maxWaitingWills: 1, willRetryMs: 50_000 })
  const kept = ingest.publish(will)
  const given = ingest.publish(will)
  outbox.fail(failed)
  t.match(await given, { kind: 'refused', error: failed })
  t.equal(ingest.open, 1)
  await ingest.quiesce()
  t.match(await kept, { kind: 'refused', error: { code: 'MBS_ERR_INGEST_CLOSING', cause: failed } })
})

test('quiesce waits for what is open, and tries nothing again', async (t) => {
  const { ingest, outbox } = create({ willRetryMs: 50_000 })
  const waiting = ingest.publish(will)
  outbox.fail(failed)
  const open = ingest.publish(publishOf())
  let isQuiet = false
  const quiet = ingest.quiesce().then(() => { isQuiet = true })
  t.match(await waiting, { error: { code: 'MBS_ERR_INGEST_CLOSING' } })
  await new Promise(setImmediate)
  t.notOk(isQuiet)
  outbox.release()
  await Promise.all([open, quiet])
  const late = ingest.publish(will)
  outbox.fail(failed)
  t.match(await late, { error: { code: 'MBS_ERR_INGEST_CLOSING' } }, 'a will that comes now is tried once')
})

test('after closing, publishes are refused', async (t) => {
  const { ingest, outbox } = create()
  await ingest.close()
  await ingest.close()
  t.match(await ingest.publish(publishOf()), { kind: 'refused', error: { code: 'MBS_ERR_INGEST_CLOSING', retryable: true } })
  t.same(outbox.appends, [])
})

test('what is received, stored and how long it took is counted', async (t) => {
  const { ingest, outbox, clock, telemetry } = create()
  const outcome = ingest.publish(publishOf({ qos: 2 }))
  clock.now = 20
  outbox.release()
  await outcome
  const metrics = await telemetry.registry.metrics()
  t.match(metrics, /publishes_total\{qos="2"\} 1/)
  t.match(metrics, /mqtt_broker_source_stored_total 1/)
  t.match(metrics, /store_seconds_sum 0\.02/)
})

test('the sweep ends with the last open publish', async (t) => {
  const { ingest, outbox, clock } = create({ publishTimeoutMs: 20 })
  for (let round = 0; round < 3; round++) {
    const outcome = ingest.publish(publishOf())
    clock.now += 100
    t.match(await outcome, { kind: 'refused' })
    outbox.release()
  }
  await until(() => ingest.open === 0)
})

/** Makes events that are handled like this. */
function handledAs (handling: Handling): IngestOptions['map'] {
  return (publish, id) => ({ ...toEvent(publish, id), handling })
}

test('ack: delivered is answered when every sink is done with the event, not before', async (t) => {
  const settling: Array<{ sequence: number, resolve: () => void }> = []
  const { ingest, outbox } = create({
    map: handledAs({ ack: 'delivered' }),
    settled: (sequence) => new Promise((resolve) => { settling.push({ sequence, resolve }) })
  })
  let outcome: unknown
  const said = ingest.publish(publishOf()).then((value) => { outcome = value })
  outbox.release()
  await until(() => settling.length === 1)
  t.equal(outcome, undefined, 'stored is not enough')
  t.equal(settling[0]?.sequence, 1)
  settling[0]?.resolve()
  await said
  t.same(outcome, { kind: 'stored' })
})

test('ack: delivered stores a retransmission once while the first one is under way', async (t) => {
  let settle = (): void => {}
  const { clock, ingest, outbox } = create({
    map: handledAs({ ack: 'delivered' }),
    publishTimeoutMs: 50,
    settled: () => new Promise((resolve) => { settle = resolve })
  })
  const first = ingest.publish(publishOf())
  outbox.release()
  clock.now = 1000
  t.match(await first, { kind: 'refused', error: { code: 'MBS_ERR_INGEST_UNDELIVERED' } })
  const again = ingest.publish(publishOf({ dup: true }))
  await new Promise(setImmediate)
  t.equal(outbox.appends.length, 1)
  settle()
  t.same(await again, { kind: 'stored' })
})

test('ack: delivered is not waited for where nobody is answered: at QoS 0 and for wills', async (t) => {
  const { ingest, outbox } = create({ map: handledAs({ ack: 'delivered' }), settled: () => new Promise(() => {}) })
  const { messageId, ...qos0 } = publishOf({ qos: 0 })
  const outcomes = [ingest.publish(qos0), ingest.publish(will)]
  outbox.release()
  t.same(await Promise.all(outcomes), [{ kind: 'stored' }, { kind: 'stored' }])
})

test('ack: received is answered at once, in its turn, and its event stored all the same', async (t) => {
  const { ingest, outbox } = create({
    map: (publish, id) => ({ ...toEvent(publish, id), ...(publish.topic === 'fast' && { handling: { ack: 'received' } }) })
  })
  t.same(await ingest.publish(publishOf({ topic: 'fast' })), { kind: 'stored' })
  t.equal(outbox.stored.length, 0)
  t.equal(ingest.open, 1, 'and is waited for at the end')
  const order: string[] = []
  const slow = ingest.publish(publishOf({ messageId: 2 })).then(() => { order.push('slow') })
  const behind = ingest.publish(publishOf({ topic: 'fast', messageId: 3 })).then(() => { order.push('fast') })
  await new Promise(setImmediate)
  t.same(order, [])
  const closing = ingest.close()
  outbox.release()
  await Promise.all([slow, behind, closing])
  t.same(order, ['slow', 'fast'], '[MQTT-4.6.0-2]')
  t.equal(outbox.stored.length, 3)
})

test('ack: received waits like others where the outbox may have no room for it, or much is not stored yet', async (t) => {
  const { ingest, outbox } = create({ map: handledAs({ ack: 'received' }) })
  outbox.hasRoom = false
  let outcomes = 0
  const publish = (messageId: number, bytes: number) => {
    void ingest.publish(publishOf({ messageId, payload: Buffer.alloc(bytes) })).then(() => { outcomes++ })
  }
  publish(1, 1)
  await new Promise(setImmediate)
  t.equal(outcomes, 0, 'no room')
  outbox.release()
  outbox.hasRoom = true
  for (let messageId = 2; messageId <= 12; messageId++) publish(messageId, 1024 * 1024)
  await until(() => outcomes === 8)
  await new Promise(setImmediate)
  t.equal(outcomes, 8, 'seven of a mebibyte each; the others wait until they are stored')
  outbox.release()
  await until(() => outcomes === 12)
})

test('what was acknowledged when it was received and is not stored then is counted as lost', async (t) => {
  const { telemetry, lines } = createTestTelemetry()
  const { ingest, outbox } = create({ map: handledAs({ ack: 'received' }), telemetry })
  t.same(await ingest.publish(publishOf()), { kind: 'stored' })
  outbox.fail(failed)
  await ingest.close()
  t.match(lines.objects.at(-1), { level: 'error', code: 'MBS_ERR_OUTBOX_WRITE', client: 'device' })
})

test('tells which events were set aside, once they are stored', async (t) => {
  const aside: unknown[] = []
  const { ingest, outbox } = create({
    map: handledAs({ aside: { reason: 'missing', detail: 'x' } }),
    setAside: (sequence, event) => { aside.push([sequence, event.handling?.aside?.reason]) }
  })
  const said = ingest.publish(publishOf())
  t.same(aside, [])
  outbox.release()
  t.same(await said, { kind: 'stored' })
  t.same(aside, [[1, 'missing']])
})

test('behind a publish that waits for delivery its client waits its turn, and no other one does', async (t) => {
  let settle = (): void => {}
  const { ingest, outbox } = create({
    map: (publish, id) => publish.topic === 'drop' ? 'drop' : { ...toEvent(publish, id), ...(publish.topic === 'slow' && { handling: { ack: 'delivered' } }) },
    settled: () => new Promise((resolve) => { settle = resolve })
  })
  const order: string[] = []
  const say = (client: string, topic: string, messageId: number) => {
    void ingest.publish(publishOf({ client: { id: client }, topic, messageId })).then(() => { order.push(`${client} ${messageId}`) })
  }
  say('a', 'fast', 1)
  say('a', 'slow', 2)
  say('a', 'fast', 3)
  say('a', 'drop', 4)
  say('b', 'drop', 1)
  say('b', 'fast', 2)
  outbox.release()
  await until(() => order.length === 3)
  await new Promise(setImmediate)
  t.same(order, ['a 1', 'b 1', 'b 2'])
  t.equal(outbox.stored.length, 4, 'all are stored at once')
  settle()
  await until(() => order.length === 6)
  t.same(order.slice(3), ['a 2', 'a 3', 'a 4'])
  say('a', 'fast', 5)
  outbox.release()
  await until(() => order.length === 7)
})

test('closing gives up what waits for delivery: it is stored, and its device sends it again', async (t) => {
  const { ingest, outbox } = create({ map: handledAs({ ack: 'delivered' }), settled: () => new Promise(() => {}) })
  const outcome = ingest.publish(publishOf())
  outbox.release()
  await new Promise(setImmediate)
  await ingest.close()
  t.match(await outcome, { kind: 'refused', error: { code: 'MBS_ERR_INGEST_CLOSING' } })
})

test('an event that takes a while to be made is answered as its rule says, and its client keeps its order', async (t) => {
  let settle = (): void => {}
  const made: Array<() => void> = []
  const { ingest, outbox } = create({
    map: (publish, id) => {
      const event = { ...toEvent(publish, id), handling: { ack: publish.topic === 'early' ? 'received' : 'delivered' } } as const
      return publish.topic === 'plain' ? toEvent(publish, id) : new Promise((resolve) => { made.push(() => { resolve(event) }) })
    },
    settled: () => new Promise((resolve) => { settle = resolve })
  })
  const order: string[] = []
  const say = (client: string, topic: string, messageId: number) => {
    void ingest.publish(publishOf({ client: { id: client }, topic, messageId })).then(() => { order.push(`${client} ${topic}`) })
  }
  outbox.auto = true
  say('a', 'slow', 1)
  say('a', 'plain', 2)
  say('b', 'early', 1)
  say('b', 'plain', 2)
  await new Promise(setImmediate)
  t.equal(outbox.appends.length, 0, 'nobody overtakes what its client published before')
  for (const make of made) make()
  await until(() => order.length === 2)
  t.same(order, ['b early', 'b plain'])
  await until(() => outbox.stored.length === 4)
  settle()
  await until(() => order.length === 4)
  t.same(order.slice(2), ['a slow', 'a plain'])
})

test('events for which publishes wait until they are delivered are bounded, and one too many is not stored', async (t) => {
  const event = toEvent(publishOf(), 'id')
  const receipt = (eventId: string) => ({ clientId: 'c', messageId: 1, digest: 1, eventId, serial: 1 })
  const { telemetry } = createTestTelemetry()
  const settles: Array<() => void> = []
  let stored = 0
  const acks = new Acks({
    store: async () => ++stored,
    hasRoomFor: () => true,
    settled: () => new Promise((resolve) => { settles.push(resolve) }),
    telemetry,
    now: () => 0,
    maxUndelivered: 2
  })
  const waits = [acks.delivered(event, receipt('1')), acks.delivered(event, receipt('2'))]
  await t.rejects(acks.delivered(event, receipt('3')), { code: 'MBS_ERR_INGEST_UNDELIVERED' })
  t.equal(stored, 2)
  t.equal(acks.delivered(event, receipt('2')), waits[1], 'a retransmission is none too many')
  await until(() => settles.length === 2)
  for (const settle of settles) settle()
  await Promise.all(waits)
  void acks.delivered(event, receipt('3'))
  t.equal(stored, 3, 'and there is room again')
})

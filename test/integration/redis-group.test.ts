/** Programs of a group on one Redis: who delivers what, and how it changes hands. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connectAsync } from 'mqtt'
import { test, type Test } from 'tap'
import {
  createSource, readDeadLetters, readOutboxStatus, requeueDeadLetters, type DeadLetter, type Source
} from '../../lib/index.ts'
import { startHttpSink, type HttpSink } from '../support/http-sink.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'

function settingsOf (redis: RedisServer, sink: HttpSink, more: object = {}) {
  return {
    listeners: [{ port: 0 }],
    http: { port: 0 },
    outbox: { store: 'redis', partitions: 8 },
    redis: { url: redis.url },
    sink: { url: sink.url },
    delivery: { checkpoint: 'PT0.05S', grace: 'PT2S' },
    log: { level: 'silent' },
    ...more
  }
}

async function start (t: Test, settings: object): Promise<Source> {
  const source = createSource({ env: {}, settings })
  t.teardown(() => source.close())
  await source.start()
  return source
}

function urlOf (source: Source): string {
  return `mqtt://${source.addresses.listeners[0]!.address}`
}

/** Publishes one message of each device, and resolves when all have been acknowledged. */
async function publish (source: Source, devices: number, payload: string): Promise<void> {
  await Promise.all(Array.from({ length: devices }, async (_, number) => {
    const client = await connectAsync(urlOf(source), { clientId: `device-${number}`, reconnectPeriod: 0 })
    await client.publishAsync('a/b', payload, { qos: 1 })
    await client.endAsync()
  }))
}

test('partitions are shared out, change hands without a repetition, and status shows who has which', async (t) => {
  const redis = await startRedis(t)
  const sink = await startHttpSink(t)
  const settings = settingsOf(redis, sink)
  const first = await start(t, { ...settings, name: 'first' })
  await publish(first, 30, 'one')
  await sink.waitFor(30)
  const shareOf = async () => {
    const { group } = await readOutboxStatus(first.config)
    return Object.fromEntries(group!.members.map(({ name, partitions }) => [name, partitions.length]))
  }
  t.same(await shareOf(), { first: 8 })

  const second = await start(t, { ...settings, name: 'second' })
  await until(async () => (await shareOf())['second'] === 4 && (await shareOf())['first'] === 4)
  await publish(second, 30, 'two')
  await publish(first, 30, 'three')
  await sink.waitFor(90)

  await first.close()
  await until(async () => (await shareOf())['second'] === 8)
  await publish(second, 30, 'four')
  await sink.waitFor(120)
  await sleep(300)
  t.equal(sink.requests.length, 120, 'nothing was delivered twice')
  const order = new Map<string, string[]>()
  for (const { source, data } of sink.events()) order.set(source, [...order.get(source) ?? [], String(data)])
  t.equal(order.size, 60, 'source tells the program and the device')
  const { bytes, sinks, group } = await readOutboxStatus(second.config)
  t.match({ sinks, bytes }, { sinks: [{ name: 'default', waiting: 0 }] })
  t.match(group, { partitions: 8, unowned: { partitions: [] } })
})

test('what waits is shown program by program', async (t) => {
  const redis = await startRedis(t)
  const sink = await startHttpSink(t)
  sink.answer = { status: 503 }
  const source = await start(t, { ...settingsOf(redis, sink), name: 'only' })
  const before = Date.now()
  await publish(source, 20, 'x')
  const report = await readOutboxStatus(source.config)
  t.match(report, { sinks: [{ waiting: 20 }], group: { members: [{ name: 'only', pid: process.pid, waiting: 20 }] } })
  const oldestStoredAt = report.group!.members[0]?.oldestStoredAt ?? 0
  t.ok(oldestStoredAt >= before - 5 && oldestStoredAt <= Date.now())
  t.match(report.directory, `${redis.url}, keys mbs:*`)
})

test('ack: delivered waits for whoever of the group delivers it', async (t) => {
  const redis = await startRedis(t)
  const sink = await startHttpSink(t)
  const settings = settingsOf(redis, sink, { events: { rules: [{ topic: '#', ack: 'delivered' }] } })
  const [first, second] = [await start(t, settings), await start(t, settings)]
  await untilShared(first)
  let answer!: () => void
  sink.answer = { after: new Promise<void>((resolve) => { answer = resolve }) }
  let acknowledged = 0
  const published = Promise.all(Array.from({ length: 20 }, async (_, number) => {
    const client = await connectAsync(urlOf(second), { clientId: `d-${number}`, reconnectPeriod: 0 })
    await client.publishAsync('a/b', 'x', { qos: 1 })
    acknowledged++
    await client.endAsync()
  }))
  await sink.waitFor(8)
  t.equal(acknowledged, 0, 'none is acknowledged before the sink has answered')
  answer()
  await published
  t.equal(acknowledged, 20)
})

test('what the mapping sets aside is forwarded by whoever delivers its partition, and put back by its number', async (t) => {
  const redis = await startRedis(t)
  const sink = await startHttpSink(t)
  const letters = await startHttpSink(t)
  const settings = settingsOf(redis, sink, {
    delivery: { checkpoint: 'PT0.05S', deadLetterSink: { url: letters.url } },
    events: { rules: [{ topic: '#', schema: { inline: { required: ['v'] } } }] }
  })
  const [first, second] = [await start(t, settings), await start(t, settings)]
  await untilShared(first)
  await publish(first, 10, '{"w":1}')
  await publish(second, 10, '{"w":1}')
  await letters.waitFor(20)
  await sleep(200)
  t.equal(letters.requests.length, 20, 'each once')
  const kept: DeadLetter[] = []
  await readDeadLetters(first.config, (letter) => { kept.push(letter) })
  t.equal(kept.length, 20)
  t.equal(new Set(kept.map(({ stored }) => stored.sequence)).size, 20, 'numbers tell the partition as well')
  t.same(await requeueDeadLetters(second.config, new Set([kept[3]!.stored.sequence])), { done: 1, left: 0 }, 'while the group runs')
  await sink.waitFor(1)
  t.equal(sink.events()[0]!.id, kept[3]!.stored.event.id)
})

test('a program whose Redis is away stops delivering, and goes on when it is back', async (t) => {
  const redis = await startRedis(t, ['--appendonly', 'yes'])
  const sink = await startHttpSink(t)
  const source = await start(t, settingsOf(redis, sink, { redis: { url: redis.url, timeout: 'PT0.5S' } }))
  await publish(source, 5, 'before')
  await sink.waitFor(5)
  const ready = async () => (await fetch(`http://${source.addresses.http}/readyz`)).status
  t.equal(await ready(), 200)
  await redis.kill()
  await until(async () => await ready() === 503)
  await redis.start()
  await until(async () => await ready() === 200)
  await publish(source, 5, 'after')
  await until(() => sink.requests.filter(({ body }) => body.toString() === 'after').length === 5)
})

/** Resolves when two programs have half of the partitions each. */
async function untilShared (source: Source): Promise<void> {
  await until(async () => {
    const { members } = (await readOutboxStatus(source.config)).group!
    return members.length === 2 && members.every(({ partitions }) => partitions.length === 4)
  })
}

async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await sleep(50)
}

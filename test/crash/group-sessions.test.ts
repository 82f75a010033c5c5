/**
 * Sessions of a group, held against three built programs behind a load balancer: persistent sessions that come and go
 * at whichever program, wills, retained messages, while programs are killed, Redis stands still, or is killed itself.
 * It writes everything before it answers, so that nothing acknowledged may be missing. Failovers are in group.test.ts:
 * what a replica does not have yet is lost for sessions.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { ArrivedBodies, checkArrivals, untilArrived, untilFinished } from '../support/arrivals.ts'
import { startCrashGroup } from '../support/crash-group.ts'
import { CrashPublisher } from '../support/crash-publisher.ts'
import type { SinkMode } from '../support/crash-sink.ts'
import { CrashSubscriber } from '../support/crash-subscriber.ts'
import { CrashWill } from '../support/crash-will.ts'
import { seededRandom } from '../support/random.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'
import { Retaining } from '../support/retaining.ts'

const ROUNDS = Number(process.env['MBS_TEST_CRASH_ROUNDS'] ?? 20)
/** 200 devices, with the one that retains. */
const [PUBLISHERS, SUBSCRIBERS, WILLS] = [139, 40, 20]
const MODES: readonly SinkMode[] = ['up', 'up', 'down', 'slow', 'flapping']
/** How long a device that was taken over may stay connected. */
const TAKEOVER_MS = 30_000
/** Of a program that died: until it is known to be dead, and whoever publishes is sure of it. */
const WILLS_MS = 60_000
/** After so long every program has Redis again, and has told it what it could not. */
const REDIS_BACK_MS = 5000

test(`sessions of a group outlive ${ROUNDS} kills of programs, pauses and kills of Redis`, { timeout: 900_000 }, async (t) => {
  const seed = Number(process.env['MBS_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}: MBS_TEST_SEED=${seed} repeats the choices`)
  const random = seededRandom(seed)
  const redis = await startRedis(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const group = await startCrashGroup(t, {
    limits: { queuedMessages: 100_000, queuedBytes: '64MiB', queuedBytesTotal: '1GiB' },
    outbox: { store: 'redis', partitions: 8 },
    redis: { url: redis.url, timeout: 'PT1S' }
  }, random)
  const { sink, port } = group

  let faults = 0
  let redisBackAt = 0
  const counts = { kill: 0, pause: 0, 'kill of Redis': 0 }
  const idOf = (at: number) => `device-${at}-qos${qosOf(at)}`
  const subscribers = Array.from({ length: SUBSCRIBERS }, (_, at) => {
    const own = Array.from({ length: PUBLISHERS }, (_, device) => device)
      .filter((device) => device % SUBSCRIBERS === at)
    // Two filters for each: a message that both match is one.
    const filters = own.flatMap((device) => [`crash/${idOf(device)}`, `crash/${idOf(device)}/#`])
    return new CrashSubscriber({ id: `subscriber-${at}`, port, filters, random })
  })
  await Promise.all(subscribers.map(async (subscriber) => { await subscriber.subscribe() }))
  const publishers = Array.from({ length: PUBLISHERS }, (_, at) =>
    new CrashPublisher({ id: idOf(at), port, qos: qosOf(at), inflight: 2, pauseMs: 1000 }))
  for (const subscriber of subscribers) subscriber.start()
  const arrived = new ArrivedBodies(sink)
  let isOver = false
  const wills = Array.from({ length: WILLS }, (_, at) =>
    new CrashWill({
      id: `will-${at}`,
      port,
      random,
      arrived,
      faults: () => performance.now() < redisBackAt ? faults | 1 : faults,
      isOver: () => isOver
    }))
  const retaining = new Retaining(port)
  t.teardown(async () => {
    isOver = true
    for (const subscriber of subscribers) subscriber.close()
    await Promise.all([retaining.finish(), ...publishers.map(async (publisher) => { await publisher.close() })])
  })

  for (let round = 0; round < ROUNDS; round++) {
    sink.mode = MODES[Math.floor(random() * MODES.length)] ?? 'up'
    await sleep(1000 + 700 * random())
    const what = random()
    faults++
    t.comment(`${performance.now().toFixed(0)} fault`)
    if (what < 0.6) {
      counts.kill++
      await group.killOne()
    } else if (what < 0.8) {
      counts.pause++
      redis.pause()
      await sleep(1500 * random())
      redis.resume()
      redisBackAt = performance.now() + REDIS_BACK_MS
    } else {
      counts['kill of Redis']++
      await redis.kill()
      await sleep(1000 * random())
      await redis.start()
      redisBackAt = performance.now() + REDIS_BACK_MS
    }
    t.comment(`${performance.now().toFixed(0)} over`)
    faults++
  }
  t.comment(JSON.stringify(counts))

  sink.mode = 'up'
  await untilFinished(t, publishers)
  await untilArrived(publishers, sink)
  const acknowledged = new Map(publishers.map(({ id, acknowledged }) => [id, acknowledged]))
  await Promise.all(subscribers.map(async (subscriber, at) => {
    const own = new Map([...acknowledged].filter((_, device) => device % SUBSCRIBERS === at))
    checkSubscriber(t, subscriber, publishers, await subscriber.finish(own, 60_000))
  }))
  const timer = setTimeout(() => { isOver = true }, WILLS_MS)
  await Promise.all(wills.map(async (will) => { await will.finish() }))
  clearTimeout(timer)
  await retaining.finish()
  await checkRetained(t, port, retaining)

  t.strictSame(await group.stop(), [0, 0, 0], 'SIGTERM ends each with 0')
  checkArrivals(t, publishers, sink)
  checkWills(t, wills, arrived)
  const takeovers = subscribers.flatMap(({ takeovers }) => takeovers).toSorted((a, b) => a - b)
  t.comment(`${takeovers.length} takeovers: half within ${takeovers[takeovers.length >> 1]?.toFixed(0)} ms, all ` +
    `within ${takeovers.at(-1)?.toFixed(0)} ms`)
  t.ok(takeovers.length > SUBSCRIBERS)
  t.ok((takeovers.at(-1) ?? 0) < TAKEOVER_MS, 'a second connection ends the first one, wherever they are')
})

function qosOf (device: number): 1 | 2 {
  return device % 4 === 0 ? 2 : 1
}

function checkSubscriber (
  t: Test, subscriber: CrashSubscriber, publishers: readonly CrashPublisher[], missing: readonly string[]
): void {
  const { id, comebacks, lost, got } = subscriber
  t.strictSame(missing, [], `${id}: it has everything acknowledged that is for it`)
  t.ok(comebacks > 1 && lost === 0, `${id}: its session was there ${comebacks} times`)
  for (const [publisher, numbers] of got) {
    const { used = 0, history = [] } = publishers.find((each) => each.id === publisher) ?? {}
    t.ok(numbers.every((number) => number <= used))
    // The first of each: what its publisher sent again comes again.
    const firsts = [...new Set(numbers)]
    const isInOrder = t.strictSame(firsts, firsts.toSorted((a, b) => a - b), `${id}: ${publisher} in order`)
    if (isInOrder) continue
    for (const line of subscriber.history) t.comment(`${id} ${line}`)
    for (const line of history) t.comment(`${publisher} ${line}`)
  }
}

function checkWills (t: Test, wills: readonly CrashWill[], arrived: ArrivedBodies): void {
  const wrong: string[] = []
  const counts = { published: 0, 'not published': 0, maybe: 0 }
  for (const { id, fates, history } of wills) {
    const before = wrong.length
    for (const [number, fate] of fates) {
      counts[fate]++
      const came = arrived.idsOf(id, number).size
      const isRight = fate === 'maybe' ? came <= 1 : came === (fate === 'published' ? 1 : 0)
      if (!isRight) wrong.push(`${id} ${number}: ${fate}, and came ${came} times`)
    }
    if (wrong.length > before) for (const line of history) t.comment(`${id} ${line}`)
  }
  t.comment(`wills: ${JSON.stringify(counts)}`)
  t.ok(counts.published > 0 && counts['not published'] > 0)
  t.strictSame(wrong, [], 'each will once, or not at all')
}

async function checkRetained (t: Test, port: number, { acknowledged, sent }: Retaining): Promise<void> {
  const reader = await RawMqtt.open(port, { clientId: 'reader' })
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'retained', qos: 0 }] })
  const last = Number((await reader.next('publish')).payload.toString())
  t.ok(acknowledged > 0 && last >= acknowledged && last <= sent,
    `retained: ${acknowledged} acknowledged, ${last} is there, ${sent} sent`)
  reader.abort()
}

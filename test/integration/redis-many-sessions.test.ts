/**
 * 100,000 persistent sessions in one Redis: what each takes there and in a program, that every key ends by itself or
 * has a bound, and that connecting and publishing stay as fast. They are made as a CONNECT and a SUBSCRIBE make them,
 * by the same calls, without a socket for each.
 */
import { EventEmitter } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import type { AedesClient } from '../../lib/broker/aedes-types.ts'
import { placeOf, startPod, type Pod } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startRedis } from '../support/redis.ts'

const SESSIONS = 100_000
/** So many have messages that wait. */
const WAITED_FOR = 1000
const MESSAGES = 5
const AT_ONCE = 500
const LIMITS = { sessions: 2 * SESSIONS, subscriptionBytes: 1024 * 1024 * 1024, sessionExpiryMs: 3_600_000 }

/** What each key of Redis may take, of which there is one for the whole group. */
const OF_THE_GROUP = ['index', 'version', 'changes', 'connections', 'pods', 'topics', 'messages', 'bytes']

/** Bytes of the heap that something is in. */
function heapUsed (): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}

/** A session that subscribes and whose device goes away. */
async function begin ({ shared }: Pod, clientId: string, topic: string): Promise<void> {
  const conn = Object.assign(new EventEmitter(), { closed: false })
  const client = { id: clientId, clean: false, closed: false, conn, close: () => {} } as unknown as AedesClient
  await shared.sessions.take(client, undefined, await shared.sessions.nextSerial())
  shared.subscriptions.grant(client, { topic, qos: 1 })
  await shared.persistence.addSubscriptions(client, [{ topic, qos: 1 }])
  conn.closed = true
  conn.emit('close')
}

/** Median of so many, in milliseconds. */
async function medianMs (count: number, work: (at: number) => Promise<void>): Promise<number> {
  const times: number[] = []
  for (let at = 0; at < count; at++) {
    const startedAt = performance.now()
    await work(at)
    times.push(performance.now() - startedAt)
  }
  return times.toSorted((a, b) => a - b)[count >> 1] as number
}

/** What a device waits for: CONNACK of a session that is kept, and PUBACK of a message that one waits for. */
async function measure (pod: Pod, sender: RawMqtt, name: string): Promise<{ connectMs: number, publishMs: number }> {
  await begin(pod, `${name}-waiting`, `${name}/x`)
  const connectMs = await medianMs(100, async (at) => {
    const device = await RawMqtt.open(pod.port, { clientId: `${name}-${at}`, clean: false })
    device.abort()
    await device.closed
  })
  const publishMs = await medianMs(200, async (at) => {
    sender.publish({ topic: `${name}/x`, payload: 'p', qos: 1, messageId: at + 1 })
    await sender.next('puback')
  })
  return { connectMs, publishMs }
}

test(`${SESSIONS} sessions`, { timeout: 550_000 }, async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  const usedMemory = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
  const keyPrefix = 'many:'
  const pod = await startPod(t, placeOf(redis), keyPrefix, { broker: LIMITS, timeoutMs: 10_000 })
  const sender = await RawMqtt.open(pod.port, { clientId: 'sender' })
  const empty = await measure(pod, sender, 'empty')

  const before = await usedMemory()
  const startedAt = performance.now()
  for (let from = 0; from < SESSIONS; from += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, async (_, at) => {
      await begin(pod, `device-${from + at}`, `commands/device-${from + at}`)
    }))
  }
  // The last ones that have gone are told by then.
  await pod.shared.messages.heard()
  await begin(pod, 'last', 'last')
  const made = await usedMemory()
  const bytesEach = (made - before) / SESSIONS
  t.comment(`${((performance.now() - startedAt) / 1000).toFixed(0)} s to make them; ${bytesEach.toFixed(0)} bytes of Redis each`)
  t.ok(bytesEach < 1200, `${bytesEach.toFixed(0)} bytes of Redis for a session with one subscription`)
  t.equal(await client.zcard(`{${keyPrefix}sessions}:index`) >= SESSIONS, true)

  const payload = Buffer.alloc(100, 'x')
  for (let message = 0; message < MESSAGES; message++) {
    for (let at = 0; at < WAITED_FOR; at++) {
      sender.publish({ topic: `commands/device-${at}`, payload, qos: 1, messageId: 1 + at })
      if (at % 50 === 49) for (let answers = 0; answers < 50; answers++) await sender.next('puback')
    }
  }
  const bytesMessage = (await usedMemory() - made) / WAITED_FOR / MESSAGES
  t.comment(`${bytesMessage.toFixed(0)} bytes of Redis for a message of ${payload.length} that waits`)
  t.ok(bytesMessage < 1000, 'a message that waits takes little more than itself')
  t.equal(await client.zcard(`{${keyPrefix}client:device-0}:order`), MESSAGES)

  const full = await measure(pod, sender, 'full')
  t.comment(`CONNECT ${empty.connectMs.toFixed(1)} and ${full.connectMs.toFixed(1)} ms, PUBLISH ` +
    `${empty.publishMs.toFixed(1)} and ${full.publishMs.toFixed(1)} ms, without and with them`)
  t.ok(full.connectMs < 5 * empty.connectMs + 5, 'CONNECT stays fast')
  t.ok(full.publishMs < 5 * empty.publishMs + 5, 'PUBLISH stays fast')

  const heapBefore = heapUsed()
  const openedAt = performance.now()
  const another = await startPod(t, placeOf(redis), keyPrefix, { broker: LIMITS, timeoutMs: 10_000 })
  const seconds = (performance.now() - openedAt) / 1000
  const heapEach = (heapUsed() - heapBefore) / SESSIONS
  const reckonedEach = another.shared.stats().subscriptionBytes / SESSIONS
  t.comment(`a program that starts knows them after ${seconds.toFixed(1)} s; ${heapEach.toFixed(0)} bytes of heap each, ` +
    `reckoned as ${reckonedEach.toFixed(0)}`)
  t.ok(heapEach < 1.2 * reckonedEach, 'what is held against limits.subscriptionBytes is no less than it takes')
  t.equal((await another.shared.persistence.subscriptionsByTopic(`commands/device-${SESSIONS - 1}`)).length, 1)

  let cursor = '0'
  const endless = new Set<string>()
  let keys = 0
  do {
    const [next, page] = await client.scan(cursor, 'COUNT', 1000)
    const left = await Promise.all(page.map(async (key) => await client.pttl(key)))
    for (const [at, ms] of left.entries()) if (ms < 0) endless.add(page[at] as string)
    keys += page.length
    cursor = next
  } while (cursor !== '0')
  t.ok(keys >= 2 * SESSIONS, `${keys} keys`)
  t.strictSame([...endless].filter((key) => !OF_THE_GROUP.includes(key.split(':').at(-1) as string)), [],
    'each ends by itself, or has a bound')
  t.ok(await client.xlen(`{${keyPrefix}sessions}:changes`) < 12_000, 'changes of subscriptions are not kept for ever')
})

test('sessions whose devices stay away leave nothing', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client(t)
  const pod = await startPod(t, placeOf(redis), 'gone:', { broker: { ...LIMITS, sessionExpiryMs: 500 } })
  await Promise.all(Array.from({ length: 300 }, async (_, at) => { await begin(pod, `device-${at}`, `x/${at}`) }))
  const ofSessions = async () => (await client.keys('*gone:*')).filter((key) => key.includes('client:'))
  t.ok((await ofSessions()).length >= 600)
  // They are swept once in ten seconds.
  while (await client.zcard('{gone:sessions}:index') > 0) await new Promise((resolve) => { setTimeout(resolve, 100) })
  t.strictSame(await ofSessions(), [])
  while ((await pod.shared.persistence.subscriptionsByTopic('x/299')).length > 0) await new Promise(setImmediate)
  t.equal(pod.shared.stats().subscriptionBytes, 0, 'and nothing in the program')
})

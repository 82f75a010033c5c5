/** The outbox of a group when Redis is not as it should be: each time a clear error or state, and a way back. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { Members } from '../../lib/outbox/redis/members.ts'
import { readServerFacts } from '../../lib/redis/server.ts'
import { Redis } from 'ioredis'
import { groupOutbox, OnlyLog, type GroupOverrides } from '../support/group-outbox.ts'
import { ALL, appendAll, eventOf, idsOf, readAll, receiptOf, RecordedTelemetry } from '../support/outbox-fixtures.ts'
import { startRedis, startWatched, type RedisServer } from '../support/redis.ts'

async function opened (t: Test, server: RedisServer, overrides: GroupOverrides = {}) {
  const telemetry = new RecordedTelemetry()
  const log = new OnlyLog(groupOutbox(server.url, { timeoutMs: 500, telemetry, ...overrides }))
  t.teardown(() => log.close())
  await log.open()
  return { log, telemetry, group: log.group }
}

test('appends wait while Redis is away, and are stored when it is back, each once and in order', async (t) => {
  const server = await startRedis(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const { log, telemetry } = await opened(t, server)
  await appendAll(log, 1, 50)
  await server.kill()
  const waiting = appendAll(log, 51, 100)
  await until(() => log.stats().status === 'failed')
  t.equal(telemetry.failures.length, 1, 'told once')
  t.equal(telemetry.failures[0]?.code, 'MBS_ERR_REDIS_CONNECT')
  t.notOk(log.hasRoomFor(eventOf(1)))
  const recovery = telemetry.nextRecovery()
  await server.start()
  await waiting
  await recovery
  t.equal(log.stats().status, 'ready')
  const { ids, lost } = await readAll(log)
  t.same(ids, idsOf(1, 100))
  t.equal(lost, 0)
  t.same(telemetry.losses, [], 'a restart that kept everything has lost nothing')
  t.same(telemetry.risks, [], 'with appendfsync always there is nothing to warn of')
})

test('a connection that is there again stays, whatever the one before it was waiting for', async (t) => {
  const server = await startRedis(t)
  let ready = 0
  const { log } = await opened(t, server, { timeoutMs: 300, onReady: () => { ready++ } })
  server.pause()
  const waiting = log.append(eventOf(1))
  await sleep(100)
  await server.kill()
  await server.start()
  await waiting
  await sleep(600)
  t.equal(ready, 2, 'one for commands and one for news, each once')
})

test('appends are rejected when Redis stays away for longer than they may wait', async (t) => {
  const server = await startRedis(t)
  const { log } = await opened(t, server, { holdTimeoutMs: 300 })
  await log.append(eventOf(1))
  await server.kill()
  const results = await Promise.allSettled([2, 3, 4].map((number) => log.append(eventOf(number))))
  t.ok(results.every((result) => result.status === 'rejected'))
  t.match(results[0], { reason: { code: 'MBS_ERR_REDIS_CONNECT', retryable: true } })
  await server.start()
  await until(async () => await log.group.refresh().then(() => true, () => false))
  log.group.works()
  t.equal(log.stats().status, 'ready', 'anything that works shows it')
  await log.append(eventOf(9))
  t.equal(log.stats().status, 'ready')
})

test('a batch whose answer never came is carried out once', async (t) => {
  const server = await startRedis(t)
  const { log } = await opened(t, server, { timeoutMs: 300 })
  await log.append(eventOf(1))
  server.pause()
  const waiting = [appendAll(log, 2, 40), log.append(eventOf(41), receiptOf(41))]
  await sleep(1200)
  t.equal(log.stats().status, 'failed')
  server.resume()
  await Promise.all(waiting)
  const { ids } = await readAll(log)
  t.same(ids, idsOf(1, 41), 'what stood in a socket while Redis slept came too late, and was not stored again')
})

test('a retransmission is not stored again, whichever program gets it', async (t) => {
  const server = await startRedis(t)
  const one = await opened(t, server, { keyPrefix: 'again:' })
  const other = await opened(t, server, { keyPrefix: 'again:' })
  const receipt = receiptOf(7)
  const first = await one.log.append(eventOf(7), receipt)
  t.equal(await other.log.append(eventOf(8), { ...receipt, eventId: 'event-8', again: true }), first, 'it says so')
  t.equal(await one.log.append(eventOf(7), receipt), first, 'the same event, though it does not say so')
  const reused = await other.log.append(eventOf(9), { ...receipt, digest: 1, eventId: 'event-9', again: true })
  t.ok(reused > first, 'another message under the same packet identifier is stored')
  t.same((await readAll(one.log)).ids, ['event-7', 'event-9'])
})

test('a publish that its retransmission has overtaken, at a program that had Redis again sooner, is that one', async (t) => {
  const server = await startRedis(t)
  const admin = server.client(t)
  await admin.call('ACL', 'SETUSER', 'slow', 'on', '>secret', '~*', '&*', '+@all')
  const passwordFile = join(t.testdir({ password: 'secret' }), 'password')
  const settings = { url: server.url, username: 'slow', passwordFile, timeout: 5000 }
  const one = await opened(t, server, { keyPrefix: 'overtaken:', settings })
  const other = await opened(t, server, { keyPrefix: 'overtaken:' })
  const receipt = receiptOf(7)
  for (const [round, isRestarted] of [[0, false], [10, true]] as const) {
    const append = async (number: number, log: OnlyLog, again: boolean, digest = 7): Promise<number> => {
      const eventId = `event-${round + number}`
      return await log.append(eventOf(round + number), { ...receipt, messageId: round + 1, digest, eventId, again })
    }
    await admin.call('ACL', 'SETUSER', 'slow', '-eval', '-evalsha')
    const slow = append(1, one.log, false)
    const different = append(2, one.log, false, 8)
    await until(() => one.log.stats().status === 'failed')
    const again = await append(3, other.log, true)
    if (isRestarted) await admin.hset(other.group.keysOf(0).meta, 'run', 'of another process')
    await admin.call('ACL', 'SETUSER', 'slow', '+eval', '+evalsha')
    if (isRestarted) t.ok(await slow > again, 'times of another process of Redis are not compared')
    else t.equal(await slow, again)
    t.ok(await different > again, 'another message')
    await append(4, other.log, true)
    t.ok(await append(5, one.log, false) > again, 'what comes afterwards and does not say that it comes again is a new one')
  }
  t.same((await readAll(one.log)).ids, [3, 2, 4, 5, 13, 11, 12, 14, 15].map((number) => `event-${number}`))
})

test('receipts are bounded', async (t) => {
  const server = await startRedis(t)
  const { log, group, telemetry } = await opened(t, server, { receiptLimit: 10 })
  t.same(telemetry.risks, ['none'], 'it is said at the start that this Redis keeps nothing')
  for (let number = 1; number <= 50; number++) {
    await log.append(eventOf(number), { ...receiptOf(number), messageId: number % 20 })
  }
  const { receipts, ring } = group.keysOf(0)
  t.equal(await group.client.llen(ring), 10)
  t.ok(await group.client.hlen(receipts) <= 10)
  const known = { ...receiptOf(50), messageId: 10, again: true, eventId: 'other' }
  const before = log.stats().nextSequence
  await log.append(eventOf(51), known)
  t.equal(log.stats().nextSequence, before, 'the newest are known')
})

test('Redis that is full is told as such; what is delivered makes room again', async (t) => {
  const server = await startRedis(t, ['--maxmemory', '6mb', '--maxmemory-policy', 'noeviction'])
  const { log, telemetry } = await opened(t, server, { holdTimeoutMs: 400 })
  const data = Buffer.alloc(50_000)
  let stored = 0
  for (let number = 1; number <= 200; number++) {
    if (await log.append(eventOf(number, { data })).then(() => true, () => false)) stored++
    else break
  }
  t.ok(stored > 5 && stored < 150, `${stored} found room`)
  t.match(telemetry.failures.at(-1), { code: 'MBS_ERR_OUTBOX_REDIS', message: /OOM/ })
  t.equal(log.stats().status, 'failed')
  await log.saveCursor('main', { lowest: stored + 1, beyond: new Uint8Array(0) })
  await log.trim(stored + 1)
  t.ok(await log.append(eventOf(999, { data })) > 0, 'there is room')
  t.equal(log.stats().status, 'ready')
})

test('a server that has become a replica is told as such, and is asked again until it is the primary', async (t) => {
  const [server, other] = [await startRedis(t), await startRedis(t)]
  const { log, telemetry } = await opened(t, server)
  await log.append(eventOf(1))
  const admin = server.client(t)
  await admin.replicaof('127.0.0.1', String(other.port))
  const waiting = log.append(eventOf(2))
  await until(() => log.stats().status === 'failed')
  t.match(telemetry.failures[0]?.message, /READONLY|MASTERDOWN|LOADING|closed/i)
  await admin.call('REPLICAOF', 'NO', 'ONE')
  t.ok(await waiting > 0)
})

test('what a failover loses is told, and no sequence is given twice', async (t) => {
  const redis = await startWatched(t)
  const primary = await redis.primary()
  const telemetry = new RecordedTelemetry()
  const log = new OnlyLog(groupOutbox('', {
    telemetry, timeoutMs: 500, settings: { sentinel: { master: 'mymaster', nodes: redis.sentinels }, timeout: 500 }
  }))
  t.teardown(() => log.close())
  await log.open()
  await appendAll(log, 1, 10)
  const replica = redis.servers.find((server) => server !== primary)!
  await until(async () => await replica.client(t).xlen(log.group.keysOf(0).log) === 10)
  await redis.inSync()
  await replica.kill()
  const last = await log.append(eventOf(11))
  t.equal(last, 11, 'acknowledged, and not on the replica')
  await primary.kill()
  await replica.start()
  await until(async () => await redis.primary() === replica)
  const next = await log.append(eventOf(12))
  t.ok(next > 11, `the next sequence is ${next}`)
  t.match(telemetry.losses, [{ count: 1, reason: /gone back in partition 0/ }])
  const { ids } = await readAll(log)
  t.same(ids, [...idsOf(1, 10), 'event-12'])
})

test('an emptied Redis is told as a loss, and sequences go on above those that were', async (t) => {
  const server = await startRedis(t)
  let now = 1_000_000
  const { log, telemetry } = await opened(t, server, { floor: () => now })
  await appendAll(log, 1, 5)
  const before = log.stats().nextSequence
  await server.client(t).flushall()
  now = 2_000_000
  const next = await log.append(eventOf(6))
  t.ok(next >= before, `${next} after ${before}`)
  t.match(telemetry.losses, [{ count: 5 }])
  t.same((await log.read(next, ALL)).events.map(({ event }) => event.id), ['event-6'])
})

test('only who has the lease saves cursors and trims; others are told', async (t) => {
  const server = await startRedis(t)
  const { log, group } = await opened(t, server)
  await appendAll(log, 1, 5)
  const stranger = group.partition(0, 'somebody-else')
  const cursor = { lowest: 3, beyond: new Uint8Array(0) }
  await t.rejects(stranger.saveCursor('main', cursor), { code: 'MBS_ERR_OUTBOX_LEASE' })
  await t.rejects(stranger.trim(3), { code: 'MBS_ERR_OUTBOX_LEASE' })
  t.equal(await log.loadCursor('main'), undefined)
  stranger.lose()
  await stranger.saveCursor('main', cursor)
  t.equal(await log.loadCursor('main'), undefined, 'what comes from who knows that it was lost is dropped')
})

test('an event is acknowledged when enough replicas have it, and not before', async (t) => {
  const server = await startRedis(t)
  const { log, telemetry } = await opened(t, server, { replicas: 1, holdTimeoutMs: 300 })
  await t.rejects(log.append(eventOf(1)), { code: 'MBS_ERR_OUTBOX_REPLICAS' })
  t.equal(telemetry.failures[0]?.code, 'MBS_ERR_OUTBOX_REPLICAS')
  const { group } = log
  const members = new Members({ group, facts: {}, take: async () => {}, leave: async () => {}, onError: () => {} })
  await members.start()
  t.equal(log.stats().status, 'failed', 'a primary that answers is not enough')
  t.equal(telemetry.recovered, 0)
  await members.close()
  await startRedis(t, ['--replicaof', '127.0.0.1', String(server.port), '--repl-diskless-sync-delay', '0'])
  await until(async () => /connected_slaves:1/.test(await server.client(t).info('replication')))
  await until(async () => await log.append(eventOf(2)).then(() => true, () => false))
  t.equal(log.stats().status, 'ready')
})

test('a wrong password ends the start with MBS_ERR_REDIS_AUTH at once', async (t) => {
  const server = await startRedis(t, ['--requirepass', 'right'])
  const file = `${t.testdir({ secret: 'wrong\n', right: 'right\n', none: '\n' })}`
  const group = (settings: object) => groupOutbox('', { settings: { url: server.url, timeout: 500, ...settings } })
  await t.rejects(group({ passwordFile: `${file}/secret` }).open(), { code: 'MBS_ERR_REDIS_AUTH', exitCode: 78 })
  await t.rejects(group({}).open(), { code: 'MBS_ERR_REDIS_AUTH' })
  await t.rejects(group({ passwordFile: `${file}/missing` }).open(), { code: 'MBS_ERR_REDIS_FILE' })
  await t.rejects(group({ passwordFile: `${file}/none` }).open(), { code: 'MBS_ERR_REDIS_FILE', message: /holds no password/ })
  const right = group({ passwordFile: `${file}/right` })
  await right.open()
  await right.close()
})

test('a user with the rights that docs/redis.md names can do all of it', async (t) => {
  const page = readFileSync(new URL('../../docs/redis.md', import.meta.url), 'utf8')
  const rights = /these commands on its keys and channels: `([^`]+)`/.exec(page)![1]!.split(/\s+/)
  const server = await startRedis(t)
  await server.client(t).call('ACL', 'SETUSER', 'mqtt', 'on', '>secret', '~mine:*', '&mine:*', ...rights)
  await server.client(t).call('ACL', 'SETUSER', 'default', 'off')
  const passwordFile = `${t.testdir({ password: 'secret' })}/password`
  const settings = { url: server.url, username: 'mqtt', passwordFile, timeout: 500 }
  const { log, telemetry, group } = await opened(t, server, { settings, keyPrefix: 'mine:' })
  await log.append(eventOf(1), receiptOf(1))
  await log.append(eventOf(2, { handling: { aside: { reason: 'schema', detail: 'no' } } }))
  t.equal((await log.readDeadLetters(1, ALL)).length, 1)
  t.equal((await log.readMany([1])).length, 1)
  await log.saveCursor('main', { lowest: 3, beyond: new Uint8Array(0) })
  await log.trim(3)
  await log.deleteDeadLetters([{ sequence: 2, sink: 'mapping' }])
  const members = new Members({ group, facts: {}, take: async () => {}, leave: async () => {}, onError: () => {} })
  await members.start()
  await members.close()
  t.same([telemetry.failures, telemetry.risks], [[], ['none']])
})

test('a Redis that is not there, too old, or that deletes what it keeps, ends the start', async (t) => {
  await t.rejects(groupOutbox('redis://127.0.0.1:1', { startTimeoutMs: 200 }).open(), { code: 'MBS_ERR_REDIS_CONNECT' })
  const old = await fakeRedis(t, 'redis_version:6.0.16')
  await t.rejects(groupOutbox(`redis://127.0.0.1:${old}`).open(), { code: 'MBS_ERR_REDIS_VERSION', message: /6\.0\.16/ })
  const evicting = await startRedis(t, ['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru'])
  await t.rejects(groupOutbox(evicting.url).open(), { code: 'MBS_ERR_REDIS_EVICTION', message: /allkeys-lru/ })
})

test('the number of partitions is that of the first program, and what is not there is not made by who only looks', async (t) => {
  const server = await startRedis(t)
  const keyPrefix = 'layout:'
  await t.rejects(groupOutbox(server.url, { keyPrefix }).open({ mayCreate: false }), { code: 'MBS_ERR_OUTBOX_DIRECTORY' })
  const first = groupOutbox(server.url, { keyPrefix, partitions: 4 })
  await first.open()
  await first.close()
  await t.rejects(groupOutbox(server.url, { keyPrefix, partitions: 8 }).open(), {
    code: 'MBS_ERR_OUTBOX_PARTITIONS', message: /has 4 partitions, and outbox.partitions is 8/
  })
})

test('how much is lost when the machine of Redis fails is read from its settings', async (t) => {
  for (const [settings, durability] of [
    [[], 'none'],
    [['--appendonly', 'yes', '--appendfsync', 'no'], 'os'],
    [['--appendonly', 'yes', '--appendfsync', 'everysec'], 'everysec'],
    [['--appendonly', 'yes', '--appendfsync', 'always'], 'always']
  ] as const) {
    const server = await startRedis(t, settings)
    t.equal((await readServerFacts(server.client(t), 'x')).durability, durability)
  }
  const closed = await startRedis(t)
  await closed.client(t).call('ACL', 'SETUSER', 'device', 'on', '>secret', '~*', '+@all', '-config')
  const client = new Redis(closed.port, '127.0.0.1', { username: 'device', password: 'secret' })
  t.teardown(() => { client.disconnect() })
  t.equal((await readServerFacts(client, 'x')).durability, 'unknown')
})

/** Says that it is another version; it can nothing else. */
async function fakeRedis (t: Test, version: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      for (const command of String(bytes).matchAll(/\*\d+\r\n\$\d+\r\n(\w+)\r\n/g)) {
        const info = `${version}\r\n`
        socket.write(command[1]?.toLowerCase() === 'info' ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return (server.address() as AddressInfo).port
}

async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await sleep(20)
}

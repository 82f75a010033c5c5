/**
 * What whole programs do on one Redis: 1, 2 and 3 of them, from MQTT clients to a sink, beside one with its outbox on
 * disk; what a message costs the programs and Redis, and what they ask of Redis for it. Ends by itself, after about
 * two minutes. bench/README.md says how to read it.
 */
import type { ChildProcess } from 'node:child_process'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { RedisClient } from '../lib/redis/link.ts'
import { Script } from '../lib/redis/script.ts'
import * as outboxScripts from '../lib/outbox/redis/scripts.ts'
import { arrived, ask, child, cpuMicros, end, message, start, type LoadResult, type Program } from './processes.ts'
import { costsOf, hasRedis, startRedis, type BenchRedis } from './redis-server.ts'
import { showTables, title, type Load, type Row, type Setup } from './redis-tables.ts'

const PARTITIONS = 16
const PAYLOAD = 128
const IDLE_MS = 2000
const { values } = parseArgs({
  options: { messages: { type: 'string', default: '20000' }, rounds: { type: 'string', default: '1' } }
})
const messages = Number(values.messages)
const rounds = Number(values.rounds)
/** Something hangs: a round is known to need less. */
const LIMIT_MS = 300_000 * rounds * Math.max(1, messages / 20_000)
const WARM_UP: Load = { clients: 50, inflight: 20, messages }
const LOADS: readonly Load[] = [
  { clients: 50, inflight: 20, messages },
  { clients: 1000, inflight: 1, messages },
  { clients: 10, inflight: 1, messages: Math.ceil(messages / 5) }
]

const shown = new Set<string>()
/** Names of the outbox's scripts, by what Redis knows them by. */
const scriptNames = new Map<string, string>()
for (const [name, script] of Object.entries<unknown>(outboxScripts)) {
  if (!(script instanceof Script)) continue
  const client = { callBuffer: async (_: string, hash: string) => { scriptNames.set(hash, name) } }
  await script.run(client as unknown as RedisClient, [], [])
}

function setupsOn (port: number): Setup[] {
  const redis = { url: `redis://127.0.0.1:${port}`, keyPrefix: 'bench:' }
  const outbox = { store: 'redis', partitions: PARTITIONS }
  const memory = { name: 'bench', outbox, redis }
  const shared = { ...memory, broker: { sessions: 'redis' } }
  return [
    { name: 'disk', programs: 1 },
    ...[1, 2, 3].map((programs) => ({ name: 'Redis', programs, settings: memory })),
    { name: 'Redis, appendfsync always', programs: 1, settings: memory, fsync: true },
    ...[1, 2, 3].map((programs) => ({ name: 'Redis, sessions there too', programs, settings: shared }))
  ]
}

async function measure ({ port, admin }: BenchRedis): Promise<Row[]> {
  const rows: Row[] = []
  for (const setup of setupsOn(port)) {
    await admin.config('SET', 'appendfsync', 'always')
    await admin.config('SET', 'appendonly', setup.fsync === true ? 'yes' : 'no')
    rows.push(...await measureSetup(setup, admin))
    await admin.flushall()
  }
  return rows
}

async function measureSetup (setup: Setup, admin: BenchRedis['admin']): Promise<Row[]> {
  const sink = child('sink')
  const { port } = await message<{ port: number }>(sink)
  const options = { preload: 'count-commands.js', ...(setup.settings === undefined ? {} : { settings: setup.settings }) }
  const programs = await Promise.all(Array.from({ length: setup.programs }, () => start(`http://127.0.0.1:${port}/`, options)))
  if (setup.settings !== undefined) await untilShared(programs)
  await run(setup, WARM_UP, programs, sink, admin)
  if (setup.settings !== undefined) await showIdle(setup, programs)
  const rows: Row[] = []
  for (const load of LOADS) rows.push(await run(setup, load, programs, sink, admin))
  await Promise.all(programs.map((program) => end(program.process)))
  await end(sink)
  return rows
}

/** Until each program delivers its share of the partitions: before that they change hands. */
async function untilShared (programs: readonly Program[]): Promise<void> {
  for (;;) {
    const owned = await Promise.all(programs.map(async ({ admin }) => {
      const metrics = await (await fetch(`http://${admin}/metrics`)).text()
      return Number(/^mqtt_broker_source_outbox_partitions (\d+)/m.exec(metrics)?.[1] ?? 0)
    }))
    const most = Math.ceil(PARTITIONS / programs.length)
    if (owned.reduce((sum, one) => sum + one, 0) === PARTITIONS && Math.max(...owned) <= most) return
    await sleep(50)
  }
}

/** From the first publish to the last POST; devices are connected before it, and stay so until after. */
async function run (
  setup: Setup, load: Load, programs: readonly Program[], sink: ChildProcess, admin: BenchRedis['admin']
): Promise<Row> {
  const ports = programs.map(({ port }) => port).join()
  const devices = child('load', [ports, load.clients, load.inflight, load.messages, PAYLOAD, 'hold'])
  await message(devices)
  const { count } = await ask<{ count: number }>(sink)
  const before = { cpu: cpuOf(programs), redis: await costsOf(admin), sent: await sentBy(programs) }
  const from = process.hrtime.bigint()
  const [result, seconds] = await Promise.all([ask<LoadResult>(devices), arrived(sink, count + load.messages, from)])
  const after = { cpu: cpuOf(programs), redis: await costsOf(admin), sent: await sentBy(programs) }
  await end(devices)
  const row = {
    setup,
    load,
    perSecond: load.messages / seconds,
    p50Ms: result.p50Ms,
    cpuMicros: (after.cpu - before.cpu) / load.messages
  }
  if (setup.settings === undefined) return row
  const sent = (name: string): number => ((after.sent.get(name) ?? 0) - (before.sent.get(name) ?? 0)) / load.messages
  const all = [...after.sent.keys()].reduce((sum, name) => sum + sent(name), 0)
  const [stores, reads, publishes] = [sent('appendScript'), sent('readScript'), sent('publish')]
  const redis = {
    cpuMicros: (after.redis.cpuMicros - before.redis.cpuMicros) / load.messages,
    stores,
    reads,
    publishes,
    others: all - stores - reads - publishes,
    inside: (after.redis.commands - before.redis.commands) / load.messages - all,
    socketReads: (after.redis.reads - before.redis.reads) / load.messages
  }
  return { ...row, redis }
}

function cpuOf (programs: readonly Program[]): number {
  return programs.reduce((sum, { process: { pid } }) => sum + cpuMicros(pid), 0)
}

/** What all programs together have sent to Redis so far, by name: count-commands.ts counts it in them. */
async function sentBy (programs: readonly Program[]): Promise<Map<string, number>> {
  const sum = new Map<string, number>()
  for (const counts of await Promise.all(programs.map((program) => ask<Record<string, number>>(program.process)))) {
    for (const [key, count] of Object.entries(counts)) {
      const name = scriptNames.get(key) ?? key
      sum.set(name, (sum.get(name) ?? 0) + count)
    }
  }
  return sum
}

/** What is sent without any message; shown in the first round. */
async function showIdle (setup: Setup, programs: readonly Program[]): Promise<void> {
  if (shown.has(title(setup))) return
  shown.add(title(setup))
  const total = async () => [...(await sentBy(programs)).values()].reduce((sum, one) => sum + one, 0)
  const before = await total()
  await sleep(IDLE_MS)
  const perSecond = (await total() - before) / programs.length / IDLE_MS * 1000
  console.log(`${title(setup)}  idle: ${perSecond.toFixed(0)} commands a second from each program`)
}

if (hasRedis()) {
  setTimeout(() => {
    console.error(`the benchmark of Redis did not end within ${LIMIT_MS / 1000} s`)
    process.exit(1)
  }, LIMIT_MS).unref()
  const redis = await startRedis()
  console.log(`${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}, Redis ${redis.version}; ${PAYLOAD} bytes, median of ${rounds}`)
  const rows: Row[] = []
  for (let round = 0; round < rounds; round++) rows.push(...await measure(redis))
  showTables(rows)
  redis.end()
}

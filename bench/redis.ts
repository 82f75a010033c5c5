/**
 * What an outbox in Redis takes in: appends by 1, 2 and 3 processes at the same time, beside the outbox on disk. Starts
 * a redis-server of its own (without a disk, so that Redis is measured and not the disk). What whole programs do on it
 * is in redis-programs.ts.
 */
import { fork } from 'node:child_process'
import { cpus } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { createDiskOutbox } from '../lib/outbox/disk.ts'
import type { Event } from '../lib/message.ts'
import { GroupOutbox } from '../lib/outbox/redis/group-outbox.ts'
import type { Intake } from '../lib/outbox/outbox.ts'
import { RedisLink } from '../lib/redis/link.ts'
import { makeDirectory, own } from './processes.ts'
import { hasRedis, startRedis } from './redis-server.ts'

const EVENTS = 100_000
const AT_ONCE = 1000

const telemetry = {
  outboxOpened () {},
  outboxFailed (error: Error) { console.error(error.message) },
  outboxRecovered () {},
  outboxFull () {},
  eventsLost () {},
  publishHeld () {},
  sequenceForgotten () {},
  redisConnected () {},
  redisMayLose () {},
  unexpected () {}
}
const options = { maxBytes: 2 ** 40, holdTimeoutMs: 60_000, receiptLimit: 65_536, telemetry }
const data = Buffer.alloc(128, 'x')

function eventOf (number: number): Event {
  const device = `device-${number % 1000}`
  return {
    id: `0b4d3f9c-5d2e-4f0a-9d77-${String(number).padStart(12, '0')}`,
    source: `/mqtt-broker-source/bench/clients/${device}`,
    type: 'dev.mqttbrokersource.publish',
    subject: `devices/${device}/telemetry`,
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'text/plain',
    extensions: { partitionkey: device, mqttqos: 1 },
    partitionKey: device,
    data
  }
}

/** Appends, so many under way at a time. @returns microseconds of CPU of this process for each */
async function fill (outbox: Intake, events: number): Promise<number> {
  await outbox.open()
  const cpu = process.cpuUsage()
  let next = 0
  await Promise.all(Array.from({ length: AT_ONCE }, async (_, device) => {
    while (next < events) {
      const number = next++
      const eventId = `${process.pid}-${number}`
      const messageId = 1 + number % 65_535
      await outbox.append(eventOf(number), { clientId: `device-${device}`, messageId, digest: number, eventId })
    }
  }))
  const { user, system } = process.cpuUsage(cpu)
  await outbox.close()
  return (user + system) / events
}

function inRedis (port: number, keyPrefix: string): Intake {
  const settings = { url: `redis://127.0.0.1:${port}`, timeout: 5000 }
  const link = new RedisLink({ settings, onError: () => {}, onReady: () => {} })
  const timeouts = { timeoutMs: 5000, startTimeoutMs: 5000 }
  return new GroupOutbox({ ...options, ...timeouts, link, keyPrefix, partitions: 16, replicas: 0 })
}

const [port, prefix, share] = process.argv.slice(2)
if (prefix !== undefined) {
  process.send?.(await fill(inRedis(Number(port), prefix), Number(share)))
  process.disconnect()
} else if (hasRedis()) {
  await measure()
}

async function measure (): Promise<void> {
  console.log(`${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}; ${EVENTS} events of 128 bytes, QoS 1`)
  const directory = makeDirectory()
  const startedAt = performance.now()
  const onDisk = await fill(createDiskOutbox({
    ...options, directory: join(directory, 'outbox'), tailCacheBytes: 1024 * 1024, reopenMinMs: 500, reopenMaxMs: 1000
  }), EVENTS)
  const diskRate = EVENTS / (performance.now() - startedAt) * 1000
  console.log(`disk                ${rate(diskRate)}   ${onDisk.toFixed(1)} µs CPU an event`)

  const redis = await startRedis()
  for (const processes of [1, 2, 3]) await measureGroup(redis.port, redis.admin, processes, diskRate)
  const used = /used_memory:(\d+)/.exec(await redis.admin.info('memory'))?.[1]
  console.log(`memory of Redis: ${Math.round(Number(used) / (3 * EVENTS))} bytes an event that waits, payload included`)
  redis.end()
}

async function measureGroup (port: number, admin: Redis, processes: number, diskRate: number): Promise<void> {
  await admin.config('RESETSTAT')
  const before = performance.now()
  const run = () => new Promise<number>((resolve, reject) => {
    const share = String(Math.ceil(EVENTS / processes))
    const child = own(fork(process.argv[1] as string, [String(port), `bench-${processes}:`, share]))
    child.once('message', (cost) => { resolve(Number(cost)) })
    child.once('error', reject)
  })
  const costs = await Promise.all(Array.from({ length: processes }, run))
  const took = performance.now() - before
  const stats = await admin.info('commandstats')
  const [, scripts, usec] = /cmdstat_evalsha:calls=(\d+),usec=(\d+)/.exec(stats) ?? []
  const cost = costs.reduce((sum, one) => sum + one, 0) / processes
  console.log([
    `Redis, ${processes} process${processes === 1 ? ' ' : 'es'}  ${rate(EVENTS / took * 1000)}   ${cost.toFixed(1)} µs CPU an event,`,
    `${(Number(usec) / EVENTS).toFixed(1)} µs of Redis, ${(Number(scripts) / EVENTS).toFixed(3)} scripts an event;`,
    `${Math.round(100 * EVENTS / took * 1000 / diskRate)} % of the disk, start of the processes included`
  ].join(' '))
}

function rate (value: number): string {
  return `${Math.round(value).toString().padStart(6)}/s`
}

/** What numbering the events of each source costs an append: an outbox on disk, 10,000 sources in turn. No network. */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDiskOutbox } from '../lib/outbox/disk.ts'
import type { Event } from '../lib/message.ts'

const EVENTS = 200_000
const SOURCES = 10_000
const AT_ONCE = 500
const ROUNDS = 5

const telemetry = {
  outboxOpened () {},
  outboxFailed () {},
  outboxRecovered () {},
  outboxFull () {},
  eventsLost () {},
  publishHeld () {},
  sequenceForgotten () {},
  unexpected () {}
}
const data = Buffer.alloc(128, 'x')

function eventOf (number: number): Event {
  return {
    id: `0b4d3f9c-5d2e-4f0a-9d77-${String(number).padStart(12, '0')}`,
    source: `/mqtt-broker-source/bench/clients/device-${number % SOURCES}`,
    type: 'dev.mqttbrokersource.publish',
    subject: `sites/north/devices/device-${number % SOURCES}/telemetry`,
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'text/plain',
    extensions: { partitionkey: `device-${number % SOURCES}`, mqttqos: 1 },
    partitionKey: `device-${number % SOURCES}`,
    data
  }
}

/** Microseconds of CPU for one append, all threads. */
async function costOf (on: boolean): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-'))
  const sequences = on ? { sequences: { limit: 100_000, unsavedEvents: 100_000 } } : {}
  const outbox = createDiskOutbox({
    directory,
    maxBytes: 2 ** 40,
    holdTimeoutMs: 60_000,
    receiptLimit: 0,
    tailCacheBytes: 1024 * 1024,
    reopenMinMs: 500,
    reopenMaxMs: 1000,
    ...sequences,
    telemetry
  })
  await outbox.open()
  const cpu = process.cpuUsage()
  for (let number = 0; number < EVENTS; number += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, at) => outbox.append(eventOf(number + at))))
    // As a dispatcher that keeps up does.
    if (number % 10_000 === 0) await outbox.trim(number)
  }
  const { user, system } = process.cpuUsage(cpu)
  await outbox.close()
  rmSync(directory, { recursive: true })
  return (user + system) / EVENTS
}

const rounds = { off: [] as number[], on: [] as number[] }
await costOf(false)
for (let round = 0; round < ROUNDS; round++) {
  rounds.off.push(await costOf(false))
  rounds.on.push(await costOf(true))
}
const best = (values: number[]) => Math.min(...values)
console.log(`${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}; ${EVENTS} events, ${SOURCES} sources, the best of ${ROUNDS}`)
console.log(`without sequence ${best(rounds.off).toFixed(2)} µs CPU an append`)
console.log(`with sequence    ${best(rounds.on).toFixed(2)} µs CPU an append, ${(best(rounds.on) / best(rounds.off)).toFixed(2)} of it`)

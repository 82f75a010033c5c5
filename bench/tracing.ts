/**
 * What traces cost: a publish that is mapped, and an attempt with its sink's headers, with tracing off and on in turn,
 * in one process. No network and no outbox: what is measured is what stands around them, so that a difference shows.
 *
 * `bare` is the same path without the places where tracing would be asked: what "off costs nothing" is held against.
 */
import { createServer } from 'node:http'
import { cpus } from 'node:os'
import type { AddressInfo } from 'node:net'
import { createMapper } from '../lib/mapping/mapper.ts'
import { encode } from '../lib/cloudevent/encode.ts'
import type { Event, Publish } from '../lib/message.ts'
import type { AttemptTracer } from '../lib/sink/sink.ts'
import { Telemetry } from '../lib/telemetry/telemetry.ts'
import { Tracing } from '../lib/tracing/tracing.ts'

const PUBLISHES = 50_000
const AT_ONCE = 500
const ROUNDS = 6

const map = createMapper({ name: 'bench', overrides: {} })
const STORED = { kind: 'stored' } as const
const TAKEN = { kind: 'answer', status: 202, body: Buffer.alloc(0) } as const

interface Path {
  readonly map: (publish: Publish, id: string) => unknown
  readonly publish: (publish: Publish) => Promise<typeof STORED>
  readonly attempt: (event: Event) => number
}

function publishOf (number: number): Publish {
  return {
    client: { id: `device-${number % 1000}` },
    topic: `sites/north/devices/device-${number % 1000}/telemetry`,
    payload: Buffer.from('{"value":21.5}'),
    qos: 1,
    retain: false,
    dup: false,
    messageId: 1 + number % 65_535,
    will: false,
    receivedAt: Date.now()
  }
}

const publish = async (): Promise<typeof STORED> => STORED

/** As HttpSink does it. */
function attemptBy (tracer: AttemptTracer | undefined): Path['attempt'] {
  return (event) => {
    const span = tracer?.begin(event)
    const { headers } = encode(event, 'auto')
    if (span !== undefined) for (const text of span.headers) headers.push(text)
    span?.end(TAKEN)
    return headers.length
  }
}

const bare: Path = { map, publish, attempt: (event) => encode(event, 'auto').headers.length }
const off: Path = { map, publish, attempt: attemptBy(undefined) }

/** Microseconds of CPU for one publish and one attempt. */
async function costOf (path: Path): Promise<number> {
  const cpu = process.cpuUsage()
  for (let number = 0; number < PUBLISHES; number += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, async (_, at) => {
      const publishing = publishOf(number + at)
      const event = path.map(publishing, `id-${number + at}`) as Event
      await path.publish(publishing)
      path.attempt(event)
    }))
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  const { user, system } = process.cpuUsage(cpu)
  return (user + system) / PUBLISHES
}

const receiver = createServer((request, response) => { request.resume().on('end', () => { response.end() }) })
await new Promise<void>((resolve) => { receiver.listen(0, '127.0.0.1', resolve) })
const tracingAt = async (samplingRate: number) => {
  const tracing = new Tracing({
    endpoint: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`,
    samplingRate,
    headers: {},
    serviceName: 'bench',
    timeoutMs: 1000,
    instance: 'bench',
    namespace: undefined,
    extension: false,
    telemetry: new Telemetry({ level: 'silent', format: 'json' })
  })
  await tracing.start()
  const path: Path = {
    map: tracing.mapper(map),
    publish: tracing.publisher(publish),
    attempt: attemptBy(tracing.attempts('default', 'http://sink/'))
  }
  return { tracing, path }
}
const best = new Map<string, number>()
const measure = async (paths: ReadonlyArray<readonly [name: string, path: Path]>) => {
  for (let round = 0; round < ROUNDS; round++) {
    // None is always behind the same other one, whose garbage it would pay for.
    for (const [name, path] of round % 2 === 0 ? paths : paths.toReversed()) {
      best.set(name, Math.min(best.get(name) ?? Infinity, await costOf(path)))
    }
  }
}
await measure([['bare', bare], ['off', off]])
const [none, all] = [await tracingAt(0), await tracingAt(1)]
await measure([['samplingRate 0', none.path], ['samplingRate 1', all.path]])
await Promise.all([none.tracing.close(), all.tracing.close()])
receiver.closeAllConnections()
receiver.close()

console.log(`${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}; best of ${ROUNDS}, ${PUBLISHES} publishes each`)
const base = best.get('bare') ?? NaN
for (const [name, cost] of best) console.log(`${name.padEnd(16)} ${cost.toFixed(2)} µs, ${(cost / base).toFixed(2)} times bare`)

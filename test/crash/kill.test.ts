/**
 * The promise of the project, held against the built program: whatever was acknowledged arrives, however often and
 * whenever the process is killed, in whatever state the sink is.
 */
import { test } from 'tap'
import { CrashPublisher } from '../support/crash-publisher.ts'
import { CrashSink, type SinkMode } from '../support/crash-sink.ts'
import { freePort, startProgram } from '../support/process.ts'
import { seededRandom } from '../support/random.ts'

const ROUNDS = Number(process.env['MBS_TEST_CRASH_ROUNDS'] ?? 50)
const MODES: readonly SinkMode[] = ['up', 'down', 'slow', 'flapping']

test(`loses nothing acknowledged, and shows every duplicate as one, over ${ROUNDS} kills`, { timeout: 600_000 }, async (t) => {
  const seed = Number(process.env['MBS_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}: MBS_TEST_SEED=${seed} repeats the choices`)
  const random = seededRandom(seed)
  const sink = new CrashSink(random)
  const url = await sink.start()
  t.teardown(async () => { await sink.close() })

  const port = await freePort()
  const config = {
    dataDir: `${t.testdir()}/data`,
    listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port }],
    http: { host: '127.0.0.1', port: 0 },
    sink: { kind: 'http', url, timeout: 'PT2S' },
    delivery: { backoffDelay: 'PT0.02S', backoffMax: 'PT0.2S', checkpoint: 'PT0.1S' },
    log: { level: 'info', format: 'json' }
  }
  const publishers = ([1, 1, 1, 2, 2, 2] as const).map((qos, index) =>
    new CrashPublisher({ id: `device-${index}-qos${qos}`, port, qos, inflight: 10 }))
  t.teardown(async () => { await Promise.all(publishers.map(async (publisher) => { await publisher.close() })) })

  for (let round = 0; round < ROUNDS; round++) {
    sink.mode = MODES[Math.floor(random() * MODES.length)] ?? 'up'
    const program = await startProgram(t, config)
    await new Promise((resolve) => { setTimeout(resolve, 20 + 400 * random()) })
    await program.kill()
  }

  sink.mode = 'up'
  const program = await startProgram(t, config)
  await Promise.all(publishers.map(async (publisher) => { await publisher.finish() }))
  const missing = new Set(publishers.flatMap(({ id, acknowledged }) =>
    Array.from(acknowledged, (number) => bodyOf(id, number))))
  let seen = 0
  await sink.until(() => {
    for (; seen < sink.taken.length; seen++) missing.delete(sink.taken[seen]?.body ?? '')
    return missing.size === 0
  })
  t.equal(await program.stop(), 0, 'SIGTERM ends it with 0')

  t.strictSame(sink.invalid, [], 'everything that arrived is a CloudEvent')
  const idsOf = new Map<string, Set<string>>()
  const bodies = new Map<string, string>()
  const order = new Map<string, number[]>()
  const clashes: string[] = []
  for (const { source, id, body } of sink.taken) {
    const { client, number } = JSON.parse(body) as { client: string, number: number }
    const key = `${source} ${id}`
    if ((bodies.get(key) ?? body) !== body) clashes.push(`${key}: ${bodies.get(key)} and ${body}`)
    bodies.set(key, body)
    const ids = idsOf.get(body)
    if (ids !== undefined) {
      ids.add(key)
      continue
    }
    idsOf.set(body, new Set([key]))
    let numbers = order.get(client)
    if (numbers === undefined) order.set(client, numbers = [])
    numbers.push(number)
  }

  t.strictSame(clashes, [], 'a (source, id) stands for one message')
  t.strictSame([...idsOf].filter(([, ids]) => ids.size > 1).map(([body, ids]) => [body, ...ids]), [],
    'a message has one (source, id), however often it arrives')
  for (const publisher of publishers) {
    const numbers = order.get(publisher.id) ?? []
    const lost = [...publisher.acknowledged].filter((number) => !idsOf.has(bodyOf(publisher.id, number)))
    t.strictSame(lost, [], `${publisher.id}: every acknowledged message arrived`)
    t.strictSame(numbers, numbers.toSorted((a, b) => a - b), `${publisher.id}: in order, duplicates removed`)
    t.ok(numbers.every((number) => number >= 1 && number <= publisher.used), `${publisher.id}: nothing arrived that was not sent`)
    t.ok(publisher.acknowledged.size > 0, `${publisher.id}: it had ${publisher.acknowledged.size} acknowledged`)
  }
  t.comment(`${sink.taken.length} arrived, ${idsOf.size} different, ${publishers.reduce((sum, each) => sum + each.acknowledged.size, 0)} acknowledged`)
})

/** What CrashPublisher sends. */
function bodyOf (client: string, number: number): string {
  return JSON.stringify({ client, number })
}

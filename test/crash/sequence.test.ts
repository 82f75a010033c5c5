/**
 * `sequence` held against the built program: killed in mid-stream again and again, what arrives of each source is
 * numbered from 1 on without a gap, and a number stands for one event.
 */
import { test } from 'tap'
import { untilFinished } from '../support/arrivals.ts'
import { CrashPublisher } from '../support/crash-publisher.ts'
import { CrashSink, type SinkMode } from '../support/crash-sink.ts'
import { freePort, startProgram } from '../support/process.ts'
import { seededRandom } from '../support/random.ts'

const ROUNDS = Number(process.env['MBS_TEST_CRASH_ROUNDS'] ?? 10)
const MODES: readonly SinkMode[] = ['up', 'up', 'down', 'slow']

test(`numbers the events of each source without a gap, over ${ROUNDS} kills`, { timeout: 600_000 }, async (t) => {
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
    delivery: { retry: 1000, backoffDelay: 'PT0.02S', backoffMax: 'PT0.2S', checkpoint: 'PT0.05S' },
    events: { extensions: { sequence: true } },
    log: { level: 'info', format: 'json' }
  }
  const publishers = ([1, 1, 2, 2] as const).map((qos, index) =>
    new CrashPublisher({ id: `device-${index}`, port, qos, inflight: 10 }))
  t.teardown(async () => { await Promise.all(publishers.map(async (publisher) => { await publisher.close() })) })

  for (let round = 0; round < ROUNDS; round++) {
    sink.mode = MODES[Math.floor(random() * MODES.length)] ?? 'up'
    const program = await startProgram(t, config)
    await new Promise((resolve) => { setTimeout(resolve, 20 + 400 * random()) })
    await program.kill()
  }
  sink.mode = 'up'
  const program = await startProgram(t, config)
  await untilFinished(t, publishers)
  const missing = new Set(publishers.flatMap(({ id, acknowledged }) =>
    Array.from(acknowledged, (number) => JSON.stringify({ client: id, number }))))
  let seen = 0
  await sink.until(() => {
    for (; seen < sink.taken.length; seen++) missing.delete(sink.taken[seen]?.body ?? '')
    return missing.size === 0
  })
  t.equal(await program.stop(), 0)

  const bySource = new Map<string, Map<string, string>>()
  const clashes: string[] = []
  for (const { source, id, sequence } of sink.taken) {
    const numbers = bySource.get(source) ?? new Map<string, string>()
    bySource.set(source, numbers)
    const known = numbers.get(String(sequence))
    if (known !== undefined && known !== id) clashes.push(`${source} ${String(sequence)}: ${known} and ${id}`)
    numbers.set(String(sequence), id)
  }
  t.strictSame(clashes, [], 'a number stands for one event')
  t.equal(bySource.size, publishers.length)
  for (const [source, numbers] of bySource) {
    const expected = Array.from({ length: numbers.size }, (_, index) => String(index + 1).padStart(16, '0'))
    t.strictSame([...numbers.keys()].sort(), expected, `${source}: 1 to ${numbers.size}`)
  }
  t.ok(sink.taken.length > 10 * ROUNDS, `${sink.taken.length} arrived`)
})

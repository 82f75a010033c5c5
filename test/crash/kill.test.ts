/**
 * The promise of the project, held against the built program: whatever was acknowledged arrives, however often and
 * whenever the process is killed, in whatever state the sink is.
 */
import { test } from 'tap'
import { checkArrivals, untilArrived, untilFinished } from '../support/arrivals.ts'
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
  await untilFinished(t, publishers)
  await untilArrived(publishers, sink)
  t.equal(await program.stop(), 0, 'SIGTERM ends it with 0')
  checkArrivals(t, publishers, sink)
})

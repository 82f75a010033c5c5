/**
 * What the crash suites of a group have in common: three built programs behind a load balancer, and a sink, over a
 * Redis that the suite starts.
 */
import type { Test } from 'tap'
import { Balancer } from './balancer.ts'
import { CrashSink } from './crash-sink.ts'
import { startProgram, type Program } from './process.ts'

/** Lines of a log that are shown where something is wrong. */
const SHOWN = 40
const PODS = ['pod-0', 'pod-1', 'pod-2'] as const

export interface CrashGroup {
  readonly sink: CrashSink
  /** Where devices connect: each time to another program. */
  readonly port: number
  /** Kills one of them, and starts another in its place. */
  killOne (): Promise<void>
  /** Asks all to end. @returns their exit codes */
  stop (): Promise<Array<number | null>>
}

/**
 * Starts them.
 * @param config what the suite's configuration has beside that of every group: at least `redis`
 * @param random chooses who is killed, and how the sink fails
 */
export async function startCrashGroup (t: Test, config: object, random: () => number): Promise<CrashGroup> {
  const sink = new CrashSink(random)
  const url = await sink.start()
  t.teardown(async () => { await sink.close() })
  const balancer = new Balancer()
  const port = await balancer.start()
  t.teardown(async () => { await balancer.close() })
  const all = {
    name: 'group',
    listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port: 0 }],
    http: { host: '127.0.0.1', port: 0 },
    broker: { sessions: 'redis' },
    sink: { kind: 'http', url, timeout: 'PT2S' },
    delivery: { backoffDelay: 'PT0.02S', backoffMax: 'PT0.2S', checkpoint: 'PT0.5S' },
    log: { level: 'info', format: 'json' },
    ...config
  }
  const programs = new Map<string, Program>()
  const begin = async (name: string): Promise<void> => {
    const program = await startProgram(t, all)
    programs.set(name, program)
    balancer.set(name, program.port('mqtt'))
  }
  t.teardown(() => {
    if (t.passing()) return
    for (const [name, { log }] of programs) {
      for (const line of log.filter(({ level }) => level !== 'info').slice(-SHOWN)) t.comment(name, JSON.stringify(line))
    }
  })
  await Promise.all(PODS.map(begin))
  return {
    sink,
    port,
    async killOne () {
      const name = PODS[Math.floor(random() * PODS.length)] ?? PODS[0]
      balancer.set(name, undefined)
      await programs.get(name)?.kill()
      await begin(name)
    },
    async stop () {
      const codes: Array<number | null> = []
      for (const program of programs.values()) codes.push(await program.stop())
      return codes
    }
  }
}

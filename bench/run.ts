/**
 * `npm run bench`: what the built program does on this machine, each number beside its bare ceiling from the same run.
 * Everything runs on loopback, bounded by a number of events, and ends by itself. bench/README.md says how to read it.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '200000' },
    clients: { type: 'string', default: '100' },
    inflight: { type: 'string', default: '20' },
    payload: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '3' },
    dir: { type: 'string', default: tmpdir() }
  }
})
const events = Number(values.events)
const rounds = Number(values.rounds)
const CONNECTIONS = 32
const here = import.meta.dirname
const program = join(here, '../../dist/bin/mqtt-broker-source.js')
const children = new Set<ChildProcess>()

interface LoadResult { acked: number, seconds: number, p50Ms: number, p99Ms: number }

function child (name: string, args: readonly (string | number)[] = []): ChildProcess {
  const started = fork(join(here, `${name}.js`), args.map(String), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  children.add(started)
  started.once('exit', () => children.delete(started))
  return started
}

function message<T> (from: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => { reject(new Error(`a child of the benchmark ended with ${code}`)) }
    from.once('exit', ended)
    from.once('message', (value) => {
      from.off('exit', ended)
      resolve(value as T)
    })
  })
}

async function end (started: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (started.exitCode !== null || started.signalCode !== null) return
  const exited = new Promise((resolve) => { started.once('exit', resolve) })
  started.kill(signal)
  await exited
}

/** CPU time of a process so far, in microseconds: user and system ticks of 10 ms. */
function cpuMicros (pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

async function load (port: number): Promise<LoadResult> {
  const started = child('load', [port, values.clients, values.inflight, events, values.payload])
  return await message<LoadResult>(started)
}

interface Program { process: ChildProcess, port: number, admin: string, dir: string }

/** Starts the built program; resolves with its ports once it listens. */
async function start (sink: string | undefined): Promise<Program> {
  const dir = mkdtempSync(join(values.dir, 'mbs-bench-'))
  const config = {
    dataDir: join(dir, 'data'),
    listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port: 0 }],
    http: { host: '127.0.0.1', port: 0 },
    sink: { kind: 'http', ...(sink === undefined ? {} : { url: sink }) },
    delivery: { concurrency: CONNECTIONS },
    log: { format: 'json', level: 'info' }
  }
  writeFileSync(join(dir, 'config.yaml'), JSON.stringify(config))
  const started = spawn(process.execPath, [program, '--config', join(dir, 'config.yaml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '' }
  })
  children.add(started)
  let log = ''
  const ports = await new Promise<{ port: number, admin: string }>((resolve, reject) => {
    started.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log += text
      const mqtt = /"what":"mqtt [^"]*","address":"[^"]*:(\d+)"/.exec(log)
      const admin = /"what":"http [^"]*","address":"([^"]+)"/.exec(log)
      if (mqtt !== null && admin?.[1] !== undefined && log.includes('is up')) resolve({ port: Number(mqtt[1]), admin: admin[1] })
    })
    started.once('exit', (code) => { reject(new Error(`the program ended with ${code}: ${log}`)) })
  })
  return { process: started, ...ports, dir }
}

/** Waits until the sink has counted so many; the time runs from `from`. */
async function arrived (sink: ChildProcess, count: number, from: bigint): Promise<number> {
  for (;;) {
    const answer = message<{ count: number }>(sink)
    sink.send('count')
    if ((await answer).count >= count) return Number(process.hrtime.bigint() - from) / 1e9
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
}

interface Row { what: string, perSecond: number, cpuMicros?: number, note?: string }

async function bareAedes (): Promise<Row> {
  const broker = child('bare-aedes')
  const { port } = await message<{ port: number }>(broker)
  const before = cpuMicros(broker.pid ?? 0)
  const result = await load(port)
  const cpu = (cpuMicros(broker.pid ?? 0) - before) / events
  await end(broker)
  return { what: 'Aedes alone, storing nothing', perSecond: result.acked / result.seconds, cpuMicros: cpu, note: latency(result) }
}

async function intake (): Promise<Row> {
  const { process: broker, port, dir } = await start(undefined)
  const before = cpuMicros(broker.pid ?? 0)
  const result = await load(port)
  const cpu = (cpuMicros(broker.pid ?? 0) - before) / events
  await end(broker)
  rmSync(dir, { recursive: true, force: true })
  return { what: 'publishes stored and acknowledged', perSecond: result.acked / result.seconds, cpuMicros: cpu, note: latency(result) }
}

async function barePost (): Promise<Row> {
  const sink = child('sink')
  const { port } = await message<{ port: number }>(sink)
  const post = child('bare-post', [port, events, CONNECTIONS, values.payload])
  const result = await message<{ done: number, seconds: number, cpuMicros: number }>(post)
  await end(sink)
  return { what: 'undici alone, no broker', perSecond: result.done / result.seconds, cpuMicros: result.cpuMicros }
}

async function endToEnd (): Promise<Row> {
  const sink = child('sink')
  const { port: sinkPort } = await message<{ port: number }>(sink)
  const { process: broker, port, dir } = await start(`http://127.0.0.1:${sinkPort}/`)
  const before = cpuMicros(broker.pid ?? 0)
  const from = process.hrtime.bigint()
  const loading = load(port)
  const seconds = await arrived(sink, events, from)
  const result = await loading
  const cpu = (cpuMicros(broker.pid ?? 0) - before) / events
  await end(broker)
  await end(sink)
  rmSync(dir, { recursive: true, force: true })
  return {
    what: 'publish to sink, both at once', perSecond: events / seconds, cpuMicros: cpu, note: `took in ${Math.round(result.acked / result.seconds)}/s`
  }
}

async function drain (): Promise<Row> {
  const filled = await start(undefined)
  await load(filled.port)
  await end(filled.process)
  const sink = child('sink')
  const { port: sinkPort } = await message<{ port: number }>(sink)
  const config = JSON.parse(readFileSync(join(filled.dir, 'config.yaml'), 'utf8')) as { sink: object }
  writeFileSync(join(filled.dir, 'config.yaml'), JSON.stringify({ ...config, sink: { kind: 'http', url: `http://127.0.0.1:${sinkPort}/` } }))
  const from = process.hrtime.bigint()
  const broker = spawn(process.execPath, [program, '--config', join(filled.dir, 'config.yaml')], { stdio: 'ignore' })
  children.add(broker)
  const seconds = await arrived(sink, events, from)
  const cpu = cpuMicros(broker.pid ?? 0) / events
  await end(broker)
  await end(sink)
  rmSync(filled.dir, { recursive: true, force: true })
  return { what: 'backlog to sink, start included', perSecond: events / seconds, cpuMicros: cpu }
}

function latency (result: LoadResult): string {
  return `PUBACK p50 ${result.p50Ms.toFixed(1)} ms, p99 ${result.p99Ms.toFixed(1)} ms`
}

function median (rows: Row[]): Row {
  const sorted = rows.toSorted((a, b) => a.perSecond - b.perSecond)
  return sorted[Math.floor(sorted.length / 2)] as Row
}

async function measure (): Promise<void> {
  const cpu = cpus()
  console.log(`${cpu.length} x ${cpu[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}; ` +
    `${events} events of ${values.payload} bytes, ${values.clients} clients x ${values.inflight} in flight, median of ${rounds}`)
  const steps = { bareAedes, intake, barePost, endToEnd, drain }
  const results: Record<string, Row[]> = {}
  for (let round = 0; round < rounds; round++) {
    for (const [name, step] of Object.entries(steps)) (results[name] ??= []).push(await step())
  }
  const ceilings: Record<string, string> = { intake: 'bareAedes', endToEnd: 'barePost', drain: 'barePost' }
  for (const name of Object.keys(steps)) {
    const row = median(results[name] ?? [])
    const ceiling = ceilings[name]
    const ratio = ceiling === undefined ? '' : `${Math.round(100 * row.perSecond / median(results[ceiling] ?? []).perSecond)} % of the ceiling`
    console.log([
      row.what.padEnd(36), `${Math.round(row.perSecond)}/s`.padStart(9), `${(row.cpuMicros ?? 0).toFixed(1)} µs CPU`.padStart(13), ratio, row.note ?? ''
    ].join('  ').trimEnd())
  }
}

try {
  await measure()
} finally {
  for (const started of children) started.kill('SIGKILL')
}

/**
 * `npm run bench`: what the built program does on this machine, each number beside its bare ceiling from the same run.
 * Everything runs on loopback, bounded by a number of events, and ends by itself. bench/README.md says how to read it.
 */
import { spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  arrived, child, CONNECTIONS, cpuMicros, end, message, own, program, start, type LoadResult
} from './processes.ts'
import { hasRedis } from './redis-server.ts'

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
const { dir: within } = values

async function load (port: number): Promise<LoadResult> {
  const started = child('load', [port, values.clients, values.inflight, events, values.payload])
  return await message<LoadResult>(started)
}

interface Row { what: string, perSecond: number, cpuMicros?: number, note?: string }

async function bareAedes (): Promise<Row> {
  const broker = child('bare-aedes')
  const { port } = await message<{ port: number }>(broker)
  const before = cpuMicros(broker.pid)
  const result = await load(port)
  const cpu = (cpuMicros(broker.pid) - before) / events
  await end(broker)
  return { what: 'Aedes alone, storing nothing', perSecond: result.acked / result.seconds, cpuMicros: cpu, note: latency(result) }
}

async function intake (): Promise<Row> {
  const { process: broker, port, dir } = await start(undefined, { dir: within })
  const before = cpuMicros(broker.pid)
  const result = await load(port)
  const cpu = (cpuMicros(broker.pid) - before) / events
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
  const { process: broker, port, dir } = await start(`http://127.0.0.1:${sinkPort}/`, { dir: within })
  const before = cpuMicros(broker.pid)
  const from = process.hrtime.bigint()
  const loading = load(port)
  const seconds = await arrived(sink, events, from)
  const result = await loading
  const cpu = (cpuMicros(broker.pid) - before) / events
  await end(broker)
  await end(sink)
  rmSync(dir, { recursive: true, force: true })
  return {
    what: 'publish to sink, both at once', perSecond: events / seconds, cpuMicros: cpu, note: `took in ${Math.round(result.acked / result.seconds)}/s`
  }
}

async function drain (): Promise<Row> {
  const filled = await start(undefined, { dir: within })
  await load(filled.port)
  await end(filled.process)
  const sink = child('sink')
  const { port: sinkPort } = await message<{ port: number }>(sink)
  const config = JSON.parse(readFileSync(join(filled.dir, 'config.yaml'), 'utf8')) as { sink: object }
  writeFileSync(join(filled.dir, 'config.yaml'), JSON.stringify({ ...config, sink: { kind: 'http', url: `http://127.0.0.1:${sinkPort}/` } }))
  const from = process.hrtime.bigint()
  const broker = own(spawn(process.execPath, [program, '--config', join(filled.dir, 'config.yaml')], { stdio: 'ignore' }))
  const seconds = await arrived(sink, events, from)
  const cpu = cpuMicros(broker.pid) / events
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

/** A part in a script of its own, which ends by itself. */
async function part (name: string): Promise<void> {
  console.log()
  const code = await new Promise((resolve) => { child(name).once('exit', resolve) })
  if (code !== 0) process.exitCode = 1
}

await measure()
if (hasRedis()) {
  await part('redis')
  await part('redis-programs')
}

/**
 * The processes of a benchmark: its own children (load, sink, ceilings) and the built program, and what they cost.
 * Between the scripts that measure and the system. Whatever is still running when a script ends, ends with it.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface LoadResult { acked: number, seconds: number, p50Ms: number, p99Ms: number }

export interface Program { process: ChildProcess, port: number, admin: string, dir: string }

export interface ProgramOptions {
  /** Sections of the configuration beside those that all programs of the benchmark have. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** The folder of the outbox is made in it. */
  readonly dir?: string
  /** A file that is loaded in front of the program, which then has a channel for messages. */
  readonly preload?: string
}

export const CONNECTIONS = 32
const here = import.meta.dirname
export const program = join(here, '../../dist/bin/mqtt-broker-source.js')
const children = new Set<ChildProcess>()
const directories = new Set<string>()

process.on('exit', () => {
  for (const started of children) started.kill('SIGKILL')
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { process.exit(1) })

/** A folder that is gone when the script has ended. */
export function makeDirectory (within: string = tmpdir()): string {
  const directory = mkdtempSync(join(within, 'mbs-bench-'))
  directories.add(directory)
  return directory
}

/** Makes a process one that ends with this one. */
export function own<Started extends ChildProcess> (started: Started): Started {
  children.add(started)
  started.once('exit', () => children.delete(started))
  return started
}

export function child (name: string, args: readonly (string | number)[] = []): ChildProcess {
  return own(fork(join(here, `${name}.js`), args.map(String), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }))
}

export function message<T> (from: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => { reject(new Error(`a child of the benchmark ended with ${code}`)) }
    from.once('exit', ended)
    from.once('message', (value) => {
      from.off('exit', ended)
      resolve(value as T)
    })
  })
}

/** Asks a child that answers every message. */
export async function ask<T> (from: ChildProcess): Promise<T> {
  const answer = message<T>(from)
  from.send('?')
  return await answer
}

export async function end (started: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (started.exitCode !== null || started.signalCode !== null) return
  const exited = new Promise((resolve) => { started.once('exit', resolve) })
  started.kill(signal)
  await exited
}

/** CPU time of a process so far, in microseconds: user and system ticks of 10 ms. */
export function cpuMicros (pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

/** Starts the built program; resolves with its ports once it listens. */
export async function start (sink: string | undefined, options: ProgramOptions = {}): Promise<Program> {
  const { settings, dir: within, preload } = options
  const dir = makeDirectory(within)
  const config = {
    dataDir: join(dir, 'data'),
    listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port: 0 }],
    http: { host: '127.0.0.1', port: 0 },
    sink: { kind: 'http', ...(sink === undefined ? {} : { url: sink }) },
    delivery: { concurrency: CONNECTIONS },
    log: { format: 'json', level: 'info' },
    ...settings
  }
  writeFileSync(join(dir, 'config.yaml'), JSON.stringify(config))
  const loaded = preload === undefined ? [] : ['--import', join(here, preload)]
  const started = own(spawn(process.execPath, [...loaded, program, '--config', join(dir, 'config.yaml')], {
    stdio: preload === undefined ? ['ignore', 'ignore', 'pipe'] : ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { PATH: process.env['PATH'] ?? '' }
  }))
  let log = ''
  const ports = await new Promise<{ port: number, admin: string }>((resolve, reject) => {
    started.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log += text
      const mqtt = /"what":"mqtt [^"]*","address":"[^"]*:(\d+)"/.exec(log)
      const admin = /"what":"http [^"]*","address":"([^"]+)"/.exec(log)
      if (mqtt === null || admin?.[1] === undefined || !log.includes('is up')) return
      resolve({ port: Number(mqtt[1]), admin: admin[1] })
    })
    started.once('exit', (code) => { reject(new Error(`the program ended with ${code}: ${log}`)) })
  })
  return { process: started, ...ports, dir }
}

/** Waits until the sink has counted so many; the time runs from `from`. @returns seconds */
export async function arrived (sink: ChildProcess, count: number, from: bigint): Promise<number> {
  for (;;) {
    if ((await ask<{ count: number }>(sink)).count >= count) return Number(process.hrtime.bigint() - from) / 1e9
    await sleep(20)
  }
}

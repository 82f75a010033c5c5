/**
 * The redis-server of a benchmark: started on a free port of loopback, without a disk unless it is told otherwise, and
 * ended with the script. Beside it what it says of itself: the CPU time it took, and the commands that it carried out.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { makeDirectory, own } from './processes.ts'

export interface RedisCosts {
  /** CPU time of the whole process, in microseconds: reading, writing and all commands. */
  readonly cpuMicros: number
  /** How often it has read from a connection: commands that arrive together are one read. */
  readonly reads: number
  /** All commands, those that scripts call among them. */
  readonly commands: number
}

export interface BenchRedis { readonly port: number, readonly version: string, readonly admin: Redis, end (): void }

/** Says on standard error what is not measured. @returns whether there is a redis-server */
export function hasRedis (): boolean {
  if (spawnSync('redis-server', ['--version']).status === 0) return true
  console.error('\nNOT MEASURED: Redis, because redis-server is missing. Install it (apt-get install redis-server).\n')
  return false
}

export async function startRedis (): Promise<BenchRedis> {
  const port = await freePort()
  const server = own(spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', ''], {
    cwd: makeDirectory(), stdio: 'ignore'
  }))
  const admin = new Redis(port, '127.0.0.1')
  admin.on('error', () => {})
  while (admin.status !== 'ready') {
    if (server.exitCode !== null) throw new Error(`redis-server ended with ${server.exitCode}`)
    await sleep(25)
  }
  const version = /redis_version:(\S+)/.exec(await admin.info('server'))?.[1] ?? ''
  return { port, version, admin, end: () => { admin.disconnect(); server.kill() } }
}

/** What it has taken so far. */
export async function costsOf (admin: Redis): Promise<RedisCosts> {
  const [cpu, stats, commands] = await Promise.all([admin.info('cpu'), admin.info('stats'), admin.info('commandstats')])
  const number = (text: string, name: string): number => Number(new RegExp(`^${name}:(.*)`, 'm').exec(text)?.[1] ?? 0)
  let calls = 0
  for (const [, one] of commands.matchAll(/:calls=(\d+)/g)) calls += Number(one)
  return {
    cpuMicros: (number(cpu, 'used_cpu_user') + number(cpu, 'used_cpu_sys')) * 1e6,
    reads: number(stats, 'total_reads_processed'),
    commands: calls
  }
}

async function freePort (): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => { resolve(port) })
    })
  })
}

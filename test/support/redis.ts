/**
 * A real Redis for tests: one server, one with a replica and Sentinels, or a Cluster of three. Started on free ports of
 * loopback, in a directory of the test, and ended with it. Says loudly when redis-server is missing.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis, type RedisOptions } from 'ioredis'
import type { Test } from 'tap'

/** A port that is free now, and the one 10,000 above it as well: a Cluster talks there. */
export async function freePort (): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve, reject) => {
      const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
        const { port } = server.address() as AddressInfo
        server.close(() => { resolve(port) })
      })
    })
    // What the system gives out to clients lies higher.
    if (port < 55_000) return port
  }
}

/** What a client of a server has to show. */
export type RedisAccess = Pick<RedisOptions, 'tls' | 'username' | 'password'>

/** TLS of servers that nobody reaches otherwise: their own settings, and what those show who connect. */
export interface ServerTls {
  /** Without the dashes. */
  readonly settings: Readonly<Record<string, string>>
  readonly access: RedisAccess
  /** Of redis-cli. */
  readonly cli: readonly string[]
}

/** What those have to show who connect to a server that is watched, and to its Sentinels. */
export interface WatchedPasswords {
  readonly server: string
  readonly sentinelUser: string
  readonly sentinel: string
}

export class RedisServer {
  readonly port: number
  readonly #access: RedisAccess
  readonly #directory: string
  readonly #args: readonly string[]
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()

  constructor (directory: string, port: number, args: readonly string[], access: RedisAccess = {}) {
    this.port = port
    this.#access = access
    this.#directory = directory
    this.#args = args
  }

  get url (): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid (): number | undefined {
    return this.#child?.pid
  }

  /** Starts it, also again after `kill`, on the same port and files. */
  async start (): Promise<void> {
    const child = spawn('redis-server', [...this.#args], { cwd: this.#directory, stdio: 'ignore' })
    this.#child = child
    this.#exited = new Promise((resolve) => { child.once('exit', () => { resolve() }) })
    for (let tries = 0; tries < 200; tries++) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}: ${this.#args.join(' ')}`)
      if (await this.#answers()) return
      await sleep(25)
    }
    throw new Error('redis-server does not answer')
  }

  /** Stops its process from running, and lets it go on. */
  pause (): void { this.#child?.kill('SIGSTOP') }
  resume (): void { this.#child?.kill('SIGCONT') }

  async kill (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child?.kill('SIGCONT')
    this.#child?.kill(signal)
    await this.#exited
  }

  /** A client for the test itself. @param t ends it with the test */
  client (t: Test): Redis {
    const client = new Redis(this.port, '127.0.0.1', { ...this.#access, maxRetriesPerRequest: null })
    client.on('error', () => {})
    t.teardown(() => { client.disconnect() })
    return client
  }

  async #answers (): Promise<boolean> {
    const probe = new Redis(this.port, '127.0.0.1', {
      ...this.#access, lazyConnect: true, retryStrategy: null, enableReadyCheck: false
    })
    probe.on('error', () => {})
    try {
      await probe.connect()
      await probe.call('PING').catch((error: Error) => {
        if (!/NOAUTH|LOADING|MASTERDOWN/.test(error.message)) throw error
      })
      return true
    } catch {
      return false
    } finally {
      probe.disconnect()
    }
  }
}

let isChecked = false

/** @throws where there is no redis-server: nothing of this can be tested without one */
export function requireRedis (): void {
  if (isChecked) return
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    throw new Error('redis-server is missing: install it (apt-get install redis-server), or leave these tests to CI')
  }
  isChecked = true
}

/**
 * Starts one server.
 * @param settings beside those of a quiet server in a directory of its own
 * @param access what it wants of clients; with `tls` it listens for nothing else
 */
export async function startRedis (
  t: Test, settings: readonly string[] = [], access: RedisAccess = {}
): Promise<RedisServer> {
  requireRedis()
  const port = await freePort()
  const directory = join(t.testdir({ redis: {} }), 'redis')
  return await startIn(t, directory, port, settings, access)
}

async function startIn (
  t: Test, directory: string, port: number, settings: readonly string[], access: RedisAccess = {}
): Promise<RedisServer> {
  mkdirSync(directory, { recursive: true })
  const ports = access.tls === undefined ? ['--port', String(port)] : ['--port', '0', '--tls-port', String(port)]
  const server = new RedisServer(directory, port, [
    ...ports, '--bind', '127.0.0.1', '--save', '', '--daemonize', 'no', ...settings
  ], access)
  t.teardown(() => server.kill())
  await server.start()
  return server
}

export interface Watched {
  readonly servers: readonly RedisServer[]
  /** `host:port` of each Sentinel. */
  readonly sentinels: readonly string[]
  /** The Sentinels themselves. */
  readonly watchers: readonly RedisServer[]
  /** Asks a Sentinel who the primary is. */
  primary (): Promise<RedisServer>
  /**
   * Resolves when the other one has what the primary has, in memory and in its file, and may take over. Not before:
   * after its first synchronization a replica writes its file anew, and killed meanwhile it comes back empty.
   */
  inSync (): Promise<void>
}

/** A primary with a replica, and three Sentinels that promote the replica when the primary is gone for a second. */
export async function startWatched (t: Test, passwords?: WatchedPasswords, tls?: ServerTls): Promise<Watched> {
  requireRedis()
  const root = t.testdir({})
  const ports = [await freePort(), await freePort()]
  const servers: RedisServer[] = []
  for (const [at, port] of ports.entries()) {
    const settings = ['--appendonly', 'yes', '--repl-diskless-sync-delay', '0']
    if (at > 0) settings.push('--replicaof', '127.0.0.1', String(ports[0]))
    if (passwords !== undefined) settings.push('--requirepass', passwords.server, '--masterauth', passwords.server)
    settings.push(...argsOf(tls, 'tls-replication'))
    servers.push(await startIn(t, join(root, `server-${at}`), port, settings, tls?.access))
  }
  const watchers: RedisServer[] = []
  for (let at = 0; at < 3; at++) {
    const port = await freePort()
    const directory = join(root, `sentinel-${at}`)
    mkdirSync(directory)
    const file = join(directory, 'sentinel.conf')
    writeFileSync(file, [
      ...(tls === undefined ? [`port ${port}`] : ['port 0', `tls-port ${port}`, 'tls-replication yes']),
      ...Object.entries(tls?.settings ?? {}).map(([name, value]) => `${name} ${value}`),
      'bind 127.0.0.1', `sentinel monitor mymaster 127.0.0.1 ${ports[0]} 2`,
      'sentinel down-after-milliseconds mymaster 1000', 'sentinel failover-timeout mymaster 3000',
      ...(passwords === undefined ? [] : sentinelSettings(passwords)), ''
    ].join('\n'))
    const sentinel = new RedisServer(directory, port, [file, '--sentinel'], tls?.access)
    t.teardown(() => sentinel.kill())
    await sentinel.start()
    watchers.push(sentinel)
  }
  const sentinels = watchers.map(({ port }) => `127.0.0.1:${port}`)
  const asked = new Redis(watchers[0]!.port, '127.0.0.1', {
    maxRetriesPerRequest: null,
    ...tls?.access,
    ...(passwords !== undefined && { username: passwords.sentinelUser, password: passwords.sentinel })
  })
  asked.on('error', () => {})
  t.teardown(() => { asked.disconnect() })
  const primary = async (): Promise<RedisServer> => {
    const [, port] = await asked.call('SENTINEL', 'get-master-addr-by-name', 'mymaster') as [string, string]
    return servers.find((server) => server.port === Number(port))!
  }
  const clients = new Map<RedisServer, Redis>()
  const inSync = async (): Promise<void> => {
    for (;;) {
      const first = await primary()
      const second = servers.find((server) => server !== first)!
      const [of, its] = await Promise.all([first, second].map(async (server) => {
        if (!clients.has(server)) clients.set(server, server.client(t))
        return `${await clients.get(server)!.info('replication')}${await clients.get(server)!.info('persistence')}`
      })) as [string, string]
      const isReplica = /role:master/.test(of) && /role:slave/.test(its) && /master_link_status:up/.test(its)
      if (isReplica && /state=online/.test(of) && /aof_rewrite_in_progress:0\s+aof_rewrite_scheduled:0/.test(its)) return
      await sleep(50)
    }
  }
  // Until each Sentinel knows the others and the replica, none of them can promote it.
  for (let tries = 0; tries < 400; tries++) {
    const fields = await asked.call('SENTINEL', 'master', 'mymaster') as string[]
    const of = (name: string) => fields[fields.indexOf(name) + 1]
    if (of('num-other-sentinels') === '2' && of('num-slaves') === '1') return { servers, sentinels, watchers, primary, inSync }
    await sleep(50)
  }
  throw new Error('the Sentinels did not find each other')
}

function sentinelSettings ({ server, sentinelUser, sentinel }: WatchedPasswords): string[] {
  return [
    `sentinel auth-pass mymaster ${server}`, `user ${sentinelUser} on >${sentinel} ~* &* +@all`, 'user default off',
    `sentinel sentinel-user ${sentinelUser}`, `sentinel sentinel-pass ${sentinel}`
  ]
}

function argsOf (tls: ServerTls | undefined, among: string): string[] {
  if (tls === undefined) return []
  return Object.entries({ ...tls.settings, [among]: 'yes' }).flatMap(([name, value]) => [`--${name}`, value])
}

/** A Cluster of three primaries, and `replicas` for each. */
export async function startCluster (t: Test, replicas = 0, tls?: ServerTls): Promise<readonly RedisServer[]> {
  requireRedis()
  const root = t.testdir({})
  const servers: RedisServer[] = []
  for (let at = 0; at < 3 * (replicas + 1); at++) {
    servers.push(await startIn(t, join(root, `node-${at}`), await freePort(), [
      '--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--appendonly', 'yes',
      ...argsOf(tls, 'tls-cluster')
    ], tls?.access))
  }
  const made = spawnSync('redis-cli', [
    ...tls?.cli ?? [], '--cluster', 'create', ...servers.map(({ port }) => `127.0.0.1:${port}`), '--cluster-replicas', String(replicas), '--cluster-yes'
  ], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`redis-cli --cluster create: ${made.stdout}${made.stderr}`)
  const client = servers[0]!.client(t)
  for (let tries = 0; tries < 400; tries++) {
    if ((await client.cluster('INFO')).includes('cluster_state:ok')) return servers
    await sleep(50)
  }
  throw new Error('the Cluster did not come up')
}

/**
 * The connections to Redis: one server, one that Sentinels watch, or a Cluster. Between the stages that keep something
 * there and ioredis, which nobody else imports. It connects again by itself for ever.
 *
 * Invariant: a command is sent once. Nothing waits for a connection to come back and nothing is sent again by itself:
 * what has no answer fails, and whoever asked knows best whether to ask again. A server that does not answer in time is
 * taken for one that is away.
 */
import { Cluster, Redis, type ClusterOptions, type RedisOptions } from 'ioredis'
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'
import { credentialsOf, secretIn, tlsOf } from './files.ts'
import { databaseOf, parseNode } from './node.ts'

export type RedisClient = Redis | Cluster

/** The section `redis` of the configuration; durations in milliseconds. */
export interface RedisSettings {
  readonly url?: string
  readonly sentinel?: {
    readonly master: string
    readonly nodes: readonly string[]
    readonly username?: string
    readonly passwordFile?: string
  }
  readonly cluster?: { readonly nodes: readonly string[] }
  readonly username?: string
  readonly passwordFile?: string
  readonly tls?: { readonly ca?: string, readonly cert?: string, readonly key?: string, readonly servername?: string }
  readonly timeout: number
}

export interface LinkOptions {
  readonly settings: RedisSettings
  /** Told of an error of a connection, each time it fails. */
  readonly onError: (error: MbsError) => void
  /** Told when a connection is ready, at first and again. */
  readonly onReady: () => void
}

/** The longest time until a connection is tried again, in milliseconds. */
const RETRY_MAX_MS = 2000
const FIRST_RETRY_MS = 50
/** Not let in: the password, the user, or what the user may do. */
const DENIED = /^(?:NOAUTH|WRONGPASS|NOPERM|ERR (?:invalid password|Client sent AUTH|AUTH))/
/** What says that there is no connection, and not why. */
const NO_REASON = /isn't writeable|Connection is closed|Cluster isn't ready/
/** It was connected, and closed before the first answer. */
const CLOSED = 'it closes connections at once: one side wants TLS and the other does not, or a client certificate is missing'
/** What ioredis says when no Sentinel has answered. */
const OF_SENTINELS = /^All sentinels are unreachable.*Last error: (.*)$/s
/** What ioredis says when there is no answer: of a server, of a Sentinel, of a Cluster. */
const NO_ANSWER = /^(?:connect ETIMEDOUT|Command timed out|timeout)$/
const NO_TLS = 'there is no answer to TLS, and a server that speaks none gives none'
/** The server is a replica by now: whoever knows the primary has to be asked again. */
const MOVED_ON = /^READONLY/

export class RedisLink {
  readonly #options: LinkOptions
  readonly #clients = new Set<RedisClient>()
  #closed = false
  /** Why a connection failed last. */
  #last: Error | undefined
  /** Why the last Sentinel could not be asked. */
  #ofSentinel: Error | undefined

  constructor (options: LinkOptions) {
    this.#options = options
  }

  /** Where it is, for messages: without a password. */
  get address (): string {
    return addressOf(this.#options.settings)
  }

  get isCluster (): boolean {
    return this.#options.settings.cluster !== undefined
  }

  /** The number of the database. Channels do not belong to one: whoever names them has to. */
  get database (): number {
    return databaseOf(this.#options.settings.url)
  }

  /**
   * Makes a connection that is ready.
   * @param waitMs how long to try
   * @throws MBS_ERR_REDIS_CONNECT, MBS_ERR_REDIS_AUTH, MBS_ERR_REDIS_DATABASE, MBS_ERR_REDIS_FILE
   */
  async connect (waitMs: number): Promise<RedisClient> {
    const client = await this.#create()
    this.#clients.add(client)
    if (client instanceof Cluster) client.on('+node', forgetTimer)
    else forgetTimer(client)
    let last: Error | undefined
    client.on('error', (error: Error) => {
      this.#last = last = this.#reasonOf(error)
      // It would go on in database 0, among the keys of others.
      if (isOfSelect(last)) client.disconnect(true)
      if (!this.#closed) this.#options.onError(this.toError(last))
    })
    try {
      await ready(client, waitMs, () => last !== undefined && (DENIED.test(last.message) || isOfDatabase(last)))
    } catch (error) {
      this.#clients.delete(client)
      client.disconnect()
      throw this.toError(last ?? error)
    }
    client.on('ready', () => { this.#options.onReady() })
    return client
  }

  /** What ioredis or Redis says, as an error of this program. */
  toError (error: unknown): MbsError {
    if (isMbsError(error)) return error
    const reason = reasonOf(NO_REASON.test(reasonOf(error)) ? this.#last ?? new Error('it is not connected') : error)
    const details = { address: this.address, reason }
    // Who is not let in does not get a database either.
    if (DENIED.test(reason)) return createError('MBS_ERR_REDIS_AUTH', details, error)
    if (isOfDatabase(error)) return createError('MBS_ERR_REDIS_DATABASE', details, error)
    return createError('MBS_ERR_REDIS_CONNECT', details, error)
  }

  /** Ends all connections. */
  close (): void {
    this.#closed = true
    for (const client of this.#clients) client.disconnect()
    this.#clients.clear()
  }

  /** Why it failed, where ioredis says no more than that it could not reach any, or that nothing can be written. */
  #reasonOf (error: Error & { readonly lastNodeError?: Error }): Error {
    let last: Error = error.lastNodeError ?? error
    const ofSentinels = OF_SENTINELS.exec(last.message)?.[1]
    if (ofSentinels !== undefined) {
      const own = NO_REASON.test(ofSentinels) ? this.#ofSentinel : undefined
      last = own ?? new Error(ofSentinels)
    }
    this.#ofSentinel = undefined
    if (NO_REASON.test(last.message)) return new Error(CLOSED)
    const { url, tls } = this.#options.settings
    const isTls = tls !== undefined || url?.startsWith('rediss:') === true
    return isTls && NO_ANSWER.test(last.message) ? new Error(NO_TLS) : last
  }

  async #create (): Promise<RedisClient> {
    const { settings } = this.#options
    const common: RedisOptions = {
      ...await credentialsOf(settings),
      ...await tlsOf(settings),
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: settings.timeout,
      socketTimeout: settings.timeout,
      keepAlive: 10_000,
      retryStrategy: retryMs,
      reconnectOnError: (error) => MOVED_ON.test(error.message) ? 1 : false
    }
    const { url, sentinel, cluster } = settings
    if (cluster !== undefined) {
      const options: ClusterOptions = {
        redisOptions: common,
        lazyConnect: true,
        enableOfflineQueue: false,
        clusterRetryStrategy: retryMs,
        slotsRefreshTimeout: settings.timeout,
        slotsRefreshInterval: RETRY_MAX_MS
      }
      return new Cluster(cluster.nodes.map(nodeOf), options)
    }
    if (sentinel !== undefined) {
      const password = sentinel.passwordFile === undefined ? undefined : await secretIn(sentinel.passwordFile)
      const client = new Redis({
        ...common,
        name: sentinel.master,
        sentinels: sentinel.nodes.map(nodeOf),
        sentinelRetryStrategy: retryMs,
        // Without it one that is connected and says nothing is waited for, for ever, and the next one never asked.
        sentinelCommandTimeout: settings.timeout,
        ...(sentinel.username !== undefined && { sentinelUsername: sentinel.username }),
        ...(password !== undefined && { sentinelPassword: password }),
        ...(common.tls !== undefined && { sentinelTLS: common.tls, enableTLSForSentinelMode: true })
      })
      hearSentinels(client, (error) => { this.#ofSentinel = error })
      return client
    }
    const { hostname, port } = new URL(url ?? '')
    return new Redis({
      ...common,
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? 6379 : Number(port),
      db: this.database
    })
  }
}

/** Resolves when the client is ready; rejects when that takes too long, or it cannot become so. */
async function ready (client: RedisClient, waitMs: number, isHopeless: () => boolean): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const end = (error?: Error): void => {
      clearTimeout(timer)
      client.off('ready', onReady)
      client.off('error', onError)
      if (error === undefined) resolve()
      else reject(error)
    }
    const timer = setTimeout(() => { end(new Error(`it was not ready within ${waitMs} ms`)) }, waitMs)
    const onReady = (): void => { end() }
    const onError = (error: Error): void => { if (isHopeless()) end(error) }
    client.on('ready', onReady)
    client.on('error', onError)
    // It fails with the first try, and is tried again all the same.
    client.connect().catch(() => {})
  })
}

/**
 * ioredis leaves the timer of a connection that has closed while an answer was due, and it would end the next one,
 * which works.
 */
function forgetTimer (client: Redis): void {
  client.on('close', () => { clearTimeout((client as unknown as { socketTimeoutTimer?: NodeJS.Timeout }).socketTimeoutTimer) })
}

/** ioredis keeps to itself why a Sentinel could not be asked: it says that the connection is closed. */
function hearSentinels (client: Redis, heard: (error: Error) => void): void {
  const { connector } = client as unknown as { connector: { connectToSentinel (...args: unknown[]): Redis } }
  const connect = connector.connectToSentinel.bind(connector)
  connector.connectToSentinel = (...args) => connect(...args).on('error', heard)
}

function retryMs (times: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** Math.min(times, 16), RETRY_MAX_MS)
}

/** SELECT failed, and ioredis goes on without. */
function isOfSelect (error: unknown): boolean {
  return (error as { readonly command?: { readonly name?: string } } | undefined)?.command?.name === 'select'
}

/** The server has not got that many databases, or has only one. */
function isOfDatabase (error: unknown): boolean {
  return isOfSelect(error) && reasonOf(error).startsWith('ERR ')
}

/** The configuration has seen to it that it is an address. */
function nodeOf (node: string): { readonly host: string, readonly port: number } {
  return parseNode(node) ?? { host: node, port: 6379 }
}

function addressOf ({ url, sentinel, cluster }: RedisSettings): string {
  if (sentinel !== undefined) return `${sentinel.master} of the Sentinels ${sentinel.nodes.join(', ')}`
  return cluster?.nodes.join(', ') ?? url ?? ''
}

/**
 * The composition root: builds the stages and hands each the functions it calls. No stage knows the next one.
 *
 * Started from sink to listener, so that nothing arrives before it can be stored; closed in the order of the flow, so
 * that everything accepted is finished. A start that fails closes what it had opened.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { Access } from './access/access.ts'
import { createPermissions, type Permissions } from './access/permissions.ts'
import { createAdminServer, type AdminServer } from './admin/admin-server.ts'
import { createBroker, type Broker } from './broker/broker.ts'
import { describeListener, isLocalListener } from './config/addresses.ts'
import { loadConfig, type LoadOptions } from './config/load.ts'
import { readPermissions } from './config/permissions-file.ts'
import type { Config, ListenerConfig } from './config/schema.ts'
import { readUsersFile } from './config/users-file.ts'
import type { DeliveryStage } from './delivery/delivery-stage.ts'
import { createError, type MbsError } from './errors.ts'
import { createIngest, type Ingest } from './ingest.ts'
import type { LifecycleEvents } from './ingest/lifecycle-events.ts'
import { ConnectionLimit } from './listener/connection-limit.ts'
import { InflightBytes } from './listener/inflight-bytes.ts'
import { Listener } from './listener/listener.ts'
import { reservedTopics } from './mapping/event-rules.ts'
import type { Publish } from './message.ts'
import type { Intake } from './outbox/outbox.ts'
import {
  createEventMapper, createLifecycle, createTracing, transportOf, type EventMapper
} from './parts.ts'
import { Reloader } from './reload/reloader.ts'
import { createSinks, type SinkParts, type Target } from './sink-parts.ts'
import { createStore, openBrokerState, type Store } from './store-parts.ts'
import { Telemetry } from './telemetry/telemetry.ts'
import type { Tracing } from './tracing/tracing.ts'
import { VERSION } from './version.ts'

/** Where a started source listens, as `host:port` or the path of a Unix socket. */
export interface Addresses {
  readonly listeners: ReadonlyArray<{ readonly protocol: ListenerConfig['protocol'], readonly address: string }>
  readonly http: string
}

const START_FAILED = 'the start failed'

/** What nobody has to choose: no installation is better off with other values. */
const FIXED = {
  /** A will that could not be stored is tried again after this, and then twice as long; so many at a time. */
  willRetryMs: 500,
  maxWaitingWills: 10_000,
  /** How long a client may take nothing that is sent to it. */
  drainTimeoutMs: 10_000
} as const

/** What a broker keeps that is not there yet. */
const NOTHING_KEPT = {
  persistentSessions: 0, queuedMessages: 0, queuedBytes: 0, retainedMessages: 0, retainedBytes: 0, subscriptionBytes: 0
}

/** While there is no delivery, nothing is delivered. */
const NEVER = new Promise<never>(() => {})

type Phase = 'new' | 'started' | 'draining' | 'closed'

export class Source {
  readonly config: Config
  readonly version = VERSION
  readonly #telemetry: Telemetry
  readonly #permissions: Permissions
  readonly #admin: AdminServer
  readonly #access: Access
  readonly #store: Store
  readonly #outbox: Intake
  readonly #reloader: Reloader
  readonly #tracing: Tracing | undefined
  readonly #sinks: SinkParts
  readonly #inflight: InflightBytes
  readonly #lifecycle: LifecycleEvents | undefined
  #deliveries: DeliveryStage | undefined
  #mapper: EventMapper | undefined
  #ingest: Ingest | undefined
  #broker: Broker | undefined
  #listeners: Listener[] = []
  #addresses: Addresses = { listeners: [], http: '' }
  #phase: Phase = 'new'
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined

  /** Use `createSource`. */
  constructor (config: Config) {
    this.config = config
    this.#telemetry = new Telemetry(config.log)
    this.#reloader = new Reloader({ telemetry: this.#telemetry, everyMs: config.reload.every })
    this.#access = new Access({
      settings: config.access,
      readUsers: async () => await readUsersFile(config.access.users ?? ''),
      timeoutMs: config.limits.connectTimeout,
      telemetry: this.#telemetry
    })
    this.#permissions = createPermissions(readPermissions(config))
    this.#tracing = createTracing(config, this.#telemetry)
    this.#sinks = createSinks(config, this.#telemetry, this.#tracing?.attempts)
    this.#inflight = new InflightBytes(config.limits.inflightBytes)
    this.#store = createStore(config, this.#telemetry)
    this.#outbox = this.#store.outbox
    this.#lifecycle = createLifecycle(config, this.#outbox, (clientId, run) => {
      // Nobody is told of before there is somewhere to publish.
      this.#ingest?.inTurn(clientId, run)
    }, this.#telemetry)
    this.#admin = createAdminServer({
      host: config.http.host,
      port: config.http.port,
      telemetry: this.#telemetry,
      state: {
        started: () => this.#phase !== 'new',
        draining: () => this.#phase === 'draining' || this.#phase === 'closed',
        outbox: () => this.#outbox.stats(),
        sinks: () => this.#deliveries?.states() ?? new Map()
      }
    })
  }

  /** Where the program's own messages go, for whoever embeds it. */
  get log (): Logger {
    return this.#telemetry.log
  }

  /** Where it listens; complete once `start` has resolved. */
  get addresses (): Addresses {
    return this.#addresses
  }

  /**
   * Opens the outbox, then everything up to the listeners. Idempotent.
   * @throws what keeps it from running: MBS_ERR_ACCESS_*, MBS_ERR_MAPPING_*, MBS_ERR_OUTBOX_*, MBS_ERR_SESSIONS_*,
   * MBS_ERR_REDIS_*, MBS_ERR_LISTENER_*, MBS_ERR_SINK_CA, MBS_ERR_SINK_TLS, MBS_ERR_SINK_CREDENTIALS,
   * MBS_ERR_TRACING_HEADERS, MBS_ERR_HTTP_BIND; MBS_ERR_SOURCE_CLOSED after `close`
   */
  start (): Promise<void> {
    if (this.#starting === undefined && this.#closing !== undefined) {
      return Promise.reject(createError('MBS_ERR_SOURCE_CLOSED'))
    }
    this.#starting ??= this.#start()
    return this.#starting
  }

  /**
   * Ends it in order: readiness off, everything goes on for `drain.delay`, no new connections, clients disconnected
   * over `drain.window`, open publishes finished, deliveries under way finished within `delivery.grace`, outbox closed.
   * Idempotent. Loses nothing acknowledged, whenever called.
   * @param reason for the log
   */
  close (reason = 'close() was called'): Promise<void> {
    this.#closing ??= this.#close(reason)
    return this.#closing
  }

  /**
   * Reads the files again that listeners, access and sinks name, changed or not: certificates, keys, CAs, revocation
   * lists, users, permissions, keys of tokens. No connection is closed. What cannot be used leaves in force what was,
   * and is logged and counted. Never rejects.
   * @param reason for the log
   * @returns MBS_ERR_RELOAD_FAILED for each group of files that was not taken over; empty: all were
   */
  async reload (reason = 'reload() was called'): Promise<readonly MbsError[]> {
    if (this.config.access.permissions !== undefined) this.#telemetry.permissionsNotRead()
    return await this.#reloader.reloadAll(reason)
  }

  async #start (): Promise<void> {
    try {
      await this.#readAccess()
      await this.#startTracing()
      this.#mapper = createEventMapper(this.config, this.#telemetry, this.#tracing)
      const http = await this.#admin.start()
      this.#telemetry.listening({ what: `http ${this.config.http.host}:${this.config.http.port}`, address: http })
      const { receipts } = await this.#outbox.open()
      await this.#startDelivery()
      this.#ingest = createIngest({
        map: this.#mapper.map,
        outbox: this.#outbox,
        settled: (sequence) => this.#deliveries?.settled(sequence) ?? NEVER,
        setAside: (sequence, event) => { this.#deliveries?.setAside(sequence, event) },
        receipts,
        receiptLimit: this.config.outbox.receipts,
        publishTimeoutMs: this.config.limits.publishTimeout,
        willRetryMs: FIXED.willRetryMs,
        maxWaitingWills: FIXED.maxWaitingWills,
        telemetry: this.#telemetry,
        now: () => performance.now()
      })
      this.#observe(this.#ingest)
      this.#broker = await this.#startBroker(this.#ingest)
      this.#addresses = { listeners: await this.#startListeners(this.#broker), http }
      this.#reloader.start()
      this.#phase = 'started'
      this.#telemetry.started({ version: VERSION, name: this.config.name })
    } catch (error) {
      await this.close(START_FAILED)
      throw error
    }
  }

  async #startTracing (): Promise<void> {
    if (this.#tracing === undefined) return
    const { files } = this.#tracing
    if (files.files.length > 0) await this.#reloader.add(files)
    await this.#tracing.start()
  }

  async #startDelivery (): Promise<void> {
    const { deliveries, awaited, targets } = this.#sinks
    for (const target of targets) await this.#readFilesOf(target)
    for (const { sink: { name, destination } } of deliveries) {
      this.#telemetry.sinkConfigured({ sink: name, destination })
    }
    if (awaited.length > 0) this.#telemetry.sinkMissing()
    this.#deliveries = this.#store.deliver(this.#sinks)
    await this.#deliveries.start()
  }

  #observe (ingest: Ingest): void {
    this.#telemetry.observe({
      outbox: () => this.#outbox.stats(),
      delivery: () => this.#deliveries?.stats() ?? new Map(),
      openPublishes: () => ingest.open,
      inflightBytes: () => this.#inflight.total,
      broker: () => this.#broker?.stats() ?? NOTHING_KEPT
    })
  }

  async #startBroker (ingest: Ingest): Promise<Broker> {
    const { connectTimeout, sessionExpiry, ...rest } = this.config.limits
    const limits = { ...rest, sessionExpiryMs: sessionExpiry }
    const publish = (publishing: Publish) => ingest.publish(publishing)
    const state = await openBrokerState(this.config, limits, this.#telemetry)
    const broker = createBroker({
      authenticate: async (credentials, signal) => await this.#access.authenticate(credentials, signal),
      publish: this.#tracing?.publisher(publish) ?? publish,
      canStore: () => this.#outbox.stats().status !== 'failed',
      permissions: this.#permissions,
      deniedPublish: this.config.access.deniedPublish,
      lifecycle: this.#lifecycle?.tell,
      limits: {
        ...limits,
        connectTimeoutMs: connectTimeout,
        reserved: reservedTopics(this.config.events.presets)
      },
      state,
      telemetry: this.#telemetry
    })
    // Nobody else would end its connections.
    broker.catch(() => { state.close().catch((error: unknown) => { this.#telemetry.unexpected(error, 'closing sessions') }) })
    return await broker
  }

  async #startListeners (broker: Broker): Promise<Addresses['listeners']> {
    const { limits } = this.config
    const connections = new ConnectionLimit(limits.connections, limits.connectionsPerAddress)
    const inflight = this.#inflight
    this.#listeners = this.config.listeners.map((listener) => new Listener({
      ...transportOf(listener, this.config.listeners),
      anonymous: listener.anonymous,
      limits: {
        packetBytes: limits.packetBytes,
        inflightPerClient: limits.inflightPerClient,
        messagesPerSecond: limits.messagesPerSecond,
        bytesPerSecond: limits.bytesPerSecond,
        connectTimeoutMs: limits.connectTimeout,
        packetTimeoutMs: limits.packetTimeout,
        unreadBytes: limits.unreadBytes,
        drainTimeoutMs: FIXED.drainTimeoutMs,
        subscriptionsPerPacket: limits.subscriptionsPerPacket
      },
      connections,
      inflight,
      handle: (gate) => { broker.handle(gate) },
      telemetry: this.#telemetry
    }))
    const addresses = []
    for (const [at, listener] of this.#listeners.entries()) {
      const settings = this.config.listeners[at] as ListenerConfig
      const what = describeListener(settings)
      await this.#watchFiles(listener)
      const address = await listener.start()
      this.#telemetry.listening({ what, address })
      const open = settings.anonymous && settings.tls?.clientCertificate !== 'required'
      if (open && !isLocalListener(settings)) this.#telemetry.anonymousListener({ listener: what })
      addresses.push({ protocol: settings.protocol, address })
    }
    return addresses
  }

  /** Reads what says who may come in; without it the program does not start. Permissions were read before. */
  async #readAccess (): Promise<void> {
    for (const item of this.#access.files()) {
      await this.#reloader.add(item)
      await item.reload()
    }
    const { permissionsFile } = this.config.access
    if (permissionsFile === undefined) return
    await this.#reloader.add({
      kind: 'permissions',
      what: 'permissions',
      files: [permissionsFile],
      reload: async () => { this.#permissions.replace(readPermissions(this.config)) }
    })
  }

  async #watchFiles (listener: Listener): Promise<void> {
    if (listener.files.length === 0) return
    await this.#reloader.add({
      kind: 'tls', what: `TLS files of the listener ${listener.name}`, files: listener.files, reload: () => listener.reload()
    })
  }

  /** Reads what a sink needs before its first event, and again when it changes. */
  async #readFilesOf ({ sink, ca }: Target): Promise<void> {
    if (ca !== undefined && ca.files.length > 0) {
      await this.#reloader.add({
        kind: 'sink-ca',
        what: `CA certificates of the sink ${sink.name}`,
        files: ca.files,
        reload: async () => { sink.trust?.(ca.read()) }
      })
      sink.trust?.(ca.read()) // they may have changed since the sink was made
    }
    for (const files of sink.files ?? []) {
      await this.#reloader.add(files)
      await files.reload()
    }
  }

  async #close (reason: string): Promise<void> {
    const wasStarted = this.#phase === 'started'
    this.#phase = 'draining'
    this.#telemetry.stopping({ reason })
    // A start under way is let finish: what it opens has to be closed.
    if (reason !== START_FAILED) await this.#starting?.catch(() => {})
    const { delay, window } = this.config.drain
    if (wasStarted && delay > 0) await sleep(delay)
    this.#reloader.close()
    await Promise.all(this.#listeners.map(async (listener) => { await listener.stopAccepting() }))
    if (wasStarted && window > 0) await this.#broker?.drain(window)
    // Both at once: the broker waits for wills that ingest tries again until it is told not to.
    await Promise.all([this.#ingest?.quiesce(), this.#broker?.quiesce()])
    await this.#broker?.close()
    await Promise.all(this.#listeners.map(async (listener) => { await listener.close() }))
    await this.#ingest?.close()
    await this.#lifecycle?.settled() // how each session ended has been told by now
    await this.#mapper?.close()
    await this.#deliveries?.close(this.config.delivery.grace)
    await Promise.all(this.#sinks.targets.map(async ({ sink }) => { await sink.close() }))
    await this.#tracing?.close()
    await this.#outbox.close()
    await this.#admin.close()
    this.#phase = 'closed'
    this.#telemetry.stopped()
  }
}

/**
 * Makes a source from its settings, given as an object, a file, or the environment. Nothing is opened before `start`.
 * @throws MBS_ERR_CONFIG_* (all mistakes at once), MBS_ERR_SINK_URL, MBS_ERR_SINK_CA,
 * MBS_ERR_ACCESS_PERMISSIONS
 */
export function createSource (options: LoadOptions = {}): Source {
  const { config, warnings } = loadConfig(options)
  const source = new Source(config)
  for (const warning of warnings) source.log.warn(warning)
  return source
}

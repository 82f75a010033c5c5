/**
 * Aedes, made safe: its hooks are the files beside this one, its errors become ours, its life ends after its work. No
 * other file of the program knows that it is Aedes, or which version.
 *
 * Invariants: a publish passes only through the publish hook; what the broker itself publishes ($SYS and messages sent
 * through it) never does; an error of a connection is told once.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { Aedes, type Client } from 'aedes'
import { reasonOf } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { internalsOf, toAedesOptions, type AedesClient } from './aedes-types.ts'
import { createAdmission, tellingOfSession } from './admission.ts'
import { BrokerState, type BrokerStats } from './broker-state.ts'
import { createConnectHook } from './connect-hook.ts'
import type {
  Authenticate, BrokerLimits, Connection, DeniedPublish, Permissions, StateLimits, StorePublish, TellLifecycle
} from './contract.ts'
import { toConnectionError } from './end-reason.ts'
import { Identities } from './identities.ts'
import { LifecycleWatch } from './lifecycle-watch.ts'
import { OpenSessions } from './open-sessions.ts'
import { PublishHook } from './publish-hook.ts'
import type { RedisState } from './redis/redis-state.ts'
import { SubscribeHook } from './subscribe-hook.ts'

/**
 * Messages on their way to subscribers at a time: as many as there are. With a bound, those beyond it would wait behind
 * the slowest subscriber, whoever sent them and whoever they are for; each connection is bounded already.
 */
const CONCURRENT_MESSAGES = 0
/**
 * Packet identifiers at QoS 2 that wait for PUBREL: all there are. A lower number would close the connection of a
 * client that sends much at once, again and again: its PUBRELs stand behind its publishes.
 */
const MAX_UNRELEASED = 65_535
/** The most that Aedes can match. Our own limit is lower, and has an error with a code. */
const AEDES_TOPIC_LEVELS = 100
/** After the last answer was given to Aedes, this many turns pass until it is on the socket. */
const FLUSH_TURNS = 3
/** The longest that a shutdown waits for what is stored and not handed on: twice the default of redis.timeout. */
const ANSWERS_MS = 10_000

export interface BrokerOptions {
  /** Says who a device is. */
  readonly authenticate: Authenticate
  /** Stores the event of a publish. */
  readonly publish: StorePublish
  /** False while publishes cannot be stored: connections are closed at CONNECT. */
  readonly canStore: () => boolean
  readonly permissions: Permissions
  readonly deniedPublish: DeniedPublish
  /** Told what happens to sessions, where that is asked for. */
  readonly lifecycle?: TellLifecycle | undefined
  readonly limits: BrokerLimits & StateLimits & {
    /** The connection keeps it; Aedes' own, twice as long, is the net below. */
    readonly connectTimeoutMs: number
  }
  /** Where it keeps what it keeps for clients; one of its own is not opened. In memory alone, unless given. */
  readonly state?: BrokerState | RedisState | undefined
  readonly telemetry: Telemetry
}

export interface Broker {
  /** Takes over a connection. */
  handle (connection: Connection): void
  /** Clients connected. */
  readonly clients: number
  /** What it keeps for clients. */
  stats (): BrokerStats
  /**
   * Lets no further session in and ends those that there are one by one, spread over a time, so that their devices do
   * not all come back at once. Each is answered first what it has sent. Resolves when they are ended, or when the time
   * is over: who still waits for an answer then is ended by `close`.
   */
  drain (windowMs: number): Promise<void>
  /** Lets no further publish and no further session in; resolves when what was let in is stored and answered. */
  quiesce (): Promise<void>
  /** Ends every session; resolves when the wills are stored as well. Idempotent. */
  close (): Promise<void>
}

/** Makes the broker and starts it, with what its state has read back. @throws what the state cannot be opened for */
export async function createBroker (options: BrokerOptions): Promise<Broker> {
  const { limits, permissions, telemetry } = options
  const connections = new ConnectionErrors(telemetry)
  const kept = options.state ?? new BrokerState(limits, telemetry)
  const own = kept instanceof BrokerState ? kept : undefined
  const shared = kept instanceof BrokerState ? undefined : kept
  await own?.open()
  const { subscriptions, unreleased } = kept
  const hasUnreleased = (client: AedesClient): boolean => !client.clean && !unreleased.isEmpty(client.id)
  const openSessions = new OpenSessions()
  const identities = new Identities()
  const hook = new PublishHook({
    store: options.publish,
    identities,
    permissions,
    deniedPublish: options.deniedPublish,
    unreleased,
    writeAhead: kept.writeAhead,
    willEventId: shared === undefined ? undefined : (client) => shared.willEventId(client),
    limits,
    telemetry,
    refused: (client) => { connections.markTold(client) }
  })
  const subscribeHook = new SubscribeHook({
    identities,
    permissions,
    limits,
    subscriptions,
    forwarded: (client, packet) => { own?.forwarded(client, packet) },
    telemetry
  })
  const state = { isClosing: false }
  const watch = options.lifecycle === undefined ? undefined : new LifecycleWatch(options.lifecycle, identities)

  const aedes = await Aedes.createBroker(toAedesOptions({
    ...(shared !== undefined && { id: shared.pod, mq: shared.messages.emitter, persistence: shared.persistence }),
    concurrency: CONCURRENT_MESSAGES,
    connectTimeout: limits.connectTimeoutMs * 2,
    maxInflightInbound: MAX_UNRELEASED,
    maxTopicLevels: AEDES_TOPIC_LEVELS
  }, {
    authorizePublish: watch === undefined ? hook.authorize : watch.counting(hook.authorize),
    preConnect: createConnectHook({
      authenticate: options.authenticate,
      identities,
      permissions,
      limits,
      canAccept: () => !state.isClosing && options.canStore(),
      refused: (client) => { connections.markTold(client) },
      accepted: watch?.accepted,
      telemetry
    }),
    authenticate: tellingOfSession(kept instanceof BrokerState
      ? createAdmission({
        identities, identityLimit: kept.identityLimit, openSessions, sessions: kept.sessions, telemetry
      })
      : kept.clients.admission(identities, openSessions), hasUnreleased),
    authorizeSubscribe: subscribeHook.authorize,
    authorizeForward: shared?.clients.forward(subscribeHook.forward) ?? subscribeHook.forward,
    published: (_packet, client, callback) => {
      // What Aedes still writes, the PUBREC, it writes when it is called back.
      callback(null)
      client?.conn.publishForwarded()
    }
  }))
  const internals = internalsOf(aedes)
  openSessions.attach(internals)
  await own?.attach(internals.persistence)
  subscribeHook.attach(internals.persistence)
  internals.on('error', (error) => { telemetry.unexpected(error, 'the broker') })
  aedes.on('connackSent', (packet, client) => {
    if (packet.returnCode !== 0) return
    const its = client as unknown as AedesClient
    watch?.connected(its, packet.sessionPresent || hasUnreleased(its))
    gateOf(client).sessionAccepted()
  })
  aedes.on('client', (client) => {
    own?.sessions.started(client as unknown as AedesClient)
    connections.started(client)
  })
  aedes.on('subscribe', (subscriptions, client) => {
    watch?.subscribed(client as unknown as AedesClient, subscriptions)
    kept.subscribed(gateOf(client), subscriptions)
  })
  aedes.on('unsubscribe', (filters, client) => {
    watch?.unsubscribed(client as unknown as AedesClient, filters)
    // Those of persistent sessions were released when they were deleted; they may be granted again by now.
    if (client.clean) subscriptions.release(client as unknown as AedesClient, filters)
  })
  aedes.on('clientReady', (client) => { shared?.ready(client) })
  aedes.on('clientDisconnect', (client) => {
    watch?.ended(client as unknown as AedesClient)
    connections.ended(client)
  })
  aedes.on('clientError', (client, error) => { connections.failed(client, error) })
  aedes.on('connectionError', (client, error) => { connections.failed(client, error) })
  await shared?.attach({
    identities,
    publishWill: async ({ identity, eventId, ...will }) => {
      if (!await hook.storeWillOf(identity, will, eventId)) return
      await new Promise<void>((resolve) => { aedes.publish({ cmd: 'publish', dup: false, ...will }, () => { resolve() }) })
    }
  }, limits)
  return new AedesBroker(aedes, hook, kept, state, watch)
}

class AedesBroker implements Broker {
  readonly #aedes: Aedes
  readonly #hook: PublishHook
  readonly #kept: BrokerState | RedisState
  readonly #state: { isClosing: boolean }
  readonly #watch: LifecycleWatch | undefined
  readonly #connections = new Set<Connection>()
  #closed: Promise<void> | undefined

  constructor (
    aedes: Aedes, hook: PublishHook, kept: BrokerState | RedisState, state: { isClosing: boolean },
    watch: LifecycleWatch | undefined
  ) {
    this.#aedes = aedes
    this.#hook = hook
    this.#kept = kept
    this.#state = state
    this.#watch = watch
  }

  get clients (): number {
    return this.#aedes.connectedClients
  }

  stats (): BrokerStats {
    return this.#kept.stats()
  }

  handle (connection: Connection): void {
    if (this.#closed !== undefined) {
      connection.destroy()
      return
    }
    this.#connections.add(connection)
    connection.once('close', () => { this.#connections.delete(connection) })
    this.#aedes.handle(connection)
  }

  async drain (windowMs: number): Promise<void> {
    this.#state.isClosing = true
    this.#watch?.closing()
    const clients = Object.values(internalsOf(this.#aedes).clients)
    const startedAt = performance.now()
    const ends: Array<Promise<void>> = []
    for (const [at, client] of clients.entries()) {
      const waitMs = startedAt + windowMs * at / clients.length - performance.now()
      if (waitMs >= 1) await sleep(waitMs)
      ends.push(this.#end(client))
    }
    const leftMs = Math.max(0, startedAt + windowMs - performance.now())
    await Promise.race([Promise.all(ends), sleep(leftMs, undefined, { ref: false })])
  }

  async #end (client: AedesClient): Promise<void> {
    client.conn.quiesce()
    await this.#hook.settledOf(client)
    // The answer at QoS 2 comes when it has been handed on.
    await client.conn.settled()
    for (let turn = 0; turn < FLUSH_TURNS; turn++) await nextTurn()
    await new Promise<void>((resolve) => { client.close(resolve) })
  }

  async quiesce (): Promise<void> {
    this.#state.isClosing = true
    for (const connection of this.#connections) connection.quiesce()
    await this.#hook.settled()
    const answered = Promise.all([...this.#connections].map(async (connection) => { await connection.settled() }))
    await Promise.race([answered, sleep(ANSWERS_MS, undefined, { ref: false })])
    for (let turn = 0; turn < FLUSH_TURNS; turn++) await nextTurn()
  }

  async close (): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close (): Promise<void> {
    this.#state.isClosing = true
    this.#watch?.closing()
    await new Promise<void>((resolve) => { this.#aedes.close(resolve) })
    // Those that never became sessions.
    for (const connection of this.#connections) connection.destroy()
    await this.#watch?.settled()
    await this.#hook.settled()
    await this.#kept.close()
  }
}

/** Tells telemetry what became of connections, each thing once: Aedes may raise one error hundreds of times. */
class ConnectionErrors {
  readonly #telemetry: Telemetry
  readonly #told = new WeakSet<object>()
  readonly #sessions = new WeakSet<object>()

  constructor (telemetry: Telemetry) {
    this.#telemetry = telemetry
  }

  started (client: Client): void {
    this.#sessions.add(client)
    this.#telemetry.sessionStarted(fieldsOf(client))
  }

  ended (client: Client): void {
    if (this.#sessions.delete(client)) this.#telemetry.sessionEnded(fieldsOf(client))
  }

  /** Its error has been told already. */
  markTold (client: AedesClient): void {
    this.#told.add(client)
  }

  failed (client: Client, error: Error): void {
    // What a closed connection still fails at, such as the answer to a publish, says nothing new.
    if (client.closed || this.#told.has(client)) return
    this.#told.add(client)
    const fields = fieldsOf(client)
    const problem = toConnectionError(error)
    if (problem === undefined) this.#telemetry.connectionBroken(reasonOf(error), fields)
    else this.#telemetry.connectionFailed(problem, fields)
  }
}

function gateOf (client: Client): Connection {
  return client.conn as Connection
}

/** The client identifier is null until CONNECT was accepted. */
function fieldsOf (client: Client) {
  const clientId = client.id as string | null
  return { ...gateOf(client).facts, ...(clientId !== null && { clientId }) }
}

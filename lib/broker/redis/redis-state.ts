/**
 * What the broker keeps for clients where several pods share it: in Redis, and here what has to be known at once. It
 * stands in for the parts of aedes-persistence-redis that lose something, or wait for Redis without an end; each says
 * why. What is left of it: how subscriptions are laid out and read.
 *
 * Invariant: a client that has a clean session and only publishes waits for nothing of this.
 */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import AsyncRedisPersistence from 'aedes-persistence-redis/asyncPersistence.js'
import type { MbsError } from '../../errors.ts'
import type { RedisClient, RedisLink } from '../../redis/link.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { AedesClient, GrantedSubscription, SharedPersistence } from '../aedes-types.ts'
import type { BrokerStats } from '../broker-state.ts'
import type { Connection, StateLimits } from '../contract.ts'
import { IdentityLimit } from '../identity-limit.ts'
import type { Identities } from '../identities.ts'
import { Subscriptions } from '../subscriptions.ts'
import { Keys } from './keys.ts'
import { SubscriptionMirror } from './mirror.ts'
import { PodClients } from './pod-clients.ts'
import { PodMessages } from './pod-messages.ts'
import { connectNodes } from './readiness.ts'
import { RedisAhead } from './redis-ahead.ts'
import { RedisQueues } from './redis-queues.ts'
import { RedisSessions } from './redis-sessions.ts'
import { RedisSubscriptions } from './redis-subscriptions.ts'
import { RedisUnreleased } from './redis-unreleased.ts'
import { LIFE_MS, RedisWills, type KeptWill } from './redis-wills.ts'
import { Requests, toSessionsError } from './requests.ts'
import { RedisRetained } from './retained.ts'
import { Tasks } from './tasks.ts'

/** In the place of the QoS that was granted [MQTT-3.9.3-2]. */
const REFUSED = 0x80
/** A pod that was not told of a change of subscriptions finds out after this. */
const POLL_MS = 1000
/** A session that another pod has taken is found after this, and what was lost on its way to one. */
const RENEW_MS = 30_000
/** Dead pods are looked for so often, and sessions that have ended. */
const SEARCH_MS = 5000
const SWEEP_MS = 10_000
/** At the start, what could not be read is tried again after this. */
const START_RETRY_MS = 100

export interface RedisStateOptions {
  readonly link: RedisLink
  /** What all keys and channels begin with. */
  readonly keyPrefix: string
  /** How long an answer may take. */
  readonly timeoutMs: number
  /** How long Redis may be away at the start. */
  readonly startWaitMs: number
  readonly limits: StateLimits
  readonly telemetry: Telemetry
}

/** What of the broker it needs. */
export interface RedisStateSurroundings {
  readonly identities: Identities
  /** Publishes the will of a client whose pod has died; resolves when it is done with. */
  readonly publishWill: (will: KeptWill) => Promise<void>
}

export class RedisState {
  /** Names this program among those that share the sessions; another one after each start. */
  readonly pod = randomUUID()
  readonly identityLimit: IdentityLimit
  readonly sessions: RedisSessions
  readonly subscriptions: Subscriptions
  readonly unreleased: RedisUnreleased
  readonly clients: PodClients
  /** What publishes wait for. */
  readonly writeAhead: RedisAhead
  /** What Aedes gets. */
  readonly persistence: SharedPersistence
  readonly messages: PodMessages
  readonly #clients: readonly RedisClient[]
  readonly #requests: Requests
  readonly #mirror: SubscriptionMirror
  readonly #retained: RedisRetained
  readonly #queues: RedisQueues
  readonly #keys: Keys
  readonly #failed: (error: MbsError) => void
  #tasks: Tasks | undefined
  #wills: RedisWills | undefined

  /** @throws MBS_ERR_REDIS_*, MBS_ERR_SESSIONS_REDIS */
  static async open (options: RedisStateOptions): Promise<RedisState> {
    const clients: RedisClient[] = []
    try {
      for (let count = 0; count < 2; count++) clients.push(await options.link.connect(options.startWaitMs))
      await connectNodes(clients[0] as RedisClient)
      const state = new RedisState(options, clients[0] as RedisClient, clients[1] as RedisClient)
      await state.#begin(options.startWaitMs)
      return state
    } catch (error) {
      for (const client of clients) client.disconnect()
      throw error
    }
  }

  private constructor (options: RedisStateOptions, conn: RedisClient, subscriber: RedisClient) {
    const { limits, telemetry, keyPrefix, timeoutMs } = options
    const { pod } = this
    const failed = this.#failed = (error) => { telemetry.sharedSessionsFailed(error) }
    const keys = this.#keys = new Keys(keyPrefix, options.link.database)
    const requests = this.#requests = new Requests(conn, timeoutMs)
    this.#clients = [conn, subscriber]
    this.identityLimit = new IdentityLimit(limits.connectionsPerIdentity)
    const mirror = this.#mirror = new SubscriptionMirror(requests, keys)
    const changed = async (clientId: string): Promise<void> => {
      await mirror.changed(clientId)
      this.messages.tell({ kind: 'changed' })
    }
    this.sessions = new RedisSessions({
      pod,
      requests,
      keys,
      max: limits.sessions,
      expiryMs: limits.sessionExpiryMs,
      renewMs: renewMsOf(limits),
      changed,
      begun: ({ client }, received) => {
        // Those of a connection before it are counted again as they are restored.
        this.subscriptions.forget(client.id)
        this.unreleased.restore(client.id, received)
      },
      left: (clientId) => {
        this.subscriptions.forget(clientId)
        this.unreleased.forget(clientId)
      },
      expired: (clientId, awayMs) => { telemetry.sessionExpired({ clientId, awayMs }) },
      waiting: (session) => { void this.#queues.catchUp(session) },
      failed
    })
    this.unreleased = new RedisUnreleased(requests, this.sessions)
    this.subscriptions = new Subscriptions({
      subscriptionsPerClient: limits.subscriptionsPerClient,
      subscriptionBytes: limits.subscriptionBytes,
      isKept: (clientId) => this.sessions.has(clientId),
      otherBytes: () => mirror.bytes
    })
    const refused = (error: MbsError): void => { telemetry.retainedRefused(error) }
    this.#retained = new RedisRetained({ requests, keys, limits, refused })
    this.#queues = new RedisQueues({
      pod,
      requests,
      keys,
      sessions: this.sessions,
      limits,
      heard: async () => { await this.messages.heard() },
      waiting: (clientIds) => {
        this.#catchUp(clientIds)
        this.messages.tell({ kind: 'waiting', clientIds })
      },
      dropped: (clientId, error) => { telemetry.messageNotKept(error, { clientId }) }
    })
    this.writeAhead = new RedisAhead({ mirror, queues: this.#queues, retained: this.#retained })
    this.clients = new PodClients({
      sessions: this.sessions,
      identityLimit: this.identityLimit,
      queues: this.#queues,
      tell: (message) => { this.messages.tell(message) },
      isReady: () => requests.isReady,
      isKept: (clientId) => mirror.has(clientId),
      telemetry
    })
    const live = (message: object): void => { this.#queues.live(message) }
    const between = { pod, prefix: keys.channels, publisher: conn, subscriber, timeoutMs, live, failed }
    this.messages = new PodMessages(between, (message) => {
      if (message.kind === 'taken') this.clients.takenOver(message.clientId, message.serial)
      else if (message.kind === 'waiting') this.#catchUp(message.clientIds)
      else if (message.kind === 'lost') this.#queues.doubt()
      else mirror.poll().catch((error: unknown) => { failed(toSessionsError(error)) })
    })
    this.persistence = this.#createPersistence(new RedisSubscriptions({ requests, sessions: this.sessions, changed }))
  }

  /** Reads what there is. A Redis that answers late is one that is not there yet. */
  async #begin (waitMs: number): Promise<void> {
    for (const endsAt = performance.now() + waitMs; ;) {
      try {
        await this.#mirror.poll()
        return
      } catch (error) {
        if (performance.now() >= endsAt) throw error
        await sleep(START_RETRY_MS)
      }
    }
  }

  /** Takes the place of what Aedes has, and begins to watch. */
  async attach ({ identities, publishWill }: RedisStateSurroundings, limits: StateLimits): Promise<void> {
    const [conn, subscriber] = this.#clients as [RedisClient, RedisClient]
    const requests = this.#requests
    const wills = this.#wills = new RedisWills({
      pod: this.pod,
      requests,
      keys: this.#keys,
      identityOf: (client) => identities.of(client),
      publish: publishWill,
      failed: this.#failed
    })
    this.persistence.putWill = async (client, will) => { await wills.put(client, will) }
    this.persistence.delWill = async (client) => { await wills.delete(client) }
    await wills.live()
    const tasks = this.#tasks = new Tasks(() => requests.isReady, this.#failed)
    const poll = tasks.every(POLL_MS, async () => { await this.#mirror.poll() })
    const live = tasks.every(LIFE_MS / 3, async () => { await wills.live() })
    tasks.every(SEARCH_MS, async () => { await wills.search() })
    const renew = tasks.every(renewMsOf(limits), async () => {
      // Nobody tells that a Cluster's subscriber is at another node, and whether it could subscribe there.
      if (subscriber.isCluster) this.messages.resubscribe()
      await this.sessions.renew()
    })
    tasks.every(SWEEP_MS, async () => {
      await this.sessions.sweep()
      await this.#retained.measure()
    })
    conn.on('ready', () => {
      wills.doubt()
      this.messages.tellLost()
      for (const run of [live, poll, renew]) run()
    })
    subscriber.on('ready', () => {
      this.messages.resubscribe()
      this.#queues.doubt()
      for (const run of [poll, renew]) run()
    })
  }

  /** The id that the event of this client's will gets, whichever program publishes it. */
  willEventId (client: AedesClient): string | undefined {
    return this.#wills?.eventIdOf(client)
  }

  /** A session has begun, and what waited for it has been handed out. */
  ready (client: object): void {
    this.#queues.ready(client)
  }

  /** Some of these filters were granted, or none; the retained messages of those that were are searched next. */
  subscribed (connection: Connection, granted: readonly GrantedSubscription[]): void {
    this.#retained.subscribed(connection, granted)
    if (granted.every(({ qos }) => qos === REFUSED)) connection.subscribeSettled()
  }

  /** Sessions and retained messages of the group, as they were some seconds ago. What waits in Redis is not counted. */
  stats (): BrokerStats {
    return {
      persistentSessions: this.sessions.count,
      queuedMessages: 0,
      queuedBytes: 0,
      retainedMessages: this.#retained.count,
      retainedBytes: this.#retained.bytes,
      subscriptionBytes: this.subscriptions.bytes + this.#mirror.bytes
    }
  }

  /** Ends it in order: what was asked has its answer, and no other pod takes this one for dead. */
  async close (): Promise<void> {
    await this.#tasks?.close()
    await this.sessions.close()
    await this.#requests.settled()
    await this.#wills?.close()
    for (const client of this.#clients) client.disconnect()
  }

  #catchUp (clientIds: readonly string[]): void {
    for (const clientId of clientIds) {
      const session = this.sessions.byId(clientId)
      if (session !== undefined) void this.#queues.catchUp(session)
    }
  }

  #createPersistence (subscriptions: RedisSubscriptions): SharedPersistence {
    const base = new AsyncRedisPersistence({
      conn: {
        hgetallBuffer: async (key) => {
          const clientId = decodeURIComponent(key.slice(key.indexOf(':') + 1))
          const { subscriptions } = this.#keys.session(clientId)
          return await this.#requests.ask(async (client) => await client.hgetallBuffer(subscriptions))
        }
      }
    }) as unknown as SharedPersistence
    // Its own reads all sessions one after the other, and hears of changes by messages that may be lost.
    base.setup = async () => {}
    base.subscriptionsByTopic = async (topic) => this.#mirror.match(topic)
    base.streamWill = () => Readable.from([])
    this.unreleased.attach(base)
    this.writeAhead.attach(base)
    this.#queues.attach(base)
    this.#retained.attach(base)
    subscriptions.attach(base)
    this.subscriptions.attach(base)
    return base
  }
}

function renewMsOf ({ sessionExpiryMs }: StateLimits): number {
  return Math.min(RENEW_MS, Math.ceil(sessionExpiryMs / 3))
}

/**
 * The outbox of a group of programs, in Redis: all of them store in it, and each partition is delivered by one of them.
 * Puts the parts together: the intake stores, partition logs are read by who delivers them, and this class knows the
 * connection and how each partition stands.
 *
 * Redis away: what is appended waits and is rejected after its time; `status` is `failed` until it answers again.
 */
import { randomUUID } from 'node:crypto'
import { createError, isMbsError, type MbsError } from '../../errors.ts'
import type { Event } from '../../message.ts'
import type { RedisClient, RedisLink } from '../../redis/link.ts'
import type { RedisValue } from '../../redis/script.ts'
import { primariesOf, readServerFacts, type ServerFacts } from '../../redis/server.ts'
import type { RedisFacts } from '../../telemetry/redis-telemetry.ts'
import type { OutboxTelemetry } from '../log-outbox.ts'
import { storedBound } from '../record.ts'
import type { Intake as OutboxIntake, OutboxStats, OutboxStatus, Receipt, Recovery } from '../outbox.ts'
import { Intake, type Append, type Stored } from './intake.ts'
import { PartitionLog } from './partition-log.ts'
import { PartitionState, STATE_LENGTH } from './partition-state.ts'
import { batchKey, layoutKey, newsChannel, partitionKeys, sequenceFloor, type PartitionKeys } from './places.ts'
import { appendScript, stateScript } from './scripts.ts'

export interface GroupTelemetry extends OutboxTelemetry {
  redisConnected (facts: RedisFacts): void
  redisMayLose (durability: Exclude<RedisFacts['durability'], 'always'>): void
}

export interface GroupOutboxOptions {
  readonly link: RedisLink
  readonly keyPrefix: string
  readonly partitions: number
  /** How many replicas have to have an event. */
  readonly replicas: number
  /** How long an answer may take. */
  readonly timeoutMs: number
  /** How long the start may wait for Redis. */
  readonly startTimeoutMs: number
  readonly maxBytes: number
  readonly holdTimeoutMs: number
  /** Receipts that are kept, over all partitions. */
  readonly receiptLimit: number
  readonly telemetry: GroupTelemetry
  /** The lowest sequence of a log that begins now; by the clock unless a test brings its own. */
  readonly floor?: () => number
}

/** What Redis says of its own condition, none of which is a mistake of the command. */
const CONDITION = /^(?:OOM|READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|MISCONF|BUSY|TRYAGAIN|MOVED|ASK|NOPERM)/

export class GroupOutbox implements OutboxIntake {
  /** Names this program in the group; another one after each start. */
  readonly member = randomUUID()
  readonly #options: GroupOutboxOptions
  readonly #keys: readonly PartitionKeys[]
  readonly #scriptKeys: ReadonlyArray<readonly string[]>
  readonly #states: readonly PartitionState[]
  readonly #intake: Intake
  #client: RedisClient | undefined
  #opening: Promise<Recovery> | undefined
  #closing: Promise<void> | undefined
  #isFailing = false

  constructor (options: GroupOutboxOptions) {
    this.#options = options
    const { keyPrefix, partitions, telemetry, maxBytes, holdTimeoutMs } = options
    const numbers = Array.from({ length: partitions }, (_, partition) => partition)
    this.#keys = numbers.map((partition) => partitionKeys(keyPrefix, partition))
    this.#scriptKeys = this.#keys.map((keys, partition) => [
      keys.meta, keys.log, keys.receipts, keys.ring, keys.letter, keys.letters, keys.cursors, keys.lease,
      batchKey(keyPrefix, partition, this.member)
    ])
    this.#states = numbers.map(() => new PartitionState())
    this.#intake = new Intake({
      partitions,
      maxBytes,
      holdTimeoutMs,
      bytes: () => this.#bytes,
      send: async (partition, batch, appends) => await this.#send(partition, batch, appends),
      replicate: async () => await this.#replicate(),
      onFailed: (error) => this.failed(error),
      onSent: () => { this.works() },
      onHeld: () => { telemetry.publishHeld() },
      onFull: () => { telemetry.outboxFull({ bytes: this.#bytes, maxBytes }) }
    })
  }

  get partitions (): number {
    return this.#options.partitions
  }

  get keyPrefix (): string {
    return this.#options.keyPrefix
  }

  /** The connection for commands. @throws MBS_ERR_OUTBOX_CLOSED where there is none yet, or any more */
  get client (): RedisClient {
    if (this.#client === undefined) throw createError('MBS_ERR_OUTBOX_CLOSED')
    return this.#client
  }

  readonly keysOf = (partition: number): PartitionKeys => this.#keys[partition] as PartitionKeys

  /** As the scripts want them. */
  scriptKeys (partition: number): readonly string[] {
    return this.#scriptKeys[partition] as readonly string[]
  }

  /** Where it is, for messages. */
  get location (): string {
    return `${this.#options.link.address}, keys ${this.keyPrefix}*`
  }

  /**
   * @param mayCreate false: one that is not there is an error
   * @throws MBS_ERR_REDIS_*, MBS_ERR_OUTBOX_PARTITIONS, MBS_ERR_OUTBOX_DIRECTORY
   */
  open ({ mayCreate = true } = {}): Promise<Recovery> {
    if (this.#closing !== undefined) return Promise.reject(createError('MBS_ERR_OUTBOX_CLOSED'))
    this.#opening ??= this.#open(mayCreate).catch((error: unknown) => {
      this.#options.link.close()
      throw error
    })
    return this.#opening
  }

  async #open (mayCreate: boolean): Promise<Recovery> {
    const { link, startTimeoutMs, telemetry } = this.#options
    const client = await link.connect(startTimeoutMs)
    const facts = await this.#facts(client)
    this.#client = client
    await this.#checkLayout(client, mayCreate)
    await this.refresh()
    await this.#listen(await link.connect(startTimeoutMs))
    telemetry.redisConnected({ address: link.address, ...facts })
    if (facts.durability !== 'always') telemetry.redisMayLose(facts.durability)
    const recovery: Recovery = {
      firstSequence: Math.max(1, ...this.#states.map(({ first }) => first)),
      nextSequence: Math.max(...this.#states.map(({ next }) => next)),
      lostEvents: 0,
      unclean: false,
      receipts: []
    }
    telemetry.outboxOpened(recovery, { store: 'redis' })
    return recovery
  }

  /** Hears what others store. News only make it fast: every second all partitions are asked how they stand. */
  async #listen (subscriber: RedisClient): Promise<void> {
    subscriber.on('messageBuffer', (_channel: Buffer, news: Buffer) => { this.#heard(String(news)) })
    // ioredis subscribes again by itself, and rejects where nobody can catch it when it may not any more.
    if (!subscriber.isCluster) (subscriber.options as { autoResubscribe?: boolean }).autoResubscribe = false
    const news = newsChannel(this.keyPrefix, this.#options.link.database)
    const subscribe = async (): Promise<void> => { await subscriber.subscribe(news) }
    await subscribe()
    subscriber.on('ready', () => { subscribe().catch((error: unknown) => { this.failed(error) }) })
  }

  append (event: Event, receipt?: Receipt): Promise<number> {
    if (this.#status() === 'closed') return Promise.reject(createError('MBS_ERR_OUTBOX_CLOSED'))
    return this.#intake.append(event, receipt)
  }

  hasRoomFor (event: Event): boolean {
    return this.#status() === 'ready' && storedBound(event) < this.#options.maxBytes && this.#intake.hasRoomFor(event)
  }

  async settled (): Promise<void> {
    await this.#intake.settled()
  }

  stats (): OutboxStats {
    const sum = (of: (state: PartitionState) => number): number =>
      this.#states.reduce((total, state) => total + of(state), 0)
    return {
      status: this.#status(),
      events: sum(({ events }) => events),
      bytes: this.#bytes,
      maxBytes: this.#options.maxBytes,
      nextSequence: Math.max(...this.#states.map(({ next }) => next)),
      deadLetters: sum(({ letters }) => letters),
      held: this.#intake.held
    }
  }

  stateOf (partition: number): PartitionState {
    return this.#states[partition] as PartitionState
  }

  /** The way out of a partition. @param owner who has to have its lease for it to write */
  partition (partition: number, owner: string): PartitionLog {
    return new PartitionLog(this, partition, owner, this.stateOf(partition))
  }

  /** Asks how all partitions stand. @returns who delivers each; rejects as ioredis does */
  async refresh (): Promise<Array<string | undefined>> {
    return await Promise.all(this.#states.map(async (_, partition) => {
      const answer = await stateScript.run(this.client, this.scriptKeys(partition), [])
      this.stateChanged(partition, answer.slice(0, STATE_LENGTH) as number[])
      const owner = answer[STATE_LENGTH]
      return owner == null ? undefined : String(owner)
    }))
  }

  /** A script has said how a partition stands. */
  stateChanged (partition: number, numbers: readonly number[]): void {
    const state = this.stateOf(partition)
    const events = state.events
    const gone = state.update(numbers)
    // More numbers may be missing than there were events left to lose.
    if (gone > 0) {
      const why = 'a failover, or a restart without what it had acknowledged'
      this.lost(Math.min(gone, Math.max(1, events)), `Redis has gone back in partition ${partition}: ${why}`)
    }
    this.#intake.kick()
  }

  lost (count: number, reason: string): void {
    this.#options.telemetry.eventsLost(count, reason)
  }

  /** Redis did not do what it was asked to: nothing is stored until it does. @returns the error as it is told */
  failed (error: unknown): MbsError {
    if (this.#closing !== undefined && isMbsError(error, 'MBS_ERR_OUTBOX_CLOSED')) return error
    const problem = this.#toError(error)
    if (!this.#isFailing) this.#options.telemetry.outboxFailed(problem)
    this.#isFailing = true
    return problem
  }

  /** It has done what it was asked to. */
  works (): void {
    if (!this.#isFailing) return
    this.#intake.answered()
    if (this.#intake.failure !== undefined) return
    this.#isFailing = false
    this.#options.telemetry.outboxRecovered()
  }

  close (): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close (): Promise<void> {
    await this.#opening?.catch(() => {})
    await this.#intake.close()
    this.#client = undefined
    this.#options.link.close()
  }

  get #bytes (): number {
    return this.#states.reduce((total, { bytes }) => total + bytes, 0)
  }

  #status (): OutboxStatus {
    if (this.#closing !== undefined || this.#client === undefined) return 'closed'
    if (this.#isFailing) return 'failed'
    return this.#intake.isFull || this.#bytes >= this.#options.maxBytes ? 'full' : 'ready'
  }

  async #facts (client: RedisClient): Promise<ServerFacts> {
    const { link } = this.#options
    try {
      return await readServerFacts(client, link.address)
    } catch (error) {
      throw link.toError(error)
    }
  }

  /** The first program of a group says how many partitions there are; where that changed, keys would change places. */
  async #checkLayout (client: RedisClient, mayCreate: boolean): Promise<void> {
    const { keyPrefix, partitions, link } = this.#options
    try {
      const key = layoutKey(keyPrefix)
      if (mayCreate) await client.hsetnx(key, 'partitions', String(partitions))
      const found = await client.hget(key, 'partitions')
      if (found === null) throw createError('MBS_ERR_OUTBOX_DIRECTORY', { directory: this.location, reason: 'it does not exist' })
      if (found === String(partitions)) return
      throw createError('MBS_ERR_OUTBOX_PARTITIONS', { prefix: keyPrefix, found: String(found), wanted: partitions })
    } catch (error) {
      throw link.toError(error)
    }
  }

  async #send (partition: number, batch: number, appends: readonly Append[]): Promise<Stored> {
    const { link, keyPrefix, timeoutMs, maxBytes, receiptLimit, partitions } = this.#options
    const { floor = () => sequenceFloor(Date.now()) } = this.#options
    const state = this.stateOf(partition)
    const others = this.#bytes - state.bytes
    const args: RedisValue[] = [
      Date.now() + state.clockAheadMs + timeoutMs, floor(), maxBytes - others, Math.ceil(receiptLimit / partitions),
      newsChannel(keyPrefix, link.database), partition, `${this.member}:${batch}`
    ]
    for (const { record, receipt, letter, arrivedAt } of appends) {
      if (receipt === undefined) args.push(record, '', '', '', '')
      else args.push(record, ...receiptArgs(receipt))
      args.push(letter ?? '', Math.floor(performance.now() - arrivedAt))
    }
    const answer = await appendScript.run(this.client, this.scriptKeys(partition), args)
    const status = String(answer[0])
    if (status === 'late') {
      // Our idea of its clock is wrong, or it was not heard of for long.
      await this.refresh()
      throw new Error('it came too late')
    }
    const [passed = -1, ...numbers] = answer.slice(1) as number[]
    if (passed >= 0) this.stateChanged(partition, [passed, ...numbers.slice(1, STATE_LENGTH)])
    this.stateChanged(partition, numbers.slice(0, STATE_LENGTH))
    return { status: status as Stored['status'], sequences: numbers.slice(STATE_LENGTH) }
  }

  /**
   * Resolves when enough replicas have the events up to a sequence: what could be lost by a failover must not be
   * delivered, for its device would send it again under another id. Rejects where they do not have it in time.
   */
  async replicated (partition: number, sequence: number): Promise<void> {
    const state = this.stateOf(partition)
    if (this.#options.replicas === 0 || state.replicated >= sequence) return
    // WAIT waits for what this connection has written; what was written before, by whomever, is in front of that.
    await this.client.hincrby(this.keysOf(partition).meta, 'waits', 1)
    await this.confirmed()
    state.replicated = Math.max(state.replicated, sequence)
  }

  /** Rejects with MBS_ERR_OUTBOX_REPLICAS where too few replicas have what this program has written. */
  async confirmed (): Promise<void> {
    const { wanted, found } = await this.#replicate()
    if (found < wanted) throw createError('MBS_ERR_OUTBOX_REPLICAS', { wanted, found })
  }

  /** Asks every primary how many replicas have what was sent to it. */
  async #replicate (): Promise<{ wanted: number, found: number }> {
    const { replicas, timeoutMs } = this.#options
    if (replicas === 0) return { wanted: 0, found: 0 }
    const waitMs = Math.ceil(timeoutMs / 2)
    const found = await Promise.all(primariesOf(this.client).map((primary) => primary.wait(replicas, waitMs)))
    return { wanted: replicas, found: Math.min(...found) }
  }

  /** Another program, or this one, has stored something: `partition last`. */
  #heard (news: string): void {
    const [partition, last] = news.split(' ').map(Number)
    this.#states[partition ?? -1]?.advance(last ?? 0)
  }

  #toError (error: unknown): MbsError {
    if (isMbsError(error)) return error
    const { link } = this.#options
    const reason = error instanceof Error ? error.message : String(error)
    if (CONDITION.test(reason)) return createError('MBS_ERR_OUTBOX_REDIS', { reason }, error)
    return link.toError(error)
  }
}

/** A receipt as the script wants it. */
function receiptArgs ({ messageId, clientId, digest, eventId, again = false }: Receipt): RedisValue[] {
  return [`${messageId} ${clientId}`, digest, eventId, again ? 1 : 0]
}

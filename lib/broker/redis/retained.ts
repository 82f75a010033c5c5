/**
 * Retained messages in Redis, for all pods, bounded in number and bytes. What a wildcard finds is looked for among the
 * topics that begin as the filter does, in short steps; no character of a filter means anything to Redis.
 *
 * Stands in for that part of aedes-persistence-redis, which has no bounds, takes `*` and `?` in a filter for wildcards,
 * and in a Cluster loses all but the first message of a page. At QoS 1 and 2 a message is retained before its publisher
 * is answered; else it is not waited for, since what the same client publishes next must not overtake it.
 */
import { Readable } from 'node:stream'
import { createError, type MbsError } from '../../errors.ts'
import type { QoS } from '../../message.ts'
import { levelsOf, matchesTopic } from '../../topic-filter.ts'
import type { GrantedSubscription, RetainedPackets, StoredPacket } from '../aedes-types.ts'
import type { Connection } from '../contract.ts'
import { atMost, type RetainedLimits } from '../retained-messages.ts'
import { hasWildcard } from '../topics.ts'
import type { Keys } from './keys.ts'
import { toSessionsError, type Requests } from './requests.ts'
import { KEPT, retain, TOO_MANY } from './scripts.ts'

/** What keeping a message costs beside its topic and payload, in bytes. */
const OVERHEAD_BYTES = 200
/** Topics compared, and messages read, in one step. */
const TOPICS_AT_ONCE = 500
const MESSAGES_AT_ONCE = 32
/** Above every byte of UTF-8. */
const LAST = 0xff

export interface RedisRetainedOptions {
  readonly requests: Requests
  readonly keys: Keys
  readonly limits: RetainedLimits
  /** Told of each message that is not retained: MBS_ERR_LIMIT_RETAINED, MBS_ERR_SESSIONS_REDIS. */
  readonly refused: (error: MbsError) => void
}

export class RedisRetained {
  readonly #options: RedisRetainedOptions
  /** What was retained before its publisher was answered, by payload: Aedes comes to it afterwards. */
  readonly #ahead = new WeakSet<Buffer>()
  /** Who subscribed last, and to what. */
  #subscriber: Connection | undefined
  #granted: readonly GrantedSubscription[] = []
  /** As they were when they were last looked at. */
  count = 0
  bytes = 0

  constructor (options: RedisRetainedOptions) {
    this.#options = options
  }

  /** Takes the place of what the persistence has. */
  attach (persistence: RetainedPackets): void {
    persistence.storeRetained = async (packet) => { this.store(packet) }
    persistence.createRetainedStream = (filter) => Readable.from(this.find([{ topic: filter, qos: 2 }]))
    persistence.createRetainedStreamCombi = (filters) => {
      const granted = this.#granted.filter(({ topic }) => filters.includes(topic))
      return Readable.from(this.find(granted, this.#subscriber))
    }
  }

  /** A client has subscribed: the search that begins in the same step is for it. */
  subscribed (connection: Connection, granted: readonly GrantedSubscription[]): void {
    this.#subscriber = connection
    this.#granted = granted
  }

  /** Counts what there is. @throws MBS_ERR_SESSIONS_REDIS */
  async measure (): Promise<void> {
    const { requests, keys: { retained } } = this.#options
    this.count = await requests.ask(async (client) => await client.zcard(retained.topics))
    this.bytes = Number(await requests.ask(async (client) => await client.get(retained.bytes)))
  }

  /** Retains a message before its publisher is answered. @throws MBS_ERR_SESSIONS_REDIS */
  async writeAhead (packet: StoredPacket): Promise<void> {
    await this.#store(packet)
    this.#ahead.add(packet.payload)
  }

  /** Aedes comes to a message that is to be retained. */
  store (packet: StoredPacket): void {
    if (this.#ahead.delete(packet.payload)) return
    this.#store(packet).catch((error: unknown) => { this.#options.refused(toSessionsError(error)) })
  }

  /** Retains a message, replaces the one of its topic, or, being empty, deletes that. @throws MBS_ERR_SESSIONS_REDIS */
  async #store ({ topic, payload, qos }: StoredPacket): Promise<void> {
    const { requests, keys: { retained }, limits: { retainedMessages, retainedBytes }, refused } = this.#options
    const message = payload.length === 0 ? '' : Buffer.concat([Buffer.from(String(qos)), payload])
    const outcome = await requests.run(retain, [retained.topics, retained.messages, retained.bytes], [
      topic, message, OVERHEAD_BYTES, retainedMessages, retainedBytes
    ])
    if (outcome === KEPT) return
    const setting = outcome === TOO_MANY ? 'retainedMessages' : 'retainedBytes'
    refused(createError('MBS_ERR_LIMIT_RETAINED', { setting, max: this.#options.limits[setting] }))
  }

  /**
   * The messages that these filters match, filter by filter, at no QoS above that of the filter [MQTT-3.8.4-6]. Where
   * Redis does not answer, the subscriber's connection is closed: it would take what it did not get for what there is
   * not.
   */
  async * find (granted: readonly GrantedSubscription[], subscriber?: Connection): AsyncGenerator<StoredPacket> {
    try {
      for (const { topic: filter, qos } of granted) {
        for await (const topics of this.#topicsOf(filter, subscriber)) {
          for await (const packet of this.#read(topics)) {
            await subscriber?.room()
            yield atMost(qos, packet)
          }
        }
      }
    } catch (error) {
      subscriber?.destroy(toSessionsError(error))
    }
    subscriber?.subscribeSettled()
  }

  async * #topicsOf (filter: string, subscriber: Connection | undefined): AsyncGenerator<string[]> {
    if (!hasWildcard(filter)) {
      yield [filter]
      return
    }
    const { requests, keys: { retained } } = this.#options
    const levels = levelsOf(filter)
    // `a/#` matches `a`.
    const prefix = filter.slice(0, filter.search(/\/?#|\+/))
    const max = prefix === '' ? '+' : Buffer.concat([Buffer.from(`[${prefix}`), Buffer.from([LAST])])
    let min = prefix === '' ? '-' : `[${prefix}`
    for (;;) {
      const from = min
      const page = await requests.ask(async (client) => {
        return await client.zrangebylex(retained.topics, from, max, 'LIMIT', 0, TOPICS_AT_ONCE)
      })
      const found = page.filter((topic) => matchesTopic(levels, topic))
      for (let at = 0; at < found.length; at += MESSAGES_AT_ONCE) yield found.slice(at, at + MESSAGES_AT_ONCE)
      if (page.length < TOPICS_AT_ONCE || subscriber?.destroyed === true) return
      min = `(${page.at(-1) as string}`
    }
  }

  async * #read (topics: string[]): AsyncGenerator<StoredPacket> {
    const { requests, keys: { retained } } = this.#options
    const messages = await requests.ask(async (client) => await client.hmgetBuffer(retained.messages, ...topics))
    for (const [at, message] of messages.entries()) {
      // It may have been deleted meanwhile.
      if (message === null) continue
      const qos = Number(message.subarray(0, 1)) as QoS
      yield { cmd: 'publish', topic: topics[at] as string, payload: message.subarray(1), qos, retain: true }
    }
  }
}

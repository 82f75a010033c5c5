/**
 * The wills of connected sessions, also in Redis: there they are published by another pod when theirs has died without
 * a word. A pod shows every few seconds that it lives; one that has not for `LIFE_MS` is taken for dead, and each of
 * its wills is claimed by one pod, which keeps it as its own until it is published. Where a pod dies while it publishes
 * one, another does so again: its event has the same id.
 *
 * Not published is the will of a client that is connected again by then: a will that is late is a delayed one, and a
 * delayed one ends when its client is back [MQTT5-3.1.3-9]. While Redis is away wills are kept here alone. Nothing here
 * rejects: Aedes has nobody who would hear it.
 */
import { randomUUID } from 'node:crypto'
import type { MbsError } from '../../errors.ts'
import type { Identity } from '../../message.ts'
import type { AedesClient, PublishPacket } from '../aedes-types.ts'
import type { Keys } from './keys.ts'
import { toSessionsError, type Requests } from './requests.ts'
import { claimWill, forgetPod, putWill, showLife } from './scripts.ts'

/** A pod that has not shown itself for so long is dead. It does so every third of it. */
export const LIFE_MS = 10_000
/** Who has not had Redis for so long without a break declares nobody dead: the others may not have it back yet. */
const SURE_AFTER_MS = 15_000
/** What a group leaves that does not come back is deleted after so long. */
const WILLS_LIFETIME_MS = 86_400_000
/** Wills that are read at a time. */
const AT_ONCE = 100

/** A will as it is kept, with who left it: permissions are looked at again before it is published. */
export interface KeptWill {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly identity: Identity
  /** The id of its event, whoever publishes it. */
  readonly eventId: string
}

export interface RedisWillsOptions {
  readonly pod: string
  readonly requests: Requests
  readonly keys: Keys
  readonly identityOf: (client: AedesClient) => Identity
  /** Publishes the will of a pod that has died; resolves when it is stored, or cannot be. */
  readonly publish: (will: KeptWill) => Promise<void>
  readonly failed: (error: MbsError) => void
}

export class RedisWills {
  readonly #options: RedisWillsOptions
  /** What is to be in Redis, by client identifier. */
  readonly #wills = new Map<string, { readonly client: AedesClient, readonly text: string }>()
  readonly #eventIds = new WeakMap<AedesClient, string>()
  /** Redis may have others. */
  #isStale = false
  /** Since when Redis has answered without a break. */
  #answersSince = performance.now()

  constructor (options: RedisWillsOptions) {
    this.#options = options
  }

  async put (client: AedesClient, will: PublishPacket): Promise<void> {
    const { requests, identityOf } = this.#options
    const eventId = randomUUID()
    this.#eventIds.set(client, eventId)
    const text = encode(will, identityOf(client), eventId)
    this.#wills.set(client.id, { client, text })
    if (!requests.isReady) this.#isStale = true
    else await this.#write(client.id, text)
  }

  /** The id that the event of its will gets. */
  eventIdOf (client: AedesClient): string | undefined {
    return this.#eventIds.get(client)
  }

  /** The will is done with. @param client whose it was; that of a later connection stays */
  async delete (client: AedesClient): Promise<void> {
    const { requests, keys, pod } = this.#options
    const kept = this.#wills.get(client.id)
    // Aedes names the client by its identifier alone.
    if (kept === undefined || (kept.client !== client && !kept.client.closed)) return
    this.#wills.delete(client.id)
    if (!requests.isReady) this.#isStale = true
    else await this.#try(requests.ask(async (redis) => await redis.hdel(keys.wills(pod), client.id)))
  }

  /** Shows that this pod lives; writes what could not be written. */
  async live (): Promise<void> {
    const { requests, keys, pod } = this.#options
    if (!requests.isReady) return
    const its = [keys.life(pod), keys.wills(pod), keys.pods]
    await this.#try(requests.run(showLife, its, [pod, LIFE_MS, WILLS_LIFETIME_MS]))
    if (this.#isStale) await this.#try(this.#rewrite())
  }

  /** What Redis has is not to be relied on: the connection is a new one. */
  doubt (): void {
    this.#isStale = true
    this.#answersSince = performance.now()
  }

  /** Publishes what dead pods have left. */
  async search (): Promise<void> {
    const { requests, keys, pod } = this.#options
    if (!requests.isReady || performance.now() - this.#answersSince < SURE_AFTER_MS) return
    await this.#try((async () => {
      for (const other of await requests.ask(async (redis) => await redis.smembers(keys.pods))) {
        if (other === pod || await this.#isAlive(other)) continue
        const names = await requests.ask(async (redis) => await redis.hkeys(keys.wills(other)))
        for (const name of names) await this.#claim(other, name)
        await requests.run(forgetPod, [keys.life(other), keys.wills(other), keys.pods], [other])
      }
    })())
  }

  /** Ends in order: nobody is to publish what this pod has published itself. */
  async close (): Promise<void> {
    const { requests, keys, pod } = this.#options
    if (!requests.isReady) return
    await this.#try(requests.ask(async (redis) => {
      await redis.del(keys.wills(pod), keys.life(pod))
      await redis.srem(keys.pods, pod)
    }))
  }

  async #claim (other: string, name: string): Promise<void> {
    const { requests, keys, pod, publish } = this.#options
    const here = `${pod}\0${name}`
    const both = [keys.life(other), keys.wills(other), keys.wills(pod)]
    const text = await requests.run(claimWill, both, [name, here, WILLS_LIFETIME_MS])
    if (text === null) return
    const will = decode(text.toString())
    if (will !== undefined && !await this.#isBack(will.identity.clientId)) await publish(will)
    await requests.ask(async (redis) => await redis.hdel(keys.wills(pod), here))
  }

  /** True where a client is connected to a pod that lives, as far as wills and persistent sessions show it. */
  async #isBack (clientId: string): Promise<boolean> {
    const { requests, keys, pod } = this.#options
    if (this.#wills.has(clientId)) return true
    const holder = await requests.ask(async (redis) => await redis.hget(keys.session(clientId).session, 'pod'))
    if (holder !== null && (holder === pod || await this.#isAlive(holder))) return true
    for (const other of await requests.ask(async (redis) => await redis.smembers(keys.pods))) {
      if (other === pod || !await this.#isAlive(other)) continue
      if (await requests.ask(async (redis) => await redis.hexists(keys.wills(other), clientId)) === 1) return true
    }
    return false
  }

  async #isAlive (pod: string): Promise<boolean> {
    const { requests, keys } = this.#options
    return await requests.ask(async (redis) => await redis.exists(keys.life(pod))) === 1
  }

  async #write (clientId: string, text: string): Promise<void> {
    const { requests, keys, pod } = this.#options
    await this.#try(requests.run(putWill, [keys.wills(pod)], [clientId, text, WILLS_LIFETIME_MS]))
  }

  /** Makes Redis have what is here, and nothing else but what was claimed. */
  async #rewrite (): Promise<void> {
    const { requests, keys, pod } = this.#options
    this.#isStale = false
    const there = await requests.ask(async (redis) => await redis.hkeys(keys.wills(pod)))
    const gone = there.filter((name) => !name.includes('\0') && !this.#wills.has(name))
    for (let at = 0; at < gone.length; at += AT_ONCE) {
      await requests.ask(async (redis) => await redis.hdel(keys.wills(pod), ...gone.slice(at, at + AT_ONCE)))
    }
    for (const [clientId, { text }] of this.#wills) await this.#write(clientId, text)
  }

  async #try (work: Promise<unknown>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.doubt()
      this.#options.failed(toSessionsError(error))
    }
  }
}

function encode ({ topic, payload, qos, retain }: PublishPacket, identity: Identity, eventId: string): string {
  return JSON.stringify({ topic, payload: Buffer.from(payload).toString('base64'), qos, retain, identity, eventId })
}

/** Undefined where it is none: another version may have written it. */
function decode (text: string): KeptWill | undefined {
  try {
    const will = JSON.parse(text) as Omit<KeptWill, 'payload'> & { payload: string }
    return { ...will, payload: Buffer.from(will.payload, 'base64') }
  } catch {
    return undefined
  }
}

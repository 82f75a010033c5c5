/**
 * What a pod knows of the subscriptions of all persistent sessions, kept right although messages between pods may be
 * lost: every change is numbered in Redis, and a pod that has not seen a number reads again what has changed since. It
 * asks when it is told of a change, after each reconnect, and once a second; where too much has changed, or Redis is
 * another one, it reads everything.
 */
import { randomUUID } from 'node:crypto'
import type { Keys } from './keys.ts'
import { toSessionsError, type Requests } from './requests.ts'
import { noteChange, readChanges } from './scripts.ts'
import { SubscriptionTree, type Match } from './subscription-tree.ts'

/** Changes that are remembered; a pod that has missed more reads everything. */
const REMEMBERED = 10_000
/** Sessions that are read at a time. */
const AT_ONCE = 100

export class SubscriptionMirror {
  readonly #requests: Requests
  readonly #keys: Keys
  readonly #tree = new SubscriptionTree()
  #epoch = ''
  #number = 0
  /** The comparison that begins when the last one has ended, and whatever has become of that one. */
  #next: Promise<void> | undefined
  #last: Promise<void> = Promise.resolve()

  constructor (requests: Requests, keys: Keys) {
    this.#requests = requests
    this.#keys = keys
  }

  /** Bytes that it takes, as reckoned. */
  get bytes (): number {
    return this.#tree.bytes
  }

  /** True where a session with subscriptions at QoS 1 or 2 is known. */
  has (clientId: string): boolean {
    return this.#tree.has(clientId)
  }

  /** Who gets a message of this topic at QoS 1 or 2. */
  match (topic: string): Match[] {
    return this.#tree.match(topic)
  }

  /** The subscriptions of a session have changed in Redis. Resolves when others can know, and this pod does. */
  async changed (clientId: string): Promise<void> {
    const { version, changes } = this.#keys
    await this.#requests.run(noteChange, [version, changes], [clientId, REMEMBERED, randomUUID()])
    await this.#read([clientId])
  }

  /**
   * Compares with Redis. All who call while one is under way share the next one; they go on in the order of their
   * calls. It does not wait for a connection.
   * @throws MBS_ERR_SESSIONS_REDIS
   */
  async poll (): Promise<void> {
    if (this.#next === undefined) {
      const next = this.#next = this.#last.then(async () => {
        this.#next = undefined
        if (!this.#requests.isReady) throw toSessionsError(new Error('there is no connection'))
        await this.#poll()
      })
      this.#last = next.catch(() => {})
    }
    await this.#next
  }

  async #poll (): Promise<void> {
    const { version, changes } = this.#keys
    for (;;) {
      const seen = [this.#number, this.#epoch]
      const [epoch, number, found] = await this.#requests.run(readChanges, [version, changes], seen)
      const isSame = epoch.toString() === this.#epoch && Number(number) >= this.#number
      if (isSame && Number(number) === this.#number) return
      const first = numberOf(found[0])
      if (!isSame || first !== this.#number + 1) {
        // What changes while it is read has a higher number than this one.
        await this.#readAll()
        this.#epoch = epoch.toString()
        this.#number = Number(number)
        return
      }
      await this.#read([...new Set(found.map(([, [, clientId]]) => String(clientId)))])
      this.#number = numberOf(found.at(-1)) as number
    }
  }

  async #readAll (): Promise<void> {
    const known = new Set(this.#tree.clientIds())
    let cursor = '0'
    do {
      const from = cursor
      const [next, page] = await this.#requests.ask(async (client) => {
        return await client.zscan(this.#keys.index, from, 'COUNT', AT_ONCE)
      })
      const clientIds = page.filter((_, at) => at % 2 === 0)
      for (const clientId of clientIds) known.delete(clientId)
      await this.#read(clientIds)
      cursor = next
    } while (cursor !== '0')
    // They are not in the index, or have come while it was read.
    await this.#read([...known])
  }

  async #read (clientIds: readonly string[]): Promise<void> {
    for (let at = 0; at < clientIds.length; at += AT_ONCE) {
      await Promise.all(clientIds.slice(at, at + AT_ONCE).map(async (clientId) => {
        const { subscriptions } = this.#keys.session(clientId)
        const found = await this.#requests.ask(async (client) => await client.hgetall(subscriptions))
        const filters = Object.entries(found).filter(([, qos]) => qos !== '0').map(([filter]) => filter)
        this.#tree.set(clientId, new Set(filters))
      }))
    }
  }
}

function numberOf (change: readonly [Buffer, unknown] | undefined): number | undefined {
  return change === undefined ? undefined : Number.parseInt(change[0].toString())
}

/**
 * The persistent sessions in Redis: whose they are, which connection of which pod has each, and when one ends. A
 * connection takes a session over at CONNECT, with a serial that grows over all pods: the highest one has it, and
 * whatever a lower one still asks for changes nothing. A pod finds out when it is told, when it changes something, and
 * when it renews its sessions; then it closes the connection.
 *
 * A session lives as long as its connection shows itself, and `expiryMs` longer. One that has nothing to keep ends with
 * its connection.
 */
import { createError, type MbsError } from '../../errors.ts'
import type { AedesClient } from '../aedes-types.ts'
import type { Keys } from './keys.ts'
import { toSessionsError, type Requests } from './requests.ts'
import {
  dropPlace, endSession, leaveSession, LOST, nextSerial, renewSession, takePlace, takeSession
} from './scripts.ts'
import { RedisSession } from './session.ts'

/** Sessions that are renewed, or looked at because they may have ended, at a time. */
const AT_ONCE = 100

export interface RedisSessionsOptions {
  readonly pod: string
  readonly requests: Requests
  readonly keys: Keys
  readonly max: number
  readonly expiryMs: number
  /** How often sessions are renewed. */
  readonly renewMs: number
  /** Subscriptions of a session have changed, or are gone. @throws MBS_ERR_SESSIONS_REDIS */
  readonly changed: (clientId: string) => Promise<void>
  /** A session has been taken over, with the packet identifiers that were not released. */
  readonly begun: (session: RedisSession, received: readonly number[]) => void
  /** The last connection of a session here has closed. */
  readonly left: (clientId: string) => void
  /** Told of a session whose client did not come back. */
  readonly expired: (clientId: string, awayMs: number) => void
  /** Something waits for this session that was not sent to it. */
  readonly waiting: (session: RedisSession) => void
  readonly failed: (error: MbsError) => void
}

export class RedisSessions {
  readonly #options: RedisSessionsOptions
  /** The connections that have one, by client identifier and by connection. */
  readonly #byId = new Map<string, RedisSession>()
  readonly #byClient = new WeakMap<object, RedisSession>()
  /** Sessions that clean ones have replaced while Redis was away. */
  readonly #replaced = new Set<string>()
  /** All of the group, as they were when they were last counted. */
  count = 0

  constructor (options: RedisSessionsOptions) {
    this.#options = options
  }

  /** True where a persistent session of this client identifier is connected here. */
  has (clientId: string): boolean {
    return this.#byId.has(clientId)
  }

  /** The session of a connection; undefined: it has none that is kept. */
  of (client: object): RedisSession | undefined {
    return this.#byClient.get(client)
  }

  byId (clientId: string): RedisSession | undefined {
    return this.#byId.get(clientId)
  }

  connected (): RedisSession[] {
    return [...this.#byId.values()]
  }

  /** The number of the next connection. @throws MBS_ERR_SESSIONS_REDIS */
  async nextSerial (): Promise<number> {
    const { requests, keys } = this.#options
    return Number(await requests.run(nextSerial, [keys.connections]))
  }

  /**
   * Takes a session over, or begins one; that of another owner ends first.
   * @returns MBS_ERR_LIMIT_SESSIONS where there is no place
   * @throws MBS_ERR_SESSIONS_REDIS, MBS_ERR_SESSIONS_TAKEN
   */
  async take (client: AedesClient, owner: string | undefined, serial: number): Promise<MbsError | undefined> {
    const { requests, keys, pod, max, changed, begun } = this.#options
    const { id } = client
    if (await requests.run(takePlace, [keys.index], [id, max, this.#endsAt()]) === 0) {
      return createError('MBS_ERR_LIMIT_SESSIONS', { max })
    }
    const its = keys.session(id)
    const [found, received, sent] = await requests.run(takeSession, its.all, [
      serial, owner === undefined ? '-' : `=${owner}`, pod, this.#lifetime()
    ])
    if (received === undefined || sent === undefined) throw createError('MBS_ERR_SESSIONS_TAKEN', { reason: 'another connection was let in later' })
    if (found === 2) await changed(id)
    const session = new RedisSession(client, serial, its, sent.map(String))
    this.#byId.set(id, session)
    this.#byClient.set(client, session)
    begun(session, received.map(Number))
    if (client.conn.closed) void this.#left(session)
    else client.conn.once('close', () => { void this.#left(session) })
    return undefined
  }

  /** A clean session begins: the persistent one that its client identifier had ends. Never rejects. */
  async end (clientId: string, serial: number): Promise<void> {
    const { requests, keys, changed } = this.#options
    try {
      const found = await requests.run(endSession, keys.session(clientId).all, [serial, '0'])
      if (found !== 1) return
      await requests.run(dropPlace, [keys.index], [clientId, Number.MAX_SAFE_INTEGER])
      await changed(clientId)
    } catch (error) {
      this.replaced(clientId)
      this.#options.failed(toSessionsError(error))
    }
  }

  /** A persistent session is to end when Redis is there again. */
  replaced (clientId: string): void {
    this.#replaced.add(clientId)
  }

  /** Another connection has the session, or nobody. */
  lost (session: RedisSession): void {
    session.client.close()
  }

  /**
   * Renews what is connected here, and finds out what is no longer so. Ends what clean sessions have replaced.
   * @throws MBS_ERR_SESSIONS_REDIS
   */
  async renew (): Promise<void> {
    const { requests, keys, waiting } = this.#options
    const sessions = this.connected()
    for (let at = 0; at < sessions.length; at += AT_ONCE) {
      const some = sessions.slice(at, at + AT_ONCE)
      const places: Array<number | string> = []
      await Promise.all(some.map(async (session) => {
        session.age()
        const outcome = await requests.run(renewSession, session.keys.all, [session.serial, this.#lifetime()])
        if (outcome === LOST) {
          this.lost(session)
          return
        }
        places.push(this.#endsAt(), session.client.id)
        if (outcome > 0) waiting(session)
      }))
      if (places.length > 0) await requests.ask(async (client) => await client.zadd(keys.index, ...places))
    }
    for (const clientId of this.#replaced) {
      if (!this.#byId.has(clientId) && await requests.run(endSession, keys.session(clientId).all, [await this.nextSerial(), '1']) === 1) {
        await requests.run(dropPlace, [keys.index], [clientId, Number.MAX_SAFE_INTEGER])
        await this.#options.changed(clientId)
      }
      this.#replaced.delete(clientId)
    }
  }

  /** Forgets the sessions that have ended because nobody renewed them. @throws MBS_ERR_SESSIONS_REDIS */
  async sweep (): Promise<void> {
    const { requests, keys, changed, expired, expiryMs } = this.#options
    this.count = await requests.ask(async (client) => await client.zcard(keys.index))
    for (;;) {
      const due = await requests.ask(async (client) => {
        return await client.zrangebyscore(keys.index, '-inf', Date.now(), 'LIMIT', 0, AT_ONCE)
      })
      await Promise.all(due.map(async (clientId) => {
        const { session } = keys.session(clientId)
        const leftMs = await requests.ask(async (client) => await client.pttl(session))
        if (leftMs > 0) {
          await requests.ask(async (client) => await client.zadd(keys.index, 'XX', Date.now() + leftMs, clientId))
        } else if (await requests.run(dropPlace, [keys.index], [clientId, Date.now()]) === 1) {
          await changed(clientId)
          expired(clientId, expiryMs)
        }
      }))
      if (due.length < AT_ONCE) return
    }
  }

  /** Leaves all that are connected here: the program ends. */
  async close (): Promise<void> {
    await Promise.all(this.connected().map(async (session) => { await this.#left(session) }))
  }

  async #left (session: RedisSession): Promise<void> {
    const { requests, keys, changed, left, expiryMs, failed } = this.#options
    const { client: { id }, serial } = session
    if (this.#byId.get(id) === session) {
      this.#byId.delete(id)
      left(id)
    }
    try {
      const outcome = await requests.run(leaveSession, session.keys.all, [serial, expiryMs])
      if (outcome === LOST) return
      if (outcome === 0) {
        // One that has come meanwhile takes its place again when it is renewed.
        await requests.run(dropPlace, [keys.index], [id, this.#endsAt()])
        await changed(id)
      } else {
        await requests.ask(async (client) => await client.zadd(keys.index, Date.now() + expiryMs, id))
      }
    } catch (error) {
      // It ends by itself, counted from when it was last renewed.
      failed(toSessionsError(error))
    }
  }

  #lifetime (): number {
    return this.#options.expiryMs + 2 * this.#options.renewMs
  }

  #endsAt (): number {
    return Date.now() + this.#lifetime()
  }
}

/**
 * The persistent sessions: how many there are, and when one ends whose client does not come back. A session that ends
 * takes everything with it: subscriptions, what waits for it, packet identifiers that were not released.
 *
 * A session that has nothing to keep ends with its connection: devices that only publish take no place while they are
 * away, whatever they said in CONNECT.
 */
import { createError, type MbsError } from '../errors.ts'
import type { AedesClient, SubscriptionStore } from './aedes-types.ts'

/** The timer sleeps no longer than this, in milliseconds: Node's cannot sleep for a month. */
const MAX_SLEEP_MS = 3_600_000
/** Sessions that end in one turn of the event loop. */
const EXPIRED_A_TURN = 100

export interface SessionsOptions {
  readonly max: number
  readonly expiryMs: number
  /** True where a session has nothing worth keeping. */
  readonly isEmpty: (clientId: string) => boolean
  /** Deletes what a session has, beside its subscriptions in Aedes' persistence. */
  readonly forget: (clientId: string) => void
  /** Told of a session whose client did not come back. */
  readonly expired: (clientId: string, awayMs: number) => void
  /** Milliseconds of a clock that is never set back. */
  readonly now?: () => number
}

interface Session {
  /** Whose it is: the name that was proven; undefined for anonymous ones. */
  readonly owner: string | undefined
  /** The connection that has it; undefined while there is none. */
  client: AedesClient | undefined
  /** The connection that is about to have it. */
  coming: AedesClient | undefined
}

export class Sessions {
  readonly #options: SessionsOptions
  readonly #now: () => number
  readonly #sessions = new Map<string, Session>()
  /** When the clients left that are away; the longest away first. */
  readonly #away = new Map<string, number>()
  #deleteSubscriptions: SubscriptionStore['cleanSubscriptions'] = async () => {}
  #timer: NodeJS.Timeout | undefined

  constructor (options: SessionsOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  get count (): number {
    return this.#sessions.size
  }

  /** True where a persistent session of this client identifier is kept. */
  has (clientId: string): boolean {
    return this.#sessions.has(clientId)
  }

  /** Hears of sessions that begin anew. */
  attach (persistence: SubscriptionStore): void {
    this.#deleteSubscriptions = persistence.cleanSubscriptions.bind(persistence)
    persistence.cleanSubscriptions = async (client) => { await this.#end(client.id) }
  }

  /**
   * Takes a place for a session that is to be kept, before it begins; one that is there already is resumed. That of
   * another owner is not: it ends with all it has, and a new one begins.
   * @returns MBS_ERR_LIMIT_SESSIONS where there is no place
   */
  take (client: AedesClient, owner?: string): MbsError | undefined {
    const { id } = client
    if (this.#sessions.has(id) && this.#sessions.get(id)?.owner !== owner) void this.#end(id)
    const session = this.#sessions.get(id)
    if (session === undefined) {
      const { max } = this.#options
      if (this.#sessions.size >= max) return createError('MBS_ERR_LIMIT_SESSIONS', { max })
      this.#sessions.set(id, { owner, client: undefined, coming: client })
    } else {
      session.coming = client
      this.#away.delete(id)
    }
    client.conn.once('close', () => { this.#left(client) })
    return undefined
  }

  /** The session has begun on this connection. */
  started (client: AedesClient): void {
    const session = this.#sessions.get(client.id)
    if (session?.coming !== client) return
    session.client = client
    session.coming = undefined
  }

  /** Ends the timer. */
  close (): void {
    clearTimeout(this.#timer)
  }

  #left (client: AedesClient): void {
    const { id } = client
    const session = this.#sessions.get(id)
    if (session === undefined) {
      // A clean session took over; what this one asked for last may have come after that.
      void this.#end(id)
      return
    }
    if (session.client === client) session.client = undefined
    if (session.coming === client) session.coming = undefined
    if (session.client !== undefined || session.coming !== undefined) return
    if (this.#options.isEmpty(id)) {
      void this.#end(id)
      return
    }
    this.#away.delete(id)
    this.#away.set(id, this.#now())
    if (this.#away.size === 1) this.#arm()
  }

  async #end (clientId: string): Promise<void> {
    this.#sessions.delete(clientId)
    this.#away.delete(clientId)
    this.#options.forget(clientId)
    await this.#deleteSubscriptions({ id: clientId })
  }

  #arm (): void {
    clearTimeout(this.#timer)
    const { value: since } = this.#away.values().next()
    if (since === undefined) return
    const dueMs = since + this.#options.expiryMs - this.#now()
    this.#timer = setTimeout(() => { this.#sweep() }, Math.min(Math.max(1, dueMs), MAX_SLEEP_MS))
    this.#timer.unref()
  }

  #sweep (): void {
    const now = this.#now()
    let left = EXPIRED_A_TURN
    for (const [clientId, since] of this.#away) {
      if (since + this.#options.expiryMs > now || left-- === 0) break
      void this.#end(clientId)
      this.#options.expired(clientId, now - since)
    }
    this.#arm()
  }
}

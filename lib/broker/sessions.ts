/**
 * The persistent sessions: how many there are, and when one ends whose client does not come back. A session that ends
 * takes everything with it: subscriptions, what waits for it, packet identifiers that were not released.
 *
 * A session that has nothing to keep ends with its connection: devices that only publish take no place while they are
 * away, whatever they said in CONNECT.
 */
import { createError, type MbsError } from '../errors.ts'
import type { AedesClient, SubscriptionStore } from './aedes-types.ts'
import type { SessionRecord } from './journal-records.ts'
import type { StateJournal } from './state-journal.ts'

/** The timer sleeps no longer than this, in milliseconds: Node's cannot sleep for a month. */
const MAX_SLEEP_MS = 3_600_000
/** Sessions that end in one turn of the event loop. */
const EXPIRED_A_TURN = 100
/** No session was left before this program was written: a clock that said so had not been set. 2026-01-01. */
const EARLIEST_LEFT = 1_767_225_600_000

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
  /** Where they are kept as well, by the time of day. */
  readonly journal?: StateJournal | undefined
  /** The time of day, in milliseconds since the epoch. */
  readonly wallNow?: () => number
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
  readonly #wallNow: () => number
  readonly #sessions = new Map<string, Session>()
  /** When the clients left that are away; the longest away first. */
  readonly #away = new Map<string, number>()
  #deleteSubscriptions: SubscriptionStore['cleanSubscriptions'] = async () => {}
  #timer: NodeJS.Timeout | undefined

  constructor (options: SessionsOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#wallNow = options.wallNow ?? (() => Date.now())
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
    persistence.cleanSubscriptions = async (client) => {
      const wasKept = this.#sessions.has(client.id)
      await this.#end(client.id)
      // What has ended must not be there again after a crash. A clean session can do without, if the disk fails.
      if (wasKept) await this.#options.journal?.written().catch(() => {})
    }
  }

  /**
   * Takes up sessions from before a restart, none of them connected. Each was away since it left; one that was
   * connected is away from now on.
   * @returns those that are kept; the others had been away for too long, which is told
   */
  restore (records: ReadonlyMap<string, SessionRecord>): Set<string> {
    const [now, wallNow] = [this.#now(), this.#wallNow()]
    const away: Array<{ clientId: string, owner: string | undefined, awayMs: number }> = []
    for (const [clientId, { awaySince, owner }] of records) {
      const since = awaySince === undefined || awaySince < EARLIEST_LEFT ? wallNow : awaySince
      const awayMs = Math.max(0, wallNow - since)
      if (awayMs >= this.#options.expiryMs) {
        this.#options.journal?.sessionEnded(clientId)
        this.#options.expired(clientId, awayMs)
        continue
      }
      if (since !== awaySince) this.#options.journal?.session(clientId, { awaySince: since, owner })
      away.push({ clientId, owner, awayMs })
    }
    for (const { clientId, owner, awayMs } of away.sort((a, b) => b.awayMs - a.awayMs)) {
      this.#sessions.set(clientId, { owner, client: undefined, coming: undefined })
      this.#away.set(clientId, now - awayMs)
    }
    this.#arm()
    return new Set(away.map(({ clientId }) => clientId))
  }

  /**
   * Takes a place for a session that is to be kept, before it begins; one that is there already is resumed. That of
   * another owner is not: it ends with all it has, and a new one begins.
   * @returns MBS_ERR_LIMIT_SESSIONS where there is no place, MBS_ERR_SESSIONS_WRITE where none can be written
   */
  take (client: AedesClient, owner?: string): MbsError | undefined {
    const { id } = client
    if (this.#sessions.has(id) && this.#sessions.get(id)?.owner !== owner) void this.#end(id)
    const session = this.#sessions.get(id)
    if (session === undefined) {
      const { max, journal } = this.#options
      if (this.#sessions.size >= max) return createError('MBS_ERR_LIMIT_SESSIONS', { max })
      if (journal?.failure !== undefined) return journal.failure
      this.#sessions.set(id, { owner, client: undefined, coming: client })
      journal?.session(id, { awaySince: undefined, owner })
    } else {
      session.coming = client
      if (this.#away.delete(id)) this.#options.journal?.session(id, { awaySince: undefined, owner })
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

  /** Deletes what a session had that was not restored. */
  forget (clientId: string): void {
    this.#options.forget(clientId)
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
    this.#options.journal?.session(id, { awaySince: this.#wallNow(), owner: session.owner })
    if (this.#away.size === 1) this.#arm()
  }

  async #end (clientId: string): Promise<void> {
    if (this.#sessions.delete(clientId)) this.#options.journal?.sessionEnded(clientId)
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

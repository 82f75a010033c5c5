/**
 * How many sessions one user may have at a time. Counted by client identifier, not by connection: a device that comes
 * back takes over its own session [MQTT-3.1.4-2], and the broken connection before it must not keep it out.
 */
import { createError, type MbsError } from '../errors.ts'
import type { Identity } from '../message.ts'
import type { AedesClient } from './aedes-types.ts'

export class IdentityLimit {
  readonly #max: number
  /** The connections of each user, by client identifier. */
  readonly #users = new Map<string, Map<string, AedesClient>>()

  /** @param max sessions of one user at a time; 0: as many as there are */
  constructor (max: number) {
    this.#max = max
  }

  /** Users that have a session: what is remembered of them. */
  get users (): number {
    return this.#users.size
  }

  /**
   * Takes a place for a connection, and gives it back when that closes. Anonymous sessions are not counted.
   * @returns MBS_ERR_LIMIT_IDENTITY where there is none
   */
  take (client: AedesClient, { clientId, username }: Identity): MbsError | undefined {
    if (this.#max === 0 || username === undefined) return undefined
    const sessions = this.#users.get(username) ?? new Map<string, AedesClient>()
    if (!sessions.has(clientId) && sessions.size >= this.#max) {
      return createError('MBS_ERR_LIMIT_IDENTITY', { max: this.#max })
    }
    sessions.set(clientId, client)
    this.#users.set(username, sessions)
    client.conn.once('close', () => {
      if (sessions.get(clientId) !== client) return
      sessions.delete(clientId)
      if (sessions.size === 0 && this.#users.get(username) === sessions) this.#users.delete(username)
    })
    return undefined
  }
}

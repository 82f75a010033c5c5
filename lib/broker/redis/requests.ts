/**
 * What the sessions ask of Redis, bounded in time: while there is no connection a request waits for one, and no longer
 * than an answer may take. Whatever goes wrong is one error, MBS_ERR_SESSIONS_REDIS; who asked closes the connection of
 * the device, or goes on without.
 */
import { createError, isMbsError, reasonOf, type MbsError } from '../../errors.ts'
import type { RedisClient } from '../../redis/link.ts'
import type { RedisValue, Script } from '../../redis/script.ts'
import { Readiness } from './readiness.ts'

export class Requests {
  readonly #readiness: Readiness
  readonly #open = new Set<Promise<unknown>>()

  constructor (client: RedisClient, timeoutMs: number) {
    this.#readiness = new Readiness(client, timeoutMs)
  }

  /** True while a request would be sent at once. */
  get isReady (): boolean {
    return this.#readiness.isReady
  }

  /** @throws MBS_ERR_SESSIONS_REDIS */
  async run<Result> (
    script: Script<Result>, keys: readonly string[], args: readonly RedisValue[] = []
  ): Promise<Result> {
    return await this.ask(async (client) => await script.run(client, keys, args))
  }

  /** @throws MBS_ERR_SESSIONS_REDIS */
  async ask<Result> (request: (client: RedisClient) => Promise<Result>): Promise<Result> {
    const answer = this.#readiness.ask(request)
    this.#open.add(answer)
    try {
      return await answer
    } catch (error) {
      throw toSessionsError(error)
    } finally {
      this.#open.delete(answer)
    }
  }

  /** Resolves when everything that was asked has an answer, or will have none. */
  async settled (): Promise<void> {
    while (this.#open.size > 0) await Promise.allSettled(this.#open)
  }
}

/** What Redis or ioredis says, as the error that a session fails with. */
export function toSessionsError (error: unknown): MbsError {
  return isMbsError(error) ? error : createError('MBS_ERR_SESSIONS_REDIS', { reason: reasonOf(error) }, error)
}

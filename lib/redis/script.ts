/**
 * A script of Redis: what it does, it does at once, and nothing comes between. Known by its hash once a server has it.
 * Sending it whole after a server has forgotten it is no repetition: it has not run.
 */
import { createHash } from 'node:crypto'
import type { RedisClient } from './link.ts'

export type RedisValue = string | number | Buffer

export class Script<Result> {
  readonly #text: string
  readonly #hash: string
  readonly #isOrdered: boolean

  /**
   * @param options `isOrdered` for what has to happen in the order in which it is sent: it is sent whole, since a
   * server that has not got a script turns the first ones away, and may take a later one before they are sent again
   */
  constructor (text: string, { isOrdered = false }: { readonly isOrdered?: boolean } = {}) {
    this.#text = text
    this.#hash = createHash('sha1').update(text).digest('hex')
    this.#isOrdered = isOrdered
  }

  /** Texts come back as buffers, numbers as numbers. */
  async run (client: RedisClient, keys: readonly string[], args: readonly RedisValue[]): Promise<Result> {
    if (this.#isOrdered) return await this.#runWhole(client, keys, args)
    try {
      return await client.callBuffer('EVALSHA', this.#hash, keys.length, ...keys, ...args) as Result
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return await this.#runWhole(client, keys, args)
    }
  }

  async #runWhole (client: RedisClient, keys: readonly string[], args: readonly RedisValue[]): Promise<Result> {
    return await client.callBuffer('EVAL', this.#text, keys.length, ...keys, ...args) as Result
  }
}

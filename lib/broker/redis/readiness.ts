/**
 * Waits for a connection to Redis, and for an answer, for a bounded time. One listener for all who wait: there may be
 * one for each device.
 */
import type { RedisClient } from '../../redis/link.ts'
import { primariesOf } from '../../redis/server.ts'

export class Readiness {
  readonly #client: RedisClient
  readonly #timeoutMs: number
  readonly #waiting = new Set<() => void>()

  constructor (client: RedisClient, timeoutMs: number) {
    this.#client = client
    this.#timeoutMs = timeoutMs
    client.on('ready', () => {
      const waiting = [...this.#waiting]
      this.#waiting.clear()
      for (const go of waiting) go()
    })
  }

  /** True while a request would be sent at once. */
  get isReady (): boolean {
    return this.#client.status === 'ready'
  }

  /**
   * Asks as soon as there is a connection, in the order of the calls. Rejects when an answer has not come in time; it
   * may come yet.
   */
  async ask<Result> (request: (client: RedisClient) => Promise<Result>): Promise<Result> {
    let timer: NodeJS.Timeout | undefined
    let go = (): void => {}
    try {
      return await new Promise((resolve, reject) => {
        timer = setTimeout(() => { reject(new Error(`there was no answer within ${this.#timeoutMs} ms`)) }, this.#timeoutMs)
        go = () => { request(this.#client).then(resolve, reject) }
        // Those who wait are let go a moment after it is ready.
        if (this.isReady && this.#waiting.size === 0) go()
        else this.#waiting.add(go)
      })
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(go)
    }
  }
}

/**
 * Connects to all nodes of a Cluster, now and when one joins. By itself ioredis does so with the first request, and
 * tries those that come meanwhile again later, behind others that come after them.
 */
export async function connectNodes (client: RedisClient): Promise<void> {
  if (!client.isCluster) return
  // One that cannot be reached is tried again with the next request.
  const connect = async (node: ReturnType<typeof primariesOf>[number]): Promise<void> => {
    if (node.status === 'wait') await node.connect().catch(() => {})
  }
  client.on('+node', (node: ReturnType<typeof primariesOf>[number]) => { void connect(node) })
  await Promise.all(primariesOf(client).map(connect))
}

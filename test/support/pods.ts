/** Several brokers that share their sessions in one Redis, as pods behind a load balancer do. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { RedisState } from '../../lib/broker/redis/redis-state.ts'
import { RedisLink, type RedisSettings } from '../../lib/redis/link.ts'
import { startBroker, type TestBrokerOptions } from './broker.ts'
import type { RedisServer } from './redis.ts'

export interface PodsOptions extends TestBrokerOptions {
  timeoutMs?: number
  /** The same group as others that have it; one of its own, unless given. */
  keyPrefix?: string
}

export type Pod = Awaited<ReturnType<typeof startPod>>

/** Starts one more. */
export async function startPod (
  t: Test, place: Partial<RedisSettings>, keyPrefix: string, options: PodsOptions = {}
) {
  const { timeoutMs = 2000 } = options
  let link: RedisLink | undefined
  const pod = await startBroker(t, {
    ...options,
    state: async (limits, telemetry) => {
      link = new RedisLink({
        settings: { ...place, timeout: timeoutMs },
        onError: (error) => { telemetry.sharedSessionsFailed(error) },
        onReady: () => {}
      })
      return await RedisState.open({ link, keyPrefix, timeoutMs, startWaitMs: 10_000, limits, telemetry })
    }
  })
  return { ...pod, shared: pod.state as RedisState, link: link as unknown as RedisLink }
}

/** Starts three, or two, over one server or a Cluster. */
export async function startPods (
  t: Test, redis: RedisServer | readonly RedisServer[], count: 2 | 3 = 2, options: PodsOptions = {}
): Promise<readonly [Pod, Pod, Pod]> {
  const keyPrefix = options.keyPrefix ?? `t-${randomUUID()}:`
  const pods: Pod[] = []
  for (let at = 0; at < count; at++) pods.push(await startPod(t, placeOf(redis), keyPrefix, options))
  return pods as unknown as readonly [Pod, Pod, Pod]
}

/** Resolves when each would keep a message of this topic for so many sessions: they find out a moment after SUBACK. */
export async function known (pods: readonly Pod[], topic: string, count = 1): Promise<void> {
  for (const { shared } of pods) {
    while ((await shared.persistence.subscriptionsByTopic(topic)).length !== count) await sleep(2)
  }
}

export function placeOf (redis: RedisServer | readonly RedisServer[]): Partial<RedisSettings> {
  if ('url' in redis) return { url: redis.url }
  return { cluster: { nodes: redis.map(({ port }) => `127.0.0.1:${port}`) } }
}

/**
 * What is kept, as a configuration asks for it: the outbox, and what delivers out of it, one log in this program or the
 * logs of a group in Redis; and what the broker keeps for clients. Used by source.ts and by maintenance.ts. Nothing is
 * opened here.
 */
import { hostname } from 'node:os'
import { join } from 'node:path'
import { BrokerState } from './broker/broker-state.ts'
import type { StateLimits } from './broker/contract.ts'
import { DiskJournalStore } from './broker/journal-store.ts'
import { Journal } from './broker/journal.ts'
import type { RedisState } from './broker/redis/redis-state.ts'
import type { Config } from './config/schema.ts'
import { Deliveries } from './delivery/deliveries.ts'
import type { DeliveryStage } from './delivery/delivery-stage.ts'
import { GroupDeliveries } from './delivery/group-deliveries.ts'
import { createDiskOutbox } from './outbox/disk.ts'
import { createMemoryOutbox } from './outbox/memory.ts'
import type { Intake, Outbox } from './outbox/outbox.ts'
import { GroupOutbox } from './outbox/redis/group-outbox.ts'
import { Members } from './outbox/redis/members.ts'
import { fromPlace } from './outbox/redis/places.ts'
import { RedisLink } from './redis/link.ts'
import type { SinkParts } from './sink-parts.ts'
import type { Telemetry } from './telemetry/telemetry.ts'
import { VERSION } from './version.ts'

/** What nobody has to choose about an outbox. */
const OUTBOX = {
  /** Newest events also kept in memory, so that a sink which keeps up never makes the disk read. */
  tailCacheBytes: 1024 * 1024,
  /** Events whose numbers are read from them when it is opened after a crash: a tenth of a second or two. */
  unsavedEvents: 100_000,
  /** How often a disk that failed is tried again. */
  reopenMinMs: 500,
  reopenMaxMs: 10_000,
  /** How long the start waits for Redis. */
  startTimeoutMs: 15_000
} as const

/** Where events are kept, and how they are delivered from there. */
export interface Store {
  readonly outbox: Intake
  deliver (sinks: SinkParts): DeliveryStage
}

export function createStore (config: Config, telemetry: Telemetry): Store {
  if (config.outbox.store === 'redis') return groupStore(config, telemetry)
  const outbox = createLog(config, telemetry)
  return {
    outbox,
    deliver: ({ deliveries, awaited, mapping }) => new Deliveries({
      outbox, sinks: deliveries, awaited, mappingDeadLetters: mapping, telemetry
    })
  }
}

/** The one log of a program that shares it with nobody. */
export function createLog ({ dataDir, outbox, events, limits }: Config, telemetry: Telemetry): Outbox {
  const { tailCacheBytes, unsavedEvents, reopenMinMs, reopenMaxMs } = OUTBOX
  const options = {
    maxBytes: outbox.maxBytes,
    holdTimeoutMs: outbox.holdTimeout,
    receiptLimit: outbox.receipts,
    tailCacheBytes,
    reopenMinMs,
    reopenMaxMs,
    ...(events.extensions.sequence && { sequences: { limit: limits.sequenceSources, unsavedEvents } }),
    telemetry
  }
  return outbox.store === 'memory'
    ? createMemoryOutbox(options)
    : createDiskOutbox({ ...options, directory: outboxDirectory({ dataDir }) })
}

/** Where the outbox lies on disk. */
export function outboxDirectory ({ dataDir }: Pick<Config, 'dataDir'>): string {
  return join(dataDir, 'outbox')
}

/**
 * What the broker keeps for clients, where a configuration asks for it; that of one program is opened by the broker.
 * @throws where it is shared: MBS_ERR_REDIS_*, MBS_ERR_SESSIONS_REDIS
 */
export async function openBrokerState (
  { dataDir, broker: { sessions }, redis }: Config, limits: StateLimits, telemetry: Telemetry
): Promise<BrokerState | RedisState> {
  switch (sessions) {
    case 'memory': return new BrokerState(limits, telemetry)
    case 'disk': {
      const { reopenMinMs, reopenMaxMs } = OUTBOX
      const store = new DiskJournalStore(join(dataDir, 'sessions'))
      return new BrokerState(limits, telemetry, new Journal({ store, reopenMinMs, reopenMaxMs, telemetry }))
    }
    case 'redis': {
      // Who does not need it does not load it.
      const shared = await import('./broker/redis/redis-state.ts')
      // The rules of the configuration see to it.
      const settings = redis as NonNullable<Config['redis']>
      const link = new RedisLink({
        settings, onError: (error) => { telemetry.sharedSessionsFailed(error) }, onReady: () => {}
      })
      const { keyPrefix, timeout: timeoutMs } = settings
      return await shared.RedisState.open({
        link, keyPrefix, timeoutMs, startWaitMs: OUTBOX.startTimeoutMs, limits, telemetry
      })
    }
  }
}

/** The outbox of a group. Its configuration has a section `redis`. */
export function createGroup ({ outbox, redis }: Config, telemetry: Telemetry): GroupOutbox {
  // The rules of the configuration see to it.
  const settings = redis as NonNullable<Config['redis']>
  const link = new RedisLink({
    settings, onError: (error) => { telemetry.redisFailed(error) }, onReady: () => { telemetry.redisReady() }
  })
  return new GroupOutbox({
    link,
    keyPrefix: settings.keyPrefix,
    partitions: outbox.partitions,
    replicas: outbox.replicas,
    timeoutMs: settings.timeout,
    startTimeoutMs: OUTBOX.startTimeoutMs,
    maxBytes: outbox.maxBytes,
    holdTimeoutMs: outbox.holdTimeout,
    receiptLimit: outbox.receipts,
    telemetry
  })
}

function groupStore (config: Config, telemetry: Telemetry): Store {
  const group = createGroup(config, telemetry)
  const facts = { name: config.name, host: hostname(), pid: process.pid, version: VERSION, startedAt: Date.now() }
  return {
    outbox: group,
    deliver: ({ deliveries: sinks, awaited, mapping }) => {
      const deliveries: GroupDeliveries = new GroupDeliveries({
        // Each partition has its share, so that all of them together do not ask more of a sink.
        sinks: sinks.map((one) => ({ ...one, concurrency: Math.ceil(one.concurrency / config.outbox.partitions) })),
        awaited,
        mappingDeadLetters: mapping,
        join: async () => { await members.start() },
        part: async () => { await members.close() },
        fromPlace,
        look: (partition) => group.partition(partition, group.member),
        telemetry
      })
      const members = new Members({
        group,
        facts,
        take: async (partition, log) => { await deliveries.take(partition, log) },
        leave: async (partition, reason) => {
          await deliveries.leave(partition, reason === 'lost' ? 0 : config.delivery.grace, reason)
        },
        onError: (error) => { telemetry.unexpected(error, 'taking a partition of the outbox') }
      })
      return deliveries
    }
  }
}

/** What happens between this program and Redis: the part of telemetry that is told of connections, leases, losses. */
import type { MbsError } from '../errors.ts'
import { TracingTelemetry } from './tracing-telemetry.ts'

/** What a server loses when its machine fails, as `lib/redis` reads it from its settings. */
export type RedisDurability = 'always' | 'everysec' | 'os' | 'none' | 'unknown'

export interface RedisFacts {
  readonly address: string
  readonly version: string
  readonly durability: RedisDurability
  readonly maxmemory: number
  readonly replicas: number
}

/** What is lost of what was acknowledged, in words. */
const RISKS: Readonly<Record<Exclude<RedisDurability, 'always'>, string>> = {
  everysec: 'what was acknowledged in the last second is lost when the machine of Redis fails (appendfsync everysec)',
  os: 'what was acknowledged in the last half minute is lost when the machine of Redis fails (appendfsync no)',
  none: 'what was acknowledged is lost when Redis ends (appendonly no)',
  unknown: 'what Redis loses when it fails is not known: this user may not read its settings (CONFIG GET)'
}

export class RedisTelemetry extends TracingTelemetry {
  /** The servers have said what they are. */
  redisConnected (facts: RedisFacts): void {
    this.log.info(facts, 'Redis')
  }

  /** What Redis has acknowledged it may lose; said at the start, so that nobody learns it too late. */
  redisMayLose (durability: Exclude<RedisDurability, 'always'>): void {
    this.log.warn({ durability }, `outbox.store is redis: ${RISKS[durability]}; docs/redis.md says how to close that`)
  }

  /** A connection has failed; it is tried again. */
  redisFailed (error: MbsError): void {
    this.metrics.redisFailures.inc()
    this.repeated(error.code, (suppressed) => {
      this.log.warn({ code: error.code, help: error.help, suppressed }, error.message)
    })
  }

  /** A connection is there again. */
  redisReady (): void {
    this.log.info('connected to Redis again')
  }

  /** This program delivers a partition of the outbox from now on. */
  partitionTaken (fields: { partition: number }): void {
    this.metrics.partitions.inc()
    this.log.info(fields, 'this program delivers a partition of the outbox')
  }

  /** It does not any more. @param reason `handover`: another is to; `lost`: its lease was not renewed in time */
  partitionLeft (fields: { partition: number, reason: 'handover' | 'lost' | 'closing' }): void {
    this.metrics.partitions.dec()
    if (fields.reason === 'lost') this.log.warn(fields, 'a partition of the outbox is no longer delivered by this program')
    else this.log.info(fields, 'a partition of the outbox is given to others')
  }
}

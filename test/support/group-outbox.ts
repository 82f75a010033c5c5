/** An outbox in Redis of one partition, whose lease is held by who opens it: what the contract is run on. */
import { GroupOutbox, type GroupOutboxOptions, type GroupTelemetry } from '../../lib/outbox/redis/group-outbox.ts'
import { PartitionLog } from '../../lib/outbox/redis/partition-log.ts'
import { leaseScript } from '../../lib/outbox/redis/scripts.ts'
import { RedisLink, type RedisSettings } from '../../lib/redis/link.ts'
import type { Recovery } from '../../lib/outbox/outbox.ts'
import { RecordedTelemetry } from './outbox-fixtures.ts'

const OWNER = 'owner'
let groups = 0

export type GroupOverrides = Partial<Omit<GroupOutboxOptions, 'link' | 'telemetry'>> & {
  readonly telemetry?: GroupTelemetry
  /** Where Redis is, in the place of the URL. */
  readonly settings?: RedisSettings
  readonly onReady?: () => void
}

/** Makes the outbox of a group with keys of its own; it is not open yet. */
export function groupOutbox (url: string, { settings, onReady, ...overrides }: GroupOverrides = {}): GroupOutbox {
  const timeoutMs = overrides.timeoutMs ?? 5000
  const link = new RedisLink({
    settings: settings ?? { url, timeout: timeoutMs }, onError: () => {}, onReady: onReady ?? (() => {})
  })
  return new GroupOutbox({
    keyPrefix: `test-${process.pid}-${groups++}:`,
    partitions: 1,
    replicas: 0,
    timeoutMs,
    startTimeoutMs: 5000,
    maxBytes: 1024 * 1024 * 1024,
    holdTimeoutMs: 60_000,
    receiptLimit: 1000,
    telemetry: new RecordedTelemetry(),
    floor: () => 1,
    ...overrides,
    link
  })
}

export class OnlyLog extends PartitionLog {
  readonly group: GroupOutbox

  constructor (group: GroupOutbox) {
    super(group, 0, OWNER, group.stateOf(0))
    this.group = group
  }

  override async open (): Promise<Recovery> {
    const recovery = await super.open()
    await leaseScript.run(this.group.client, [this.group.keysOf(0).lease], [OWNER, 3_600_000])
    return recovery
  }

  override async close (): Promise<void> {
    await this.group.close()
    await super.close()
  }
}

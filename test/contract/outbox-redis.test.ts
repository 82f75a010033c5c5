import tap from 'tap'
import { groupOutbox, OnlyLog } from '../support/group-outbox.ts'
import type { RecordedTelemetry } from '../support/outbox-fixtures.ts'
import { startRedis } from '../support/redis.ts'
import { outboxContract } from './outbox.ts'

const server = await startRedis(tap)

outboxContract('redis', (_test, options) => {
  const { telemetry: recorded, maxBytes, holdTimeoutMs, receiptLimit } = options
  const overrides = { telemetry: recorded as RecordedTelemetry, maxBytes, holdTimeoutMs, receiptLimit }
  return new OnlyLog(groupOutbox(server.url, overrides))
}, { numbers: false, blocks: false })

import tap from 'tap'
import { groupOutbox, OnlyLog } from '../support/group-outbox.ts'
import type { RecordedTelemetry } from '../support/outbox-fixtures.ts'
import { startCluster } from '../support/redis.ts'
import { outboxContract } from './outbox.ts'

const servers = await startCluster(tap)
const settings = { cluster: { nodes: servers.map(({ port }) => `127.0.0.1:${port}`) }, timeout: 5000 }

outboxContract('redis cluster', (_test, options) => {
  const { telemetry: recorded, maxBytes, holdTimeoutMs, receiptLimit } = options
  const overrides = { telemetry: recorded as RecordedTelemetry, maxBytes, holdTimeoutMs, receiptLimit }
  return new OnlyLog(groupOutbox('', { settings, ...overrides }))
}, { numbers: false, blocks: false })

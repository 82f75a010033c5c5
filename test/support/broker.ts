/** Listener, gate, broker and ingest as the program puts them together, over an outbox that the test holds. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { BrokerState } from '../../lib/broker/broker-state.ts'
import { createBroker, type BrokerOptions } from '../../lib/broker/broker.ts'
import type { DeniedPublish, Permissions, StateLimits } from '../../lib/broker/contract.ts'
import { Journal, type JournalStore } from '../../lib/broker/journal.ts'
import { createIngest, type IngestOptions } from '../../lib/ingest.ts'
import { LifecycleEvents, type LifecycleEventsOptions } from '../../lib/ingest/lifecycle-events.ts'
import { ConnectionLimit } from '../../lib/listener/connection-limit.ts'
import { InflightBytes } from '../../lib/listener/inflight-bytes.ts'
import type { GateLimits } from '../../lib/listener/gate-options.ts'
import { createListener, type ListenerOptions } from '../../lib/listener/listener.ts'
import type { ListenerTls } from '../../lib/listener/tls-options.ts'
import { createLifecycleMapper } from '../../lib/mapping/lifecycle-event.ts'
import type { Event, Publish } from '../../lib/message.ts'
import type { Telemetry } from '../../lib/telemetry/telemetry.ts'
import { ScriptedOutbox } from './broker-outbox.ts'
import { createTestTelemetry, type LogLine } from './log-lines.ts'

export const gateLimits: GateLimits = {
  packetBytes: 256 * 1024,
  inflightPerClient: 64,
  messagesPerSecond: 0,
  bytesPerSecond: 0,
  connectTimeoutMs: 30_000,
  packetTimeoutMs: 30_000,
  unreadBytes: 1024 * 1024,
  drainTimeoutMs: 10_000,
  subscriptionsPerPacket: 64
}

export const stateLimits: StateLimits = {
  connectionsPerIdentity: 0,
  subscriptionsPerClient: 1000,
  subscriptionBytes: 64 * 1024 * 1024,
  sessions: 1000,
  sessionExpiryMs: 3_600_000,
  queuedMessages: 1000,
  queuedBytes: 1024 * 1024,
  queuedBytesTotal: 16 * 1024 * 1024,
  retainedMessages: 1000,
  retainedBytes: 1024 * 1024
}

export interface TestBrokerOptions {
  gate?: Partial<GateLimits>
  broker?: Partial<BrokerOptions['limits']>
  ingest?: Partial<IngestOptions>
  connections?: number
  connectionsPerAddress?: number
  inflight?: InflightBytes
  tls?: ListenerTls
  /** What is different from an `mqtt` listener on 127.0.0.1, or an `mqtts` one where there is `tls`. */
  listener?: Partial<ListenerOptions>
  canStore?: () => boolean
  /** Everyone is let in unless given. */
  authenticate?: BrokerOptions['authenticate']
  anonymous?: boolean
  /** Everything is allowed unless given. */
  permissions?: Permissions
  deniedPublish?: DeniedPublish
  /** Where sessions are kept; in memory, unless given. */
  journal?: JournalStore
  /** What happens to sessions becomes events; nothing, unless given. */
  lifecycle?: Partial<LifecycleEventsOptions>
  /** Makes what the broker keeps for clients; in memory, unless given. */
  state?: (limits: StateLimits, telemetry: Telemetry) => Promise<BrokerOptions['state']>
}

export const allowAll: Permissions = { mayPublish: () => true, maySubscribe: () => true, mayReceive: () => true }

/** Puts it together on a free port; the test takes it down. */
export async function startBroker (t: Test, options: TestBrokerOptions = {}) {
  const outbox = new ScriptedOutbox()
  const { telemetry, lines } = createTestTelemetry()
  const ingest = createIngest({
    map: toEvent,
    outbox,
    settled: async () => {},
    setAside: () => {},
    receipts: [],
    receiptLimit: 1000,
    publishTimeoutMs: 30_000,
    willRetryMs: 10,
    maxWaitingWills: 100,
    telemetry,
    now: () => performance.now(),
    ...options.ingest
  })
  const lifecycle = options.lifecycle === undefined
    ? undefined
    : new LifecycleEvents({
      inTurn: (_clientId, run) => { run() },
      kinds: ['connected', 'disconnected', 'subscribed', 'unsubscribed'],
      map: createLifecycleMapper({ name: 'gw', overrides: {} }),
      outbox,
      maxWaitingBytes: 1024 * 1024,
      telemetry,
      ...options.lifecycle
    })
  const publishes: Publish[] = []
  const limits = { topicBytes: 1024, topicLevels: 32, connectTimeoutMs: 30_000, ...stateLimits, ...options.broker }
  const journaled = options.journal && new BrokerState(
    limits, telemetry, new Journal({ store: options.journal, reopenMinMs: 5, reopenMaxMs: 20, telemetry })
  )
  const state = journaled ?? await options.state?.(limits, telemetry)
  const broker = await createBroker({
    state,
    authenticate: options.authenticate ?? letIn,
    publish: (publish) => {
      publishes.push(publish)
      return ingest.publish(publish)
    },
    canStore: options.canStore ?? (() => true),
    permissions: options.permissions ?? allowAll,
    deniedPublish: options.deniedPublish ?? 'close',
    lifecycle: lifecycle?.tell,
    limits,
    telemetry
  })
  const connections = new ConnectionLimit(options.connections ?? 1000, options.connectionsPerAddress)
  const listener = createListener({
    protocol: options.tls === undefined ? 'mqtt' : 'mqtts',
    host: '127.0.0.1',
    port: 0,
    tls: options.tls,
    anonymous: options.anonymous ?? true,
    limits: { ...gateLimits, ...options.gate },
    connections,
    inflight: options.inflight ?? new InflightBytes(64 * 1024 * 1024),
    handle: (gate) => { broker.handle(gate) },
    telemetry,
    ...options.listener
  })
  t.teardown(async () => {
    outbox.auto = true
    outbox.failure = undefined
    outbox.release()
    await Promise.all([ingest.quiesce(), broker.close()])
    await listener.close()
  })
  const address = await listener.start()
  const port = Number(address.split(':').at(-1))

  /** The log lines with this code, once there is one. */
  async function logged (code: string): Promise<LogLine[]> {
    await until(() => lines.objects.some((line) => line['code'] === code))
    return lines.objects.filter((line) => line['code'] === code)
  }

  return {
    outbox, telemetry, lines, logged, ingest, state, lifecycle, publishes, broker, connections, listener, address, port
  }
}

/** Everyone is anonymous. */
const letIn: BrokerOptions['authenticate'] = async ({ clientId }) =>
  ({ kind: 'accepted', identity: { clientId, method: 'anonymous' } })

/** Waits for a condition that nothing announces. */
export async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2)
}

/** A mapping that tests can see through. */
export function toEvent (publish: Publish, id: string): Event {
  return {
    id,
    source: `/clients/${publish.client.id}`,
    type: publish.will ? 'will' : 'publish',
    subject: publish.topic,
    time: new Date(publish.receivedAt).toISOString(),
    extensions: { mqttqos: publish.qos },
    partitionKey: publish.client.id,
    data: publish.payload
  }
}

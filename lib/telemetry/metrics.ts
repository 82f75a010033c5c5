/**
 * The metrics and their registry; docs/metrics.md is generated from it. What changes with every publish is a plain
 * number or a histogram of our own, which the registry reads when it is asked; the rest are prom-client's.
 * No label takes a value that a device chooses: a label value is never forgotten.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { QoS } from '../message.ts'
import { Histogram } from './histogram.ts'
import type { DeliveryStats, Gauges } from './telemetry.ts'

export const PREFIX = 'mqtt_broker_source_'

/** Attempts by outcome, as plain numbers. */
export interface AttemptCounts {
  delivered: number
  retry: number
  refused: number
  network: number
}

/** Events that a sink does not get, by why. */
export interface NotDelivered {
  filter: number
  expired: number
  superseded: number
}

export type Metrics = ReturnType<typeof createMetrics>

export function createMetrics () {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const counter = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter<L>({ name: PREFIX + name, help, labelNames: [...labelNames], registers })
  const gauge = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge<L>({ name: PREFIX + name, help, labelNames: [...labelNames], registers })
  const histogram = (name: string, help: string, bounds: readonly number[]) => {
    const made = new Histogram({ name: PREFIX + name, help, bounds })
    made.register(registry)
    return made
  }

  const metrics = {
    registry,
    gauges: undefined as Gauges | undefined,

    // Added up on the hot path; handed to the registry when it is read.
    publishes: { 0: 0, 1: 0, 2: 0 } as Record<QoS, number>,
    stored: 0,
    duplicates: 0,
    denied: 0,
    withheld: 0,
    leftOut: { drop: 0, filter: 0, invalid: 0, schema: 0 },
    unread: 0,
    held: 0,
    notKept: 0,
    sequencesForgotten: { limit: 0, damage: 0 },
    retainedRefused: 0,
    throttled: { messages: 0, bytes: 0 },
    lost: 0,
    storeFailures: 0,
    spansSent: 0,
    spansDropped: { queue: 0, network: 0, refused: 0, shutdown: 0 },
    attemptsBySink: new Map<string, AttemptCounts>(),
    attempts (sink: string): AttemptCounts {
      let counts = metrics.attemptsBySink.get(sink)
      if (counts === undefined) {
        counts = { delivered: 0, retry: 0, refused: 0, network: 0 }
        metrics.attemptsBySink.set(sink, counts)
      }
      return counts
    },

    notDeliveredBySink: new Map<string, NotDelivered>(),
    notDelivered (sink: string): NotDelivered {
      let counts = metrics.notDeliveredBySink.get(sink)
      if (counts === undefined) {
        counts = { filter: 0, expired: 0, superseded: 0 }
        metrics.notDeliveredBySink.set(sink, counts)
      }
      return counts
    },

    buildInfo: gauge('build_info', 'Always 1; the version is the label.', ['version']),
    connections: gauge('connections', 'Network connections that are open.', ['listener']),
    connectionsOpened: counter('connections_opened_total', 'Network connections accepted.', ['listener']),
    connectionErrors: counter('connection_errors_total',
      'Connections closed because of an error, by its code (docs/errors.md); `other` for broken sockets.', ['code']),
    sessions: gauge('sessions', 'MQTT clients connected.'),
    tokensRefused: counter('tokens_refused_total', 'Tokens refused, by what was wrong with them.', ['fault']),
    tokenKeyLoads: counter('token_key_loads_total',
      'Times that the keys of tokens were read: `loaded`, or `failed` (earlier keys stay in force).', ['outcome']),
    hookRequests: counter('auth_hook_requests_total',
      'What the authentication hook said: `allow`, `deny`, `ignore`; or why it said nothing that could be used: `timeout`, `network`, `too-large`, `answer`, `busy`.',
      ['outcome']),
    authenticated: counter('authentications_total',
      'Clients that were let in, by how they proved who they are; `anonymous`: not at all.', ['method']),
    authenticationRefused: counter('authentications_refused_total',
      'Clients that were not let in: `unknown-user`, `wrong-password`, `certificate`, `token-invalid`, `token-expired`, `denied`, `missing` (no credentials), `client-id` (not one of this user), `attempts` (too many were wrong before), `unavailable`.',
      ['reason']),
    sessionsNotKept: counter('sessions_not_kept_total',
      'Persistent sessions that were made clean ones because there were limits.sessions already, or none could be written to disk.'),
    sessionsExpired: counter('sessions_expired_total', 'Persistent sessions deleted because their client did not come back.'),
    redisFailures: counter('redis_failures_total', 'Times that a connection to Redis failed: docs/redis.md.'),
    partitions: gauge('outbox_partitions', 'Partitions of the outbox in Redis that this program delivers: docs/redis.md.'),
    sessionStoreFailures: counter('session_store_failures_total', 'Times that sessions could not be written to disk: docs/sessions.md.'),
    sessionRecordsLost: counter('session_records_lost_total',
      'Records of sessions and retained messages that could not be read at the start because of damaged files.'),
    refused: counter('publishes_refused_total',
      'Publishes not stored and not acknowledged, by the code of the error; their connection was closed.', ['code']),
    dropped: counter('publishes_dropped_total',
      'Publishes at QoS 0, wills, and publishes whose rule says `ack: received`, that could not be stored, by the code of the error.', ['code']),
    lifecycleStored: counter('lifecycle_events_total', 'Life-cycle events of clients stored in the outbox: docs/lifecycle.md.', ['event']),
    lifecycleLost: counter('lifecycle_events_lost_total',
      'Life-cycle events of clients that were not stored, by the code of the error.', ['event', 'code']),
    subscriptionsRefused: counter('subscriptions_refused_total', 'Topic filters denied, by the code of the error.', ['code']),
    transformsStopped: counter('transforms_stopped_total',
      'Times that the process which evaluates transforms was replaced: one took too long where it cannot be interrupted, or too much memory.'),
    storeSeconds: histogram('store_seconds',
      'Time from the arrival of a publish until its event was durable, which is when PUBACK or PUBREC goes out.',
      [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30]),
    deliverySeconds: histogram('publish_to_delivered_seconds',
      'Time from the arrival of a publish until the sink took its event.',
      [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600, 86400]),
    retries: counter('delivery_retries_total', 'Attempts that failed and were scheduled again.', ['sink']),
    deadLettered: counter('dead_lettered_total',
      'Events set aside: `answer` refused by the sink, `attempts` failed while others succeeded; of the sink `mapping`, because they cannot be what their rule wants: `missing`, `transform`, `schema`, `invalid` (no CloudEvent that their device may make).',
      ['sink', 'reason']),
    deadLettersForwarded: counter('dead_letters_forwarded_total', 'Dead letters that the dead-letter sink took.', ['sink']),
    sinkUp: gauge('sink_up', '1 while the sink takes events, 0 while it is being probed.', ['sink']),
    sinkTokens: counter('sink_token_requests_total',
      'Requests for a token of a sink (`auth.oauth2`): `token`, or why there was none: `timeout`, `network`, `too-large`, `status` (another one than 200), `answer` (no token in it).',
      ['sink', 'outcome']),
    sinkUnauthorized: counter('sink_unauthorized_total',
      'Times that a sink did not accept the credentials it was sent (401). Their events wait.', ['sink']),
    sinkBatches: counter('sink_batches_total',
      'Batches: `taken`, `failed` (no answer, or one that holds for its events), `split` (refused, and sent again as single events).',
      ['sink', 'outcome']),
    sinkBatchPauses: counter('sink_batch_pauses_total',
      'Times that a sink was found to take no batches, and got single events for a while.', ['sink']),
    sinkConfigured: gauge('sink_configured', '0 while there is no sink and events wait for one.'),
    reloads: counter('reloads_total',
      'Times that files were read again, by what is in them; `failed` leaves in force what was.', ['what', 'result']),
    certificateExpiry: gauge('tls_certificate_expiry_timestamp_seconds',
      'When the certificate of a listener expires, or the first of its intermediates; seconds since the epoch.', ['listener']),
    crlExpiry: gauge('tls_crl_expiry_timestamp_seconds',
      'When the first revocation list of a listener expires, and with it all client certificates; seconds since the epoch.', ['listener'])
  }

  const collected = <L extends string>(
    kind: 'counter' | 'gauge', name: string, help: string, labelNames: readonly L[],
    read: (set: (value: number, labels?: Partial<Record<L, string>>) => void) => void
  ) => {
    const config = { name: PREFIX + name, help, labelNames: [...labelNames], registers }
    if (kind === 'gauge') {
      return new Gauge<L>({
        ...config,
        collect () { read((value, labels) => { this.set(labels ?? {}, value) }) }
      })
    }
    return new Counter<L>({
      ...config,
      collect () {
        this.reset()
        read((value, labels) => { this.inc(labels ?? {}, value) })
      }
    })
  }

  collected('counter', 'publishes_total', 'Publishes received, by quality of service.', ['qos'], (set) => {
    for (const qos of [0, 1, 2] as const) set(metrics.publishes[qos], { qos: String(qos) })
  })
  collected('counter', 'stored_total', 'Publishes stored in the outbox.', [], (set) => { set(metrics.stored) })
  collected('counter', 'publishes_left_out_total',
    'Publishes that became no event, because their rule says so: `drop`, `filter`, `invalid` (no CloudEvent that their device may make), or `schema` (their data does not fit it). They are acknowledged and sent to subscribers.',
    ['reason'], (set) => {
      for (const reason of ['drop', 'filter', 'invalid', 'schema'] as const) set(metrics.leftOut[reason], { reason })
    })
  collected('counter', 'duplicates_total', 'Retransmissions at QoS 2 recognised and not stored again.', [],
    (set) => { set(metrics.duplicates) })
  collected('counter', 'publishes_denied_total',
    'Publishes that were not permitted and were dropped: acknowledged, not stored, sent to no one (`access.deniedPublish: drop`).', [],
    (set) => { set(metrics.denied) })
  collected('counter', 'deliveries_denied_total',
    'Messages that were not sent to a subscriber, because their topic is not allowed to it.', [],
    (set) => { set(metrics.withheld) })
  collected('counter', 'deliveries_dropped_total',
    'Messages at QoS 0 that were not sent to a subscriber, because it does not read as fast as messages come. Their events are stored.', [],
    (set) => { set(metrics.unread) })
  collected('counter', 'held_total', 'Publishes that had to wait because the outbox was full.', [], (set) => { set(metrics.held) })
  collected('counter', 'throttled_total', 'Times that a client was held back because it sent more in a second than it may.',
    ['limit'], (set) => { for (const limit of ['messages', 'bytes'] as const) set(metrics.throttled[limit], { limit }) })
  collected('counter', 'messages_not_kept_total',
    'Messages not kept for a persistent session because too much waits for it, or for all. Their events are stored.', [],
    (set) => { set(metrics.notKept) })
  collected('counter', 'retained_refused_total', 'Messages forwarded and not retained because there is no room. Their events are stored.',
    [], (set) => { set(metrics.retainedRefused) })
  collected('counter', 'sequences_forgotten_total',
    'Times that sources lost the count of their `sequence`, and begin again at 1: `limit` one for which there was no room, `damage` those of a damaged file.',
    ['reason'], (set) => { for (const reason of ['limit', 'damage'] as const) set(metrics.sequencesForgotten[reason], { reason }) })
  collected('counter', 'store_failures_total', 'Times that the outbox could not write.', [], (set) => { set(metrics.storeFailures) })
  collected('counter', 'lost_events_total', 'Stored events that cannot be read any more because of damaged files.', [],
    (set) => { set(metrics.lost) })
  collected('counter', 'delivery_attempts_total',
    'Attempts to deliver: `delivered`, `retry` (answered, to be tried again), `refused` (answered, final), `network` (no answer).',
    ['sink', 'outcome'], (set) => {
      for (const [sink, counts] of metrics.attemptsBySink) {
        for (const outcome of ['delivered', 'retry', 'refused', 'network'] as const) set(counts[outcome], { sink, outcome })
      }
    })

  collected('counter', 'events_not_delivered_total',
    'Events that a sink does not get: `filter` (its filter leaves them out), `expired`, `superseded` (by a newer one of the same key).',
    ['sink', 'reason'], (set) => {
      for (const [sink, counts] of metrics.notDeliveredBySink) {
        for (const reason of ['filter', 'expired', 'superseded'] as const) set(counts[reason], { sink, reason })
      }
    })

  collected('counter', 'spans_sent_total', 'Spans that the receiver of traces took.', [], (set) => { set(metrics.spansSent) })
  collected('counter', 'spans_dropped_total',
    'Spans that were not sent: `queue` too many waited, `network` there was no answer, or none that ended in time, `refused` by the receiver, `shutdown`.',
    ['reason'], (set) => {
      for (const reason of ['queue', 'network', 'refused', 'shutdown'] as const) set(metrics.spansDropped[reason], { reason })
    })

  const fromGauges = (name: string, help: string, read: (gauges: Gauges) => number) =>
    collected('gauge', name, help, [], (set) => {
      if (metrics.gauges !== undefined) set(read(metrics.gauges))
    })
  fromGauges('outbox_events', 'Events in the outbox.', (g) => g.outbox().events)
  fromGauges('outbox_bytes', 'Bytes in the outbox, dead letters among them.', (g) => g.outbox().bytes)
  fromGauges('outbox_max_bytes', 'What outbox.maxBytes allows.', (g) => g.outbox().maxBytes)
  fromGauges('outbox_dead_letters', 'Dead letters kept in the outbox.', (g) => g.outbox().deadLetters)
  fromGauges('outbox_ready', '1 while publishes can be stored.', (g) => g.outbox().status === 'ready' ? 1 : 0)
  fromGauges('publishes_held', 'Publishes that wait for room in the outbox.', (g) => g.outbox().held)
  fromGauges('publishes_open', 'Publishes between their arrival and their answer.', (g) => g.openPublishes())
  fromGauges('inflight_bytes', 'Bytes of packets that are received, or about to be, and not settled.', (g) => g.inflightBytes())
  fromGauges('persistent_sessions', 'Sessions that outlive their connection, those of connected clients among them.',
    (g) => g.broker().persistentSessions)
  fromGauges('queued_messages', 'Messages kept for persistent sessions.', (g) => g.broker().queuedMessages)
  fromGauges('queued_bytes', 'Bytes of messages kept for persistent sessions.', (g) => g.broker().queuedBytes)
  fromGauges('subscription_bytes', 'Bytes that all subscriptions take, as reckoned.', (g) => g.broker().subscriptionBytes)
  fromGauges('retained_messages', 'Retained messages.', (g) => g.broker().retainedMessages)
  fromGauges('retained_bytes', 'Bytes of retained messages.', (g) => g.broker().retainedBytes)

  const bySink = (name: string, help: string, read: (stats: DeliveryStats) => number) =>
    collected('gauge', name, help, ['sink'], (set) => {
      for (const [sink, stats] of metrics.gauges?.delivery() ?? []) set(read(stats), { sink })
    })
  bySink('delivery_waiting', 'Events that wait for delivery to a sink; those that its filter leaves out among them, until they are passed over.',
    (stats) => stats.waiting)
  bySink('delivery_in_flight', 'Attempts to deliver that are under way.', (stats) => stats.inFlight)
  bySink('delivery_oldest_seconds', 'Age of the oldest event that a sink has not taken; 0 when nothing waits.', ({ oldestStoredAt }) =>
    oldestStoredAt === undefined ? 0 : Math.max(0, (Date.now() - oldestStoredAt) / 1000))

  return metrics
}

import { test } from 'tap'
import { createError } from '../../../lib/errors.ts'
import { AccessTelemetry } from '../../../lib/telemetry/access-telemetry.ts'
import { RedisTelemetry } from '../../../lib/telemetry/redis-telemetry.ts'
import { SinkTelemetry } from '../../../lib/telemetry/sink-telemetry.ts'
import { Telemetry } from '../../../lib/telemetry/telemetry.ts'
import { TracingTelemetry } from '../../../lib/telemetry/tracing-telemetry.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'
import { parseMetrics, sampleOf } from '../../support/prometheus.ts'

/** What one call logs and counts. */
interface Rule {
  readonly call: (telemetry: Telemetry) => void
  /** The log line; undefined where none is written. */
  readonly log?: Readonly<Record<string, unknown>>
  /** Samples by name, without the prefix, and the values they have after the call. */
  readonly metrics?: Readonly<Record<string, number>>
}

const connection = { listener: 'mqtt 127.0.0.1:1883', address: '127.0.0.1:5000', clientId: 'device-1' }
const event = { sequence: 7, id: 'id-7', source: '/source', partitionKey: 'device-1' }
const refusal = createError('MBS_ERR_OUTBOX_FULL', { maxBytes: 1000 })
const sessionFailure = createError('MBS_ERR_SESSIONS_WRITE', { directory: '/s', reason: 'full' }, new Error('ENOSPC'))
const failure = createError('MBS_ERR_OUTBOX_WRITE', { directory: '/data', reason: 'no space' }, new Error('ENOSPC'))
const recovery = { firstSequence: 1, nextSequence: 9, lostEvents: 0, unclean: true, receipts: [] }
const destination = 'http://sink.example/'
const files = { kind: 'tls', what: 'TLS files of mqtts', files: ['tls.crt', 'tls.key'], reason: 'SIGHUP' } as const
const unreadable = createError('MBS_ERR_RELOAD_FAILED', { what: files.what, reason: 'it is gone' }, new Error('ENOENT'))
const expiry = { listener: 'mqtts', expiresAt: '2030-01-01T00:00:00.000Z' }
const noToken = createError('MBS_ERR_SINK_TOKEN', { url: 'https://issuer.example/token', reason: 'no answer within 5 ms' })
const keysFailure = createError('MBS_ERR_ACCESS_KEYS', { source: 'https://issuer.example/', reason: 'ECONNREFUSED' })

const rules: Record<string, Rule> = {
  started: {
    call: (telemetry) => telemetry.started({ version: '1.2.3', name: 'gateway-1' }),
    log: { level: 'info', msg: 'mqtt-broker-source is up', version: '1.2.3', name: 'gateway-1' },
    metrics: { 'build_info{version="1.2.3"}': 1 }
  },
  listening: {
    call: (telemetry) => telemetry.listening({ what: 'mqtt 127.0.0.1:0', address: '127.0.0.1:1883' }),
    log: { level: 'info', msg: 'listening', what: 'mqtt 127.0.0.1:0', address: '127.0.0.1:1883' }
  },
  anonymousListener: {
    call: (telemetry) => telemetry.anonymousListener({ listener: 'mqtt 0.0.0.0:1883' }),
    log: { level: 'warn', listener: 'mqtt 0.0.0.0:1883' }
  },
  redisConnected: {
    call: (telemetry) => telemetry.redisConnected({ address: 'redis://r', version: '7.0.15', durability: 'always', maxmemory: 0, replicas: 1 }),
    log: { level: 'info', msg: 'Redis', address: 'redis://r', version: '7.0.15', durability: 'always' }
  },
  redisMayLose: {
    call: (telemetry) => telemetry.redisMayLose('everysec'),
    log: { level: 'warn', msg: /last second is lost/, durability: 'everysec' }
  },
  redisFailed: {
    call: (telemetry) => telemetry.redisFailed(createError('MBS_ERR_REDIS_CONNECT', { address: 'redis://r', reason: 'it is gone' })),
    log: { level: 'warn', code: 'MBS_ERR_REDIS_CONNECT' },
    metrics: { redis_failures_total: 1 }
  },
  redisReady: { call: (telemetry) => telemetry.redisReady(), log: { level: 'info', msg: /connected to Redis again/ } },
  partitionTaken: {
    call: (telemetry) => telemetry.partitionTaken({ partition: 3 }),
    log: { level: 'info', partition: 3 },
    metrics: { outbox_partitions: 1 }
  },
  partitionLeft: {
    call: (telemetry) => telemetry.partitionLeft({ partition: 3, reason: 'lost' }),
    log: { level: 'warn', partition: 3, reason: 'lost' },
    metrics: { outbox_partitions: -1 }
  },
  tracingStarted: {
    call: (telemetry) => telemetry.tracingStarted({ endpoint: 'http://collector/v1/traces', samplingRate: 0.5, serviceName: 'edge' }),
    log: { level: 'info', msg: 'tracing', endpoint: 'http://collector/v1/traces', samplingRate: 0.5, serviceName: 'edge' }
  },
  spansSent: { call: (telemetry) => telemetry.spansSent(5), metrics: { spans_sent_total: 5 } },
  spansDropped: {
    call: (telemetry) => telemetry.spansDropped('queue', 2),
    log: { level: 'warn', msg: 'spans were dropped', reason: 'queue', count: 2 },
    metrics: { 'spans_dropped_total{reason="queue"}': 2 }
  },
  spansFailed: {
    call: (telemetry) => telemetry.spansFailed(createError('MBS_ERR_TRACING_EXPORT', { url: 'http://collector/', reason: 'it is gone' })),
    log: { level: 'warn', code: 'MBS_ERR_TRACING_EXPORT' }
  },
  sharedSessionsFailed: {
    call: (telemetry) => telemetry.sharedSessionsFailed(createError('MBS_ERR_SESSIONS_REDIS', { reason: 'it is away' })),
    log: { level: 'warn', code: 'MBS_ERR_SESSIONS_REDIS' }
  },
  stopping: {
    call: (telemetry) => telemetry.stopping({ reason: 'SIGTERM' }),
    log: { level: 'info', msg: 'shutting down', reason: 'SIGTERM' }
  },
  stopped: {
    call: (telemetry) => telemetry.stopped(),
    log: { level: 'info', msg: 'stopped' }
  },
  unexpected: {
    call: (telemetry) => telemetry.unexpected(new Error('surprise'), 'HTTP /metrics'),
    log: { level: 'error', msg: 'unexpected failure: HTTP /metrics', err: { message: 'surprise', stack: String } }
  },
  reloaded: {
    call: (telemetry) => telemetry.reloaded(files),
    log: { level: 'info', msg: 'read again', ...files },
    metrics: { 'reloads_total{what="tls",result="ok"}': 1 }
  },
  reloadFailed: {
    call: (telemetry) => telemetry.reloadFailed(unreadable, files),
    log: { level: 'error', code: 'MBS_ERR_RELOAD_FAILED', msg: unreadable.message, help: unreadable.help, ...files, err: { cause: { message: 'ENOENT' } } },
    metrics: { 'reloads_total{what="tls",result="failed"}': 1 }
  },
  sinkTokenFetched: {
    call: (telemetry) => telemetry.sinkTokenFetched('default', { url: 'https://issuer.example/token', lifetimeMs: 60_000 }),
    log: { level: 'debug', msg: 'the sink has a new token', sink: 'default', url: 'https://issuer.example/token', lifetimeMs: 60_000 },
    metrics: { 'sink_token_requests_total{sink="default",outcome="token"}': 1 }
  },
  sinkTokenFailed: {
    call: (telemetry) => telemetry.sinkTokenFailed('default', noToken, 'timeout'),
    log: { level: 'warn', code: 'MBS_ERR_SINK_TOKEN', msg: noToken.message, help: noToken.help, sink: 'default', why: 'timeout' },
    metrics: { 'sink_token_requests_total{sink="default",outcome="timeout"}': 1 }
  },
  sinkUnauthorized: {
    call: (telemetry) => telemetry.sinkUnauthorized('default', { destination }),
    log: { level: 'error', msg: /^the sink does not accept the credentials/, sink: 'default', destination },
    metrics: { 'sink_unauthorized_total{sink="default"}': 1 }
  },
  caFileLeftOut: {
    call: (telemetry) => telemetry.caFileLeftOut({ file: '/certs/a.pem', reason: 'none' }),
    log: { level: 'warn', msg: 'the certificates of a trust bundle are not used', file: '/certs/a.pem', reason: 'none' }
  },
  sinkBatch: {
    call: (telemetry) => telemetry.sinkBatch('default', 'split'),
    metrics: { 'sink_batches_total{sink="default",outcome="split"}': 1 }
  },
  sinkBatchesRefused: {
    call: (telemetry) => telemetry.sinkBatchesRefused('default', { status: 415, pauseMs: 300_000 }),
    log: { level: 'warn', msg: /^the sink takes no batches/, sink: 'default', status: 415, pauseMs: 300_000 },
    metrics: { 'sink_batch_pauses_total{sink="default"}': 1 }
  },
  tlsInForce: {
    call: (telemetry) => telemetry.tlsInForce('mqtts', { certificate: 2_000_500, crl: 1_000_000 }),
    metrics: {
      'tls_certificate_expiry_timestamp_seconds{listener="mqtts"}': 2000.5,
      'tls_crl_expiry_timestamp_seconds{listener="mqtts"}': 1000
    }
  },
  certificateExpires: {
    call: (telemetry) => telemetry.certificateExpires(expiry),
    log: { level: 'warn', msg: /certificate .* expires soon/, ...expiry }
  },
  certificateExpired: {
    call: (telemetry) => telemetry.certificateExpired(expiry),
    log: { level: 'error', msg: /certificate .* has expired/, ...expiry }
  },
  crlExpired: {
    call: (telemetry) => telemetry.crlExpired(expiry),
    log: { level: 'error', msg: /revocation list/, ...expiry }
  },
  connectionOpened: {
    call: (telemetry) => telemetry.connectionOpened('mqtt'),
    metrics: { 'connections{listener="mqtt"}': 1, 'connections_opened_total{listener="mqtt"}': 1 }
  },
  connectionClosed: {
    call: (telemetry) => {
      telemetry.connectionOpened('mqtt')
      telemetry.connectionClosed('mqtt')
    },
    metrics: { 'connections{listener="mqtt"}': 0, 'connections_opened_total{listener="mqtt"}': 1 }
  },
  connectionFailed: {
    call: (telemetry) => telemetry.connectionFailed(createError('MBS_ERR_BROKER_MQTT5'), connection),
    log: { level: 'warn', code: 'MBS_ERR_BROKER_MQTT5', msg: /MQTT 5/, help: /MQTT 3\.1\.1/, ...connection },
    metrics: { 'connection_errors_total{code="MBS_ERR_BROKER_MQTT5"}': 1 }
  },
  connectionBroken: {
    call: (telemetry) => telemetry.connectionBroken('ECONNRESET', connection),
    log: { level: 'debug', msg: 'connection broken', reason: 'ECONNRESET', ...connection },
    metrics: { 'connection_errors_total{code="other"}': 1 }
  },
  clientThrottled: {
    call: (telemetry) => telemetry.clientThrottled('messages', connection),
    log: { level: 'warn', msg: /held back/, limit: 'messages', ...connection },
    metrics: { 'throttled_total{limit="messages"}': 1, 'throttled_total{limit="bytes"}': 0 }
  },
  sessionNotKept: {
    call: (telemetry) => telemetry.sessionNotKept(createError('MBS_ERR_LIMIT_SESSIONS', { max: 1 }), connection),
    log: { level: 'warn', code: 'MBS_ERR_LIMIT_SESSIONS', ...connection },
    metrics: { sessions_not_kept_total: 1 }
  },
  sessionExpired: {
    call: (telemetry) => telemetry.sessionExpired({ clientId: 'device-1', awayMs: 5000 }),
    log: { level: 'debug', msg: 'session expired', clientId: 'device-1', awayMs: 5000 },
    metrics: { sessions_expired_total: 1 }
  },
  messageNotKept: {
    call: (telemetry) => telemetry.messageNotKept(
      createError('MBS_ERR_LIMIT_QUEUE', { setting: 'queuedBytes', max: 1 }), { clientId: 'device-1' }),
    log: { level: 'warn', code: 'MBS_ERR_LIMIT_QUEUE', msg: /limits\.queuedBytes, 1/, clientId: 'device-1' },
    metrics: { messages_not_kept_total: 1 }
  },
  retainedRefused: {
    call: (telemetry) => telemetry.retainedRefused(createError('MBS_ERR_LIMIT_RETAINED', { setting: 'retainedMessages', max: 1 })),
    log: { level: 'warn', code: 'MBS_ERR_LIMIT_RETAINED', msg: /limits\.retainedMessages, 1/ },
    metrics: { retained_refused_total: 1 }
  },
  sessionStarted: {
    call: (telemetry) => telemetry.sessionStarted(connection),
    log: { level: 'debug', msg: 'session started', ...connection },
    metrics: { sessions: 1 }
  },
  sessionEnded: {
    call: (telemetry) => telemetry.sessionEnded(connection),
    log: { level: 'debug', msg: 'session ended', ...connection },
    metrics: { sessions: -1 }
  },
  tokenRefused: {
    call: (telemetry) => telemetry.tokenRefused('signature', connection),
    log: { level: 'debug', msg: 'a token was refused', fault: 'signature', ...connection },
    metrics: { 'tokens_refused_total{fault="signature"}': 1 }
  },
  tokenKeysLoaded: {
    call: (telemetry) => telemetry.tokenKeysLoaded({ source: 'keys.json', keys: 2 }),
    log: { level: 'debug', source: 'keys.json', keys: 2 },
    metrics: { 'token_key_loads_total{outcome="loaded"}': 1 }
  },
  tokenKeysFailed: {
    call: (telemetry) => telemetry.tokenKeysFailed(keysFailure, { inForce: false }),
    log: { level: 'error', code: 'MBS_ERR_ACCESS_KEYS', msg: keysFailure.message, help: keysFailure.help, inForce: false },
    metrics: { 'token_key_loads_total{outcome="failed"}': 1 }
  },
  hookAnswered: {
    call: (telemetry) => telemetry.hookAnswered('deny'),
    metrics: { 'auth_hook_requests_total{outcome="deny"}': 1 }
  },
  hookFailed: {
    call: (telemetry) => telemetry.hookFailed(createError('MBS_ERR_ACCESS_HOOK', { url: destination, reason: 'x' }), 'timeout'),
    log: { level: 'error', code: 'MBS_ERR_ACCESS_HOOK', why: 'timeout', help: /access\.http/ },
    metrics: { 'auth_hook_requests_total{outcome="timeout"}': 1 }
  },
  authenticated: {
    call: (telemetry) => telemetry.authenticated('password'),
    metrics: { 'authentications_total{method="password"}': 1 }
  },
  authenticationRefused: {
    call: (telemetry) => telemetry.authenticationRefused(createError('MBS_ERR_ACCESS_CREDENTIALS', { reason: 'x' }), 'wrong-password', connection),
    log: { level: 'warn', code: 'MBS_ERR_ACCESS_CREDENTIALS', reason: 'wrong-password', ...connection },
    metrics: {
      'authentications_refused_total{reason="wrong-password"}': 1,
      'connection_errors_total{code="MBS_ERR_ACCESS_CREDENTIALS"}': 1
    }
  },
  permissionsNotRead: {
    call: (telemetry) => telemetry.permissionsNotRead(),
    log: { level: 'warn', msg: /access\.permissionsFile/ }
  },
  usersLoaded: {
    call: (telemetry) => telemetry.usersLoaded({ file: 'users.yaml', users: 3 }),
    log: { level: 'info', msg: 'users loaded', file: 'users.yaml', users: 3 }
  },
  publishReceived: {
    call: (telemetry) => telemetry.publishReceived(2),
    metrics: { 'publishes_total{qos="2"}': 1, 'publishes_total{qos="1"}': 0 }
  },
  publishStored: {
    call: (telemetry) => telemetry.publishStored(0.002),
    metrics: {
      stored_total: 1,
      store_seconds_count: 1,
      store_seconds_sum: 0.002,
      'store_seconds_bucket{le="0.001"}': 0,
      'store_seconds_bucket{le="0.0025"}': 1
    }
  },
  publishDuplicate: {
    call: (telemetry) => telemetry.publishDuplicate(),
    metrics: { duplicates_total: 1 }
  },
  publishRefused: {
    call: (telemetry) => telemetry.publishRefused(refusal, connection),
    log: { level: 'warn', code: 'MBS_ERR_OUTBOX_FULL', msg: refusal.message, help: refusal.help, ...connection },
    metrics: { 'publishes_refused_total{code="MBS_ERR_OUTBOX_FULL"}': 1 }
  },
  publishDropped: {
    call: (telemetry) => telemetry.publishDropped(refusal, connection),
    log: { level: 'warn', code: 'MBS_ERR_OUTBOX_FULL', msg: /^dropped at QoS 0/, help: refusal.help, ...connection },
    metrics: { 'publishes_dropped_total{code="MBS_ERR_OUTBOX_FULL"}': 1 }
  },
  publishLost: {
    call: (telemetry) => telemetry.publishLost(refusal, { client: 'device-1' }),
    log: {
      level: 'error', code: 'MBS_ERR_OUTBOX_FULL', msg: /^acknowledged when received, and not stored/, help: refusal.help, client: 'device-1'
    },
    metrics: { 'publishes_dropped_total{code="MBS_ERR_OUTBOX_FULL"}': 1 }
  },
  publishDenied: {
    call: (telemetry) => telemetry.publishDenied('secret/topic', connection),
    log: { level: 'warn', code: 'MBS_ERR_ACCESS_PUBLISH', msg: /^dropped: .*"secret\/topic"/, help: /access\.permissions/, ...connection },
    metrics: { publishes_denied_total: 1 }
  },
  deliveryDenied: {
    call: (telemetry) => telemetry.deliveryDenied(),
    metrics: { deliveries_denied_total: 1 }
  },
  publishLeftOut: {
    call: (telemetry) => {
      telemetry.publishLeftOut('drop')
      telemetry.publishLeftOut('filter')
      telemetry.publishLeftOut('filter')
      telemetry.publishLeftOut('invalid')
      telemetry.publishLeftOut('schema')
    },
    metrics: {
      'publishes_left_out_total{reason="drop"}': 1,
      'publishes_left_out_total{reason="filter"}': 2,
      'publishes_left_out_total{reason="invalid"}': 1,
      'publishes_left_out_total{reason="schema"}': 1
    }
  },
  transformStopped: {
    call: (telemetry) => telemetry.transformStopped({ reason: 'SIGABRT' }),
    log: { level: 'warn', msg: /^the process that evaluates transforms was replaced/, reason: 'SIGABRT' },
    metrics: { transforms_stopped_total: 1 }
  },
  transformPaused: {
    call: (telemetry) => telemetry.transformPaused({ whose: 'device', rule: 3, clientId: 'd', pauseMs: 1000 }),
    log: { level: 'warn', msg: /^transforms take too long/, whose: 'device', rule: 3, clientId: 'd', pauseMs: 1000 }
  },
  deliveryDropped: {
    call: (telemetry) => telemetry.deliveryDropped(),
    metrics: { deliveries_dropped_total: 1 }
  },
  willLost: {
    call: (telemetry) => telemetry.willLost(refusal, connection),
    log: { level: 'error', code: 'MBS_ERR_OUTBOX_FULL', msg: /^a will was lost/, help: refusal.help, ...connection },
    metrics: { 'publishes_dropped_total{code="MBS_ERR_OUTBOX_FULL"}': 1 }
  },
  lifecycleStored: {
    call: (telemetry) => telemetry.lifecycleStored('connected'),
    metrics: { 'lifecycle_events_total{event="connected"}': 1 }
  },
  lifecycleLost: {
    call: (telemetry) => telemetry.lifecycleLost('disconnected', refusal, connection),
    log: { level: 'error', msg: /^a life-cycle event was lost: /, code: refusal.code, event: 'disconnected', help: refusal.help, ...connection },
    metrics: { 'lifecycle_events_lost_total{event="disconnected",code="MBS_ERR_OUTBOX_FULL"}': 1 }
  },
  subscriptionRefused: {
    call: (telemetry) => telemetry.subscriptionRefused(createError('MBS_ERR_BROKER_FILTER', { reason: 'x' }), connection),
    log: { level: 'warn', code: 'MBS_ERR_BROKER_FILTER', ...connection },
    metrics: { 'subscriptions_refused_total{code="MBS_ERR_BROKER_FILTER"}': 1 }
  },
  sessionStoreOpened: {
    call: (telemetry) => telemetry.sessionStoreOpened({
      directory: '/data/sessions', sessions: 3, queuedMessages: 2, retainedMessages: 1, tookMs: 7
    }),
    log: { level: 'info', msg: 'sessions are there again', directory: '/data/sessions', sessions: 3, queuedMessages: 2 }
  },
  sessionRecordsLost: {
    call: (telemetry) => telemetry.sessionRecordsLost(4, 'damaged'),
    log: { level: 'error', code: 'MBS_ERR_SESSIONS_DAMAGED', count: 4, reason: 'damaged' },
    metrics: { session_records_lost_total: 4 }
  },
  sessionStoreFailed: {
    call: (telemetry) => telemetry.sessionStoreFailed(sessionFailure),
    log: { level: 'error', code: 'MBS_ERR_SESSIONS_WRITE', help: sessionFailure.help, err: { cause: { message: 'ENOSPC' } } },
    metrics: { session_store_failures_total: 1 }
  },
  sessionStoreRecovered: {
    call: (telemetry) => telemetry.sessionStoreRecovered(),
    log: { level: 'info', msg: 'sessions are written again' }
  },
  outboxOpened: {
    call: (telemetry) => telemetry.outboxOpened(recovery, { store: 'disk', directory: '/data' }),
    log: { level: 'info', msg: 'outbox open', firstSequence: 1, nextSequence: 9, unclean: true, directory: '/data' },
    metrics: { lost_events_total: 0 }
  },
  eventsLost: {
    call: (telemetry) => telemetry.eventsLost(4, 'a bad checksum'),
    log: { level: 'error', code: 'MBS_ERR_OUTBOX_DAMAGED', count: 4, reason: 'a bad checksum' },
    metrics: { lost_events_total: 4 }
  },
  outboxFailed: {
    call: (telemetry) => telemetry.outboxFailed(failure),
    log: { level: 'error', code: 'MBS_ERR_OUTBOX_WRITE', help: failure.help, err: { cause: { message: 'ENOSPC' } } },
    metrics: { store_failures_total: 1 }
  },
  outboxRecovered: {
    call: (telemetry) => telemetry.outboxRecovered(),
    log: { level: 'info', msg: 'the outbox stores again' }
  },
  outboxFull: {
    call: (telemetry) => telemetry.outboxFull({ bytes: 1001, maxBytes: 1000 }),
    log: { level: 'warn', msg: /full/, bytes: 1001, maxBytes: 1000 }
  },
  publishHeld: {
    call: (telemetry) => telemetry.publishHeld(),
    metrics: { held_total: 1 }
  },
  sequenceForgotten: {
    call: (telemetry) => telemetry.sequenceForgotten('limit'),
    log: { level: 'warn', msg: /limits\.sequenceSources/, reason: 'limit' },
    metrics: { 'sequences_forgotten_total{reason="limit"}': 1, 'sequences_forgotten_total{reason="damage"}': 0 }
  },
  sinkMissing: {
    call: (telemetry) => telemetry.sinkMissing(),
    log: { level: 'warn', msg: /no sink/ },
    metrics: { sink_configured: 0 }
  },
  sinkConfigured: {
    call: (telemetry) => telemetry.sinkConfigured({ sink: 'default', destination }),
    log: { level: 'info', msg: 'delivering', sink: 'default', destination },
    metrics: { sink_configured: 1, 'sink_up{sink="default"}': 1 }
  },
  attempt: {
    call: (telemetry) => telemetry.attempt('default', 'network'),
    metrics: {
      'delivery_attempts_total{sink="default",outcome="network"}': 1,
      'delivery_attempts_total{sink="default",outcome="delivered"}': 0
    }
  },
  delivered: {
    call: (telemetry) => telemetry.delivered('default', 0.3),
    metrics: {
      'delivery_attempts_total{sink="default",outcome="delivered"}': 1,
      publish_to_delivered_seconds_count: 1,
      'publish_to_delivered_seconds_bucket{le="0.25"}': 0,
      'publish_to_delivered_seconds_bucket{le="0.5"}': 1
    }
  },
  attemptFailed: {
    call: (telemetry) => telemetry.attemptFailed('default', { ...event, reason: '503', attempts: 2, delayMs: 400 }),
    log: { level: 'warn', sink: 'default', ...event, reason: '503', attempts: 2, delayMs: 400 },
    metrics: { 'delivery_retries_total{sink="default"}': 1 }
  },
  sinkDown: {
    call: (telemetry) => telemetry.sinkDown('default', { destination, reason: 'ECONNREFUSED' }),
    log: { level: 'warn', sink: 'default', destination, reason: 'ECONNREFUSED' },
    metrics: { 'sink_up{sink="default"}': 0 }
  },
  sinkUp: {
    call: (telemetry) => telemetry.sinkUp('default', { destination, downMs: 5000 }),
    log: { level: 'info', sink: 'default', destination, downMs: 5000 },
    metrics: { 'sink_up{sink="default"}': 1 }
  },
  eventSetAside: {
    call: (telemetry) => telemetry.eventSetAside({ reason: 'schema', detail: 'no', topic: 'a/b', clientId: 'c', sequence: 5, id: 'x' }),
    log: { level: 'warn', reason: 'schema', detail: 'no', topic: 'a/b', clientId: 'c', sequence: 5, id: 'x', msg: /set aside/ },
    metrics: { 'dead_lettered_total{sink="mapping",reason="schema"}': 1 }
  },
  eventNotDelivered: {
    call: (telemetry) => {
      telemetry.eventNotDelivered('default', 'filter')
      telemetry.eventNotDelivered('default', 'expired')
      telemetry.eventNotDelivered('default', 'expired')
      telemetry.eventNotDelivered('archive', 'superseded')
    },
    metrics: {
      'events_not_delivered_total{sink="default",reason="filter"}': 1,
      'events_not_delivered_total{sink="default",reason="expired"}': 2,
      'events_not_delivered_total{sink="default",reason="superseded"}': 0,
      'events_not_delivered_total{sink="archive",reason="superseded"}': 1
    }
  },
  deadLettered: {
    call: (telemetry) => telemetry.deadLettered('default', { ...event, reason: 'answer', code: 400, attempts: 1 }),
    log: { level: 'error', sink: 'default', ...event, reason: 'answer', code: 400, attempts: 1 },
    metrics: { 'dead_lettered_total{sink="default",reason="answer"}': 1 }
  },
  deadLetterForwarded: {
    call: (telemetry) => telemetry.deadLetterForwarded('default'),
    metrics: { 'dead_letters_forwarded_total{sink="default"}': 1 }
  },
  deadLetterFailed: {
    call: (telemetry) => telemetry.deadLetterFailed('default', { destination, reason: '503' }),
    log: { level: 'warn', sink: 'default', destination, reason: '503' }
  }
}

/** Repeated by devices or sinks without end: logged once a minute, counted every time. */
const RATE_LIMITED = [
  'unexpected', 'connectionFailed', 'publishRefused', 'publishDropped', 'willLost', 'subscriptionRefused', 'outboxFailed',
  'authenticationRefused', 'outboxFull', 'attemptFailed', 'deadLettered', 'deadLetterFailed', 'tokenKeysFailed', 'hookFailed',
  'clientThrottled', 'publishLost', 'eventSetAside', 'sessionNotKept', 'messageNotKept', 'retainedRefused', 'spansDropped',
  'spansFailed', 'sharedSessionsFailed'
]

async function read (telemetry: Telemetry) {
  return parseMetrics(await telemetry.registry.metrics())
}

for (const [name, { call, log, metrics = {} }] of Object.entries(rules)) {
  test(`${name} logs ${log === undefined ? 'nothing' : 'one line'} and counts`, async (t) => {
    const { telemetry, lines } = createTestTelemetry('trace')
    call(telemetry)
    t.match(lines.objects, log === undefined ? [] : [log])
    t.equal(lines.objects.length, log === undefined ? 0 : 1)
    const families = await read(telemetry)
    for (const [key, value] of Object.entries(metrics)) t.equal(sampleOf(families, `mqtt_broker_source_${key}`), value, key)
  })
}

test('every function that tells what happened has its rule above', async (t) => {
  const others = ['constructor', 'observe']
  const functions = [Telemetry, RedisTelemetry, TracingTelemetry, SinkTelemetry, AccessTelemetry]
    .flatMap(({ prototype }) => Object.getOwnPropertyNames(prototype)).filter((name) => !others.includes(name))
  t.strictSame(functions.filter((name) => rules[name] === undefined), [])
})

test('what repeats without end is logged once and counted every time', async (t) => {
  for (const name of RATE_LIMITED) {
    const { call, log, metrics = {} } = rules[name]!
    const { telemetry, lines } = createTestTelemetry()
    for (let i = 0; i < 3; i++) call(telemetry)
    t.match(lines.objects, [log!], name)
    t.equal(lines.objects.length, 1, name)
    const families = await read(telemetry)
    for (const [key, value] of Object.entries(metrics)) {
      t.equal(sampleOf(families, `mqtt_broker_source_${key}`), 3 * value, key)
    }
  }
})

test('keys that cannot be fetched are an error only when none are left', async (t) => {
  const { telemetry, lines } = createTestTelemetry()
  telemetry.tokenKeysFailed(keysFailure, { inForce: true })
  telemetry.tokenKeysFailed(keysFailure, { inForce: false })
  t.match(lines.objects, [{ level: 'warn' }, { level: 'error' }])
})

test('one kind of trouble does not silence another', async (t) => {
  const { telemetry, lines } = createTestTelemetry()
  telemetry.publishRefused(refusal, connection)
  telemetry.publishDropped(refusal, connection)
  telemetry.publishRefused(failure, connection)
  telemetry.unexpected(refusal, 'one')
  telemetry.unexpected(refusal, 'another')
  t.equal(lines.objects.length, 5)
})

test('an outbox that lost events says so when it is opened', async (t) => {
  const { telemetry, lines } = createTestTelemetry()
  telemetry.outboxOpened({ ...recovery, lostEvents: 3, damage: 'a bad checksum' }, { store: 'disk' })
  t.match(lines.objects, [{ level: 'info' }, { level: 'error', count: 3, reason: 'a bad checksum' }])
  t.equal(sampleOf(await read(telemetry), 'mqtt_broker_source_lost_events_total'), 3)
})

test('a revocation list that is not used any more has no expiry', async (t) => {
  const { telemetry } = createTestTelemetry()
  telemetry.tlsInForce('mqtts', { certificate: 2000, crl: 1000 })
  telemetry.tlsInForce('mqtts', { certificate: 3000, crl: undefined })
  const families = await read(telemetry)
  t.equal(sampleOf(families, 'mqtt_broker_source_tls_crl_expiry_timestamp_seconds{listener="mqtts"}'), undefined)
  t.equal(sampleOf(families, 'mqtt_broker_source_tls_certificate_expiry_timestamp_seconds{listener="mqtts"}'), 3)
})

test('gauges are read from where observe says', async (t) => {
  const { telemetry } = createTestTelemetry()
  telemetry.observe({
    outbox: () => ({ status: 'ready', events: 1, bytes: 2, maxBytes: 3, nextSequence: 4, deadLetters: 5, held: 6 }),
    delivery: () => new Map([['a', { waiting: 7, inFlight: 8, oldestStoredAt: undefined }]]),
    openPublishes: () => 9,
    inflightBytes: () => 16,
    broker: () => ({
      persistentSessions: 10,
      queuedMessages: 11,
      queuedBytes: 12,
      retainedMessages: 13,
      retainedBytes: 14,
      subscriptionBytes: 15
    })
  })
  t.equal(sampleOf(await read(telemetry), 'mqtt_broker_source_persistent_sessions'), 10)
  t.equal(sampleOf(await read(telemetry), 'mqtt_broker_source_publishes_open'), 9)
})

test('no label takes what a device chooses', async (t) => {
  const { telemetry } = createTestTelemetry()
  for (const { call } of Object.values(rules)) call(telemetry)
  const text = await telemetry.registry.metrics()
  for (const chosen of ['device-1', '127.0.0.1:5000', 'id-7', '/source']) t.notMatch(text, chosen)
})

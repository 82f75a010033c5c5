/**
 * Every setting there is, once: its type, default, bounds, description, and from its path its environment name. The
 * TypeScript type, the validation, the JSON Schema, config/default.yaml and docs/configuration.md come from here; no
 * default stands anywhere else. What takes two settings to check is in rules.ts.
 *
 * Durations are milliseconds and sizes are bytes once the configuration is loaded.
 */
import type { Static } from 'typebox'
import { accessSection } from './schema-access.ts'
import { eventsSection, filterSetting } from './schema-events.ts'
import { HOST, listener } from './schema-listener.ts'
import { redisSection } from './schema-redis.ts'
import { SINK_URL, sinkSettings, targetSettings } from './schema-sink.ts'
import { tracingSection } from './schema-tracing.ts'
import { duration, oneOf, optionalSection, section, size, text, wholeNumber } from './setting.ts'
import { Type } from './type.ts'

/** What Kubernetes calls a namespace. */
export const NAMESPACE = '^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$'

/** What `name` may be. */
export const NAME = '^[A-Za-z0-9][A-Za-z0-9._~-]*$'

const SINK_FILTER = 'The sink gets the events for which all of them hold.'

/** What a sink may have otherwise than `delivery` says. */
const ownDelivery = {
  concurrency: Type.Optional(wholeNumber({
    description: 'Requests at a time, and connections to this sink.', minimum: 1, maximum: 1024, computed: 'as `delivery` says'
  })),
  retry: Type.Optional(wholeNumber({
    description: 'How often an event is tried again that fails while others succeed.', minimum: 0, maximum: 1000, computed: 'as `delivery` says'
  })),
  backoffPolicy: Type.Optional(oneOf(['exponential', 'linear'], {
    description: 'How the time before an attempt grows.', computed: 'as `delivery` says'
  })),
  backoffDelay: Type.Optional(duration({
    description: 'The unit of the backoff.', minimumMs: 1, maximumMs: 3_600_000, computed: 'as `delivery` says'
  })),
  backoffMax: Type.Optional(duration({
    description: 'Longest backoff.', minimumMs: 1, maximumMs: 86_400_000, computed: 'as `delivery` says'
  })),
  retryAfterMax: Type.Optional(duration({
    description: 'Longest Retry-After that is honored; PT0S ignores it.', minimumMs: 0, maximumMs: 86_400_000, computed: 'as `delivery` says'
  })),
  deadLetterSink: optionalSection('Where the dead letters of this sink are sent, instead of that of `delivery`.', {
    url: text({ description: 'Where to POST them.', allowed: SINK_URL, example: 'http://localhost:8091/' }),
    ...targetSettings
  })
}

const namedSink = Type.Object({
  name: text({
    description: 'Names its place in the outbox and its metrics. One with another name begins with the oldest event that is kept.',
    pattern: '^(?!(?:default|mapping|dead-letters)$)[a-z0-9][a-z0-9-]{0,62}$',
    maxLength: 63,
    allowed: 'up to 63 of a-z, 0-9 and -, beginning with no -; not default, mapping, dead-letters',
    example: 'archive'
  }),
  ...sinkSettings(),
  filter: filterSetting(SINK_FILTER),
  delivery: optionalSection('How events are delivered to it, where `delivery` says otherwise.', ownDelivery)
}, { additionalProperties: false, description: 'One sink.' })

export const configSchema = Type.Object({
  name: text({
    description: 'Names this broker in the `source` of its events. It has to stay the same over restarts.',
    default: 'mqtt-broker-source',
    knative: 'NAME',
    pattern: NAME,
    maxLength: 128,
    allowed: 'up to 128 letters, digits and . _ ~ -, beginning with a letter or digit'
  }),
  namespace: Type.Optional(text({
    description: 'The Kubernetes namespace in which it runs: the header Kn-Namespace of what sinks are sent, and an attribute of traces.',
    knative: 'NAMESPACE',
    pattern: NAMESPACE,
    maxLength: 63,
    allowed: 'up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit',
    example: 'default'
  })),
  dataDir: text({
    description: 'Directory of the outbox, and of sessions on disk. A relative path starts at the working directory.', default: './data', allowed: 'a path'
  }),
  listeners: Type.Array(listener, {
    description: 'Where devices connect. Each has a host and port, or a Unix socket, of its own.',
    minItems: 1,
    default: [{}],
    allowed: 'a list of one or more listeners'
  }),

  access: accessSection,

  limits: section('What one device, or all of them together, may take.', {
    connections: wholeNumber({
      description: 'Connections at a time, over all listeners.', default: 10_000, minimum: 1, maximum: 1_000_000
    }),
    connectionsPerAddress: wholeNumber({
      description: 'Connections at a time from one IPv4 address or one /64 network of IPv6; 0: no limit of its own.',
      default: 1000,
      minimum: 0,
      maximum: 1_000_000
    }),
    connectionsPerIdentity: wholeNumber({
      description: 'Sessions at a time of one user; anonymous ones are not counted. 0: no limit of its own.',
      default: 1000,
      minimum: 0,
      maximum: 1_000_000
    }),
    packetBytes: size({
      description: 'Largest MQTT packet. A larger one closes its connection before it is read.',
      default: '256KiB',
      minimumBytes: 256,
      maximumBytes: 256 * 1024 ** 2
    }),
    inflightPerClient: wholeNumber({
      description: 'Publishes of one client that may wait to be stored; beyond it nothing more is read from the client.',
      default: 64,
      minimum: 1,
      maximum: 65_535
    }),
    inflightBytes: size({
      description: 'Bytes of packets of all clients that are received and not settled. Beyond it a client that has more than 16 KiB of them under way, or is about to, is not read until there is room. At least `packetBytes`.',
      default: '128MiB',
      minimumBytes: 1024 ** 2,
      maximumBytes: 1024 ** 4
    }),
    messagesPerSecond: wholeNumber({
      description: 'Publishes of one client in a second; what is above it waits at the client, nothing is dropped. 0: no limit.',
      default: 5000,
      minimum: 0,
      maximum: 1_000_000
    }),
    bytesPerSecond: size({
      description: 'Bytes that are read from one client in a second; what is above it waits at the client. 0: no limit.',
      default: '16MiB',
      minimumBytes: 0,
      maximumBytes: 16 * 1024 ** 3
    }),
    unreadBytes: size({
      description: 'Bytes that may wait for one client that does not read as fast as messages come. Beyond it, messages at QoS 0 are not sent to it; if it has subscriptions at QoS 1 or 2, its connection is closed instead.',
      default: '1MiB',
      minimumBytes: 65_536,
      maximumBytes: 1024 ** 3
    }),
    connectTimeout: duration({
      description: 'Time from the connection until its session is established.', default: 'PT10S', minimumMs: 100, maximumMs: 300_000
    }),
    packetTimeout: duration({
      description: 'Time from the first byte of a packet to its last.', default: 'PT30S', minimumMs: 100, maximumMs: 3_600_000
    }),
    publishTimeout: duration({
      description: 'Longest time that a publish waits to be stored. Then it is not acknowledged, and the connection is closed. Longer than `outbox.holdTimeout`.',
      default: 'PT45S',
      minimumMs: 100,
      maximumMs: 3_600_000
    }),
    topicBytes: wholeNumber({ description: 'Longest topic, in bytes of UTF-8.', default: 1024, minimum: 1, maximum: 65_535 }),
    topicLevels: wholeNumber({ description: 'Most levels of a topic.', default: 32, minimum: 1, maximum: 100 }),
    subscriptionsPerPacket: wholeNumber({
      description: 'Most topic filters in one SUBSCRIBE or UNSUBSCRIBE.', default: 64, minimum: 1, maximum: 1024
    }),
    subscriptionsPerClient: wholeNumber({
      description: 'Subscriptions of one client, over the whole life of its session. One more is denied with SUBACK 0x80.',
      default: 64,
      minimum: 0,
      maximum: 100_000
    }),
    subscriptionBytes: size({
      description: 'Bytes that the subscriptions of all clients take together, reckoned by their levels. One more is denied with SUBACK 0x80.',
      default: '256MiB',
      minimumBytes: 0,
      maximumBytes: 1024 ** 4
    }),
    sessions: wholeNumber({
      description: 'Persistent sessions (connected with clean session 0), present ones included. One more is not kept: it ends with its connection.',
      default: 10_000,
      minimum: 0,
      maximum: 1_000_000
    }),
    sessionExpiry: duration({
      description: 'A persistent session whose client is away for so long is deleted, with its subscriptions and what waits for it.',
      default: 'P7D',
      minimumMs: 1000,
      maximumMs: 366 * 86_400_000
    }),
    queuedMessages: wholeNumber({
      description: 'Messages at QoS 1 and 2 that are kept for one persistent session until its client has taken them. Later ones are not kept.',
      default: 1000,
      minimum: 0,
      maximum: 1_000_000
    }),
    queuedBytes: size({
      description: 'Bytes of such messages for one session.', default: '1MiB', minimumBytes: 0, maximumBytes: 16 * 1024 ** 3
    }),
    queuedBytesTotal: size({
      description: 'Bytes of such messages for all sessions together. Not with `broker.sessions: redis`, where the memory of Redis is the bound.', default: '256MiB', minimumBytes: 0, maximumBytes: 1024 ** 4
    }),
    retainedMessages: wholeNumber({
      description: 'Retained messages. One more is forwarded and becomes an event, but is not retained.',
      default: 10_000,
      minimum: 0,
      maximum: 10_000_000
    }),
    retainedBytes: size({
      description: 'Bytes of all retained messages.', default: '64MiB', minimumBytes: 0, maximumBytes: 1024 ** 4
    }),
    sequenceSources: wholeNumber({
      description: 'Sources whose last `sequence` is kept (`events.extensions.sequence`). Beyond it the one whose last event is oldest is forgotten, and begins again at 1.',
      default: 100_000,
      minimum: 1,
      maximum: 10_000_000
    })
  }),

  broker: section('What is kept for devices that are away: docs/sessions.md.', {
    sessions: oneOf(['memory', 'disk', 'redis'], {
      description: '`memory`: persistent sessions and retained messages are gone when the program ends; `disk`: they survive restarts and crashes, in `sessions` below `dataDir`; `redis`: they are in Redis, shared by several programs (docs/redis-sessions.md).',
      default: 'memory'
    })
  }),

  outbox: section('The durable log between the devices and the sink.', {
    store: oneOf(['disk', 'memory', 'redis'], {
      description: '`disk`: acknowledged means on disk; `redis`: acknowledged means in Redis, shared by several programs (docs/redis.md); `memory`: acknowledged events are lost when the program ends.',
      default: 'disk'
    }),
    partitions: wholeNumber({
      description: 'With `store: redis`: into how many parts the outbox is divided, each delivered by one program of the group at a time. It cannot be changed while there are events.',
      default: 16,
      minimum: 1,
      maximum: 256
    }),
    replicas: wholeNumber({
      description: 'With `store: redis`: how many replicas have to have an event before it is acknowledged (WAIT).', default: 0, minimum: 0, maximum: 16
    }),
    maxBytes: size({
      description: 'How much may wait, dead letters included.', default: '1GiB', minimumBytes: 1024 ** 2, maximumBytes: 16 * 1024 ** 4
    }),
    overflow: oneOf(['hold'], {
      description: 'What happens when it is full. `hold`: publishes wait, at most `holdTimeout`, and are then not acknowledged.',
      default: 'hold'
    }),
    holdTimeout: duration({
      description: 'Longest time that a publish waits for room.', default: 'PT30S', minimumMs: 10, maximumMs: 3_600_000
    }),
    receipts: wholeNumber({
      description: 'How many of the newest publishes are remembered, so that a retransmission gets the same event id, also after a restart.',
      default: 65_536,
      minimum: 0,
      maximum: 10_000_000
    })
  }),

  redis: redisSection,

  sink: section('Where events go: docs/sinks.md.', {
    ...sinkSettings({ knative: true }),
    kind: oneOf(['http', 'display', 'none'], {
      description: '`http`: CloudEvents over HTTP, which wait in the outbox as long as there is no `url`; `display`: printed on standard output; `none`: only those of `sinks` get events.',
      computed: 'http as soon as `url` is known, else none where there are `sinks`, else display',
      example: 'http'
    }),
    filter: filterSetting(SINK_FILTER)
  }),

  sinks: Type.Array(namedSink, {
    description: 'More sinks. Each goes through the outbox at its own pace and gets every event that its filter lets through.',
    default: [],
    maxItems: 64,
    allowed: 'a list of sinks'
  }),

  delivery: section('How events are delivered.', {
    concurrency: wholeNumber({
      description: 'Requests at a time, and connections to the sink.', default: 32, minimum: 1, maximum: 1024
    }),
    order: oneOf(['key'], {
      description: '`key`: events of one partition key (the client) are delivered one after the other, in the order in which they were stored.',
      default: 'key'
    }),
    retry: wholeNumber({
      description: 'How often an event is tried again that fails while others succeed; then it is a dead letter. Attempts while the sink is down for all do not count.',
      default: 10,
      minimum: 0,
      maximum: 1000
    }),
    backoffPolicy: oneOf(['exponential', 'linear'], {
      description: 'Time before the n-th attempt after the first: `exponential` backoffDelay × 2ⁿ, `linear` backoffDelay × n.', default: 'exponential'
    }),
    backoffDelay: duration({
      description: 'The unit of the backoff.', default: 'PT0.2S', minimumMs: 1, maximumMs: 3_600_000
    }),
    backoffMax: duration({
      description: 'Longest backoff.', default: 'PT30S', minimumMs: 1, maximumMs: 86_400_000
    }),
    retryAfterMax: duration({
      description: 'Longest Retry-After of the sink that is honored; PT0S ignores it.', default: 'PT5M', minimumMs: 0, maximumMs: 86_400_000
    }),
    grace: duration({
      description: 'Time at shutdown for requests under way.', default: 'PT10S', minimumMs: 0, maximumMs: 3_600_000
    }),
    checkpoint: duration({
      description: 'How often is written down what was delivered. A crash repeats at most what was delivered since.',
      default: 'PT1S',
      minimumMs: 10,
      maximumMs: 10_000
    }),
    deadLetterSink: optionalSection('Where dead letters are sent, too. They stay on disk in any case.', {
      url: text({ description: 'Where to POST them.', allowed: SINK_URL, example: 'http://localhost:8091/' }),
      ...targetSettings
    }),
    deadLetterKeep: wholeNumber({
      description: 'How many dead letters are kept after the dead-letter sink took them. Others are kept until they are removed.',
      default: 10_000,
      minimum: 0,
      maximum: 10_000_000
    })
  }),

  events: eventsSection,

  http: section('The HTTP server for health, metrics and administration.', {
    host: text({
      description: 'Address to listen on. Whoever reaches it can read health and metrics.', default: '127.0.0.1', ...HOST
    }),
    port: wholeNumber({ description: 'Port to listen on; 0 takes any that is free.', default: 8080, minimum: 0, maximum: 65535 })
  }),

  knative: section('What Knative mounts into a pod for its sink. What is not there is not used.', {
    tokenFile: text({
      description: 'The OIDC token of the pod. It authenticates the section `sink` where K_SINK gives its URL and neither `sink.auth` nor `sink.headers` says otherwise.',
      default: '/oidc/token',
      allowed: 'a path'
    }),
    caDirectory: text({
      description: 'Directory with the trust bundles of the cluster: its PEM certificates are trusted by every sink, beside `ca` and the usual ones.',
      default: '/knative-custom-certs',
      allowed: 'a path'
    })
  }),

  drain: section('How devices are sent away at shutdown, so that they find another place before this one is gone.', {
    delay: duration({
      description: 'How long everything goes on after readiness is off, so that no new device is sent here any more. Useful behind a load balancer.',
      default: 'PT0S',
      minimumMs: 0,
      maximumMs: 600_000
    }),
    window: duration({
      description: 'Connections are closed one by one over this time, so that their devices do not all come back at once.',
      default: 'PT0S',
      minimumMs: 0,
      maximumMs: 600_000
    })
  }),

  reload: section('When the files are read again that listeners and sinks name: certificates, keys, CAs, revocation lists, credentials.', {
    every: duration({
      description: 'How often is looked whether they have changed. A change takes effect when they were the same in two looks in a row. PT0S: never, only on SIGHUP.',
      default: 'PT2S',
      minimumMs: 0,
      maximumMs: 86_400_000
    })
  }),

  tracing: tracingSection,

  log: section('The log, on standard error.', {
    level: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      description: 'The least important level that is written.', default: 'info', knative: 'K_LOGGING_CONFIG'
    }),
    format: oneOf(['auto', 'json', 'pretty'], {
      description: '`json`: one object a line; `pretty`: for people; `auto`: pretty on a terminal.', default: 'auto'
    })
  })
}, { additionalProperties: false, description: 'The configuration of mqtt-broker-source.' })

/** The configuration while it is being put together; see `Config`. */
export type DraftConfig = Static<typeof configSchema>

/** Read-only to the last leaf, as the frozen configuration is. */
type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

/** The configuration as the program uses it: complete, checked, frozen; durations in milliseconds, sizes in bytes. */
export type Config = DeepReadonly<DraftConfig>

/** One of `Config.access.permissions`. */
export type PermissionConfig = NonNullable<Config['access']['permissions']>[number]

/** One of `Config.listeners`. */
export type ListenerConfig = Config['listeners'][number]

/**
 * Every setting there is, once: its type, default, bounds, description, and from its path its environment name. The
 * TypeScript type, the validation, the JSON Schema, config/default.yaml and docs/configuration.md come from here; no
 * default stands anywhere else. What takes two settings to check is in rules.ts.
 *
 * Durations are milliseconds and sizes are bytes once the configuration is loaded.
 */
import { Type } from 'typebox'
import { hookSection, jwtSection } from './schema-tokens.ts'
import { duration, oneOf, optionalSection, section, size, text, texts, wholeNumber } from './setting.ts'

/** Attributes that CloudEvents itself defines; an extension cannot have their names [CE 3.1]. */
export const CONTEXT_ATTRIBUTES = [
  'specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'data'
] as const

const SINK_URL = 'an absolute http:// or https:// URL without user and password'

const TOPIC_PATTERN = 'a topic filter, not beginning with $; {clientid}, {username}, {cert.cn}, {claim.NAME} stand for what the session has'

const HOST = {
  pattern: '^[A-Za-z0-9._:%-]+$',
  maxLength: 255,
  allowed: 'an IP address or a host name, without brackets and port'
} as const

const tls = optionalSection('TLS of an `mqtts` or `wss` listener. Files are PEM; relative paths start at the working directory.', {
  cert: text({ description: 'File with the certificate, followed by its intermediates.', example: 'tls.crt', allowed: 'a path' }),
  key: text({ description: 'File with the private key of the certificate.', example: 'tls.key', allowed: 'a path' }),
  ca: Type.Optional(text({
    description: 'File with the CA certificates that client certificates are checked against.', example: 'ca.crt', allowed: 'a path'
  })),
  crl: Type.Optional(text({
    description: 'File with the revocation lists (CRLs) that client certificates are checked against; one for every CA in `ca`.',
    example: 'ca.crl',
    allowed: 'a path'
  })),
  clientCertificate: oneOf(['none', 'optional', 'required'], {
    description: '`none`: clients are not asked for a certificate; `optional`: one that is given must be valid; `required`: no connection without one. The last two need `ca`.',
    default: 'none'
  }),
  minVersion: oneOf(['TLSv1.2', 'TLSv1.3'], { description: 'The oldest version of TLS that is spoken.', default: 'TLSv1.2' })
})

const listener = Type.Object({
  protocol: oneOf(['mqtt', 'mqtts', 'ws', 'wss'], {
    description: '`mqtt`: MQTT over TCP; `mqtts`: over TLS; `ws`: over WebSocket; `wss`: over WebSocket and TLS.', default: 'mqtt'
  }),
  host: Type.Optional(text({
    description: 'Address to listen on. Beyond loopback it takes credentials, named in `access`, or `anonymous: true`. `::` takes IPv4 as well, unless another listener has the port there.',
    computed: '127.0.0.1, nothing where `socket` is given',
    example: '127.0.0.1',
    ...HOST
  })),
  port: Type.Optional(wholeNumber({
    description: 'Port to listen on; 0 takes any that is free.',
    minimum: 0,
    maximum: 65535,
    computed: '1883 for mqtt, 8883 for mqtts, 8083 for ws, 8884 for wss, nothing where `socket` is given',
    example: 1883
  })),
  socket: Type.Optional(text({
    description: 'Path of a Unix socket to listen on, in the place of host and port; for `mqtt` and `ws`. Only programs on this machine reach it.',
    maxLength: 107,
    allowed: 'a path of at most 107 bytes',
    example: '/run/mqtt-broker-source/mqtt.sock'
  })),
  socketMode: Type.Optional(text({
    description: 'Permissions of the Unix socket: who may write to it may connect. Without it, the umask decides.',
    pattern: '^0?[0-7]{3}$',
    allowed: 'three octal digits as a text',
    example: '0660'
  })),
  path: Type.Optional(text({
    description: 'Path of the WebSocket; for `ws` and `wss`.',
    pattern: '^/[^?#\\s]*$',
    maxLength: 1024,
    allowed: 'a path that begins with /, without query',
    computed: '/mqtt for ws and wss',
    example: '/mqtt'
  })),
  origins: Type.Optional(texts({
    description: 'Origins of the web pages that may connect with a browser; for `ws` and `wss`. Programs that are no browser name no origin and may always.',
    pattern: '^(?:\\*|null|[a-z][a-z0-9+.-]*://[^/?#\\sA-Z]+)$',
    allowed: 'origins such as https://app.example.com, in small letters and without a path, or * for all',
    computed: 'none for ws and wss: no browser may connect',
    example: ['https://app.example.com']
  })),
  proxyProtocol: optionalSection('All connections come through load balancers that speak the PROXY protocol, version 1 or 2; the device is the one that the header names.', {
    trusted: texts({
      description: 'Addresses of the load balancers. Connections from elsewhere are refused.',
      pattern: '^[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?$',
      allowed: 'IP addresses and networks such as 10.0.0.0/8',
      minItems: 1,
      example: ['10.0.0.0/8', '::1']
    })
  }),
  anonymous: Type.Boolean({
    description: 'Lets in who shows no credentials. Beyond loopback, where `access` names no credentials that this listener takes, it has to be written here, as consent.',
    computed: 'true on loopback and Unix sockets without proxyProtocol, false elsewhere',
    example: true
  }),
  tls
}, { additionalProperties: false, description: 'One listener.' })

/** A level of a topic pattern: one wildcard, or text with placeholders in it. */
const PATTERN_LEVEL = '(?:\\+|(?:[^+#/{}\\u0000]|\\{(?:clientid|username|cert\\.cn|claim\\.[^{}\\u0000]+)\\})*)'

const topicPatterns = (description: string) => Type.Array(
  Type.String({
    minLength: 1,
    maxLength: 1024,
    pattern: `^(?!\\$)(?:${PATTERN_LEVEL}/)*(?:${PATTERN_LEVEL}|#)$`,
    allowed: TOPIC_PATTERN
  }),
  { description, default: [], allowed: `a list, each ${TOPIC_PATTERN}` }
)

const permission = Type.Object({
  who: Type.Unsafe<string | string[]>({
    type: ['string', 'array'],
    minLength: 1,
    minItems: 1,
    items: { type: 'string', minLength: 1, allowed: 'a name' },
    description: 'Whose permission it is: `*` for every session, `anonymous` for those without credentials, else a user, or a list of these.',
    example: '*',
    allowed: '`*`, `anonymous`, a name, or a list of them'
  }),
  claims: Type.Unsafe<Record<string, string>>({
    type: 'object',
    description: 'Claims that the token has to have as well: the value itself, or a list with it in it.',
    default: {},
    allowed: 'texts by the name of their claim',
    additionalProperties: { type: 'string', minLength: 1, allowed: 'a non-empty text' }
  }),
  publish: topicPatterns('Topics that may be published to, also by a will.'),
  subscribe: topicPatterns('Topics that may be received. A filter is granted if one of these holds all that it matches.'),
  deny: section('What is not allowed, whatever any other rule says.', {
    publish: topicPatterns('Topics that may not be published to.'),
    subscribe: topicPatterns('Topics that may not be received. A filter that matches any of them is refused.')
  })
}, { additionalProperties: false, description: 'One permission.' })

export const configSchema = Type.Object({
  name: text({
    description: 'Names this broker in the `source` of its events. It has to stay the same over restarts.',
    default: 'mqtt-broker-source',
    pattern: '^[A-Za-z0-9][A-Za-z0-9._~-]*$',
    maxLength: 128,
    allowed: 'up to 128 letters, digits and . _ ~ -, beginning with a letter or digit'
  }),
  dataDir: text({
    description: 'Directory of the outbox. A relative path starts at the working directory.', default: './data', allowed: 'a path'
  }),
  listeners: Type.Array(listener, {
    description: 'Where devices connect. Each has a host and port, or a Unix socket, of its own.',
    minItems: 1,
    default: [{}],
    allowed: 'a list of one or more listeners'
  }),

  access: section('Who may connect, and what they may do: docs/security.md, docs/permissions.md.', {
    users: Type.Optional(text({
      description: 'The user file, with hashed passwords; the command `passwd` makes and changes it.', allowed: 'a path', example: 'users.yaml'
    })),
    certificates: optionalSection('Makes a client certificate say who its device is. It is asked for by `tls.clientCertificate` of a listener, and comes before user name and password.', {
      identity: oneOf(['cn', 'san', 'fingerprint'], {
        description: 'The name of the device: `cn` the common name, `san` a subject alternative name, `fingerprint` the SHA-256 of the certificate in hex.',
        default: 'cn'
      }),
      san: Type.Optional(oneOf(['URI', 'DNS', 'email'], {
        description: 'The type of the subject alternative name; the first one of it counts. Needed where `identity` is `san`.', example: 'URI'
      }))
    }),
    clientId: Type.Optional(text({
      description: 'The client identifiers that a user may take: `{username}` stands for its name, `*` at the end for anything. `clientId` of a user in the user file goes before. Without either, any.',
      maxLength: 1024,
      allowed: 'a text with `{username}`, and `*` at its end only',
      example: '{username}'
    })),
    attempts: section('How often credentials may be wrong. Beyond it, connections are closed unlooked at for a while.', {
      perUser: wholeNumber({
        description: 'Failures of one user without consequence. One is forgiven every 30 s.', default: 10, minimum: 1, maximum: 100_000
      }),
      perAddress: wholeNumber({
        description: 'The same for one address; of IPv6, the first 64 bits count. Users that got in from there before are judged by themselves.',
        default: 50,
        minimum: 1,
        maximum: 1_000_000
      }),
      backoff: duration({
        description: 'The first wait; doubled with each further failure.', default: 'PT1S', minimumMs: 10, maximumMs: 3_600_000
      }),
      backoffMax: duration({ description: 'Longest wait.', default: 'PT1M', minimumMs: 10, maximumMs: 86_400_000 })
    }),
    jwt: jwtSection,
    http: hookSection,
    permissions: Type.Optional(Type.Array(permission, {
      description: 'Who may publish and subscribe what. Once it is given, nothing is allowed but what stands here; without it everything is.',
      maxItems: 100_000,
      example: [{ who: '*', publish: ['devices/{clientid}/#'], subscribe: ['commands/{clientid}/#'] }],
      allowed: 'a list of permissions'
    })),
    permissionsFile: Type.Optional(text({
      description: 'YAML file with `permissions:` and such a list, in the place of `permissions`. It can be read again while the program runs.',
      allowed: 'a path',
      example: 'permissions.yaml'
    })),
    deniedPublish: oneOf(['close', 'drop'], {
      description: 'What becomes of a publish that is not permitted, which MQTT 3.1.1 has no answer for. `close`: its connection is closed; `drop`: it is acknowledged, counted, and goes nowhere.',
      default: 'close'
    })
  }),

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
    messagesPerSecond: wholeNumber({
      description: 'Publishes of one client in a second; what is above it waits at the client, nothing is dropped. 0: no limit.',
      default: 0,
      minimum: 0,
      maximum: 1_000_000
    }),
    bytesPerSecond: size({
      description: 'Bytes that are read from one client in a second; what is above it waits at the client. 0: no limit.',
      default: '0',
      minimumBytes: 0,
      maximumBytes: 16 * 1024 ** 3
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
      description: 'Bytes of such messages for all sessions together.', default: '256MiB', minimumBytes: 0, maximumBytes: 1024 ** 4
    }),
    retainedMessages: wholeNumber({
      description: 'Retained messages. One more is forwarded and becomes an event, but is not retained.',
      default: 10_000,
      minimum: 0,
      maximum: 10_000_000
    }),
    retainedBytes: size({
      description: 'Bytes of all retained messages.', default: '64MiB', minimumBytes: 0, maximumBytes: 1024 ** 4
    })
  }),

  outbox: section('The durable log between the devices and the sink.', {
    store: oneOf(['disk', 'memory'], {
      description: '`disk`: acknowledged means on disk; `memory`: acknowledged events are lost when the program ends.', default: 'disk'
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

  sink: section('Where events go.', {
    kind: oneOf(['http', 'display'], {
      description: '`http`: CloudEvents over HTTP, which wait in the outbox as long as there is no `url`; `display`: printed on standard output.',
      computed: 'http as soon as `url` is known, else display',
      example: 'http'
    }),
    url: Type.Optional(text({
      description: 'Where to POST the events.', knative: 'K_SINK', allowed: SINK_URL, example: 'http://localhost:8090/'
    })),
    contentMode: oneOf(['auto', 'binary', 'structured'], {
      description: 'Content mode of CloudEvents over HTTP. `auto`: binary, and structured for an event whose attributes would have to be escaped in headers.',
      default: 'auto'
    }),
    timeout: duration({
      description: 'Time for one attempt, from the request to the end of the answer.', default: 'PT60S', knative: 'K_SINK_TIMEOUT', minimumMs: 10, maximumMs: 3_600_000
    }),
    ca: Type.Optional(text({
      description: 'PEM file with CA certificates that are trusted beside the usual ones.', allowed: 'a path', example: 'sink-ca.crt'
    })),
    caText: Type.Optional(text({
      description: 'The same as PEM text; both may be given.', knative: 'K_CA_CERTS', allowed: 'PEM certificates', example: '-----BEGIN CERTIFICATE-----…'
    })),
    keepAlive: duration({
      description: 'How long an idle connection is kept. Below 10 s: Knative closes idle connections then.',
      default: 'PT8S',
      minimumMs: 0,
      maximumMs: 9000
    }),
    socketMaxAge: duration({
      description: 'Age at which a connection is replaced, so that new pods of the sink get their share.', default: 'PT2M', minimumMs: 1000, maximumMs: 86_400_000
    })
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
      ca: Type.Optional(text({
        description: 'PEM file with CA certificates that are trusted beside the usual ones.', allowed: 'a path', example: 'sink-ca.crt'
      }))
    }),
    deadLetterKeep: wholeNumber({
      description: 'How many dead letters are kept after the dead-letter sink took them. Others are kept until they are removed.',
      default: 10_000,
      minimum: 0,
      maximum: 10_000_000
    })
  }),

  events: section('How a publish becomes a CloudEvent.', {
    overrides: section('What is set on every event, whatever the mapping says.', {
      extensions: Type.Unsafe<Record<string, string>>({
        type: 'object',
        description: 'Extension attributes by name.',
        knative: 'K_CE_OVERRIDES',
        default: {},
        allowed: 'names of 1 to 20 characters of a-z and 0-9, none a CloudEvents attribute; values non-empty texts without control characters',
        propertyNames: { pattern: '^[a-z0-9]{1,20}$', not: { enum: [...CONTEXT_ATTRIBUTES] } },
        additionalProperties: {
          type: 'string',
          minLength: 1,
          pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
          allowed: 'a non-empty text without control characters'
        }
      })
    })
  }),

  http: section('The HTTP server for health, metrics and administration.', {
    host: text({
      description: 'Address to listen on. Whoever reaches it can read health and metrics.', default: '127.0.0.1', ...HOST
    }),
    port: wholeNumber({ description: 'Port to listen on; 0 takes any that is free.', default: 8080, minimum: 0, maximum: 65535 })
  }),

  reload: section('When the files are read again that listeners and sinks name: certificates, keys, CAs, revocation lists.', {
    every: duration({
      description: 'How often is looked whether they have changed. A change takes effect when they were the same in two looks in a row. PT0S: never, only on SIGHUP.',
      default: 'PT2S',
      minimumMs: 0,
      maximumMs: 86_400_000
    })
  }),

  log: section('The log, on standard error.', {
    level: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      description: 'The least important level that is written.', default: 'info'
    }),
    format: oneOf(['auto', 'json', 'pretty'], {
      description: '`json`: one object a line; `pretty`: for people; `auto`: pretty on a terminal.', default: 'auto'
    })
  })
}, { additionalProperties: false, description: 'The configuration of mqtt-broker-source.' })

/** The configuration while it is being put together; see `Config`. */
export type DraftConfig = Type.Static<typeof configSchema>

/** Read-only to the last leaf, as the frozen configuration is. */
type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

/** The configuration as the program uses it: complete, checked, frozen; durations in milliseconds, sizes in bytes. */
export type Config = DeepReadonly<DraftConfig>

/** One of `Config.access.permissions`. */
export type PermissionConfig = NonNullable<Config['access']['permissions']>[number]

/** One of `Config.listeners`. */
export type ListenerConfig = Config['listeners'][number]

import { test } from 'tap'
import { isMbsError } from '../../../lib/errors.ts'
import { loadConfig, problemsOf } from '../../../lib/config/load.ts'
import { mistakesIn, writeYaml } from '../../support/config-files.ts'

test('without anything given, everything has its default and nothing is warned about', async (t) => {
  const { config, warnings } = loadConfig({ env: {} })
  t.strictSame(config, {
    name: 'mqtt-broker-source',
    dataDir: './data',
    listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port: 1883, anonymous: true }],
    access: {
      attempts: { perUser: 10, perAddress: 50, backoff: 1000, backoffMax: 60_000 }, deniedPublish: 'close'
    },
    limits: {
      connections: 10_000,
      connectionsPerAddress: 1000,
      connectionsPerIdentity: 1000,
      packetBytes: 262_144,
      inflightPerClient: 64,
      inflightBytes: 128 * 1024 ** 2,
      messagesPerSecond: 5000,
      bytesPerSecond: 16 * 1024 ** 2,
      unreadBytes: 1024 ** 2,
      connectTimeout: 10_000,
      packetTimeout: 30_000,
      publishTimeout: 45_000,
      topicBytes: 1024,
      topicLevels: 32,
      subscriptionsPerPacket: 64,
      subscriptionsPerClient: 64,
      subscriptionBytes: 256 * 1024 ** 2,
      sessions: 10_000,
      sessionExpiry: 604_800_000,
      queuedMessages: 1000,
      queuedBytes: 1_048_576,
      queuedBytesTotal: 268_435_456,
      retainedMessages: 10_000,
      retainedBytes: 67_108_864,
      sequenceSources: 100_000
    },
    broker: { sessions: 'memory' },
    outbox: { store: 'disk', maxBytes: 1_073_741_824, overflow: 'hold', holdTimeout: 30_000, receipts: 65_536, partitions: 16, replicas: 0 },
    sink: {
      kind: 'display',
      contentMode: 'auto',
      batch: { count: 100, bytes: 1_048_576, wait: 50 },
      timeout: 60_000,
      headers: {},
      keepAlive: 8000,
      socketMaxAge: 120_000
    },
    sinks: [],
    delivery: {
      concurrency: 32,
      order: 'key',
      retry: 10,
      backoffPolicy: 'exponential',
      backoffDelay: 200,
      backoffMax: 30_000,
      retryAfterMax: 300_000,
      grace: 10_000,
      checkpoint: 1000,
      deadLetterKeep: 10_000
    },
    events: {
      rules: [],
      transformTimeout: 250,
      presets: [],
      extensions: {
        partitionkey: true,
        mqttqos: true,
        mqttretain: true,
        recordedtime: true,
        expirytime: true,
        sampledrate: true,
        sequence: false,
        traceparent: false,
        authtype: false,
        authid: false
      },
      overrides: { extensions: {} }
    },
    http: { host: '127.0.0.1', port: 8080 },
    knative: { tokenFile: '/oidc/token', caDirectory: '/knative-custom-certs' },
    drain: { delay: 0, window: 0 },
    reload: { every: 2000 },
    tracing: { enabled: false, samplingRate: 1, headers: {}, serviceName: 'mqtt-broker-source', timeout: 5000 },
    log: { level: 'info', format: 'auto' }
  })
  t.strictSame(warnings, [])
})

test('the configuration is frozen to its last leaf', async (t) => {
  const settings = { listeners: [{ port: 0 }], events: { overrides: { extensions: { site: 'a' } } } }
  const { config } = loadConfig({ env: {}, settings })
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    t.ok(Object.isFrozen(value))
    for (const child of Object.values(value)) visit(child)
  }
  visit(config)
  t.notOk(Object.isFrozen(settings), 'what was given is left as it was')
})

test('defaults < file < settings < environment < flags', async (t) => {
  const file = writeYaml(t.testdir(), 'http: { port: 1 }\nsink: { url: "http://file/" }\nlisteners: [{ port: 11 }]\n')
  const portAndUrl = (options: Parameters<typeof loadConfig>[0]) => {
    const { config } = loadConfig({ env: {}, ...options })
    return [config.http.port, config.sink.url, config.listeners[0]?.port]
  }
  const settings = { http: { port: 2 }, sink: { url: 'http://settings/' }, listeners: [{ port: 12 }] }
  const env = { MBS_HTTP_PORT: '3', MBS_SINK_URL: 'http://environment/', MBS_LISTENERS_0_PORT: '13' }
  t.strictSame(portAndUrl({}), [8080, undefined, 1883])
  t.strictSame(portAndUrl({ file }), [1, 'http://file/', 11])
  t.strictSame(portAndUrl({ file, settings }), [2, 'http://settings/', 12])
  t.strictSame(portAndUrl({ file, settings, env }), [3, 'http://environment/', 13])
  t.strictSame(portAndUrl({ file, settings, env, flags: { sink: 'http://flag/', port: 14 } }), [3, 'http://flag/', 14])
  t.strictSame(portAndUrl({ flags: { port: '15' } }), [8080, undefined, 15], 'a flag may be text')
})

test('every mistake is told at once, each with where it came from', async (t) => {
  const file = writeYaml(t.testdir(), [
    'name: gateway-1',
    'limits:',
    '  packetByts: 10',
    '  connections: many',
    'sink:',
    '  url: ftp://host/',
    '  timeout: 30',
    'listeners:',
    '  - protocol: mqtt',
    '    host: 0.0.0.0'
  ].join('\n'))
  const env = { MBS_DELIVERY_CONCURRENCY: '0', MBS_SINK_URLS: 'http://x/' }
  try {
    loadConfig({ file, env, flags: { port: '70000' } })
    t.fail('it has to be refused')
  } catch (error) {
    t.ok(isMbsError(error, 'MBS_ERR_CONFIG_INVALID'))
    t.match(error, { exitCode: 78 })
    const problems = problemsOf(error)
    t.strictSame(problems.map(({ path, origin }) => [path, origin]).sort(), [
      ['MBS_SINK_URLS', 'environment MBS_SINK_URLS'],
      ['delivery.concurrency', 'environment MBS_DELIVERY_CONCURRENCY'],
      ['limits.connections', `file ${file}:4`],
      ['limits.packetByts', `file ${file}:3`],
      ['listeners[0].anonymous', `file ${file}:9`],
      ['listeners[0].port', 'flag --port'],
      ['sink.timeout', `file ${file}:7`],
      ['sink.url', `file ${file}:6`]
    ])
    for (const { path } of problems) t.match((error as Error).message, path)
    t.match((error as Error).message, 'has 8 mistake(s)')
  }
})

test('an unknown setting is a mistake that names the nearest one', async (t) => {
  const hint = (settings: object) => [...mistakesIn({ settings }).values()].map((problem) => problem.hint)
  t.strictSame(hint({ limits: { packetByts: 1 } }), ['did you mean limits.packetBytes?'])
  t.strictSame(hint({ Sink: {} }), ['did you mean sink?'])
  t.strictSame(hint({ packetBytes: 1 }), ['did you mean limits.packetBytes?'], 'also in another section')
  t.strictSame(hint({ listeners: [{ prot: 1 }] }), ['did you mean listeners[0].port?'])
  t.strictSame(hint({ flavor: {} }), [undefined])
})

test('what is out of bounds or of another type is a mistake that says what is allowed', async (t) => {
  const problem = (settings: object) => {
    const problems = [...mistakesIn({ settings }).values()]
    t.equal(problems.length, 1)
    return problems.flatMap(({ path, found, allowed, hint }) => [path, found, allowed, hint])
  }
  t.strictSame(problem({ limits: { topicLevels: 0 } }),
    ['limits.topicLevels', '0', 'a whole number from 1 to 100', undefined])
  t.strictSame(problem({ http: { port: '8080' } }),
    ['http.port', '"8080"', 'a whole number from 0 to 65535', undefined])
  t.strictSame(problem({ sink: { keepAlive: 'PT10S' } }),
    ['sink.keepAlive', '"PT10S"', 'an ISO 8601 duration from PT0S to PT9S', undefined])
  t.strictSame(problem({ sink: { timeout: 30 } }),
    ['sink.timeout', '30', 'an ISO 8601 duration from PT0.01S to PT1H', '30 seconds are written PT30S'])
  t.strictSame(problem({ outbox: { maxBytes: '2GB' } }),
    ['outbox.maxBytes', '"2GB"', 'a size from 1MiB to 16TiB', 'the unit is GiB: 2GiB'])
  t.strictSame(problem({ outbox: { maxBytes: 1000 } }),
    ['outbox.maxBytes', '1000', 'a size from 1MiB to 16TiB', undefined])
  t.strictSame(problem({ sink: { contentMode: 'binery' } }),
    ['sink.contentMode', '"binery"', 'auto, binary, structured, batch', 'did you mean binary?'])
  t.strictSame(problem({ listeners: [] }),
    ['listeners', 'a list', 'a list of one or more listeners', undefined])
  t.strictSame(problem({ limits: 5 }).slice(0, 2), ['limits', '5'])
  t.strictSame(problem({ name: 'a/b' }).slice(0, 2), ['name', '"a/b"'])
  t.strictSame(problem({ delivery: { deadLetterSink: {} } }).slice(0, 2), ['delivery.deadLetterSink.url', 'nothing'])
})

test('sizes and durations become bytes and milliseconds', async (t) => {
  const { config } = loadConfig({
    env: {},
    settings: { limits: { packetBytes: '1MiB' }, outbox: { maxBytes: 5_000_000 }, delivery: { backoffDelay: 'PT0.05S' } }
  })
  t.equal(config.limits.packetBytes, 1_048_576)
  t.equal(config.outbox.maxBytes, 5_000_000)
  t.equal(config.delivery.backoffDelay, 50)
})

test('a section with nothing in it is an empty section; a setting with nothing is a mistake', async (t) => {
  const directory = t.testdir()
  const { config } = loadConfig({
    env: {}, file: writeYaml(directory, 'sink:\n  # url: x\nlisteners:\n  - tls:\ndelivery:\n  deadLetterSink:\n')
  })
  t.equal(config.sink.timeout, 60_000)
  t.equal(config.listeners[0]?.tls, undefined)
  t.equal(config.delivery.deadLetterSink, undefined)
  const mistakes = mistakesIn({ file: writeYaml(directory, 'sink:\n  url:\n') })
  t.strictSame([...mistakes.values()].map(({ path, found }) => [path, found]), [['sink.url', 'null']])
})

test('a section that is there only when it is given, and is empty, is warned about: it is not there', async (t) => {
  const warnings = (settings: object) => loadConfig({ env: {}, settings }).warnings
  t.strictSame(warnings({ events: { lifecycle: null } }), [
    'events.lifecycle is empty and has no effect: write `lifecycle: {}` to have it, or leave it out'
  ])
  t.strictSame(warnings({ listeners: [{}, { port: 1, tls: null }] }), [
    'listeners[1].tls is empty and has no effect: it needs cert and key, or leave it out'
  ])
  t.strictSame(warnings({ events: { lifecycle: {} }, sink: null, limits: null }), [], 'what is there by itself can be empty')
})

test('a file that cannot be read says which and why', async (t) => {
  const missing = `${t.testdir()}/none.yaml`
  t.throws(() => loadConfig({ env: {}, file: missing }), { code: 'MBS_ERR_CONFIG_FILE', message: new RegExp(missing), exitCode: 78 })
})

test('a file that is not YAML says the line and quotes nothing from it', async (t) => {
  const directory = t.testdir()
  const refused = (text: string) => {
    try {
      loadConfig({ env: {}, file: writeYaml(directory, text) })
    } catch (error) {
      t.ok(isMbsError(error, 'MBS_ERR_CONFIG_SYNTAX'), text)
      return (error as Error).message
    }
    return t.fail(`accepted: ${text}`)
  }
  t.match(refused('name: a\nsink:\n\turl: sesame\n'), /line 3/)
  t.match(refused('name: a\nname: b\n'), /line 2: Map keys must be unique/)
  t.match(refused('- name: a\n'), /setting: value/)
  t.match(refused('just text'), /setting: value/)
  t.match(refused('name: !secret a\n'), /line 1: Unresolved tag/)
  t.notMatch(refused('sink: { url: "http://u:sesame@h/"\nname: {{\n'), /sesame/)
  const bomb = ['a: &a [1,1,1,1,1,1,1,1,1,1]', ...'bcdefg'.split('').map((name, at) =>
    `${name}: &${name} [${Array(10).fill(`*${'abcdef'[at]}`).join(',')}]`)].join('\n')
  t.match(refused(bomb), /alias/i, 'aliases that multiply')
  t.match(refused('listeners: &a\n  - *a\n'), /alias/, 'an alias of what it stands in')
})

test('an empty file is a configuration of defaults, and JSON is YAML', async (t) => {
  const directory = t.testdir()
  t.equal(loadConfig({ env: {}, file: writeYaml(directory, '') }).config.http.port, 8080)
  t.equal(loadConfig({ env: {}, file: writeYaml(directory, '{"http":{"port":1}}', 'a.json') }).config.http.port, 1)
})

test('an anchor can be used twice: its values are converted in each place', async (t) => {
  const file = writeYaml(t.testdir(), 'limits: { connectTimeout: &second PT1S, packetTimeout: *second }\n')
  const { limits } = loadConfig({ env: {}, file }).config
  t.match(limits, { connectTimeout: 1000, packetTimeout: 1000 })
})

test('a mistake behind an alias is told with the line of the mistake', async (t) => {
  const file = writeYaml(t.testdir(), [
    'listeners:',
    '  - protocol: mqtts',
    '    tls: &tls',
    '      cert: tls.crt',
    '      key: 5',
    '  - { protocol: mqtts, port: 8884, tls: *tls }'
  ].join('\n'))
  const mistakes = mistakesIn({ file })
  t.equal(mistakes.get('listeners[0].tls.key')?.origin, `file ${file}:5`)
  t.equal(mistakes.get('listeners[1].tls.key')?.origin, `file ${file}:5`)
})

test('the environment of the process is used unless another is given', async (t) => {
  t.teardown(() => { delete process.env['MBS_NAME'] })
  process.env['MBS_NAME'] = 'from-the-process'
  t.equal(loadConfig().config.name, 'from-the-process')
  t.equal(loadConfig({ env: {} }).config.name, 'mqtt-broker-source')
})

test('no other error has mistakes', async (t) => {
  t.strictSame(problemsOf(new Error('x', { cause: new Error('y') })), [])
  t.strictSame(problemsOf(undefined), [])
})

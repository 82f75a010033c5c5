/**
 * What the chart refuses: values that its schema does not know, and values that do not fit together. Each sentence of
 * templates/_validate.tpl is held by a case here.
 */
import { test } from 'tap'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CHART, exampleFile, examples, HELMS, KUBE_VERSION, MISSING, render, run, template, type RenderOptions } from '../support/chart.ts'

/** Values that are taken: TLS, users, a Broker. */
const GOOD = { sink: { ref: { name: 'default' } }, tls: { existingSecret: 'tls' }, auth: { users: { existingSecret: 'users' } } }

/** `over` laid over it. */
function good (over: object): RenderOptions {
  return { values: merge(GOOD, over) as object }
}

function merge (base: unknown, over: unknown): unknown {
  const isSection = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isSection(base) || !isSection(over)) return over
  return { ...base, ...Object.fromEntries(Object.entries(over).map(([key, value]) => [key, merge(base[key], value)])) }
}

const OPEN = { mqtts: { enabled: false }, mqtt: { enabled: true, anonymous: true } }

const REDIS = { redis: { url: 'redis://redis' }, persistence: { enabled: false } }
const SENTINEL = { redis: { sentinel: { master: 'mymaster', nodes: ['s:26379'] } }, persistence: { enabled: false } }

/** `over` laid over pods that share one Redis. */
function shared (over: object, base: object = REDIS): object {
  return merge(base, over) as object
}

const MISTAKES: Record<string, { over: object, says: RegExp }> = {
  'no sink': { over: { sink: { ref: { name: '' } } }, says: /sink\.ref\.name is missing/ },
  'an absolute URI beside a ref': { over: { sink: { uri: 'http://a/' } }, says: /sink\.uri is absolute/ },
  'K_SINK beside a SinkBinding': { over: { extraEnv: [{ name: 'K_SINK', value: 'http://a' }] }, says: /extraEnv sets K_SINK while sink\.mode is sinkbinding/ },
  'a display beside a SinkBinding': { over: { config: { sink: { kind: 'display' } } }, says: /config\.sink\.kind is display while sink\.mode is sinkbinding/ },
  'a sink in the configuration beside a SinkBinding': { over: { config: { sink: { url: 'http://a' } } }, says: /config\.sink\.url is set while sink\.mode is sinkbinding/ },
  'a ref that nobody looks at': { over: { sink: { mode: 'uri', uri: 'http://a' } }, says: /sink\.ref\.name has no effect/ },
  'no URI': { over: { sink: { mode: 'uri', ref: { name: '' } } }, says: /sink\.uri has to be/ },
  'K_SINK twice': { over: { sink: { mode: 'uri', uri: 'http://a', ref: { name: '' } }, extraEnv: [{ name: 'K_SINK', value: 'x' }] }, says: /extraEnv sets K_SINK, and so does/ },
  'a sink in the configuration beside a URI': { over: { sink: { mode: 'uri', uri: 'http://a', ref: { name: '' } }, config: { sink: { url: 'http://a' } } }, says: /config\.sink\.url has no effect/ },
  'an audience for nobody': { over: { sink: { mode: 'none', audience: 'a', ref: { name: '' } } }, says: /have no effect while sink\.mode is none/ },
  'no listener': { over: { listeners: { mqtts: { enabled: false } } }, says: /No listener is enabled/ },
  'a listener that speaks nothing': { over: { listeners: { other: { enabled: true, port: 9000 } } }, says: /listeners\.other\.protocol is missing/ },
  'a listener with the name of another port': { over: { listeners: { http: { enabled: true, protocol: 'ws' } } }, says: /listeners\.http: the port of health and metrics is called http/ },
  'one port twice': { over: { listeners: { mqtt: { enabled: true, port: 8883 } } }, says: /port 8883 is taken by listeners\.mqtt\b/ },
  'the port of the HTTP server': { over: { http: { port: 8883 } }, says: /listeners\.mqtts\.port 8883 is taken by http/ },
  'client certificates without TLS': { over: { listeners: { mqtt: { enabled: true, clientCertificate: 'optional' } }, tls: { clientCA: { existingSecret: 'ca' } } }, says: /listeners\.mqtt\.clientCertificate needs TLS/ },
  'a path without WebSocket': { over: { listeners: { mqtts: { path: '/mqtt' } } }, says: /listeners\.mqtts\.path and .* are for WebSockets/ },
  'nobody could connect': { over: { auth: { users: { existingSecret: '' } } }, says: /listeners\.mqtts takes no credentials/ },
  'certificates that this listener does not ask for': { over: { auth: { users: { existingSecret: '' } }, config: { access: { certificates: {} } } }, says: /listeners\.mqtts takes no credentials/ },
  'TLS without a certificate': { over: { tls: { existingSecret: '' } }, says: /listeners\.mqtts needs a certificate/ },
  'two certificates': { over: { tls: { certManager: { enabled: true, issuerRef: { name: 'ca' } } } }, says: /tls\.existingSecret and tls\.certManager\.enabled are both set/ },
  'no issuer': { over: { tls: { existingSecret: '', certManager: { enabled: true } } }, says: /issuerRef\.name is missing/ },
  'a certificate for no name': { over: { tls: { existingSecret: '', certManager: { enabled: true, clusterNames: false, issuerRef: { name: 'ca' } } } }, says: /neither dnsNames nor ipAddresses/ },
  'client certificates without a CA': { over: { listeners: { mqtts: { clientCertificate: 'required' } } }, says: /listeners\.mqtts asks for client certificates/ },
  'a CA for nothing': { over: { tls: { clientCA: { existingSecret: 'ca' } } }, says: /tls\.clientCA\.existingSecret has no effect/ },
  'everyone, on a load balancer': { over: { listeners: OPEN, service: { type: 'LoadBalancer' } }, says: /service is a LoadBalancer that leads to listeners\.mqtt, which lets in everyone/ },
  'everyone, on a node port': { over: { listeners: OPEN, extraServices: { out: { type: 'NodePort', listeners: ['mqtt'] } } }, says: /extraServices\.out is a NodePort that leads to listeners\.mqtt/ },
  'a listener that is not there': { over: { service: { listeners: ['ws'] } }, says: /service\.listeners names ws, which is not enabled/ },
  'a port for nothing': { over: { service: { ports: { wss: 443 } } }, says: /service\.ports names wss, which is no listener/ },
  'a Service that the chart has': { over: { extraServices: { http: {} } }, says: /extraServices\.http: the chart has a Service of that name/ },
  'a balancer without one': { over: { service: { sourceRanges: ['10.0.0.0/8'] } }, says: /service\.sourceRanges has no effect while the type is ClusterIP/ },
  'node ports inside': { over: { service: { nodePorts: { mqtts: 30883 } } }, says: /service\.nodePorts has no effect/ },
  'IPv6 on an address of IPv4': { over: { service: { ipFamilies: ['IPv6'] } }, says: /service asks for IPv6, and bindAddress is 0\.0\.0\.0/ },
  'everything counted twice': { over: { metrics: { podMonitor: { enabled: true }, serviceMonitor: { enabled: true } } }, says: /would be counted twice/ },
  'two places of Redis': { over: shared({ redis: { cluster: { nodes: ['c:6379'] } } }), says: /redis\.url and redis\.cluster say at once where Redis is/ },
  'a place of Redis here and there': { over: shared({ config: { redis: { cluster: { nodes: ['c:6379'] } } } }), says: /redis\.url and config\.redis\.cluster say at once/ },
  'credentials of no Redis': { over: { redis: { username: 'u', auth: { existingSecret: 's' } } }, says: /redis\.auth\.existingSecret, redis\.username: no effect while nothing says where Redis is/ },
  'an outbox in no Redis': { over: { persistence: { enabled: false }, config: { outbox: { store: 'redis' } } }, says: /config\.outbox\.store is redis, and nothing says where Redis is/ },
  'a Redis for nothing': { over: { redis: REDIS.redis, config: { outbox: { store: 'disk' }, broker: { sessions: 'disk' } } }, says: /redis has no effect while config\.outbox\.store is disk and config\.broker\.sessions is disk: .* or redis\.url\./ },
  'Sentinels that watch nothing': { over: shared({ redis: { sentinel: { master: '' } } }, SENTINEL), says: /redis\.sentinel needs both/ },
  'two passwords of Redis': { over: shared({ redis: { auth: { existingSecret: 's' } }, config: { redis: { passwordFile: '/x' } } }), says: /redis\.auth\.existingSecret and config\.redis\.passwordFile are both set/ },
  'two URLs of Redis': { over: shared({ config: { redis: { url: 'redis://other' } } }), says: /redis\.url and config\.redis\.url are both set/ },
  'two prefixes': { over: shared({ redis: { keyPrefix: 'a:' }, config: { redis: { keyPrefix: 'b:' } } }), says: /redis\.keyPrefix and config\.redis\.keyPrefix are both set/ },
  'two authorities of Redis': { over: shared({ redis: { url: 'rediss://redis', tls: { existingSecret: 's' } }, config: { redis: { tls: { ca: '/x' } } } }), says: /redis\.tls and config\.redis\.tls both have ca/ },
  'a user of Redis without a password': { over: shared({ redis: { username: 'u' } }), says: /redis\.username needs a password/ },
  'a password of no Sentinels': { over: shared({ redis: { auth: { existingSecret: 's', sentinelPasswordKey: 'k' } } }), says: /redis\.auth\.sentinelPasswordKey has no effect without/ },
  'a password of Sentinels in no Secret': { over: shared({ redis: { auth: { sentinelPasswordKey: 'k' } } }, SENTINEL), says: /redis\.auth\.sentinelPasswordKey has no effect without/ },
  'a user of the Sentinels without a password': { over: shared({ redis: { sentinel: { username: 'u' } } }, SENTINEL), says: /redis\.sentinel\.username needs a password/ },
  'a user of no Sentinels': { over: { redis: { sentinel: { username: 'u' } } }, says: /redis\.sentinel\.username: no effect while nothing says/ },
  'a user of Sentinels that nothing asks': { over: shared({ redis: { sentinel: { username: 'u' } } }), says: /redis\.sentinel\.username has no effect without redis\.sentinel\.master/ },
  'TLS to a Redis without': { over: shared({ redis: { tls: { existingSecret: 's' } } }), says: /redis\.url is redis:\/\/ while redis\.tls asks for TLS/ },
  'a certificate without its key': { over: shared({ redis: { tls: { existingSecret: 's', certKey: 'tls.crt' } } }, SENTINEL), says: /redis\.tls\.certKey and redis\.tls\.keyKey belong together/ },
  'a certificate in no Secret': { over: shared({ redis: { tls: { enabled: true, certKey: 'tls.crt', keyKey: 'tls.key' } } }, SENTINEL), says: /are keys of redis\.tls\.existingSecret, which is not set/ },
  'a Secret with nothing in it': { over: shared({ redis: { tls: { existingSecret: 's', caKey: '' } } }, SENTINEL), says: /redis\.tls\.existingSecret has no effect/ },
  'Redis in the environment': { over: shared({ extraEnv: [{ name: 'MBS_REDIS_URL', value: 'redis://a' }] }), says: /extraEnv sets MBS_REDIS_URL, which the kind of workload/ },
  'another outbox in the environment': { over: shared({ extraEnv: [{ name: 'MBS_OUTBOX_STORE', value: 'memory' }] }), says: /extraEnv sets MBS_OUTBOX_STORE, which/ },
  'two pods': { over: { replicas: 2 }, says: /replicas is 2, and pods share nothing but what is in Redis, while outbox\.store is disk and broker\.sessions is memory/ },
  'two pods that share the outbox alone': { over: shared({ replicas: 2, config: { broker: { sessions: 'memory' } } }), says: /while outbox\.store is redis and broker\.sessions is memory/ },
  'two pods that share sessions alone': { over: shared({ replicas: 2, config: { outbox: { store: 'memory' } } }), says: /while outbox\.store is memory and broker\.sessions is redis/ },
  'as many pods as are needed, which share nothing': { over: { autoscaling: { enabled: true } }, says: /autoscaling\.enabled is true, and pods share nothing but what is in Redis/ },
  'a volume for nothing': { over: { redis: REDIS.redis }, says: /persistence\.enabled is true while outbox\.store is redis/ },
  'a number of pods beside an autoscaler': { over: shared({ replicas: 3, autoscaling: { enabled: true } }), says: /replicas is 3, and has no effect while autoscaling\.enabled is true/ },
  'no pods beside an autoscaler': { over: shared({ replicas: 0, autoscaling: { enabled: true } }), says: /replicas is 0, and has no effect/ },
  'fewer pods at most than at least': { over: shared({ autoscaling: { enabled: true, minReplicas: 4, maxReplicas: 3 } }), says: /autoscaling\.maxReplicas is 3, less than autoscaling\.minReplicas \(4\)/ },
  'an autoscaler without a target': { over: shared({ autoscaling: { enabled: true, connections: 0, publishesPerSecond: 0 } }), says: /autoscaling has nothing to go by/ },
  'a target that no pod reaches': { over: shared({ autoscaling: { enabled: true, connections: 8001 } }), says: /autoscaling\.connections is 8001, and a pod takes 10000 .* Set it to 8000 or less/ },
  'a part of no processor': { over: shared({ autoscaling: { enabled: true, cpu: 70 }, resources: { requests: { cpu: null } } }), says: /autoscaling\.cpu is a part of resources\.requests\.cpu/ },
  'too little time to end with Redis': { over: shared({ terminationGracePeriodSeconds: 34 }), says: /takes up to 35 s \(drain\.delay \+ drain\.window \+ config\.delivery\.grace \+ config\.redis\.timeout \+ 5\)/ },
  'too little time to end': { over: { terminationGracePeriodSeconds: 29 }, says: /terminationGracePeriodSeconds is 29, and ending the pod takes up to 30 s/ },
  'more time to end than there is': { over: { config: { delivery: { grace: 'PT1M' } } }, says: /takes up to 80 s/ },
  'a drain in the configuration': { over: { drain: { window: 'PT1M30.5S' } }, says: /takes up to 111 s/ },
  'a volume that is too small': { over: { config: { outbox: { maxBytes: '4GiB' } } }, says: /persistence\.size is 4Gi, less than twice what the outbox may take \(4GiB\)/ },
  'an emptyDir that is too small': { over: { persistence: { enabled: false, emptyDir: { sizeLimit: '500M' } } }, says: /persistence\.emptyDir\.sizeLimit is 500M/ },
  'sessions on disk without a volume': { over: { persistence: { enabled: false }, config: { broker: { sessions: 'disk' } } }, says: /config\.broker\.sessions is disk while persistence\.enabled is false/ },
  'a claim for nothing': { over: { persistence: { enabled: false, existingClaim: 'a' } }, says: /persistence\.existingClaim has no effect/ },
  'listeners in the configuration': { over: { config: { listeners: [{}] } }, says: /config\.listeners cannot be set there/ },
  'a folder in the configuration': { over: { config: { dataDir: '/x' } }, says: /config\.dataDir cannot be set there/ },
  'an HTTP server in the configuration': { over: { config: { http: { port: 1 } } }, says: /config\.http cannot be set there/ },
  'listeners in the environment': { over: { extraEnv: [{ name: 'MBS_LISTENERS_0_PORT', value: '1' }] }, says: /extraEnv sets MBS_LISTENERS_0_PORT/ },
  'a name in the environment': { over: { extraEnv: [{ name: 'NAME', value: 'x' }] }, says: /extraEnv sets NAME, which the chart sets itself/ },
  'two user files': { over: { config: { access: { users: '/x' } } }, says: /both name a user file/ },
  'two lists of permissions': { over: { auth: { permissions: { existingSecret: 'p' } }, config: { access: { permissions: [] } } }, says: /both have permissions/ },
  'a user without a password': { over: { tests: { username: 'u' } }, says: /tests\.passwordSecret\.name is missing/ },
  'a test that could not get in': { over: { tests: { listener: 'mqtts' } }, says: /tests\.listener mqtts is none that helm test can get in at/ }
}

test('values that fit are taken', { skip: MISSING }, async (t) => {
  for (const helm of HELMS) t.equal(template({ ...good({}), helm }).status, 0)
})

/** All that was said for the mistakes. */
const told: string[] = []

for (const [name, { over, says }] of Object.entries(MISTAKES)) {
  test(`refuses ${name}, and says what to do`, { skip: MISSING }, async (t) => {
    const { status, stderr } = template(good(over))
    told.push(stderr)
    t.not(status, 0)
    t.match(stderr, /The values cannot be used:/)
    t.match(stderr, says)
    t.equal(stderr.match(/^ {2}- /gm)?.length, 1, `one sentence: ${stderr}`)
  })
}

test('every sentence of the chart was met above', { skip: MISSING }, async (t) => {
  const templates = readFileSync(join(CHART, 'templates/_validate.tpl'), 'utf8')
  const sentences = [...templates.matchAll(/append \$found (?:\(printf )?"((?:[^"\\]|\\.)+)"/g)].map(([, text]) => text!.replaceAll('\\"', '"'))
  t.ok(sentences.length >= 40, `${sentences.length} sentences`)
  const met = (sentence: string) => told.some((text) => text.includes(sentence.split(/%[svd]/).at(-1)!) &&
    new RegExp(sentence.split(/%[svd]/).map(escape).join('.+')).test(text))
  t.strictSame(sentences.filter((sentence) => !met(sentence)), [])
})

function escape (text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

test('all mistakes are told at once, by both Helms', { skip: MISSING }, async (t) => {
  for (const helm of HELMS) {
    const { stderr } = template({ helm })
    for (const sentence of [/sink\.ref\.name is missing/, /takes no credentials/, /needs a certificate/]) t.match(stderr, sentence)
  }
})

const UNKNOWN: Record<string, object> = {
  'a value that does not exist': { sinks: {} },
  'one in a section': { service: { kind: 'LoadBalancer' } },
  'a setting that does not exist': { config: { limits: { connection: 1 } } },
  'a setting of another type': { config: { limits: { connections: 'many' } } },
  'a setting beyond its bounds': { config: { limits: { connections: 0 } } },
  'a size without its unit': { config: { outbox: { maxBytes: '1GB' } } },
  'a duration in seconds': { drain: { delay: '5s' } },
  'a type of Service': { service: { type: 'External' } },
  'a mode': { sink: { mode: 'binding' } },
  'a listener with a typing error': { listeners: { mqtts: { anonymus: true } } },
  'a name that no port has': { listeners: { MQTT_A: { enabled: true } } },
  'a port below 1024': { listeners: { mqtts: { port: 883 } } },
  'an annotation that is no text': { podAnnotations: { a: true } },
  'a digest': { image: { digest: 'sha256:1' } },
  'delivery in other words': { delivery: { retries: 3 } },
  'a name that no object has': { fullnameOverride: 'MQTT' },
  'a part of a name that no object has': { nameOverride: 'a_b' },
  'a password in the URL of Redis': { redis: { url: 'redis://user:secret@redis' } },
  'a node without its port': { redis: { cluster: { nodes: ['redis-1'] } } },
  'a prefix that is too long': { redis: { keyPrefix: 'a'.repeat(65) } },
  'a PodDisruptionBudget in other words': { pdb: { enabled: 'yes' } },
  'a permission': { auth: { permissions: { rules: [{ who: '*', publsh: ['#'] }] } } }
}

for (const [name, over] of Object.entries(UNKNOWN)) {
  test(`the schema refuses ${name}`, { skip: MISSING }, async (t) => {
    for (const helm of HELMS) {
      const { status, stderr } = template({ ...good(over), helm })
      t.not(status, 0)
      t.match(stderr, /values don't meet the specifications of the schema/, helm)
    }
  })
}

test('the schema takes what the program takes', { skip: MISSING }, async (t) => {
  const config = {
    limits: { packetBytes: 262_144, connections: 1_000_000, queuedBytesTotal: '1GiB' },
    delivery: { backoffDelay: 'PT0.2S', grace: 'PT1M30S', retry: 0 },
    access: { permissions: [{ who: ['ada', 'bob'], publish: ['$aws/things/{clientid}/#', 'a/+/{username}'] }] },
    sinks: [{ name: 'archive', url: 'https://a.example/', headers: { 'x-key': { file: '/a' } } }],
    log: { level: 'warn' }
  }
  for (const helm of HELMS) {
    const { status, stderr } = template({ ...good({ config, terminationGracePeriodSeconds: 120 }), helm })
    t.equal(status, 0, stderr)
  }
})

test('what pods share is taken in all three forms of Redis, with as many pods as are wanted', { skip: MISSING }, async (t) => {
  const cluster = { redis: { cluster: { nodes: ['[fd00::1]:6379', 'redis-2:6379'] }, tls: { enabled: true } }, persistence: { enabled: false } }
  const taken = [
    shared({ replicas: 3 }),
    shared({ replicas: 0 }),
    shared({ replicas: 3, redis: { auth: { existingSecret: 's', sentinelPasswordKey: 'k' }, username: 'u' } }, SENTINEL),
    shared({ autoscaling: { enabled: true, connections: 8000 } }, cluster),
    shared({ autoscaling: { enabled: true, connections: 40_000 }, config: { limits: { connections: 50_000 }, redis: { timeout: 'PT3S' } } }),
    { replicas: 2, persistence: { enabled: false }, config: { redis: { url: 'redis://a' } } },
    { redis: REDIS.redis, config: { broker: { sessions: 'disk' } } }
  ]
  for (const helm of HELMS) {
    for (const over of taken) {
      const { status, stderr } = template({ ...good(over), helm })
      t.equal(status, 0, `${JSON.stringify(over)}: ${stderr}`)
    }
  }
})

test('helm lint --strict finds nothing, with no values and with those of every example', { skip: MISSING }, async (t) => {
  for (const helm of HELMS) {
    for (const values of [[], ...examples().map((example) => ['--values', exampleFile(example)])]) {
      const { status, stdout, stderr } = run(helm, ['lint', '--strict', ...KUBE_VERSION, ...values, CHART])
      t.equal(status, 0, `${helm} ${values.join(' ')}: ${stdout}${stderr}`)
      t.notMatch(stdout, /WARNING|ERROR/)
    }
  }
})

test('a chart that depends on this one can take it in by a condition, and share values', { skip: MISSING }, async (t) => {
  const parent = t.testdir({
    'Chart.yaml': 'apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n  - { name: mqtt-broker-source, version: "*", condition: mqtt-broker-source.enabled }\n',
    'values.yaml': JSON.stringify({ global: { region: 'eu' }, 'mqtt-broker-source': { enabled: true, ...GOOD } }),
    charts: { 'mqtt-broker-source': t.fixture('symlink', CHART) }
  })
  for (const helm of HELMS) t.ok(render({ chart: parent, helm }).length > 5, helm)
})

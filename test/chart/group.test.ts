/**
 * Several pods on Redis: what the chart makes of the three forms of Redis, and what hangs on pods sharing it: how they
 * are replaced, how many there are, what they may reach, what is watched. The configuration is read by the program.
 */
import { test, type Test } from 'tap'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { loadConfig } from '../../lib/config/load.ts'
import type { Config } from '../../lib/config/schema.ts'
import { listMetrics } from '../../lib/telemetry/list-metrics.ts'
import {
  CHART, configOf, conform, find, HELMS, MISSING, MISSING_KUBECONFORM, notes, render, template,
  workloadOf, type Manifest
} from '../support/chart.ts'

const ETC = '/etc/mqtt-broker-source'
const EXAMPLE = 'redis-group'
/** The same as values of the example, with another place of Redis. */
const SENTINEL = {
  url: '',
  sentinel: { master: 'mymaster', nodes: ['redis-1:26379', 'redis-2:26380'], username: 'watcher' },
  auth: { passwordKey: 'redis-password', sentinelPasswordKey: 'sentinel-password' },
  tls: { existingSecret: 'redis-tls', certKey: 'client.crt', keyKey: 'client.key', servername: 'redis.example' }
}
const CLUSTER = { url: '', cluster: { nodes: ['redis-0:7000', '[fd00::1]:7001'] }, tls: { existingSecret: '', enabled: true } }

/** The configuration as the program understands it. */
function loaded (t: Test, manifests: readonly Manifest[]): Config {
  const file = join(t.testdir(), 'config.yaml')
  writeFileSync(file, configOf(manifests))
  return loadConfig({ file, env: {} }).config
}

interface Secret {
  readonly secretName?: string
  readonly items?: ReadonlyArray<{ readonly key: string, readonly path: string }>
}

/** The files of Secrets that the pod has, by path: the Secret and its key. */
function secretFiles (manifests: readonly Manifest[]): Map<string, string> {
  const { containers, volumes = [] } = workloadOf(manifests).spec.template.spec
  const mounts = new Map(containers[0]!.volumeMounts!.map(({ name, mountPath }) => [name, mountPath]))
  return new Map(volumes.flatMap(({ name, secret }) => {
    const { secretName, items = [] } = (secret ?? {}) as Secret
    return items.map(({ key, path }): [string, string] => [`${mounts.get(name)}/${path}`, `${secretName} ${key}`])
  }))
}

test('one server: outbox and sessions are in Redis, and its files are where the configuration says', { skip: MISSING }, async (t) => {
  const manifests = render({ example: EXAMPLE })
  const { outbox, redis } = loaded(t, manifests)
  t.match(parse(configOf(manifests)), { outbox: { store: 'redis' }, broker: { sessions: 'redis' } })
  t.match(outbox, { store: 'redis', replicas: 1 }, 'config is laid over it')
  t.match(redis, {
    url: 'rediss://redis.databases.svc:6380', username: 'mqtt', passwordFile: `${ETC}/redis/password`, tls: { ca: `${ETC}/redis-tls/ca.crt` }
  })
  t.strictSame([...secretFiles(manifests)], [
    [`${ETC}/redis/password`, 'mqtt-redis password'], [`${ETC}/redis-tls/ca.crt`, 'mqtt-redis-tls ca.crt']
  ])
})

test('Sentinels: with a user and password of their own, and a certificate that Redis is shown', { skip: MISSING }, async (t) => {
  const manifests = render({ example: EXAMPLE, values: { redis: SENTINEL } })
  const { redis } = loaded(t, manifests)
  t.equal(redis?.url, undefined)
  t.strictSame(redis?.sentinel, {
    master: 'mymaster', nodes: ['redis-1:26379', 'redis-2:26380'], username: 'watcher', passwordFile: `${ETC}/redis/sentinel-password`
  })
  const at = (name: string): string => `${ETC}/redis-tls/${name}`
  t.strictSame(redis?.tls, { ca: at('ca.crt'), cert: at('tls.crt'), key: at('tls.key'), servername: 'redis.example' })
  t.strictSame(Object.fromEntries(secretFiles(manifests)), {
    [`${ETC}/redis/password`]: 'mqtt-redis redis-password',
    [`${ETC}/redis/sentinel-password`]: 'mqtt-redis sentinel-password',
    [at('ca.crt')]: 'redis-tls ca.crt',
    [at('tls.crt')]: 'redis-tls client.crt',
    [at('tls.key')]: 'redis-tls client.key'
  })
})

test('a Cluster: TLS by the usual authorities is an empty section', { skip: MISSING }, async (t) => {
  const manifests = render({ example: EXAMPLE, values: { redis: CLUSTER } })
  const { redis } = loaded(t, manifests)
  t.strictSame(redis?.cluster, { nodes: ['redis-0:7000', '[fd00::1]:7001'] })
  t.strictSame(redis?.tls, {})
  t.strictSame([...secretFiles(manifests).keys()], [`${ETC}/redis/password`])
})

test('config says otherwise: what it has of outbox, sessions and Redis counts', { skip: MISSING }, async (t) => {
  const values = {
    autoscaling: { enabled: false },
    redis: { keyPrefix: '' },
    config: { broker: { sessions: 'memory' }, redis: { timeout: 'PT3S', keyPrefix: 'mine:' } }
  }
  const manifests = render({ example: EXAMPLE, values })
  const { broker, redis } = loaded(t, manifests)
  t.equal(broker.sessions, 'memory')
  t.match(redis, { timeout: 3000, keyPrefix: 'mine:', url: /^rediss:/ })
  t.match(workloadOf(manifests).spec, { replicas: 1, strategy: { type: 'Recreate' } }, 'pods do not share everything')
})

test('without a place of Redis there is no trace of it', { skip: MISSING }, async (t) => {
  const manifests = render({ example: 'broker' })
  t.strictSame(Object.keys(parse(configOf(manifests)) as object).filter((key) => ['redis', 'outbox', 'broker'].includes(key)), [])
  t.strictSame([...secretFiles(manifests)], [])
})

test('two releases on one Redis have no key in common, whatever they are called', { skip: MISSING }, async (t) => {
  const prefixOf = (namespace: string, fullnameOverride: string): string => loaded(t, render({
    example: EXAMPLE, values: { fullnameOverride }, args: ['--namespace', namespace]
  })).redis!.keyPrefix
  t.equal(prefixOf('devices', 'mqtt'), 'mbs:devices/mqtt:')
  const long = 'n'.repeat(63)
  const names = [
    ['a', 'b'], ['a', 'c'], ['b', 'b'], [long, 'mqtt'], [`${long.slice(1)}a`, 'mqtt'],
    [long, 'm'.repeat(52)], [long, `${'m'.repeat(51)}a`]
  ] as const
  const prefixes = names.map(([namespace, name]) => prefixOf(namespace, name))
  t.equal(new Set(prefixes).size, names.length, prefixes.join(' '))
  for (const prefix of prefixes) t.ok(!prefixes.some((other) => other !== prefix && other.startsWith(prefix)), prefix)
})

test('pods that share everything are replaced one by one, the new one first', { skip: MISSING }, async (t) => {
  const values = { autoscaling: { enabled: false }, replicas: 3 }
  const { kind, spec } = workloadOf(render({ example: EXAMPLE, values }))
  t.equal(kind, 'Deployment')
  t.match(spec, { replicas: 3, strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } } })
  t.match(spec.template.spec.volumes!.find(({ name }) => name === 'data'), { emptyDir: {} })
  t.equal(spec.volumeClaimTemplates, undefined)
})

test('nodes are emptied one by one where there are several pods, and freely where there is one', { skip: MISSING }, async (t) => {
  const budgets = (values: object): unknown[] => render({ example: EXAMPLE, values })
    .filter(({ kind }) => kind === 'PodDisruptionBudget').map(({ spec }) => spec['maxUnavailable'])
  const autoscaling = { enabled: false }
  t.strictSame(budgets({}), [1])
  t.strictSame(budgets({ autoscaling, replicas: 2 }), [1])
  t.strictSame(budgets({ autoscaling }), [], 'one pod')
  t.strictSame(budgets({ pdb: { enabled: false } }), [])
  t.strictSame(budgets({ autoscaling, pdb: { enabled: true } }), [1])
})

test('the autoscaler says how many pods there are, and nobody else', { skip: MISSING }, async (t) => {
  const manifests = render({ example: EXAMPLE })
  const { apiVersion, kind, metadata: { name }, spec } = workloadOf(manifests)
  t.equal(spec['replicas'], undefined)
  const autoscaler = find(manifests, 'HorizontalPodAutoscaler')
  t.match(autoscaler.spec, { scaleTargetRef: { apiVersion, kind, name }, minReplicas: 3, maxReplicas: 12 })
  t.strictSame(targetsOf(autoscaler), {
    mqtt_broker_source_connections: '20000', mqtt_broker_source_publishes_per_second: '1500'
  })
  t.match(autoscaler.spec, {
    behavior: { scaleDown: { stabilizationWindowSeconds: 900, policies: [{ type: 'Pods', value: 1, periodSeconds: 300 }] } }
  }, 'devices are sent away seldom')

  const behavior = { scaleDown: { stabilizationWindowSeconds: 60 } }
  const values = { autoscaling: { connections: 0, publishesPerSecond: 1_200_000, cpu: 70, behavior } }
  for (const helm of HELMS) {
    const other = find(render({ example: EXAMPLE, values, helm }), 'HorizontalPodAutoscaler')
    t.strictSame(targetsOf(other), { mqtt_broker_source_publishes_per_second: '1200000', cpu: 70 }, 'no number becomes 1.2e+06')
    t.match(other.spec, { behavior: { scaleDown: { stabilizationWindowSeconds: 60 } } })
  }
})

function targetsOf ({ spec }: Manifest): Record<string, unknown> {
  const metrics = spec['metrics'] as ReadonlyArray<{
    readonly pods?: { readonly metric: { readonly name: string }, readonly target: { readonly averageValue: string } }
    readonly resource?: { readonly name: string, readonly target: { readonly averageUtilization: number } }
  }>
  return Object.fromEntries(metrics.map(({ pods, resource }) => pods === undefined
    ? [resource!.name, resource!.target.averageUtilization]
    : [pods.metric.name, pods.target.averageValue]))
}

test('the rules for the adapter, as documented, make what the autoscaler asks for out of metrics that there are', { skip: MISSING }, async (t) => {
  const page = readFileSync(join(CHART, '../../docs/kubernetes.md'), 'utf8')
  const text = /```yaml\n(rules:\n[^`]*)```/.exec(page)![1]!
  const { rules: { custom } } = parse(text) as {
    rules: { custom: ReadonlyArray<{ seriesQuery: string, metricsQuery: string, name: { as: string } }> }
  }
  const types = new Map(listMetrics().map(({ name, type }) => [name, type]))
  for (const { seriesQuery, metricsQuery } of custom) {
    const type = types.get(seriesQuery.replace(/\{.*/, ''))
    t.ok(type, seriesQuery)
    t.equal(/rate\(/.test(metricsQuery), type === 'counter', metricsQuery)
  }
  const asked = targetsOf(find(render({ example: EXAMPLE }), 'HorizontalPodAutoscaler'))
  t.strictSame(custom.map(({ name }) => name.as).sort(), Object.keys(asked).sort())
})

interface Egress {
  readonly ports: ReadonlyArray<{ readonly port: number }>
  readonly to?: readonly object[]
}

test('a NetworkPolicy lets through to Redis, its Sentinels and its nodes', { skip: MISSING }, async (t) => {
  const egress = (values: object, example = EXAMPLE): readonly Egress[] => {
    const manifests = render({ example, values: { networkPolicy: { enabled: true }, ...values } })
    return find(manifests, 'NetworkPolicy').spec['egress'] as readonly Egress[]
  }
  const portsOf = (values: object) => egress(values)[2]?.ports.map(({ port }) => port)
  t.strictSame(portsOf({}), [6379, 6380])
  t.match(egress({})[2]?.to, [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'databases' } } }])
  t.strictSame(portsOf({ redis: { url: 'rediss://redis/3' } }), [6379], 'the usual port')
  t.strictSame(portsOf({ redis: { url: 'rediss://[fd00::1]:6390/3' } }), [6379, 6390])
  t.strictSame(portsOf({ redis: SENTINEL }), [6379, 26379, 26380])
  const networkPolicy = { enabled: true, egress: { redisPorts: [6400] } }
  t.strictSame(portsOf({ redis: CLUSTER, networkPolicy }), [6400, 7000, 7001])
  t.equal(egress({}, 'broker').length, 2, 'none where there is no Redis')
})

interface Rules {
  readonly rules: ReadonlyArray<{ readonly alert: string, readonly expr: string }>
}

test('alerts: where the outbox is in Redis, on metrics that there are', { skip: MISSING }, async (t) => {
  const known = new Set(listMetrics().map(({ name }) => name))
  const alerts = (example: string, values: object = {}) => {
    const groups = find(render({ example, values }), 'PrometheusRule').spec['groups'] as readonly Rules[]
    return new Map(groups[0]!.rules.map(({ alert, expr }) => [alert, expr]))
  }
  const own = parse(readFileSync(join(CHART, 'files/alerts-redis.yaml'), 'utf8')) as Rules
  t.ok(own.rules.length >= 2)
  for (const { alert, expr } of own.rules) {
    const [name] = /mqtt_broker_source_[a-z_]+/.exec(expr)!
    t.ok(known.has(name), `${alert}: ${name}`)
    t.match(expr, /\{PODS[,}]/, 'an alert is about the pods of its release')
    t.notOk(alerts('everything').has(alert))
  }
  const undelivered = (config: object) => alerts(EXAMPLE, { config }).get('MqttBrokerSourcePartitionsUndelivered')
  const pods = '{namespace="devices",pod=~"mqtt-mqtt-broker-source-.*"}'
  t.equal(undelivered({}), `sum(mqtt_broker_source_outbox_partitions${pods}) < 16`)
  t.match(undelivered({ outbox: { partitions: 64 } }), /< 64$/)
})

test('what helm says of a group', { skip: MISSING }, async (t) => {
  const said = notes(EXAMPLE)
  t.match(said, /In Redis is what all pods share, outbox and sessions, in keys that begin with mbs:devices\/mqtt-mqtt-broker-source:\n/)
  t.match(said, 'kubectl -n devices get hpa mqtt-mqtt-broker-source')
  t.notMatch(said, 'persistence is off')
  t.notMatch(said, 'Before devices rely on it')

  const bare = { url: 'redis://a', username: '', auth: { existingSecret: '' }, tls: { existingSecret: '' } }
  const risky = notes(EXAMPLE, { redis: bare, config: { outbox: { partitions: 8 } } })
  for (const one of ['without TLS', 'without a password', 'there may be 12 pods, and config.outbox.partitions is 8']) t.match(risky, one)
})

test('Kubernetes knows every object of a group, in all forms', { skip: MISSING_KUBECONFORM }, async (t) => {
  const fixed = { autoscaling: { enabled: false }, replicas: 3 }
  const forms = [{ redis: SENTINEL }, { redis: CLUSTER }, { autoscaling: { cpu: 70, behavior: null } }, fixed]
  const texts = forms.map((values) => template({ example: EXAMPLE, values }).stdout)
  t.strictSame(conform(texts.join('\n---\n')), [])
})

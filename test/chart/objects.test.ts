/** What has to hold of the objects of the chart, whatever the values: one rule a test, over every example. */
import { test } from 'tap'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { parse } from 'yaml'
import { loadConfig } from '../../lib/config/load.ts'
import { checkPermission } from '../../lib/permission-check.ts'
import { listMetrics } from '../../lib/telemetry/list-metrics.ts'
import {
  CHART, configOf, examples, find, HELMS, MISSING, notes, packageVersion, render, ROOT, run, workloadOf,
  type Container, type Manifest, type PodSpec
} from '../support/chart.ts'

const PROGRAM = join(ROOT, 'dist/bin/mqtt-broker-source.js')

/** What every example becomes. */
const rendered = new Map((MISSING === false ? examples() : []).map((example) => [example, render({ example })]))

function podsOf (manifests: readonly Manifest[]): { name: string, spec: PodSpec }[] {
  return manifests.flatMap(({ kind, metadata, spec }) => {
    if (kind === 'Pod') return [{ name: metadata.name, spec: spec as PodSpec }]
    return spec?.template?.spec === undefined ? [] : [{ name: metadata.name, spec: spec.template.spec }]
  })
}

function brokerOf (manifests: readonly Manifest[]): Container {
  return workloadOf(manifests).spec.template.spec.containers.find(({ name }) => name === 'broker')!
}

test('the program takes the configuration of every example, and does what the pod expects of it', { skip: MISSING }, async (t) => {
  for (const [example, manifests] of rendered) {
    const broker = brokerOf(manifests)
    const env = Object.fromEntries((broker.env ?? []).map(({ name, value }) => [name, value]))
    const file = join(t.testdir(), 'config.yaml')
    writeFileSync(file, configOf(manifests))
    const { config } = loadConfig({ file, env: { ...env, MBS_DATA_DIR: '/data' } })

    t.equal(config.dataDir, '/data', example)
    const ports = Object.fromEntries(broker.ports!.map(({ name, containerPort }) => [name, containerPort]))
    t.equal(config.http.port, ports['http'], example)
    t.strictSame(config.listeners.map(({ port }) => port).sort(), broker.ports!.filter(({ name }) => name !== 'http').map(({ containerPort }) => containerPort).sort(), example)
    for (const { host } of [config.http, ...config.listeners]) t.ok(host === '0.0.0.0' || host === '::', `${example}: ${host}`)
    t.not(config.sink.kind, 'display', example)
    t.equal(config.name, env['NAME'], example)

    const mounts = broker.volumeMounts!
    const mounted = (path: string) => mounts.some(({ mountPath }) => path.startsWith(`${mountPath}/`))
    for (const path of filesIn(parse(configOf(manifests)))) t.ok(mounted(path), `${example}: ${path} is mounted`)
    t.ok(mounted('/data/x') && mounted('/tmp/x'))
    t.ok(mounts.every(({ subPath }) => subPath === undefined), 'what is mounted by subPath is never updated')
    t.ok(mounted(broker.args!.at(-1)!))
    t.strictSame(broker.args!.slice(0, 2), ['run', '--config'])
  }
})

/** Absolute paths of files that a configuration names. */
function filesIn (value: unknown, key = ''): string[] {
  if (typeof value === 'string') return /^\/[^/]+\/.+/.test(value) && !['source', 'path', 'topic'].includes(key) ? [value] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, child]) => filesIn(child, name))
}

test('the permissions of a ConfigMap are such that the program takes them', { skip: MISSING }, async (t) => {
  const manifests = rendered.get('broker')!
  const { access } = parse(configOf(manifests)) as { access: { permissionsFile: string } }
  const map = find(manifests, 'ConfigMap', 'mqtt-mqtt-broker-source-permissions')
  t.equal(access.permissionsFile, '/etc/mqtt-broker-source/permissions/permissions.yaml')
  const permissions = parse(map.data!['permissions.yaml']!) as object
  const { config } = loadConfig({ env: {}, settings: { access: permissions } })
  t.match(config.access.permissions, [{ who: '*', publish: ['sites/+/devices/{username}/#'] }])
})

test('config is laid over what the chart computes: sections are merged, and zero and false count', { skip: MISSING }, async (t) => {
  const config = parse(configOf(render({
    example: 'kafka-channel',
    values: { config: { delivery: { retry: 0 }, log: { format: 'pretty' }, name: 'other', limits: { connections: 12_000_000 } }, terminationGracePeriodSeconds: 60 },
    args: ['--skip-schema-validation']
  }))) as { limits: { connections: number } }
  t.match(config, { name: 'other', log: { format: 'pretty' }, delivery: { retry: 0, backoffDelay: 'PT0.5S', deadLetterSink: { url: /^http/ } } })
  t.equal(config.limits.connections, 12_000_000, 'no number becomes 1.2e+07')
})

test('every container holds the profile restricted, with a root that is read-only', { skip: MISSING }, async (t) => {
  for (const [example, manifests] of rendered) {
    for (const { name, spec } of podsOf(manifests)) {
      t.match(spec.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }, `${example} ${name}`)
      t.not(spec.securityContext!['runAsUser'], 0)
      for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) t.equal(spec[key] ?? false, false)
      for (const volume of spec.volumes ?? []) t.notOk(volume['hostPath'], `${example} ${name}`)
      for (const container of [...spec.initContainers ?? [], ...spec.containers]) {
        t.match(container.securityContext, { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }, `${example} ${name} ${container.name}`)
        if (['broker', 'selftest'].includes(container.name)) t.equal(container.securityContext!['readOnlyRootFilesystem'], true)
      }
      t.equal(spec.enableServiceLinks, false, `${example} ${name}`)
      t.equal(spec.automountServiceAccountToken, false, `${example} ${name}`)
    }
  }
})

test('K_SINK comes from the one SinkBinding, or from the pod, and never from both', { skip: MISSING }, async (t) => {
  const modes = new Set<string>()
  for (const [example, manifests] of rendered) {
    const bindings = manifests.filter(({ kind }) => kind === 'SinkBinding')
    const own = (brokerOf(manifests).env ?? []).filter(({ name }) => name.startsWith('K_')).map(({ name }) => name)
    const workload = workloadOf(manifests)
    const { labels } = workload.metadata
    if (bindings.length > 0) {
      modes.add('sinkbinding')
      t.equal(bindings.length, 1, example)
      t.strictSame(own, [], example)
      const { apiVersion, kind, metadata: { name, namespace } } = workload
      t.strictSame(bindings[0]!.spec.subject, { apiVersion, kind, name, namespace }, example)
      t.equal(labels!['bindings.knative.dev/include'], 'true', example)
    } else if (own.length > 0) {
      modes.add('uri')
      t.equal(labels!['bindings.knative.dev/exclude'], 'true', `${example}: a SinkBinding would take K_SINK away`)
      t.equal(labels!['bindings.knative.dev/include'], undefined)
    } else {
      modes.add('none')
    }
  }
  t.strictSame([...modes].sort(), ['none', 'sinkbinding', 'uri'])
})

test('a token for the audience of sink.uri is mounted where that of a SinkBinding would be', { skip: MISSING }, async (t) => {
  const manifests = rendered.get('service')!
  t.match(parse(configOf(manifests)), { sink: { auth: undefined, contentMode: 'structured', timeout: 'PT30S' } }, 'it is found where it is')
  const volumes = workloadOf(manifests).spec.template.spec.volumes!
  t.match(volumes.find(({ name }) => name === 'sink-token'), { projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'https://ingest.events.svc.cluster.local/', expirationSeconds: 3600 } }] } })
  t.match(brokerOf(manifests).volumeMounts!.find(({ name }) => name === 'sink-token'), { mountPath: dirname(loadConfig({ env: {} }).config.knative.tokenFile) })
  const overrides = brokerOf(manifests).env!.find(({ name }) => name === 'K_CE_OVERRIDES')!
  t.strictSame(JSON.parse(overrides.value!), { extensions: { site: 'north' } })
})

/** Where a kind says which pods it is about. */
const SELECTORS: Readonly<Record<string, (spec: Manifest['spec']) => Readonly<Record<string, string>>>> = {
  Service: ({ selector }) => selector as unknown as Readonly<Record<string, string>>,
  NetworkPolicy: ({ podSelector }) => podSelector.matchLabels,
  PodDisruptionBudget: ({ selector }) => selector.matchLabels,
  PodMonitor: ({ selector }) => selector.matchLabels
}

function selects (selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value)
}

test('selectors select the pods of the program, never the pod of helm test', { skip: MISSING }, async (t) => {
  for (const [example, manifests] of rendered) {
    const workload = workloadOf(manifests)
    const { labels } = workload.spec.template.metadata
    t.ok(selects(workload.spec.selector.matchLabels, labels), example)
    const ours = manifests.filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/name'] !== undefined)
    const testPod = ours.find(({ kind }) => kind === 'Pod')?.metadata.labels
    for (const { kind, metadata, spec } of ours) {
      const selector = SELECTORS[kind]?.(spec)
      if (selector === undefined) continue
      t.ok(Object.keys(selector).length > 0 && selects(selector, labels), `${example} ${kind} ${metadata.name}`)
      if (testPod !== undefined) t.notOk(selects(selector, testPod), `${example} ${kind} ${metadata.name} leaves the test alone`)
      if (kind === 'Service') {
        const ports = brokerOf(manifests).ports!.map(({ name }) => name)
        for (const { targetPort } of spec.ports) t.ok(ports.includes(targetPort), `${example} ${metadata.name} ${targetPort}`)
      }
      if (kind === 'Service' && ['NodePort', 'LoadBalancer'].includes(spec.type)) t.notOk(spec.ports.some(({ targetPort }) => targetPort === 'http'), 'health and metrics stay inside')
    }
    const monitor = ours.find(({ kind }) => kind === 'ServiceMonitor')
    if (monitor === undefined) continue
    const chosen = ours.filter(({ kind, metadata }) => kind === 'Service' && selects(monitor.spec.selector.matchLabels, metadata.labels!))
    t.strictSame(chosen.map(({ metadata }) => metadata.name), [`${workload.metadata.name}-http`])
  }
})

test('a volume is held by a StatefulSet whose pods do not wait for each other, none by a Deployment that never has two', { skip: MISSING }, async (t) => {
  t.match(workloadOf(rendered.get('broker')!), {
    kind: 'StatefulSet', spec: { replicas: 1, podManagementPolicy: 'Parallel', volumeClaimTemplates: [{ metadata: { name: 'data' } }], persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain' } }
  })
  const deployment = workloadOf(rendered.get('event-display')!)
  t.match(deployment, { kind: 'Deployment', spec: { replicas: 1, strategy: { type: 'Recreate' } } })
  t.match(deployment.spec.template.spec.volumes!.find(({ name }) => name === 'data'), { emptyDir: { sizeLimit: '4Gi' } })
  const claimed = workloadOf(rendered.get('service-monitor')!)
  t.equal(claimed.spec.volumeClaimTemplates, undefined)
  t.match(claimed.spec.template.spec.volumes!.find(({ name }) => name === 'data'), { persistentVolumeClaim: { claimName: 'mqtt-data' } })
})

test('a changed configuration makes a new pod, changed permissions do not', { skip: MISSING }, async (t) => {
  const checksum = (values: object) => workloadOf(render({ example: 'broker', values })).spec.template.metadata.annotations['checksum/config']
  const before = checksum({})
  t.not(checksum({ config: { log: { level: 'debug' } } }), before)
  t.equal(checksum({ auth: { permissions: { rules: [{ who: '*', publish: ['a'] }] } } }), before)
  t.equal(checksum({ service: { annotations: { a: 'b' } } }), before)
})

test('probes ask where the program answers', { skip: MISSING }, async (t) => {
  const container = brokerOf(rendered.get('broker')!)
  for (const [probe, path] of Object.entries({ startupProbe: '/startupz', readinessProbe: '/readyz', livenessProbe: '/livez' })) {
    t.match(container[probe], { httpGet: { path, port: 'http' } })
  }
})

test('EventTypes: those that are one type, each once; none of a rule that drops', { skip: MISSING }, async (t) => {
  const typesOf = (example: string) => rendered.get(example)!.filter(({ kind }) => kind === 'EventType').map(({ spec }) => spec.type).sort()
  t.strictSame(typesOf('everything'), ['com.example.a', 'com.example.other', 'dev.mqttbrokersource.publish'])
  t.strictSame(typesOf('broker'), [
    'com.example.alarm', 'com.example.telemetry', 'dev.mqttbrokersource.client.connected', 'dev.mqttbrokersource.client.disconnected', 'dev.mqttbrokersource.publish'
  ])
  const usual = (rules: object[]) => render({
    example: 'service', values: { eventTypes: { fromRules: true }, config: { events: { rules } } }
  }).some(({ kind, spec }) => kind === 'EventType' && spec.type === 'dev.mqttbrokersource.publish')
  t.ok(usual([{ topic: '#', subject: 'x' }]), 'a rule without a type')
  t.notOk(usual([{ topic: '#', type: 'a' }]))
  t.notOk(usual([{ topic: 'a', type: 'a' }, { topic: '#', drop: true }]))
  t.match(rendered.get('broker')!.find(({ kind }) => kind === 'EventType')!.spec.reference, { kind: 'Broker', name: 'default', namespace: 'devices' })
})

test('helm test: our own image, at a listener that lets it in, over the name of its Service', { skip: MISSING }, async (t) => {
  const argsOf = (example: string) => find(rendered.get(example)!, 'Pod').spec.containers[0]!.args!.join(' ')
  t.equal(argsOf('broker'), 'selftest --url mqtts://mqtt-mqtt-broker-source.devices.svc:8883 ' +
    '--topic commands/{clientid}/selftest --client-id selftest --username selftest ' +
    '--password-file /etc/mqtt-broker-source/password/password --ca /etc/mqtt-broker-source/ca/ca.crt --http http://mqtt-mqtt-broker-source-http.devices.svc:8080')
  t.equal(argsOf('event-display'), 'selftest --url mqtt://mqtt-mqtt-broker-source.devices.svc:1883 ' +
    '--topic commands/{clientid}/selftest --http http://mqtt-mqtt-broker-source-http.devices.svc:8080')
  t.match(argsOf('load-balancer'), 'mqtt://mqtt-mqtt-broker-source-inside.devices.svc:1883', 'not at the listener that asks for certificates')
  t.notOk(rendered.get('kafka-channel')!.some(({ kind }) => kind === 'Pod'), 'nobody to come in as')
})

test('what containers of our image are told to do, the program knows', { skip: MISSING }, async (t) => {
  const commands = new Set<string>()
  for (const [example, manifests] of rendered) {
    const containers = podsOf(manifests).flatMap(({ spec }) => spec.containers)
    for (const { image, args = [] } of containers.filter((container) => String(container['image']).includes('mqtt-broker-source'))) {
      const [command = '', ...options] = args
      commands.add(command)
      const { stdout } = run(process.execPath, [PROGRAM, command, '--help'])
      for (const option of options.filter((one) => one.startsWith('--'))) t.match(stdout, option, `${example} ${String(image)}: ${command} ${option}`)
    }
  }
  t.strictSame([...commands].sort(), ['display', 'run', 'selftest'])
})

test('helm test may publish and receive at its topic, by the permissions of each example', { skip: MISSING }, async (t) => {
  let asked = 0
  for (const [example, manifests] of rendered) {
    const pod = manifests.find(({ kind }) => kind === 'Pod')
    const map = manifests.find(({ metadata }) => metadata.name.endsWith('-permissions'))
    if (pod === undefined || map === undefined) continue
    const args = pod.spec.containers[0]!.args!
    const option = (name: string) => args.includes(name) ? args[args.indexOf(name) + 1] : undefined
    const user = option('--username') ?? 'anonymous'
    const clientId = option('--client-id') ?? 'selftest-0123'
    const topic = option('--topic')!.replace('{clientid}', clientId)
    const { config } = loadConfig({ env: {}, settings: { access: parse(map.data!['permissions.yaml']!) as object } })
    for (const action of ['publish', 'subscribe'] as const) {
      const question = { user, clientId, topic, action, commonName: undefined, claims: undefined }
      t.equal(checkPermission(config, question).allowed, true, `${example}: ${action} ${topic}`)
      asked++
    }
  }
  t.ok(asked >= 6, `${asked}`)
})

test('what helm says: how to connect, whether the SinkBinding is there, what is risky', { skip: MISSING }, async (t) => {
  const broker = notes('broker')
  t.match(broker, 'mqtts://mqtt-mqtt-broker-source.devices.svc:8883')
  t.match(broker, 'kubectl -n devices wait sinkbinding/mqtt-mqtt-broker-source --for=condition=Ready')
  t.match(broker, 'helm test mqtt -n devices')
  t.notMatch(broker, 'Before devices rely on it')

  const demo = notes('event-display')
  t.match(demo, 'listeners.mqtt lets in everyone')
  t.match(demo, 'persistence is off')
  t.match(notes('load-balancer'), "get service mqtt-mqtt-broker-source -o jsonpath='{.status.loadBalancer.ingress[0]}'")
  t.match(notes('k3s-gateway'), 'Events go to https://events.example.com/ingest.')
  t.match(notes('kafka-channel'), 'helm test has no pod: it needs tests.username')

  const risky = notes('in-memory-channel', {
    sink: { mode: 'none', ref: { name: '' } },
    auth: { permissions: { rules: null } },
    persistence: { retentionPolicy: { whenDeleted: 'Delete' } }
  })
  for (const said of ['there is no sink', 'there are no permissions', 'helm uninstall deletes']) t.match(risky, said)
})

test('what null takes away is away: users and groups in OpenShift, permissions, an empty config', { skip: MISSING }, async (t) => {
  const podSecurityContext = { runAsUser: null, runAsGroup: null, fsGroup: null }
  const values = { podSecurityContext, auth: { permissions: { rules: null } }, config: null }
  for (const helm of HELMS) {
    const manifests = render({ example: 'in-memory-channel', values, helm })
    const { securityContext } = workloadOf(manifests).spec.template.spec
    t.strictSame(Object.keys(securityContext!).sort(), ['fsGroupChangePolicy', 'runAsNonRoot', 'seccompProfile'])
    t.notMatch(configOf(manifests), 'permissionsFile')
    t.notOk(manifests.some(({ metadata }) => metadata.name.endsWith('-permissions')))
  }
})

test('alerts and dashboard ask for metrics that there are', async (t) => {
  const known = new Set(listMetrics().flatMap(({ name, type }) => type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name]))
  for (const file of ['files/alerts.yaml', 'files/dashboard.json']) {
    const text = readFileSync(join(CHART, file), 'utf8')
    const asked = [...new Set([...text.matchAll(/mqtt_broker_source_[a-z_]+/g)].map(([name]) => name))]
    t.ok(asked.length > 8, `${file}: ${asked.length}`)
    t.strictSame(asked.filter((name) => !known.has(name)), [], file)
  }
  const { rules } = parse(readFileSync(join(CHART, 'files/alerts.yaml'), 'utf8')) as { rules: { expr: string }[] }
  for (const { expr } of rules) t.match(expr, /\{PODS[,}]/, 'an alert is about the pods of its release')
})

test('the chart is of the version of the program', async (t) => {
  const { appVersion, version } = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8')) as { appVersion: string, version: string }
  t.equal(appVersion, packageVersion())
  t.match(version, /^\d+\.\d+\.\d+$/)
})

test('labels of the values stand beside those that selectors have, and never in their place', { skip: MISSING }, async (t) => {
  const names = ['name', 'instance', 'component'].map((name) => `app.kubernetes.io/${name}`)
  const given = Object.fromEntries([...names, 'team'].map((name) => [name, 'gw']))
  const plain = render({ example: 'everything' })
  const labeled = render({ example: 'everything', values: { commonLabels: given, service: { labels: given } } })
  t.equal(labeled.length, plain.length)
  for (const [at, { kind, metadata }] of labeled.entries()) {
    const before = plain[at]!.metadata
    if (before.labels?.[names[0]!] === undefined) continue // an object of the values' own
    t.equal(metadata.labels?.['team'], 'gw', `${kind} ${metadata.name}`)
    for (const name of names) t.equal(metadata.labels?.[name], before.labels[name], `${kind} ${metadata.name}`)
  }
})

test('a NetworkPolicy lets through to the port of the sink', { skip: MISSING }, async (t) => {
  const portsOf = (uri: string) => {
    const values = { sink: { mode: 'uri', uri, ref: { name: '' } }, networkPolicy: { enabled: true } }
    const { egress } = find(render({ example: 'service', values }), 'NetworkPolicy').spec as unknown as {
      readonly egress: ReadonlyArray<{ readonly ports: ReadonlyArray<{ readonly port: number }> }>
    }
    return egress[1]?.ports.map(({ port }) => port)
  }
  t.strictSame(portsOf('http://in.events.svc:9000/x'), [80, 443, 8080, 8081, 8443, 9000])
  t.strictSame(portsOf('https://in.events.svc:8443/x'), [80, 443, 8080, 8081, 8443])
  t.strictSame(portsOf('https://in.events.svc/x:1'), [80, 443, 8080, 8081, 8443])
})

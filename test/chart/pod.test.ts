/**
 * The pod of the chart, from `helm install` to events in a Broker: without a sink at first, then with what a
 * SinkBinding adds. The program is the built one, with the environment and the mounts of the rendered pod; the sink
 * behaves like the ingress of Knative's brokers.
 */
import { connectAsync } from 'mqtt'
import { test, type Test } from 'tap'
import { hashPassword } from '../../lib/index.ts'
import { createSinkCertificates } from '../support/certs.ts'
import { MISSING, render, workloadOf } from '../support/chart.ts'
import { bind, Node, type Binding } from '../support/chart-pod.ts'
import { startHttpSink, type Answer, type ReceivedRequest } from '../support/http-sink.ts'
import type { Program } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'

const PATH = '/devices/default'
const POISON = 'larger than Kafka takes'
/** As Go's server does without an IdleTimeout of its own: that of reading. */
const IDLE_MS = 10_000

const values = {
  delivery: { retry: 2, backoffDelay: 'PT0.05S' },
  drain: { delay: 'PT0.2S', window: 'PT0.2S' },
  config: { delivery: { backoffMax: 'PT1S' } }
}

test('a SinkBinding finds a pod that says nothing of a sink, and adds to every container', { skip: MISSING }, async (t) => {
  const pod = workloadOf(render({ example: 'broker', values })).spec.template.spec
  const names = (spec: typeof pod) =>
    [...spec.containers, ...spec.initContainers ?? []].map(({ env = [] }) => env.map(({ name }) => name))
  t.same(names(pod), [['NAMESPACE', 'NAME']])
  const binding: Binding = { sink: 'https://broker', caCerts: 'PEM', overrides: '', oidc: true, bundles: true }
  const bound = bind({ ...pod, initContainers: [{ name: 'first' }] }, binding)
  const added = ['K_SINK', 'K_CA_CERTS', 'K_CE_OVERRIDES']
  t.same(names(bound), [['NAMESPACE', 'NAME', ...added], added])
  const mounted = pod.containers[0]!.volumeMounts!.map(({ mountPath }) => mountPath)
  for (const path of ['/oidc', '/knative-custom-certs']) t.notOk(mounted.includes(path), 'the place is free')
})

test('the pod serves without a sink; bound to one, it delivers whatever the ingress of a broker does', { skip: MISSING }, async (t) => {
  const manifests = render({ example: 'broker', values })
  const pod = workloadOf(manifests).spec.template.spec
  const folder = t.testdir()
  const { ca, key, cert } = createSinkCertificates(folder)
  const node = new Node(`${folder}/node`, manifests)
  node.fill('users', { 'users.yaml': JSON.stringify({ users: { 'pump-7': { password: await hashPassword('secret') } } }) })
  const device = createSinkCertificates(folder)
  node.fill('tls', { 'tls.crt': device.cert, 'tls.key': device.key })

  // Helm makes the workload before the SinkBinding: the first pod has no sink.
  const first = await node.start(t, pod)
  t.equal((await fetch(`http://127.0.0.1:${first.port('http')}/readyz`)).status, 200)
  await publish(t, first, device.ca, 'before')
  t.equal(await first.stop(), 0)

  const sink = await startHttpSink(t, { tls: { key, cert, minVersion: 'TLSv1.3' }, keepAliveMs: IDLE_MS })
  let token = 'token-1'
  const taken: ReceivedRequest[] = []
  const scripted: Answer[] = [{ status: 404 }, { status: 404 }, { status: 503, headers: { 'retry-after': '1' } }]
  sink.answer = (request) => {
    if (request.path !== PATH) return { status: 400 }
    if (request.header('authorization') !== `Bearer ${token}`) return { status: 401 }
    if (request.payload().toString() === POISON) return { status: 503 }
    const answer = scripted.shift() ?? { status: 202 }
    if (answer.status === 202) taken.push(request)
    return answer
  }
  node.fill('oidc-token', { token })
  node.fill('kne-bundle-volume', { 'kn-combined-kne-bundle.pem': device.ca })
  const second = await node.start(t, bind(pod, {
    sink: sink.url.replace(/\/$/, PATH), caCerts: ca, overrides: '{"extensions":{"cluster":"edge-1"}}', oidc: true, bundles: true
  }))
  const payloads = () => taken.map((request) => request.payload().toString())
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
  await until(() => payloads().includes('before'))
  t.equal(taken[0]?.header('kn-namespace'), 'devices')

  await publish(t, second, device.ca, POISON, 'behind')
  await until(() => payloads().includes('behind'))
  const eventOf = (payload: string) => taken.find((request) => request.payload().toString() === payload)?.event()
  const attributes = { type: 'com.example.telemetry', source: '/sites/north/devices/pump-7', subject: 'pump-7', site: 'north' }
  t.match(eventOf('behind'), { ...attributes, cluster: 'edge-1' })
  t.match(eventOf('before'), { ...attributes, cluster: undefined }, 'an event is not edited after it was stored')

  // The token expires while events flow, and the new one comes a moment later.
  token = 'token-2'
  await publish(t, second, device.ca, 'rotated')
  await until(() => sink.requests.some((request) => request.payload().toString() === 'rotated'))
  node.fill('oidc-token', { token })
  await until(() => payloads().includes('rotated'))

  // Idle for longer than the ingress keeps a connection: the next event is not sent into one that is just being closed.
  const networkErrors = async () => await metric(second, 'delivery_attempts_total{sink="default",outcome="network"}') ?? 0
  const before = await networkErrors()
  await new Promise((resolve) => { setTimeout(resolve, IDLE_MS + 500) })
  await publish(t, second, device.ca, 'after a pause')
  await until(() => payloads().includes('after a pause'))
  t.equal(await networkErrors(), before)

  t.equal(await metric(second, 'dead_lettered_total{sink="default",reason="attempts"}'), 1, 'what is answered 503 for ever')
  t.equal(await metric(second, 'dead_lettered_total{sink="default",reason="answer"}') ?? 0, 0)
  t.equal(await second.stop(), 0)
  const lifecycle = taken.filter((request) => request.event().type.startsWith('dev.mqttbrokersource.client.'))
  t.equal(lifecycle.length, 8, 'four times a device came and went')
})

/** Publishes as a device of the example does: over TLS, with its name and password. */
async function publish (t: Test, program: Program, ca: string, ...payloads: string[]): Promise<void> {
  const client = await connectAsync(`mqtts://127.0.0.1:${program.port('mqtts')}`, {
    ca, clientId: 'pump-7', username: 'pump-7', password: 'secret', reconnectPeriod: 0
  })
  for (const payload of payloads) await client.publishAsync('sites/north/devices/pump-7/telemetry', payload, { qos: 1 })
  await client.endAsync()
}

async function metric (program: Program, key: string): Promise<number | undefined> {
  const answer = await fetch(`http://127.0.0.1:${program.port('http')}/metrics`)
  return sampleOf(parseMetrics(await answer.text()), `mqtt_broker_source_${key}`)
}

/**
 * The manifests of charts/plain, for those who have no Helm: made of what the chart renders, so that they cannot differ
 * from it.
 */
import { stringify } from 'yaml'
import { find, render, workloadOf, type Manifest } from './chart.ts'

const HEAD = [
  'Made of the chart charts/mqtt-broker-source by `npm run golden`; do not edit. Says: devices connect over TLS with user',
  'name and password. Needs the Secrets mqtt-tls (tls.crt, tls.key) and mqtt-users (users.yaml), the image, and the Broker',
  '`default`; set the namespace by `kubectl apply -n NAMESPACE -f FILE`.'
]

const VALUES = {
  fullnameOverride: 'mqtt-broker-source',
  sink: { ref: { name: 'default' } },
  tls: { existingSecret: 'mqtt-tls' },
  auth: { users: { existingSecret: 'mqtt-users' } },
  tests: { enabled: false }
}

/** The files, by their path from the root of the project. */
export function plainFiles (): Map<string, string> {
  return new Map([
    ['charts/plain/sinkbinding-statefulset.yaml', file(
      ['A StatefulSet with a volume, and a SinkBinding.'], render({ values: VALUES }).map(plain)
    )],
    ['charts/plain/sinkbinding-deployment.yaml', file(
      ['A Deployment without a volume, and a SinkBinding. What is acknowledged and not delivered is lost with the pod.'],
      render({ values: { ...VALUES, persistence: { enabled: false } } }).map(plain)
    )],
    ['charts/plain/containersource.yaml', file(
      [
        'A ContainerSource: Knative makes the Deployment and the SinkBinding. It replaces pods by starting the new one first, so',
        'that there are two brokers for a while, and it has no volume: for a try, not for devices that matter.'
      ],
      containerSource(render({ values: { ...VALUES, persistence: { enabled: false } } })).map(plain)
    )]
  ])
}

const SELECTOR = { 'sources.knative.dev/containerSource': 'mqtt-broker-source' }

/** The pod of the Deployment in a ContainerSource; its Services select what Knative makes of it. */
function containerSource (manifests: readonly Manifest[]): object[] {
  const workload = workloadOf(manifests)
  const binding = find(manifests, 'SinkBinding')
  const source = {
    apiVersion: 'sources.knative.dev/v1',
    kind: 'ContainerSource',
    metadata: workload.metadata,
    spec: { sink: binding.spec.sink, template: workload.spec.template }
  }
  return [
    ...manifests.filter((one) => one !== workload && one !== binding)
      .map((one) => one.kind === 'Service' ? { ...one, spec: { ...one.spec, selector: SELECTOR } } : one),
    source
  ]
}

/** Without what only Helm is interested in, and without a namespace: kubectl says which. */
function plain (manifest: object): object {
  return JSON.parse(JSON.stringify(manifest), (key, value: unknown) => {
    if (key === 'helm.sh/chart' || key === 'namespace') return undefined
    return key === 'app.kubernetes.io/managed-by' ? 'kubectl' : value
  }) as object
}

function file (about: readonly string[], manifests: readonly object[]): string {
  const head = [...about, ...HEAD].map((line) => `# ${line}\n`).join('')
  return head + manifests.map((manifest) => `---\n${stringify(manifest, { lineWidth: 0 })}`).join('')
}

/** The README of the chart: how it is installed, and every value, from the comments of values.yaml. Pure. */
import { stringify } from 'yaml'
import { programSchema } from './program-schema.ts'
import type { Value } from './values.ts'

/** The README of a chart with these values. */
export function chartReadme (values: readonly Value[], version: string): string {
  const isSection = (value: Value) => value.children !== undefined
  const single = values.filter((value) => !isSection(value))
  return [
    introduction(version),
    ...values.filter(isSection).flatMap((value) => [
      `### ${value.path}`, '', ...(value.description === '' ? [] : [value.description, '']), ...table(leavesOf(value)), ''
    ]),
    '### The others', '', ...table(single.flatMap(leavesOf)), ''
  ].join('\n')
}

interface Row {
  readonly path: string
  readonly byDefault: string
  readonly description: string
}

function leavesOf (value: Value): Row[] {
  if (value.children !== undefined) return value.children.flatMap(leavesOf)
  const row = { path: value.path, byDefault: `\`${flow(value.default)}\``, description: value.description }
  const fields = Object.entries(value.annotation.fields ?? {})
  return [row, ...fields.map(([name, { program, description }]) => ({
    path: `${value.path}.${name}`,
    byDefault: 'that of the program',
    description: description ?? (program === undefined ? '' : programSchema(program).description ?? '')
  }))]
}

function flow (value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd()
}

function table (rows: readonly Row[]): string[] {
  const cells = rows.map(({ path, byDefault, description }) => [`\`${path}\``, byDefault, description])
  return ['| Value | Default | What it is |', '|---|---|---|', ...cells.map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)]
}

function introduction (version: string): string {
  return `# mqtt-broker-source

Generated from \`values.yaml\` by \`npm run generate\`; do not edit.

A chart for [mqtt-broker-source](../../README.md) ${version}, an MQTT broker that is itself a Knative event source: every
publish becomes a CloudEvent, and a PUBACK means that it cannot be lost. What each choice means, upgrades, and how nothing
is lost over them: [docs/kubernetes.md](../../docs/kubernetes.md). For Kubernetes 1.28 or later, and Helm 3 or 4.

\`\`\`sh
kubectl create secret generic mqtt-users --from-file=users.yaml    # made by: mqtt-broker-source passwd --file users.yaml USER
kubectl create secret tls mqtt-tls --cert=tls.crt --key=tls.key
helm install mqtt charts/mqtt-broker-source --set sink.ref.name=default \\
  --set auth.users.existingSecret=mqtt-users --set tls.existingSecret=mqtt-tls
\`\`\`

Events then go to the Broker \`default\` of the namespace. Values that do not fit together are refused before anything is
installed, with a sentence for each.

## Examples

| Values | What for |
|---|---|
| [ci/broker-values.yaml](ci/broker-values.yaml) | a Broker, and Triggers that filter by type |
| [ci/in-memory-channel-values.yaml](ci/in-memory-channel-values.yaml), [ci/kafka-channel-values.yaml](ci/kafka-channel-values.yaml) | a Channel |
| [ci/service-values.yaml](ci/service-values.yaml) | straight to a Service, by its URL and with a token |
| [ci/event-display-values.yaml](ci/event-display-values.yaml) | to look at events, without credentials and without a volume |
| [ci/load-balancer-values.yaml](ci/load-balancer-values.yaml) | devices on the internet: cert-manager, client certificates, a load balancer with the PROXY protocol |
| [ci/k3s-gateway-values.yaml](ci/k3s-gateway-values.yaml) | a gateway box with k3s, offline for days |
| [ci/redis-group-values.yaml](ci/redis-group-values.yaml) | several pods on one Redis, as many as connections and publishes ask for |
| [ci/everything-values.yaml](ci/everything-values.yaml) | every object that the chart can make |

Without Helm: [charts/plain](../plain).

## Values

\`config\` is the program's own configuration; [docs/configuration.md](../../docs/configuration.md) lists its settings. A list
there replaces that of the chart, sections are merged.
`
}

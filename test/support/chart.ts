/**
 * The Helm chart for tests: renders it with a real helm, reads what comes out, holds it against the schemas of
 * Kubernetes. `.ci/chart-tools` puts helm3, helm4 and kubeconform where they are found. Knows nothing of what the chart
 * should say.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { parseAllDocuments } from 'yaml'

export const ROOT = join(import.meta.dirname, '../..')
export const CHART = join(ROOT, 'charts/mqtt-broker-source')

/** Release and namespace of everything that is rendered. */
export const RELEASE = 'mqtt'
export const NAMESPACE = 'devices'

/** Where the chart is said to be installed: a helm that go built believes in a Kubernetes of old. */
export const KUBE_VERSION = ['--kube-version', '1.35.6']

const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'mqtt-broker-source')

/** The helms that are there; the chart has to say the same to both. */
export const HELMS = ['helm3', 'helm4'].flatMap((name) => tool(name) ?? [])
export const KUBECONFORM = tool('kubeconform')

/** Why tests of the chart cannot run; false where they can. As the `skip` of a test. */
export const MISSING = missing('helm3', 'helm4')
export const MISSING_KUBECONFORM = MISSING === false ? missing('kubeconform') : MISSING

/** Why tests cannot run that need these programs; false where they can. */
export function missing (...names: string[]): string | false {
  const absent = names.filter((name) => tool(name) === undefined)
  return absent.length === 0 ? false : `NOT TESTED: ${absent.join(', ')} missing, which .ci/chart-tools installs where go is`
}

/** Where a program is that .ci/chart-tools puts in its place. */
export function tool (name: string): string | undefined {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), join(cache, 'bin')]) {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch { /* not there */ }
  }
  return undefined
}

type Texts = Readonly<Record<string, string>>

/** A container, as far as tests look at it. */
export interface Container {
  readonly name: string
  readonly args?: readonly string[]
  readonly env?: ReadonlyArray<{ readonly name: string, readonly value?: string }>
  readonly ports?: ReadonlyArray<{ readonly name: string, readonly containerPort: number }>
  readonly volumeMounts?: readonly Mount[]
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly [key: string]: unknown
}

interface Mount {
  readonly name: string
  readonly mountPath: string
  readonly subPath?: string
}

/** A pod: what stands in its spec, or in that of a template. */
export interface PodSpec {
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly volumes?: ReadonlyArray<{ readonly name: string, readonly [kind: string]: unknown }>
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly [key: string]: unknown
}

/** What the spec of some kind has; of another kind, it is not there. */
export interface Spec {
  readonly selector: Texts & { readonly matchLabels: Texts }
  readonly podSelector: { readonly matchLabels: Texts }
  readonly template: {
    readonly metadata: { readonly labels: Texts, readonly annotations: Texts }
    readonly spec: PodSpec
  }
  readonly volumeClaimTemplates: readonly unknown[]
  readonly type: string
  readonly ports: ReadonlyArray<{ readonly targetPort: string }>
  readonly subject: unknown
  readonly sink: unknown
  readonly reference: unknown
  readonly containers: readonly Container[]
  readonly [key: string]: unknown
}

/** An object of Kubernetes, as far as tests look at it. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Texts
    readonly annotations?: Texts
  }
  readonly spec: Spec
  readonly data?: Texts
}

/** What a helm said. */
export interface Answer {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RenderOptions {
  /** A file of charts/mqtt-broker-source/ci, without `-values.yaml`. */
  readonly example?: string
  /** Laid over it. */
  readonly values?: object
  /** `name=value`, as `--set` takes it. */
  readonly set?: readonly string[]
  readonly helm?: string
  readonly args?: readonly string[]
  readonly chart?: string
}

/** `helm template`, whatever comes of it. */
export function template (options: RenderOptions): Answer {
  const { example, values, set = [], helm = HELMS[0], args = [], chart = CHART } = options
  const words = ['template', RELEASE, chart, '--namespace', NAMESPACE, ...KUBE_VERSION, ...args]
  if (example !== undefined) words.push('--values', exampleFile(example))
  if (values !== undefined) words.push('--values', '-')
  for (const one of set) words.push('--set', one)
  return run(helm!, words, values === undefined ? '' : JSON.stringify(values))
}

/**
 * The objects that come of an example, or of values.
 * @throws where helm refuses, with what it says
 */
export function render (options: RenderOptions): Manifest[] {
  const { status, stdout, stderr } = template(options)
  if (status !== 0) throw new Error(stderr)
  return manifestsOf(stdout)
}

/**
 * What helm says after an installation with an example, and values laid over it. Helm 4 says it without a cluster;
 * Helm 3 renders the same, and shows it to nobody.
 */
export function notes (example: string, values: object = {}): string {
  const words = ['install', RELEASE, CHART, '--namespace', NAMESPACE, '--dry-run=client']
  const input = JSON.stringify(values)
  const { status, stdout, stderr } = run(HELMS[1]!, [...words, '--values', exampleFile(example), '--values', '-'], input)
  if (status !== 0) throw new Error(stderr)
  return stdout.slice(stdout.indexOf('NOTES:'))
}

/** The objects of a file with YAML documents. */
export function manifestsOf (text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    const [mistake] = document.errors
    if (mistake !== undefined) throw new Error(mistake.message, { cause: mistake })
    return document.toJS() as Manifest | null
  }).filter((manifest) => manifest !== null)
}

/** The object of a kind, and of a name where there are several. */
export function find (manifests: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = manifests.filter((one) => one.kind === kind && (name === undefined || one.metadata.name === name))
  if (found.length !== 1) throw new Error(`${found.length} objects ${kind} ${name ?? ''}`)
  return found[0]!
}

/** The StatefulSet or Deployment of the program. */
export function workloadOf (manifests: readonly Manifest[]): Manifest {
  const ours = manifests.filter(({ kind, metadata }) => (kind === 'StatefulSet' || kind === 'Deployment') &&
    metadata.labels?.['app.kubernetes.io/component'] === 'broker')
  if (ours.length !== 1) throw new Error(`${ours.length} workloads`)
  return ours[0]!
}

/** The program's configuration file, as the pod has it. */
export function configOf (manifests: readonly Manifest[]): string {
  const { name } = workloadOf(manifests).metadata
  return find(manifests, 'ConfigMap', `${name}-config`).data!['config.yaml']!
}

/** The names of the examples. */
export function examples (): string[] {
  return readdirSync(join(CHART, 'ci')).map((name) => name.replace('-values.yaml', '')).sort()
}

export function exampleFile (name: string): string {
  return join(CHART, 'ci', `${name}-values.yaml`)
}

/** Runs a tool of `HELMS`. */
export function run (command: string, args: readonly string[], input = ''): Answer {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', input, maxBuffer: 64 * 1024 ** 2 })
  if (error !== undefined) throw error
  return { status, stdout, stderr }
}

/** What kubeconform finds wrong with these documents; nothing where they are as they should be. */
export function conform (text: string): string[] {
  const location = `file://${join(cache, 'schemas')}/{{ .Group }}-{{ .ResourceAPIVersion }}-{{ .ResourceKind }}.json`
  const { stdout, stderr } = run(KUBECONFORM!, ['-output', 'json', '-verbose', '-schema-location', location, '-'], text)
  const answer = JSON.parse(stdout || '{}') as { resources?: { kind: string, name: string, status: string, msg: string }[] }
  if (answer.resources === undefined || answer.resources.length === 0) return [`kubeconform looked at nothing: ${stderr}`]
  // A document of comments alone is none.
  return answer.resources.filter(({ status }) => status !== 'statusValid' && status !== '').map(({ kind, name, msg }) => `${kind} ${name}: ${msg}`)
}

/** The version that package.json has. */
export function packageVersion (): string {
  return (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version
}

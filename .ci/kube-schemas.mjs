// Makes the schemas that kubeconform holds manifests against: of Kubernetes itself from its swagger, of Knative,
// cert-manager and the Prometheus Operator from their CustomResourceDefinitions. Strict: what a schema does not know is
// a mistake. The sources come by Go's module proxy; nothing of them is kept in the repository.
//
//   node .ci/kube-schemas.mjs FOLDER        writes <group>-<version>-<kind>.json, as in kubeconform's templates
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'

const KUBERNETES = 'k8s.io/kubernetes@v1.35.6'
const DEFINITIONS = [
  ['knative.dev/eventing@v0.49.2', ['config/core/resources', 'config/channels/in-memory-channel/resources']],
  ['github.com/cert-manager/cert-manager@v1.21.2', ['deploy/crds']],
  ['github.com/prometheus-operator/prometheus-operator@v0.85.0', ['example/prometheus-operator-crd']]
]
const FORMAT = 2
const META = '_definitions.json#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'
const version = JSON.stringify([FORMAT, KUBERNETES, DEFINITIONS])

const folder = process.argv[2]
const stamp = join(folder, 'version')
if (read(stamp) !== version) {
  console.log('making the schemas of Kubernetes and Knative')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  ofKubernetes()
  for (const [module, places] of DEFINITIONS) ofDefinitions(module, places)
  write('version', version)
}

function read (file) {
  try { return readFileSync(file, 'utf8') } catch { return undefined }
}

/** In one step: a run that is stopped leaves no half file. */
function write (name, text) {
  writeFileSync(join(folder, `${name}.part`), text)
  renameSync(join(folder, `${name}.part`), join(folder, name))
}

/** The folder in which go keeps a module. */
function fetched (module) {
  const answer = execFileSync('go', ['mod', 'download', '-json', module], { cwd: tmpdir(), encoding: 'utf8' })
  return JSON.parse(answer).Dir
}

function ofKubernetes () {
  const swagger = JSON.parse(readFileSync(join(fetched(KUBERNETES), 'api/openapi-spec/swagger.json'), 'utf8'))
  const entries = Object.entries(swagger.definitions)
  const definitions = Object.fromEntries(entries.map(([name, node]) => [name, strict(node)]))
  write('_definitions.json', JSON.stringify({ definitions }))
  for (const [name, node] of entries) {
    for (const { group, version, kind } of node['x-kubernetes-group-version-kind'] ?? []) {
      // Options and the like stand in every group; only objects have metadata.
      if (node.properties?.metadata === undefined) continue
      write(fileOf(group, version, kind), JSON.stringify({ $ref: `_definitions.json#/definitions/${name}` }))
    }
  }
}

function ofDefinitions (module, places) {
  const root = fetched(module)
  for (const place of places) {
    for (const name of readdirSync(join(root, place)).filter((file) => file.endsWith('.yaml'))) {
      for (const document of parseAllDocuments(readFileSync(join(root, place, name), 'utf8'))) {
        const { kind, spec } = document.toJS() ?? {}
        if (kind !== 'CustomResourceDefinition') continue
        for (const { name: version, schema } of spec.versions) {
          const node = strict(schema?.openAPIV3Schema ?? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true })
          const properties = { apiVersion: { type: 'string' }, kind: { type: 'string' }, ...node.properties, metadata: { $ref: META } }
          write(fileOf(spec.group, version, spec.names.kind), JSON.stringify({ ...node, properties }))
        }
      }
    }
  }
}

function fileOf (group, version, kind) {
  return `${group === '' ? version : group}-${version}-${kind.toLowerCase()}.json`
}

function strict (node) {
  if (Array.isArray(node)) return node.map(strict)
  if (typeof node !== 'object' || node === null) return node
  if (node.format === 'int-or-string' || node['x-kubernetes-int-or-string'] === true) return { type: ['string', 'integer'] }
  if (node.description?.startsWith('Quantity is a fixed-point')) return { type: ['string', 'number'] }
  const { properties, format, ...rest } = node
  const copy = Object.fromEntries(Object.entries(rest)
    .filter(([key]) => !key.startsWith('x-kubernetes-') && key !== 'description' && key !== 'default')
    .map(([key, child]) => [key, key === 'enum' || key === 'required' ? child : strict(child)]))
  if (typeof copy.$ref === 'string') copy.$ref = copy.$ref.replace(/^#/, '_definitions.json#')
  if (copy.nullable === true && typeof copy.type === 'string') copy.type = [copy.type, 'null']
  delete copy.nullable
  if (properties === undefined) return copy
  copy.properties = Object.fromEntries(Object.entries(properties).map(([name, child]) => [name, strict(child)]))
  const open = node['x-kubernetes-preserve-unknown-fields'] === true || copy.additionalProperties !== undefined
  return open ? copy : { ...copy, additionalProperties: false }
}

/**
 * What the chart makes of every example, held against files: a change of a template shows as a change of these, to be
 * read and committed. `npm run golden` writes them. The same text has to come of Helm 3 and Helm 4.
 */
import { test, type Test } from 'tap'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { conform, examples, HELMS, MISSING, MISSING_KUBECONFORM, ROOT, template } from '../support/chart.ts'
import { plainFiles } from '../support/chart-plain.ts'

const golden = join(import.meta.dirname, 'golden')
const writing = process.env['GOLDEN'] === 'write'

function held (t: Test, file: string, text: string, name: string, write = writing): void {
  if (write) writeFileSync(file, text)
  t.equal(existsSync(file) ? readFileSync(file, 'utf8') : '', text, `${name}: npm run golden renews it`)
}

test('every example becomes what its golden file says, with Helm 3 and Helm 4', { skip: MISSING }, async (t) => {
  t.ok(examples().length >= 10)
  for (const example of examples()) {
    for (const helm of HELMS) {
      const { status, stdout, stderr } = template({ example, helm })
      t.equal(status, 0, `${helm} ${example}: ${stderr}`)
      // Helm 4 leaves an empty line between documents.
      held(t, join(golden, `${example}.yaml`), stdout.replace(/\n+(?=---\n|$)/g, '\n'), `${helm} ${example}`, writing && helm === HELMS[0])
    }
  }
  t.strictSame(readdirSync(golden).sort(), examples().map((example) => `${example}.yaml`).sort(), 'no golden file without an example')
})

test('every object is one that Kubernetes, Knative, cert-manager and the Prometheus Operator know', { skip: MISSING_KUBECONFORM }, async (t) => {
  const texts = [...examples().map((example) => template({ example }).stdout), ...plainFiles().values()]
  t.strictSame(conform(texts.join('\n---\n')), [])
})

test('kubeconform sees what it has to see', { skip: MISSING_KUBECONFORM }, async (t) => {
  const binding = (spec: string) => `apiVersion: sources.knative.dev/v1\nkind: SinkBinding\nmetadata: { name: a }\nspec: ${spec}\n`
  t.strictSame(conform(binding('{ subject: { apiVersion: apps/v1, kind: Deployment, name: a }, sink: { uri: "http://a" } }')), [])
  t.match(conform(binding('{ subjects: {} }')).join(), /subjects/)
  t.match(conform('apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: { ports: [{ port: x }] }\n').join(), /port/)
  t.match(conform('apiVersion: example.com/v1\nkind: Unknown\nmetadata: { name: a }\n').join(), /Unknown/)
})

test('the manifests for those without Helm are what the chart makes', { skip: MISSING }, async (t) => {
  const files = plainFiles()
  for (const [path, text] of files) held(t, join(ROOT, path), text, path)
  const folder = join(ROOT, 'charts/plain')
  t.strictSame(readdirSync(folder).filter((name) => name.endsWith('.yaml')).sort(), [...files.keys()].map((path) => path.split('/').at(-1)).sort())
})

import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { test, type Test } from 'tap'
import { createSource } from '../../lib/index.ts'
import { CaSource } from '../../lib/sink/ca-source.ts'
import { createSinkCertificates } from '../support/certs.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { createTestTelemetry } from '../support/log-lines.ts'

/** A directory as Kubernetes makes it of a projected volume: files are links into what `..data` points to. */
function mount (directory: string, files: Record<string, string>): (next: Record<string, string>) => void {
  let version = 0
  const use = (contents: Record<string, string>) => {
    const name = `..${++version}`
    mkdirSync(join(directory, name), { recursive: true })
    for (const [file, text] of Object.entries(contents)) writeFileSync(join(directory, name, file), text)
    symlinkSync(name, join(directory, '..next'))
    renameSync(join(directory, '..next'), join(directory, '..data'))
  }
  use(files)
  for (const file of Object.keys(files)) symlinkSync(join('..data', file), join(directory, file))
  return use
}

test('a file, a directory and texts are read in this order; what is no certificate in a directory is left out', async (t) => {
  const directory = t.testdir()
  const [one, two, three] = [1, 2, 3].map(() => createSinkCertificates(directory).ca.trim()) as [string, string, string]
  const bundles = join(directory, 'bundles')
  mount(bundles, { 'b.pem': two, 'a.txt': 'nothing', 'c.pem': two.replace('MII', 'XXX') })
  mkdirSync(join(bundles, 'deeper'))
  writeFileSync(join(directory, 'ca.crt'), one)
  const { telemetry, lines } = createTestTelemetry()
  const source = new CaSource({ file: join(directory, 'ca.crt'), directory: bundles, texts: [three] }, telemetry)
  t.same(source.read(), [one, two, three])
  t.same(source.files, [join(directory, 'ca.crt'), bundles])
  t.same(lines.of('the certificates of a trust bundle are not used').map(({ file }) => file),
    ['a.txt', 'c.pem', 'deeper'].map((name) => join(bundles, name)))
  t.same(new CaSource({ directory: join(directory, 'missing'), texts: [] }, telemetry).files, [])
  t.throws(() => new CaSource({ file: join(directory, 'missing'), texts: [] }, telemetry).read(), { code: 'MBS_ERR_SINK_CA' })
})

async function start (t: Test, url: string, caDirectory: string) {
  const source = createSource({
    env: { K_SINK: url },
    settings: {
      listeners: [{ port: 0 }],
      outbox: { store: 'memory' },
      http: { port: 0 },
      delivery: { backoffDelay: 'PT0.01S', backoffMax: 'PT0.05S' },
      knative: { caDirectory },
      reload: { every: 'PT0.02S' },
      log: { level: 'silent' }
    }
  })
  t.teardown(() => source.close())
  await source.start()
  const client = await connectAsync(`mqtt://${source.addresses.listeners[0]!.address}`, { reconnectPeriod: 0 })
  t.teardown(() => client.endAsync(true))
  return client
}

test('trust bundles that Knative mounts are trusted by the sink, also those that come while it runs', async (t) => {
  const directory = t.testdir()
  const [old, current] = [createSinkCertificates(directory), createSinkCertificates(directory)]
  const sink = await startHttpSink(t, { tls: { key: current.key, cert: current.cert, minVersion: 'TLSv1.3' } })
  const bundles = join(directory, 'bundles')
  const replace = mount(bundles, { 'kn-combined-kne-bundle.pem': old.ca })
  const client = await start(t, sink.url, bundles)
  await client.publishAsync('a', 'waits', { qos: 1 })
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  t.equal(sink.requests.length, 0)
  replace({ 'kn-combined-kne-bundle.pem': `${old.ca}\n${current.ca}` })
  await sink.waitFor(1)
  t.equal(sink.requests[0]!.payload().toString(), 'waits')
})

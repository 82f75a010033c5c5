/**
 * The files of the image, put together by the script that the Dockerfile calls, and the program run from exactly these:
 * by a user who may write nothing but its volume, in production, with no other package within reach.
 */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { after, before, test, type Test } from 'tap'
import { startHttpSink } from '../support/http-sink.ts'
import { freePort, nodeCommand } from '../support/process.ts'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)

/** What the image may hold beside node; a dependency that adds much has to be worth it. */
const MAX_BYTES = 16 * 1024 * 1024

/** The user of the image. Only root can become someone else; whoever else runs this takes the rights to write away. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65532, gid: 65532 } : {}

let place = ''
let app = ''
let printed = ''
let files: string[] = []

before(() => {
  place = mkdtempSync(join(tmpdir(), 'mqtt-broker-source-image-'))
  chmodSync(place, 0o755)
  app = join(place, 'app')
  printed = assemble(app)
  files = filesOf(app)
})

after(() => { rmSync(place, { recursive: true, force: true }) })

function assemble (out: string, ...args: string[]): string {
  return execFileSync(process.execPath, ['.ci/image-files.mjs', '--out', out, ...args], { cwd: root, encoding: 'utf8' })
}

function filesOf (folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).toSorted()
}

/** A folder that the user of the image may write to, as its volume is. */
function volume (t: Test): string {
  const folder = mkdtempSync(join(place, 'data-'))
  if (NOBODY.uid !== undefined) chownSync(folder, NOBODY.uid, NOBODY.gid)
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

/** The program with the environment of the image, and with nothing that tap gives to its children. */
function programOf (args: readonly string[], env: Readonly<Record<string, string>>): [string, string[]] {
  return nodeCommand(args, { NODE_ENV: 'production', ...env })
}

/** Runs a command in the image. @returns its exit code and what it wrote */
async function command (args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return await run(...programOf(['dist/bin/mqtt-broker-source.js', ...args], env), { cwd: app, ...NOBODY }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number, stdout: string, stderr: string }) => ({ code, stdout, stderr })
  )
}

/** Starts the program as the image does, and waits until it is up. */
async function start (t: Test, env: Readonly<Record<string, string>>, ...args: string[]): Promise<ChildProcess> {
  const child = spawn(...programOf(['dist/bin/mqtt-broker-source.js', 'run', ...args], env), {
    cwd: app, stdio: ['ignore', 'ignore', 'pipe'], ...NOBODY
  })
  const exited = new Promise((resolve) => { child.once('exit', resolve) })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  await new Promise<void>((resolve, reject) => {
    let log = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      log += text
      if (log.includes('mqtt-broker-source is up')) resolve()
    })
    child.once('exit', (code) => { reject(new Error(`it ended with ${code}:\n${log}`)) })
  })
  return child
}

test('they are few and small: what runs, and its licenses', async (t) => {
  t.comment(printed.trim())
  const bytes = files.reduce((sum, file) => sum + statSync(join(app, file)).size, 0)
  t.ok(bytes < MAX_BYTES, `${bytes} bytes`)
  t.match(printed, new RegExp(`^${files.length - 1} files|^${files.length} files`))
  const strange = files.filter((file) => !/\.(?:js|cjs|mjs|json|node|wasm|yaml)$/.test(file) && !/^(?:licen[cs]e|notice|copying|copyright|patents)\b/i.test(basename(file)))
  t.strictSame(strange, [])
  t.strictSame(files.filter((file) => /\.d\.[cm]?ts$|\.map$|(?:^|\/)readme/i.test(file)), [])
  t.strictSame([...new Set(files.map((file) => file.split('/')[0]))].toSorted(),
    ['LICENSE', 'config', 'dist', 'node_modules', 'package.json', 'sbom.cdx.json'])
  t.notOk(files.includes('dist/bin/generate.js'))
})

test('no package is there that only development needs, and each has its license', async (t) => {
  const { devDependencies, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>
  for (const name of Object.keys(dependencies!)) t.ok(files.includes(`node_modules/${name}/package.json`), name)
  const needed = new Set(['mqtt-packet']) // of aedes, too
  for (const name of Object.keys(devDependencies!).filter((name) => !needed.has(name))) {
    t.notOk(files.some((file) => file.startsWith(`node_modules/${name}/`)), name)
  }
  t.strictSame(files.filter((file) => /^node_modules\/(?:@[^/]+\/)?[^/]+\/(?:test|tests|example|examples|docs)\//.test(file)), [])
})

test('of the binaries there is the one of the target', async (t) => {
  t.teardown(() => { rmSync(join(place, 'arm64'), { recursive: true }) })
  assemble(join(place, 'arm64'), '--arch', 'arm64')
  const binaries = (folder: string) => filesOf(folder).filter((file) => file.endsWith('.node'))
  t.strictSame(binaries(join(place, 'arm64')), ['node_modules/classic-level/prebuilds/linux-arm64/classic-level.armv8.node'])
  t.equal(binaries(app).length, 1)
  const others = (folder: string) => filesOf(folder).filter((file) => !file.endsWith('.node') && file !== 'sbom.cdx.json')
  t.strictSame(others(join(place, 'arm64')), others(app), 'nothing else is different')
})

test('the SBOM names every package that is there, and none that is not', async (t) => {
  const bom = JSON.parse(readFileSync(join(app, 'sbom.cdx.json'), 'utf8')) as {
    components: { group?: string, name: string, version: string, purl: string }[]
    dependencies: { ref: string, dependsOn: string[] }[]
  }
  t.match(bom, { bomFormat: 'CycloneDX', metadata: { component: { name: 'mqtt-broker-source', type: 'application' } } })
  const manifests = files.filter((file) => /node_modules\/(?:@[^/]+\/)?[^/]+\/package\.json$/.test(file))
    .map((file) => JSON.parse(readFileSync(join(app, file), 'utf8')) as { name: string, version: string })
  const there = new Set(manifests.map(({ name, version }) => `${name}@${version}`))
  const told = bom.components.map(({ group, name, version }) => `${group === undefined ? '' : `${group}/`}${name}@${version}`)
  t.strictSame([...new Set(told)].toSorted(), [...there].toSorted())
  t.ok(bom.components.every(({ purl }) => purl.startsWith('pkg:npm/')))
  const refs = new Set(bom.dependencies.map(({ ref }) => ref))
  t.ok(bom.dependencies.every(({ dependsOn }) => dependsOn.every((ref) => refs.has(ref))), 'no reference leads nowhere')
})

test('started as the image starts it, it takes a publish to the sink, and its own health check and self-test say so', async (t) => {
  const sink = await startHttpSink(t)
  const [port, http] = [await freePort(), await freePort()]
  const config = join(place, 'config.yaml')
  // What is loaded only when it is asked for has to be there, too.
  writeFileSync(config, `events:
  rules:
    - { topic: "devices/#", transform: "{'seen': true, 'selftest': selftest}", schema: { file: schema.json } }
listeners: [{ host: 127.0.0.1, port: ${port} }, { protocol: ws, host: 127.0.0.1, port: 0 }]
`.replace('schema.json', JSON.stringify(join(place, 'schema.json'))))
  writeFileSync(join(place, 'schema.json'), '{"type": "object", "required": ["seen"]}')
  const dataDir = volume(t)
  const env = { MBS_DATA_DIR: dataDir, MBS_HTTP_PORT: String(http), K_SINK: sink.url, MBS_LOG_FORMAT: 'json' }
  const child = await start(t, env, '--config', config)
  t.match(await command(['health'], env), { code: 0, stderr: '' })
  const addresses = ['--url', `mqtt://127.0.0.1:${port}`, '--http', `http://127.0.0.1:${http}`]
  t.match(await command(['selftest', ...addresses, '--timeout', 'PT60S']),
    { code: 0, stderr: '', stdout: /event .*default took it\nThe broker works\.\n$/ })
  t.match(JSON.parse(sink.requests[0]!.body.toString()), { seen: true, selftest: /^[0-9a-f]{32}$/ })
  const exited = new Promise((resolve) => { child.once('exit', resolve) })
  child.kill('SIGTERM')
  t.equal(await exited, 0)
  t.match(await command(['health'], env), { code: 1, stderr: /^MBS_ERR_HTTP_UNHEALTHY/ })
  t.match(await command(['outbox', 'status'], { MBS_DATA_DIR: dataDir }), { code: 0, stdout: /waiting {7}0/ })
  t.strictSame(filesOf(app), files, 'and nothing was written beside the volume')
})

test('the configurations that come along can be used, and logs can be read by a person', async (t) => {
  t.match(await command(['check', '--config', 'config/knative.yaml']), { code: 0 })
  t.match(await command(['schema']), { code: 0, stdout: readFileSync(join(root, 'config/schema.json'), 'utf8') })
  const dataDir = volume(t)
  const env = { MBS_DATA_DIR: dataDir, MBS_HTTP_PORT: '0', MBS_LISTENERS_0_PORT: '0', MBS_LOG_FORMAT: 'pretty', MBS_SINK_KIND: 'http' }
  await t.resolves(start(t, env))
})

test('whoever runs it may read its files and write none', async (t) => {
  const attempt = `
    const { appendFileSync, mkdirSync, readdirSync, readFileSync } = require('node:fs')
    const names = readdirSync('.', { recursive: true, withFileTypes: true })
    let written = 0
    for (const entry of names) {
      const path = entry.parentPath + '/' + entry.name
      try {
        if (entry.isDirectory()) mkdirSync(path + '/x')
        else { readFileSync(path); appendFileSync(path, '') }
        written++
      } catch (error) { if (error.code !== 'EACCES') throw error }
    }
    console.log(names.length, written)`
  t.strictSame([...new Set(files.map((file) => statSync(join(app, file)).mode & 0o777))], [0o644])
  if (NOBODY.uid === undefined) return
  const { stdout } = await run(...programOf(['-e', attempt], {}), { cwd: app, ...NOBODY })
  t.match(stdout, /^\d{3,} 0\n$/)
})

import { test, type Test } from 'tap'
import { appendFileSync, chmodSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createError } from '../../../lib/errors.ts'
import { Reloader } from '../../../lib/reload/reloader.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'
import { parseMetrics, sampleOf } from '../../support/prometheus.ts'
import { until } from '../../support/broker.ts'

/** A reloader over the files of one item, which are read as text; looked at when the test says so. */
async function watch (t: Test, files: string[], everyMs = 0) {
  const { telemetry, lines } = createTestTelemetry()
  const reloader = new Reloader({ telemetry, everyMs })
  const contents: string[] = []
  await reloader.add({
    kind: 'tls',
    what: 'files of the test',
    files,
    reload: async () => { contents.push(files.map((file) => readFileSync(file, 'utf8')).join('|')) }
  })
  reloader.start()
  t.teardown(() => { reloader.close() })
  const reloads = async (result: string) =>
    sampleOf(parseMetrics(await telemetry.registry.metrics()), `mqtt_broker_source_reloads_total{what="tls",result="${result}"}`)
  return { reloader, contents, lines, reloads }
}

async function lookTwice (reloader: Reloader): Promise<void> {
  await reloader.look()
  await reloader.look()
}

const changes: Record<string, (directory: string, file: string) => void> = {
  'written in place': (_, file) => { writeFileSync(file, 'new') },
  'written in place with as many bytes': (_, file) => { writeFileSync(file, 'OLD') },
  'replaced by a rename': (directory, file) => {
    writeFileSync(join(directory, 'beside'), 'new')
    renameSync(join(directory, 'beside'), file)
  },
  'given other permissions': (_, file) => { chmodSync(file, 0o600) }
}

for (const [how, change] of Object.entries(changes)) {
  test(`a file that is ${how} is read again, once`, async (t) => {
    const directory = t.testdir({ file: 'old' })
    const file = join(directory, 'file')
    const { reloader, contents, lines, reloads } = await watch(t, [file])
    await lookTwice(reloader)
    t.strictSame(contents, [], 'not before it has changed')
    change(directory, file)
    for (let looks = 0; looks < 5; looks++) await reloader.look()
    t.strictSame(contents, [readFileSync(file, 'utf8')])
    t.match(lines.of('read again'), [{ level: 'info', kind: 'tls', what: 'files of the test', files: [file], reason: 'the files changed' }])
    t.equal(await reloads('ok'), 1)
  })
}

test('a directory is read again when anything in it changes', async (t) => {
  const directory = t.testdir({ certs: { a: 'a' } })
  const certs = join(directory, 'certs')
  const { telemetry } = createTestTelemetry()
  const reloader = new Reloader({ telemetry, everyMs: 0 })
  let reloads = 0
  await reloader.add({ kind: 'sink-ca', what: 'certificates', files: [certs], reload: async () => { reloads++ } })
  const changes = [
    () => { writeFileSync(join(certs, 'b'), 'b') },
    () => { writeFileSync(join(certs, 'a'), 'A') },
    () => { rmSync(join(certs, 'b')) }
  ]
  for (const [at, change] of changes.entries()) {
    change()
    await lookTwice(reloader)
    t.equal(reloads, at + 1)
  }
})

test('files are read again when the symbolic link above them is swapped, as Kubernetes does', async (t) => {
  const directory = t.testdir({ '..1': { cert: 'cert 1', key: 'key 1' }, '..2': { cert: 'cert 2', key: 'key 2' } })
  symlinkSync('..1', join(directory, '..data'))
  for (const name of ['cert', 'key']) symlinkSync(`..data/${name}`, join(directory, name))
  const { reloader, contents } = await watch(t, [join(directory, 'cert'), join(directory, 'key')])
  symlinkSync('..2', join(directory, '..data_tmp'))
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
  rmSync(join(directory, '..1'), { recursive: true })
  await lookTwice(reloader)
  t.strictSame(contents, ['cert 2|key 2'])
})

test('a file is left alone as long as it is being written', async (t) => {
  const file = join(t.testdir({ file: '' }), 'file')
  const { reloader, contents } = await watch(t, [file])
  for (const part of ['one ', 'two ', 'three']) {
    appendFileSync(file, part)
    await reloader.look()
    t.strictSame(contents, [], part)
  }
  await reloader.look()
  t.strictSame(contents, ['one two three'])
})

test('a change that was taken back is none', async (t) => {
  const directory = t.testdir({ a: { file: 'a' }, b: { file: 'b' } })
  const point = (name: string) => {
    symlinkSync(name, join(directory, 'next'))
    renameSync(join(directory, 'next'), join(directory, 'link'))
  }
  point('a')
  const { reloader, contents } = await watch(t, [join(directory, 'link', 'file')])
  point('b')
  await reloader.look()
  point('a')
  for (let looks = 0; looks < 3; looks++) await reloader.look()
  t.strictSame(contents, [])
})

test('a reload that fails is told once for each change, and tried again at the next one', async (t) => {
  const file = join(t.testdir({ file: 'old' }), 'file')
  const { telemetry, lines } = createTestTelemetry()
  const reloader = new Reloader({ telemetry, everyMs: 0 })
  const causes = [new Error('a surprise.'), createError('MBS_ERR_LISTENER_TLS', { listener: 'x', reason: 'no PEM' })]
  let runs = 0
  await reloader.add({
    kind: 'tls',
    what: 'files of the test',
    files: [file],
    reload: async () => {
      const cause = causes[runs++]
      if (cause !== undefined) throw cause
    }
  })
  for (const [at, text] of ['first', 'second', 'third'].entries()) {
    writeFileSync(file, text)
    for (let looks = 0; looks < 4; looks++) await reloader.look()
    t.equal(runs, at + 1, text)
  }
  const failed = lines.objects.filter((line) => line['code'] === 'MBS_ERR_RELOAD_FAILED')
  t.match(failed, [
    { level: 'error', msg: 'The files of the test could not be taken over: a surprise; what was in force before still is.', err: { cause: { message: 'a surprise.' } } },
    { level: 'error', msg: /: no PEM; what/, files: [file], help: /check/, err: { cause: { code: 'MBS_ERR_LISTENER_TLS' } } }
  ])
  t.equal(failed.length, 2)
  t.equal(lines.of('read again').length, 1)
  const families = parseMetrics(await telemetry.registry.metrics())
  t.equal(sampleOf(families, 'mqtt_broker_source_reloads_total{what="tls",result="failed"}'), 2)
})

test('a file that goes away is a failure, and read again when it is back', async (t) => {
  const file = join(t.testdir({ file: 'old' }), 'file')
  const { reloader, contents, reloads } = await watch(t, [file])
  rmSync(file)
  for (let looks = 0; looks < 4; looks++) await reloader.look()
  t.equal(await reloads('failed'), 1)
  writeFileSync(file, 'back')
  await lookTwice(reloader)
  t.strictSame(contents, ['back'])
})

test('reloads of one item never overlap, and those that wait are one', async (t) => {
  const { telemetry } = createTestTelemetry()
  const reloader = new Reloader({ telemetry, everyMs: 0 })
  const releases: Array<() => void> = []
  let running = 0
  await reloader.add({
    kind: 'tls',
    what: 'x',
    files: [],
    reload: async () => {
      t.equal(++running, 1)
      await new Promise<void>((resolve) => { releases.push(resolve) })
      running--
    }
  })
  const first = reloader.reloadAll('first')
  await until(() => releases.length === 1)
  const others = Promise.all([reloader.reloadAll('second'), reloader.reloadAll('third')])
  releases[0]!()
  await first
  await until(() => releases.length === 2)
  releases[1]!()
  t.strictSame(await others, [[], []])
  t.equal(releases.length, 2)
})

test('what changes while it is being read is read once more', async (t) => {
  const file = join(t.testdir({ file: 'old' }), 'file')
  const { telemetry } = createTestTelemetry()
  const reloader = new Reloader({ telemetry, everyMs: 0 })
  const contents: string[] = []
  await reloader.add({
    kind: 'tls',
    what: 'x',
    files: [file],
    reload: async () => {
      contents.push(readFileSync(file, 'utf8'))
      if (contents.length === 1) writeFileSync(file, 'newest')
    }
  })
  writeFileSync(file, 'new')
  await lookTwice(reloader)
  await lookTwice(reloader)
  await lookTwice(reloader)
  t.strictSame(contents, ['new', 'newest'])
})

test('reloadAll reads everything, changed or not, and tells what stays as it was', async (t) => {
  const { telemetry, lines } = createTestTelemetry()
  const reloader = new Reloader({ telemetry, everyMs: 0 })
  const done: string[] = []
  const item = (what: string, reload: () => Promise<void>) => reloader.add({ kind: 'tls', what, files: [], reload })
  await item('one', async () => { throw new Error('broken') })
  await item('other', async () => { done.push('other') })
  t.match(await reloader.reloadAll('SIGHUP'), [{ code: 'MBS_ERR_RELOAD_FAILED', details: { what: 'one', reason: 'broken' } }])
  t.strictSame(done, ['other'])
  t.match(lines.of('read again'), [{ what: 'other', reason: 'SIGHUP' }])
})

test('started, it looks by itself; closed, it does not, and it keeps no process alive', async (t) => {
  const directory = t.testdir({ file: 'old' })
  const file = join(directory, 'file')
  const { reloader, contents } = await watch(t, [file], 5)
  reloader.start()
  t.notOk(process.getActiveResourcesInfo().includes('Timeout'), 'its timer is no reason to stay')
  writeFileSync(file, 'new')
  await until(() => contents.length === 1)
  reloader.close()
  writeFileSync(file, 'newest')
  await lookTwice(reloader)
  await reloader.reloadAll('closed')
  t.strictSame(contents, ['new'])
})

test('PT0S: never by itself, but when it is told to', async (t) => {
  const file = join(t.testdir({ file: 'old' }), 'file')
  const off = await watch(t, [file])
  const on = await watch(t, [file], 5)
  for (const text of ['one', 'two']) {
    writeFileSync(file, text)
    await until(() => on.contents.at(-1) === text)
  }
  t.strictSame(off.contents, [])
  await off.reloader.reloadAll('SIGHUP')
  t.strictSame(off.contents, ['two'])
})

/** The built program as a person or a pod starts it: command line, environment, signals, exit codes. */
import { readFileSync } from 'node:fs'
import { connectAsync } from 'mqtt'
import { test, type Test } from 'tap'
import { startHttpSink } from '../support/http-sink.ts'
import { spawnProgram, startProgram, type Program } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'

/** Any free ports, everything else as it comes. */
const ANYWHERE = { MBS_HTTP_PORT: '0', MBS_LOG_FORMAT: 'json' }

async function publish (program: Program, topic: string, payload: string, qos: 0 | 1 | 2 = 1): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${program.port('mqtt')}`, { reconnectPeriod: 0, clientId: 'd1' })
  await client.publishAsync(topic, payload, { qos })
  await client.endAsync()
}

async function metric (program: Program, name: string): Promise<number | undefined> {
  const response = await fetch(`http://${program.address('http')}/metrics`)
  return sampleOf(parseMetrics(await response.text()), `mqtt_broker_source_${name}`)
}

/** Starts with nothing but a command line and an environment, in an empty directory. */
async function start (t: Test, args: string[], env: Record<string, string> = {}): Promise<Program> {
  const program = spawnProgram(t, [...args, '--port', '0'], { cwd: t.testdir(), env: { ...ANYWHERE, ...env } })
  await program.logged('mqtt-broker-source is up')
  return program
}

/** The same with a directory of its own: a second `t.testdir()` would empty the first. */
async function startAt (t: Test, dataDir: string): Promise<Program> {
  const program = spawnProgram(t, ['--port', '0'], { cwd: '/', env: { ...ANYWHERE, MBS_DATA_DIR: dataDir } })
  await program.logged('mqtt-broker-source is up')
  return program
}

test('without any configuration a publish is shown on the console, which says what to try', async (t) => {
  const program = await start(t, [])
  await program.until(() => program.stdout.includes('Try it'))
  t.match(program.stdout, /MQTT +mqtt:\/\/127\.0\.0\.1:\d+/)
  t.match(program.stdout, /npx mqtt pub -p \d+ -t sensors\/temperature -m 74\.12/)
  await publish(program, 'sensors/temperature', '74.12')
  await program.until(() => program.stdout.includes('Data,\n  74.12\n'))
  t.match(program.stdout, /^☁️ {2}cloudevents\.Event\nValidation: valid\nContext Attributes,\n {2}specversion: 1\.0\n/m)
  t.match(program.stdout, /\n {2}source: \/mqtt-broker-source\/mqtt-broker-source\/clients\/d1\n/)
  t.equal(await program.stop(), 0)
})

test('K_SINK and K_CE_OVERRIDES are all that a pod needs', async (t) => {
  const sink = await startHttpSink(t)
  const program = await start(t, ['run'], { K_SINK: sink.url, K_CE_OVERRIDES: '{"extensions":{"site":"north"}}', K_SINK_TIMEOUT: '5' })
  await publish(program, 'sensors/temperature', '74.12', 2)
  await sink.waitFor(1)
  const event = sink.requests[0]!.event()
  t.match({ subject: event.subject, type: event.type, site: event['site'], key: event['partitionkey'] },
    { subject: 'sensors/temperature', type: 'dev.mqttbrokersource.publish', site: 'north', key: 'd1' })
  t.equal(sink.requests[0]!.mode, 'binary')
  t.equal(sink.requests[0]!.body.toString(), '74.12')
  t.equal(await program.stop(), 0)
})

test('--sink overrides K_SINK, and an empty K_CE_OVERRIDES is none', async (t) => {
  const sink = await startHttpSink(t)
  const program = await start(t, ['--sink', sink.url], { K_SINK: 'http://127.0.0.1:1/', K_CE_OVERRIDES: '' })
  await publish(program, 'a', '1')
  await sink.waitFor(1)
  t.equal(await program.stop(), 0)
})

test('without a sink a pod is ready and spools, and a later start delivers what waited', async (t) => {
  const dataDir = `${t.testdir()}/data`
  const base = { dataDir, listeners: [{ port: 0 }], http: { port: 0 }, log: { format: 'json' } }
  const spooling = await startProgram(t, { ...base, sink: { kind: 'http' } })
  t.equal((await fetch(`http://${spooling.address('http')}/readyz`)).status, 200)
  t.equal(await metric(spooling, 'sink_configured'), 0)
  t.equal(spooling.log.filter(({ msg }) => String(msg).includes('no sink is configured')).length, 1)
  for (let number = 1; number <= 20; number++) await publish(spooling, 'spool', String(number))
  t.equal(await metric(spooling, 'delivery_waiting{sink="default"}'), 20)
  t.equal(await spooling.stop(), 0)

  const sink = await startHttpSink(t)
  const delivering = await startProgram(t, { ...base, sink: { url: sink.url } })
  await sink.waitFor(20)
  t.strictSame(sink.requests.map(({ body }) => Number(body.toString())), Array.from({ length: 20 }, (_, at) => at + 1))
  t.equal(await metric(delivering, 'sink_configured'), 1)
  t.equal(await delivering.stop(), 0)
})

test('SIGTERM lets the deliveries under way finish within the grace', async (t) => {
  const sink = await startHttpSink(t)
  let answer: () => void = () => {}
  sink.answer = { after: new Promise<void>((resolve) => { answer = resolve }) }
  const dataDir = `${t.testdir()}/data`
  const config = { dataDir, listeners: [{ port: 0 }], http: { port: 0 }, log: { format: 'json' }, sink: { url: sink.url } }
  const program = await startProgram(t, config)
  await publish(program, 'a', '1')
  await sink.waitFor(1)
  program.signal('SIGTERM')
  await program.logged('shutting down')
  answer()
  t.same(await program.exited, { code: 0, signal: null })

  const again = await startProgram(t, config)
  await publish(again, 'a', '2')
  await sink.waitFor(2)
  t.equal(sink.requests[1]!.body.toString(), '2', 'what was delivered during the grace is not sent again')
  t.equal(await again.stop(), 0)
})

test('Ctrl-C that arrives twice, from the terminal and from npm, is one signal', async (t) => {
  const dataDir = `${t.testdir()}/data`
  const config = { dataDir, listeners: [{ port: 0 }], http: { port: 0 }, log: { format: 'json' }, sink: { kind: 'http' } }
  const program = await startProgram(t, config)
  program.signal('SIGINT')
  program.signal('SIGINT')
  await program.until(() => program.log.some(({ msg }) => msg === 'shutting down'))
  program.signal('SIGINT')
  t.same(await program.exited, { code: 0, signal: null })
  t.ok(program.log.some(({ msg }) => msg === 'stopped'))
})

test('a second signal ends it at once, and nothing acknowledged is lost', async (t) => {
  const sink = await startHttpSink(t)
  sink.answer = { instead: 'never' }
  const dataDir = `${t.testdir()}/data`
  const config = { dataDir, listeners: [{ port: 0 }], http: { port: 0 }, log: { format: 'json' }, sink: { url: sink.url } }
  const program = await startProgram(t, { ...config, delivery: { grace: 'PT1H' } })
  await publish(program, 'a', '1')
  await sink.waitFor(1)
  program.signal('SIGTERM')
  await program.logged('shutting down')
  await new Promise((resolve) => setTimeout(resolve, 1200))
  program.signal('SIGINT')
  t.same(await program.exited, { code: 1, signal: null })

  sink.answer = {}
  const again = await startProgram(t, config)
  await sink.waitFor(2)
  t.equal(sink.requests[1]!.header('ce-id'), sink.requests[0]!.header('ce-id'), 'it comes again with its id')
  t.equal(await again.stop(), 0)
})

test('what keeps it from running is told with code, sentence and remedy', async (t) => {
  const config = (text: string) => `${t.testdir({ 'config.yaml': text })}/config.yaml`
  const cases: Array<[name: string, args: string[], env: Record<string, string>, code: string, expected: RegExp]> = [
    ['an unknown command', ['deliver'], {}, 'MBS_ERR_CLI_USAGE', /"deliver".*\n {2}Run `mqtt-broker-source --help`/],
    ['a name that every object has', ['constructor'], {}, 'MBS_ERR_CLI_USAGE', /"constructor"/],
    ['an unknown option', ['run', '--snik', 'x'], {}, 'MBS_ERR_CLI_USAGE', /--snik/],
    ['a word too many', ['run', 'fast'], {}, 'MBS_ERR_CLI_USAGE', /fast/],
    ['a port that is none', ['--port', '70000'], {}, 'MBS_ERR_CLI_USAGE', /70000/],
    ['a file that is not there', ['--config', 'none.yaml'], {}, 'MBS_ERR_CONFIG_FILE', /none\.yaml/],
    ['no YAML', ['--config', config('a: [')], {}, 'MBS_ERR_CONFIG_SYNTAX', /config\.yaml/],
    ['a sink that is no URL', ['--sink', 'nowhere'], {}, 'MBS_ERR_CONFIG_INVALID', /sink\.url.*nowhere.*MBS_ERR_SINK_URL/s],
    ['a mistyped variable', ['run'], { MBS_SNIK_URL: 'http://x/' }, 'MBS_ERR_CONFIG_INVALID', /MBS_SINK_URL/]
  ]
  for (const [name, args, env, code, expected] of cases) {
    const program = spawnProgram(t, args, { cwd: '/', env: { ...ANYWHERE, ...env } })
    t.equal((await program.exited).code, 78, `${name}: exit code`)
    t.equal(program.stderr.split(':')[0], code, name)
    t.match(program.stderr, expected, name)
    t.notMatch(program.stderr, /\n {4}at /, `${name}: no stack trace`)
  }
})

test('an address in use and an outbox in use end it with 1', async (t) => {
  const directory = t.testdir()
  const first = await startAt(t, `${directory}/first`)
  const port = String(first.port('mqtt'))
  const env = { ...ANYWHERE, MBS_DATA_DIR: `${directory}/other` }
  const taken = spawnProgram(t, ['--port', port], { cwd: '/', env })
  t.equal((await taken.exited).code, 1)
  t.match(taken.stderr, new RegExp(`^MBS_ERR_LISTENER_BIND: .*${port}`, 'm'))
  t.equal(await first.stop(), 0)

  const dataDir = `${directory}/data`
  const owner = await startAt(t, dataDir)
  const second = spawnProgram(t, ['--port', '0'], { cwd: '/', env: { ...ANYWHERE, MBS_DATA_DIR: dataDir } })
  t.equal((await second.exited).code, 1)
  t.match(second.stderr, /^MBS_ERR_OUTBOX_LOCKED: /m)
  await publish(owner, 'a', '1')
  t.equal(await owner.stop(), 0, 'the owner is not disturbed')
})

test('--help and --version work everywhere', async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  const told = spawnProgram(t, ['--version'])
  t.equal((await told.exited).code, 0)
  t.equal(told.stdout, `${version}\n`)
  for (const args of [['--help'], ['run', '--help'], ['check', '--help'], ['display', '-h'], ['outbox', '--help'], ['schema', '--help']]) {
    const program = spawnProgram(t, args)
    t.equal((await program.exited).code, 0, args.join(' '))
    t.match(program.stdout, /Usage: mqtt-broker-source/, args.join(' '))
  }
})

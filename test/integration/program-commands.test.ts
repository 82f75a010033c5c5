/** The commands beside `run`, each as the built program. */
import { readFileSync } from 'node:fs'
import { connectAsync } from 'mqtt'
import { test } from 'tap'
import { startHttpSink } from '../support/http-sink.ts'
import { spawnProgram, startProgram } from '../support/process.ts'

const ENV = { MBS_LOG_FORMAT: 'json' }

test('check tells every mistake at once, with what was found and what is allowed', async (t) => {
  const directory = t.testdir({
    'config.yaml': 'limts: { packetBytes: 1 }\nlisteners:\n  - { port: 99999 }\n  - { host: 0.0.0.0 }\ndelivery: { retry: often }\n'
  })
  const program = spawnProgram(t, ['check', '--config', 'config.yaml'], { cwd: directory })
  t.equal((await program.exited).code, 78)
  for (const expected of [/limts.*limits/s, /listeners\[0\]\.port.*99999.*65535/s, /listeners\[1\].*MBS_ERR_CONFIG_ANONYMOUS/s,
    /delivery\.retry.*often/s, /config\.yaml:3/]) {
    t.match(program.stderr, expected)
  }
})

test('check passes a configuration that can be used, and prints where each setting comes from', async (t) => {
  const directory = t.testdir({ 'config.yaml': 'name: gateway-7\n' })
  const program = spawnProgram(t, ['check', '--config', 'config.yaml', '--print'], {
    cwd: directory, env: { MBS_LIMITS_PACKET_BYTES: '1MiB' }
  })
  t.equal((await program.exited).code, 0)
  t.match(program.stdout, /^name = gateway-7 +\(file config\.yaml:1\)$/m)
  t.match(program.stdout, /^limits\.packetBytes = 1MiB +\(environment MBS_LIMITS_PACKET_BYTES\)$/m)
  t.match(program.stdout, /^delivery\.retry = 10 +\(default\)$/m)
})

test('check answers who may do what, and by which rule', async (t) => {
  const directory = t.testdir({
    'config.yaml': 'access: { permissions: [{ who: "*", publish: ["{cert.cn}/{claim.site}/{clientid}"], subscribe: ["commands/{username}/#"] }] }\n'
  })
  const ask = async (...args: string[]) => {
    const program = spawnProgram(t, ['check', '--config', 'config.yaml', ...args], { cwd: directory })
    return { code: (await program.exited).code, stdout: program.stdout, stderr: program.stderr }
  }
  const [publish, subscribe, usage] = await Promise.all([
    ask('--as', 'ada', '--client-id', 'd1', '--cn', 'c', '--claim', 'site=north', '--topic', 'c/north/d1'),
    ask('--as', 'ada', '--topic', 'commands/#', '--subscribe'),
    ask('--as', 'ada', '--cn', 'c')
  ])
  t.match(publish, {
    code: 0,
    stderr: /asks for claims, which no session has.*\n.*asks for the name in a certificate/,
    stdout: 'yes: ada may publish to "c/north/d1": access.permissions[0].publish[0] allows it: "{cert.cn}/{claim.site}/{clientid}"\n'
  })
  t.match(subscribe, { code: 1, stdout: 'no: ada may not subscribe to "commands/#": no rule of access.permissions allows it\n' })
  t.match(usage, { code: 78, stderr: /^MBS_ERR_CLI_USAGE/ })
})

test('an option that there is not is told with those that there are', async (t) => {
  const program = spawnProgram(t, ['--sinc', 'http://127.0.0.1/'])
  t.equal((await program.exited).code, 78)
  t.match(program.stderr, /^MBS_ERR_CLI_USAGE: .*Unknown option '--sinc'; there are --config, --sink, --port\.\n/)
})

test('schema prints the schema that is in config/schema.json', async (t) => {
  const program = spawnProgram(t, ['schema'])
  t.equal((await program.exited).code, 0)
  t.same(JSON.parse(program.stdout), JSON.parse(readFileSync(new URL('../../config/schema.json', import.meta.url), 'utf8')))
})

test('display prints what arrives in each content mode, and says what is no CloudEvent', async (t) => {
  const program = spawnProgram(t, ['display', '--port', '0'])
  await program.until(() => program.stderr.includes('/\n'))
  const url = /http:\S+/.exec(program.stderr)![0]
  const post = async (headers: Record<string, string>, body: string) => await fetch(url, { method: 'POST', headers, body })
  const event = { specversion: '1.0', id: '2', source: '/s', type: 't', data: { a: 1 } }
  const binary = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't', 'content-type': 'application/json' }
  t.equal((await post(binary, '{"a": 1.0}')).status, 202)
  t.equal((await post({ 'content-type': 'application/cloudevents+json' }, JSON.stringify(event))).status, 202)
  t.equal((await post({ 'content-type': 'application/cloudevents-batch+json' }, JSON.stringify([event, event]))).status, 202)
  const refused = await post({ 'ce-specversion': '1.0', 'ce-id': '1' }, 'x')
  t.equal(refused.status, 400)
  t.match(await refused.text(), /MBS_ERR_DISPLAY_EVENT.*(source|type)/s)
  await program.until(() => program.stdout.split('cloudevents.Event').length === 5)
  t.match(program.stdout, /"a": 1\.0\n/)
  t.equal(await program.stop(), 0)
})

test('outbox shows what waits and what died, and puts dead letters back', async (t) => {
  const sink = await startHttpSink(t)
  sink.answer = (request) => request.body.toString() === 'bad' ? { status: 400, body: 'not like this' } : { status: 202 }
  const dataDir = `${t.testdir()}/data`
  const config = { dataDir, listeners: [{ port: 0 }], http: { port: 0 }, sink: { url: sink.url }, log: { format: 'json' } }
  const env = { ...ENV, MBS_DATA_DIR: dataDir }
  const outbox = async (...args: string[]) => {
    const program = spawnProgram(t, ['outbox', ...args], { env, cwd: '/' })
    const { code } = await program.exited
    return { code, stdout: program.stdout, stderr: program.stderr }
  }

  const program = await startProgram(t, config)
  const client = await connectAsync(`mqtt://127.0.0.1:${program.port('mqtt')}`, { reconnectPeriod: 0, clientId: 'd1' })
  for (const payload of ['good', 'bad', 'better']) await client.publishAsync('a', payload, { qos: 1 })
  await client.endAsync()
  await sink.waitFor(3)
  t.match((await outbox('status')).stderr, /^MBS_ERR_OUTBOX_LOCKED/, 'not while it runs')
  t.equal(await program.stop(), 0)

  t.match(await outbox('status'), { code: 0, stdout: /^directory {5}\/.*\/data\/outbox\nwaiting {7}0\n(.*\n)*dead letters {2}1$/m })
  const listed = await outbox('dead-letters')
  const letter = JSON.parse(listed.stdout) as { sequence: number, event: { data_base64: string } }
  t.match(letter, { sequence: 2, reason: 'answer', code: 400, attempts: 1, answer: 'not like this', destination: sink.url })
  t.equal(Buffer.from(letter.event.data_base64, 'base64').toString(), 'bad')
  t.match(await outbox('requeue', '--sequence', '7', '--sequence', '99'), {
    code: 1, stdout: '0 put back\n', stderr: 'there is no dead letter 7, 99: outbox dead-letters lists those that there are\n'
  })
  t.match(await outbox('requeue'), { code: 0, stdout: '1 put back\n' })
  t.match((await outbox('status')).stdout, /\nwaiting {7}1, the oldest since \d{4}-/)
  t.equal((await outbox('requeue', '--sequence', 'x')).code, 78)
  t.equal((await outbox('drop')).code, 78)

  sink.answer = {}
  const died = sink.requests.find(({ body }) => body.toString() === 'bad')!
  const again = await startProgram(t, config)
  await sink.waitFor(4)
  t.equal(sink.requests[3]!.body.toString(), 'bad')
  t.equal(sink.requests[3]!.header('ce-id'), died.header('ce-id'), 'with the id that it had')
  t.equal(await again.stop(), 0)

  const wrong = spawnProgram(t, ['outbox', 'status'], { env: { ...ENV, MBS_DATA_DIR: `${dataDir}-elsewhere` }, cwd: '/' })
  t.equal((await wrong.exited).code, 1)
  t.match(wrong.stderr, /^MBS_ERR_OUTBOX_DIRECTORY: .*does not exist/, 'nothing is made where there is nothing')
})

test('outbox discard removes dead letters for good, and only when told which', async (t) => {
  const sink = await startHttpSink(t)
  sink.answer = { status: 400 }
  const dataDir = `${t.testdir()}/data`
  const config = { dataDir, listeners: [{ port: 0 }], http: { port: 0 }, sink: { url: sink.url }, log: { format: 'json' } }
  const program = await startProgram(t, config)
  const client = await connectAsync(`mqtt://127.0.0.1:${program.port('mqtt')}`, { reconnectPeriod: 0, clientId: 'd1' })
  for (const payload of ['1', '2', '3']) await client.publishAsync('a', payload, { qos: 1 })
  await client.endAsync()
  await sink.waitFor(3)
  t.equal(await program.stop(), 0)

  const outbox = async (...args: string[]) => {
    const command = spawnProgram(t, ['outbox', ...args], { env: { ...ENV, MBS_DATA_DIR: dataDir }, cwd: '/' })
    return { code: (await command.exited).code, stdout: command.stdout }
  }
  t.equal((await outbox('discard')).code, 78, 'not without a word')
  t.equal((await outbox('requeue', '--all')).code, 78)
  t.match(await outbox('discard', '--sequence', '2'), { code: 0, stdout: '1 removed\n' })
  const left = (await outbox('dead-letters')).stdout.trim().split('\n')
  t.strictSame(left.map((line) => (JSON.parse(line) as { sequence: number }).sequence), [1, 3])
  t.match(await outbox('discard', '--all'), { code: 0, stdout: '2 removed\n' })
  t.equal((await outbox('dead-letters')).stdout, '')
})

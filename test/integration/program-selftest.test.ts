/** `selftest` and `health` as the built program has them: what they print, and how they end. */
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { hashPassword } from '../../lib/index.ts'
import { Certificates } from '../support/certs.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { freePort, spawnProgram, startProgram, type ChildOptions } from '../support/process.ts'

async function command (t: Test, args: readonly string[], options: ChildOptions = {}) {
  const program = spawnProgram(t, args, options)
  const { code } = await program.exited
  return { code, stdout: program.stdout, stderr: program.stderr }
}

test('selftest proves a broker with TLS, a user and a sink, over MQTT and WebSocket', async (t) => {
  const directory = t.testdir({ password: 'open sesame\n' })
  const certs = new Certificates(directory)
  certs.authority('ca')
  certs.issue('server', 'ca')
  certs.issue('ada', 'ca')
  certs.write('users.yaml', `users:\n  ada: { password: "${await hashPassword('open sesame')}" }\n`)
  const tls = { cert: certs.file('server.crt'), key: certs.file('server.key'), ca: certs.file('ca.crt'), clientCertificate: 'required' }
  const sink = await startHttpSink(t)
  const broker = await startProgram(t, {
    dataDir: join(directory, 'data'),
    listeners: [{ protocol: 'mqtts', host: '127.0.0.1', port: 0, tls }, { protocol: 'wss', host: '127.0.0.1', port: 0, tls }],
    access: {
      users: certs.file('users.yaml'),
      permissions: [{ who: 'ada', publish: ['devices/{clientid}/#'], subscribe: ['devices/{clientid}/#'] }]
    },
    http: { port: 0 },
    sink: { url: sink.url },
    log: { format: 'json' }
  })
  const files = ['--ca', 'ca.crt', '--cert', 'ada.crt', '--key', 'ada.key', '--password-file', 'password']
  const over = async (protocol: string, ...more: string[]) => await command(t, [
    'selftest', '--url', `${protocol}://127.0.0.1:${broker.port(protocol)}`, ...files, ...more
  ], { cwd: directory })

  const done = await over('mqtts', '--username', 'ada', '--http', `http://${broker.address('http')}`, '--timeout', 'PT20S')
  t.match(done, { code: 0, stderr: '' })
  const lines = done.stdout.split('\n')
  t.strictSame(lines.map((line) => line.split(' ')[0]), ['ready', 'connect', 'subscribe', 'publish', 'receive', 'event', 'The', ''])
  t.match(lines[1], /^connect {4}ok +\d+ ms {2}session at mqtts:\/\/127\.0\.0\.1:\d+ as selftest-[0-9a-f]{12}$/)
  t.match(lines[5], /default took it$/)
  t.match(await over('wss', '--username', 'ada', '--publish-only'), { code: 0, stdout: /^connect .*\npublish .*\nThe broker works\.\n$/ })

  const bob = await over('mqtts', '--username', 'bob')
  t.match(bob, { code: 1, stdout: '', stderr: /^MBS_ERR_SELFTEST_REFUSED: .*\n {2}Give credentials/ })
  const untrusted = await command(t, ['selftest', '--url', `mqtts://127.0.0.1:${broker.port('mqtts')}`])
  t.match(untrusted, { code: 1, stderr: /^MBS_ERR_SELFTEST_CONNECT: .*(self-signed|unable to verify|issuer)/ })
  t.notMatch(bob.stderr + done.stdout, 'sesame')
  t.equal(await broker.stop(), 0)
})

test('selftest that fails ends the program in time, with exit code 1', async (t) => {
  const server = createServer((socket) => { socket.on('error', () => {}) })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const since = performance.now()
  const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.match(await command(t, ['selftest', '--url', url, '--timeout', 'PT0.5S']), {
    code: 1, stdout: '', stderr: /^MBS_ERR_SELFTEST_SILENT: No CONNACK came from mqtt:.* within 500 ms\.\n {2}No CONNACK: check/
  })
  t.ok(performance.now() - since < 10_000)
})

test('health asks where the program listens: by the environment, by its file, by a URL', async (t) => {
  const port = await freePort()
  const directory = t.testdir({ 'config.yaml': `http: { host: 0.0.0.0, port: ${port} }\n` })
  const broker = await startProgram(t, {
    dataDir: join(directory, 'data'), listeners: [{ port: 0 }], http: { host: '0.0.0.0', port }, sink: { kind: 'http' }, log: { format: 'json' }
  })
  const [environment, file, url, silent] = await Promise.all([
    command(t, ['health'], { env: { MBS_HTTP_PORT: String(port), MBS_HTTP_HOST: '0.0.0.0' } }),
    command(t, ['health', '--config', 'config.yaml'], { cwd: directory }),
    command(t, ['health', '--url', `http://127.0.0.1:${port}/readyz`]),
    command(t, ['health', '--url', `http://127.0.0.1:${port}/nothing`])
  ])
  t.match(environment, { code: 0, stdout: /"status":"ok"/, stderr: '' })
  t.match(file, { code: 0, stdout: /"eventLoop":"ok"/ })
  t.match(url, { code: 0, stdout: /"sinks":\{"default":"none"\}/ })
  t.match(silent, { code: 1, stdout: '', stderr: /^MBS_ERR_HTTP_UNHEALTHY: http:.*nothing does not say that all is well: status 404/ })
  t.equal(await broker.stop(), 0)
  t.match(await command(t, ['health'], { env: { MBS_HTTP_PORT: String(port) } }), { code: 1, stderr: /ECONNREFUSED/ })
})

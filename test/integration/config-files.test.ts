/** The configuration files that the project hands out: each one is loaded, and found without mistakes. */
import { test } from 'tap'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { checkConfig } from '../../lib/config/check.ts'
import { loadConfig } from '../../lib/config/load.ts'
import { checkPermission } from '../../lib/permission-check.ts'
import { makeCertificate } from '../support/certs.ts'

const directory = join(import.meta.dirname, '../../config')
const load = (name: string, env: Record<string, string> = {}) => loadConfig({ env, file: join(directory, name) })

test('every file that is handed out is accepted without a warning, and names its schema', async (t) => {
  const files = readdirSync(directory).filter((name) => name.endsWith('.yaml'))
  t.ok(files.length >= 3, files.join())
  for (const name of files) {
    t.strictSame(load(name).warnings, [], name)
    t.match(readFileSync(join(directory, name), 'utf8'), '$schema=schema.json', name)
  }
})

test('default.yaml: the same as no file', async (t) => {
  t.strictSame(load('default.yaml').config, loadConfig({ env: {} }).config)
})

test('gateway.yaml: devices over TLS with client certificates, events kept on disk for days', async (t) => {
  const { config } = load('gateway.yaml')
  t.match(config, {
    name: 'gateway-1',
    listeners: [
      { protocol: 'mqtt', host: '127.0.0.1', port: 1883, anonymous: true },
      { protocol: 'mqtts', host: '0.0.0.0', port: 8883, anonymous: false, tls: { clientCertificate: 'required' } }
    ],
    access: {
      certificates: { identity: 'cn' },
      clientId: '{username}',
      permissions: [{ who: '*', publish: ['#'], subscribe: ['commands/{clientid}/#'] }]
    },
    outbox: { store: 'disk', maxBytes: 8 * 1024 ** 3 },
    sink: { kind: 'http' }
  })
})

test('gateway.yaml: passes `check` once the certificates that its comment makes are there', async (t) => {
  const workingDirectory = process.cwd()
  t.teardown(() => { process.chdir(workingDirectory) })
  process.chdir(t.testdir())
  const options = { env: {}, file: join(directory, 'gateway.yaml') }
  t.strictSame(checkConfig(options).problems.map(({ error }) => error?.code), Array(3).fill('MBS_ERR_LISTENER_TLS'))

  mkdirSync('tls')
  makeCertificate('tls', 'tls')
  makeCertificate('tls', 'ca')
  t.strictSame(checkConfig(options).problems, [])
})

test('transports.yaml: every protocol, both families, a Unix socket and a load balancer', async (t) => {
  const { config } = load('transports.yaml')
  t.strictSame(config.listeners.map(({ protocol, host, port, socket }) => `${protocol} ${socket ?? `${host} ${port}`}`), [
    'mqtt 127.0.0.1 1883', 'mqtt ::1 1883', 'mqtt run/mqtt.sock', 'ws 127.0.0.1 8083', 'mqtts :: 8883', 'wss :: 8884', 'mqtts 0.0.0.0 8885'
  ])
})

test('presets.yaml: all presets in an order in which each has its topics, and permissions for them', async (t) => {
  const { config } = load('presets.yaml')
  t.equal(config.events.presets.length, 8)
  t.equal(config.events.presets.at(-1), 'drogue')
  const may = (topic: string) => checkPermission(config, { user: 'd', action: 'publish', topic }).allowed
  t.ok(may('$aws/things/d/shadow/update') && may('devices/d/messages/events/$.mid=1') && may('$iothub/twin/GET/?$rid=1'))
  t.notOk(may('$aws/things/other/shadow/update') || may('devices/other/messages/events/') || may('$iothub/twin/res/200'))
  t.ok(may('tele/tasmota_d/LWT') && may('cmnd/tasmota_d/POWER'))
  t.notOk(may('tele/tasmota_e/LWT') || may('cmnd/tasmotas/POWER'))
})

test('knative.yaml: ready without K_SINK, and delivering with it', async (t) => {
  t.match(load('knative.yaml').config, {
    listeners: [{ host: '0.0.0.0', port: 1883, anonymous: true }],
    access: { permissions: [{ who: '*', publish: ['#'], subscribe: ['commands/{clientid}/#'] }] },
    http: { host: '0.0.0.0' },
    dataDir: '/data',
    sink: { kind: 'http', url: undefined }
  })
  const env = { K_SINK: 'http://broker/default', K_CE_OVERRIDES: '{"extensions":{"site":"a"}}', K_SINK_TIMEOUT: '-1' }
  t.match(load('knative.yaml', env).config, {
    sink: { kind: 'http', url: 'http://broker/default', timeout: 60_000 }, events: { overrides: { extensions: { site: 'a' } } }
  })
})

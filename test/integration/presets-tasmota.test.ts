/** A Tasmota device as it is set when it is new, with the permissions of docs/presets.md and the built program. */
import { readFileSync, writeFileSync } from 'node:fs'
import mqtt, { type MqttClient } from 'mqtt'
import { test, type Test } from 'tap'
import { parse } from 'yaml'
import { hashPassword } from '../../lib/index.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { startProgram } from '../support/process.ts'

interface Access {
  readonly permissions: ReadonlyArray<{ readonly publish: string[], readonly subscribe: string[] }>
}

const text = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')
const section = text('../../docs/presets.md').split('\n## tasmota\n')[1]!
const { access } = parse(/```yaml\n([^`]+)```/.exec(section)![1]!) as { access: Access }

const MAC = '5CCF7FA1B2C3'

async function start (t: Test, more: object = {}) {
  const sink = await startHttpSink(t)
  const directory = t.testdir()
  const users = `${directory}/users.yaml`
  const password = await hashPassword('secret', { ln: 10, r: 8, p: 1 })
  writeFileSync(users, ['users:', ...['A1B2C3', 'D4E5F6'].map((name) => `  "${name}": { password: "${password}" }`)].join('\n'))
  const program = await startProgram(t, {
    dataDir: `${directory}/data`,
    listeners: [{ port: 0, anonymous: false }],
    http: { port: 0 },
    sink: { url: sink.url },
    access: { ...access, users, ...more },
    events: { presets: ['tasmota'] },
    log: { format: 'json' }
  })
  const connect = async (clientId: string, topic: string): Promise<MqttClient> => {
    const client = await mqtt.connectAsync({
      host: '127.0.0.1',
      port: program.port('mqtt'),
      clientId,
      username: 'A1B2C3',
      password: 'secret',
      reconnectPeriod: 0,
      will: { topic: `tele/${topic}/LWT`, payload: Buffer.from('Offline'), qos: 1, retain: true }
    })
    t.teardown(async () => { await client.endAsync(true) })
    return client
  }
  return { sink, program, connect }
}

/** What it does at each connect, in its order; it publishes at QoS 0. Resolves when the broker has read all of it. */
async function comeUp (client: MqttClient): Promise<string[]> {
  const own = 'tasmota_A1B2C3'
  await client.publishAsync(`tele/${own}/LWT`, 'Online', { retain: true })
  await client.publishAsync(`cmnd/${own}/POWER`, '')
  const granted = await client.subscribeAsync([`cmnd/${own}/#`, 'cmnd/tasmotas/#', 'cmnd/DVES_A1B2C3_fb/#'])
  for (const message of ['INFO1', 'INFO2', 'INFO3']) await client.publishAsync(`tele/${own}/${message}`, '{}')
  await client.publishAsync(`stat/${own}/RESULT`, '{"POWER":"ON"}')
  await client.publishAsync(`stat/${own}/POWER`, 'ON')
  await client.publishAsync(`tasmota/discovery/${MAC}/config`, '{"ver":1}', { retain: true })
  await client.publishAsync(`tasmota/discovery/${MAC}/sensors`, '{"sn":{}}', { retain: true })
  await client.publishAsync(`tele/${own}/SENSOR`, '{"t":21.5}', { qos: 1 })
  return granted.map(({ topic, qos }) => `${topic} ${qos}`)
}

test('a device with its default settings connects, announces itself, is sent commands, and is missed', async (t) => {
  const { sink, program, connect } = await start(t)
  const device = await connect('DVES_A1B2C3', 'tasmota_A1B2C3')
  t.same(await comeUp(device), ['cmnd/tasmota_A1B2C3/# 0', 'cmnd/tasmotas/# 0', 'cmnd/DVES_A1B2C3_fb/# 0'])
  await sink.waitFor(10)
  device.stream.destroy()
  await sink.waitFor(11)
  const types = sink.requests.map((request) => (request.header('ce-type') ?? '').replace('dev.mqttbrokersource.', ''))
  t.same(types.sort(), [
    'publish', 'publish', 'tasmota.command', 'tasmota.lwt', 'tasmota.lwt', 'tasmota.result', 'tasmota.sensor', 'tasmota.status',
    ...Array<string>(3).fill('tasmota.telemetry')
  ])
  const last = sink.requests.at(-1)
  t.match([last?.header('ce-source'), last?.header('ce-type'), last?.body.toString()], ['/tasmota/tasmota_A1B2C3', /lwt$/, 'Offline'])
  t.equal(await program.stop(), 0)
})

test('it speaks for no other device', async (t) => {
  const { program, connect } = await start(t)
  await t.rejects(connect('DVES_D4E5F6', 'tasmota_A1B2C3'), { code: 5 }, 'not under its client identifier')
  await t.rejects(connect('DVES_A1B2C3', 'tasmota_D4E5F6'), { code: 5 }, 'not with its will')
  for (const topic of ['tele/tasmota_D4E5F6/SENSOR', 'cmnd/tasmota_D4E5F6/POWER', 'cmnd/tasmotas/POWER', 'cmnd/tasmota_A1B2C3/Reset']) {
    const device = await connect('DVES_A1B2C3', 'tasmota_A1B2C3')
    const closed = new Promise((resolve) => { device.once('close', () => { resolve('closed') }) })
    t.equal(await Promise.race([closed, device.publishAsync(topic, 'ON', { qos: 1 }).catch(async () => await closed)]), 'closed', topic)
  }
  t.equal(await program.stop(), 0)
  const codes = new Set(program.log.map(({ code }) => code))
  for (const code of ['MBS_ERR_ACCESS_CLIENT_ID', 'MBS_ERR_ACCESS_PUBLISH']) t.ok(codes.has(code), code)
})

test('without the permission to announce itself it stays connected where denied publishes are dropped', async (t) => {
  const [{ publish, subscribe }] = access.permissions as [Access['permissions'][number]]
  const permissions = [{ who: '*', publish: publish.filter((topic) => !topic.startsWith('tasmota/discovery')), subscribe }]
  const { sink, program, connect } = await start(t, { permissions, deniedPublish: 'drop' })
  await comeUp(await connect('DVES_A1B2C3', 'tasmota_A1B2C3'))
  await sink.waitFor(8)
  t.equal(await program.stop(), 0)
  t.notOk(sink.requests.some((request) => request.header('ce-type')?.endsWith('publish') === true))
})

test('config/presets.yaml has the same permissions', async (t) => {
  const file = parse(text('../../config/presets.yaml')) as { access: Access }
  for (const action of ['publish', 'subscribe'] as const) {
    const given = new Set(file.access.permissions[0]![action])
    t.same(access.permissions[0]![action].filter((topic) => !given.has(topic)), [], action)
  }
})

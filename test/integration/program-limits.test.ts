/** Limits by address and by user, from the configuration to the wire, with the built program. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'
import { programCommand, startProgram } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { proxyV1, proxyV2 } from '../support/proxy.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'

async function addUser (file: string, name: string, password: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const child = execFile(...programCommand(['passwd', '--file', file, name]), (error) => {
      if (error === null) resolve()
      else reject(error)
    })
    child.stdin!.end(`${password}\n`)
  })
}

/** The return code of CONNACK with the client; undefined: closed without one. */
async function connect (client: RawMqtt, clientId: string, username: string, password: string) {
  client.connect({ clientId, username, password: Buffer.from(password) })
  const code = await client.next('connack').then(({ returnCode }) => returnCode, () => undefined)
  return { client, code }
}

test('one user has so many sessions at a time, whatever its devices are called', async (t) => {
  const users = join(t.testdir(), 'users.yaml')
  await addUser(users, 'alice', 'a')
  await addUser(users, 'bob', 'b')
  const program = await startProgram(t, {
    dataDir: join(t.testdirName, 'data'),
    listeners: [{ port: 0, anonymous: false }],
    access: { users },
    limits: { connectionsPerIdentity: 2 },
    http: { port: 0 },
    sink: { kind: 'http' },
    log: { format: 'json' }
  })
  const as = async (clientId: string, username: string, password: string) =>
    await connect(await RawMqtt.dial(program.port('mqtt')), clientId, username, password)
  const first = await as('a-1', 'alice', 'a')
  t.equal(first.code, 0)
  t.equal((await as('a-2', 'alice', 'a')).code, 0)
  t.equal((await as('a-3', 'alice', 'a')).code, undefined, 'it may try again')
  t.equal((await as('b-1', 'bob', 'b')).code, 0, 'another user is not concerned')
  t.equal((await as('a-1', 'alice', 'a')).code, 0, 'a device takes its own session over')
  await first.client.closed
  const metrics = await (await fetch(`http://${program.address('http')}/metrics`)).text()
  const name = 'mqtt_broker_source_connection_errors_total{code="MBS_ERR_LIMIT_IDENTITY"}'
  t.equal(sampleOf(parseMetrics(metrics), name), 1)
  await program.until(() => program.log.some(({ code }) => code === 'MBS_ERR_LIMIT_IDENTITY'))
  t.match(program.log.find(({ code }) => code === 'MBS_ERR_LIMIT_IDENTITY'), { clientId: 'a-3' })
})

test('behind a balancer it is the device that is counted, in its connections and in its attempts', async (t) => {
  const users = join(t.testdir(), 'users.yaml')
  await addUser(users, 'alice', 'a')
  const program = await startProgram(t, {
    dataDir: join(t.testdirName, 'data'),
    listeners: [{ port: 0, anonymous: false, proxyProtocol: { trusted: ['127.0.0.1'] } }],
    access: { users, attempts: { perAddress: 3, perUser: 100, backoff: 'PT1M' } },
    limits: { connectionsPerAddress: 2 },
    http: { port: 0 },
    sink: { kind: 'http' },
    log: { format: 'json' }
  })
  const from = async (header: Buffer): Promise<RawMqtt> => {
    const socket = connectTcp({ port: program.port('mqtt'), host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    socket.write(header)
    return new RawMqtt(socket)
  }
  const one = proxyV1('192.0.2.1', 1000)
  t.equal((await connect(await from(one), 'a-1', 'alice', 'a')).code, 0)
  t.equal((await connect(await from(proxyV2({ source: '192.0.2.1', port: 1001 })), 'a-2', 'alice', 'a')).code, 0)
  t.equal((await connect(await from(one), 'a-3', 'alice', 'a')).code, undefined)
  t.equal((await connect(await from(proxyV1('192.0.2.2', 1)), 'a-4', 'alice', 'a')).code, 0, 'another address is not concerned')
  await program.until(() => program.log.some(({ code }) => code === 'MBS_ERR_LIMIT_ADDRESS'))
  t.match(program.log.find(({ code }) => code === 'MBS_ERR_LIMIT_ADDRESS'), { address: '192.0.2.1:1000' })

  for (let count = 0; count < 3; count++) {
    t.equal((await connect(await from(proxyV1('192.0.2.9', 1)), 'x', `nobody-${count}`, 'x')).code, 4)
  }
  t.equal((await connect(await from(proxyV1('192.0.2.9', 1)), 'a-5', 'alice', 'a')).code, undefined, 'it has tried too often')
  t.equal((await connect(await from(proxyV1('192.0.2.10', 1)), 'a-5', 'alice', 'a')).code, 0)
})

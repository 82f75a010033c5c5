/** How devices are sent away at shutdown: with the built program, which gets SIGTERM in the middle of its work. */
import { connectAsync } from 'mqtt'
import { test } from 'tap'
import { startHttpSink } from '../support/http-sink.ts'
import { startProgram } from '../support/process.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'

const CLIENTS = 40
const DELAY_MS = 600
const WINDOW_MS = 1600

test('SIGTERM: not ready, but serving for the delay; then devices are sent away one by one, and nothing is lost', async (t) => {
  const sink = await startHttpSink(t)
  const program = await startProgram(t, {
    dataDir: `${t.testdir()}/data`,
    listeners: [{ port: 0 }],
    http: { port: 0 },
    sink: { url: sink.url },
    drain: { delay: `PT${DELAY_MS / 1000}S`, window: `PT${WINDOW_MS / 1000}S` },
    log: { format: 'json' }
  })
  const readyz = async () => (await fetch(`http://${program.address('http')}/readyz`)).status
  t.equal(await readyz(), 200)
  const closedAt: number[] = []
  const acknowledged: string[] = []
  const clients = await Promise.all(Array.from({ length: CLIENTS }, async (_, at) => {
    const client = await connectAsync(`mqtt://${program.address('mqtt')}`, { clientId: `d${at}`, reconnectPeriod: 0 })
    const publishing = (async () => {
      for (let number = 0; client.connected; number++) {
        const taken = await client.publishAsync('a', `d${at}-${number}`, { qos: 1 }).then(() => true, () => false)
        if (taken) acknowledged.push(`d${at}-${number}`)
        await new Promise((resolve) => { setTimeout(resolve, 20) })
      }
    })()
    const gone = new Promise<void>((resolve) => {
      client.once('close', () => {
        closedAt.push(performance.now() - signaledAt)
        client.end(true)
        resolve()
      })
    })
    return { gone, publishing }
  }))
  const signaledAt = performance.now()
  program.signal('SIGTERM')
  await program.logged('shutting down')
  t.equal(await readyz(), 503)
  const late = await RawMqtt.open(program.port('mqtt'), { clientId: 'late' })
  late.send({ cmd: 'publish', topic: 'a', payload: 'late', qos: 1, messageId: 1, dup: false, retain: false })
  await late.next('puback')
  acknowledged.push('late')
  await Promise.all(clients.map(({ gone }) => gone))
  const { code } = await program.exited
  t.equal(code, 0)
  await Promise.all(clients.map(({ publishing }) => publishing))
  late.abort()

  t.equal(closedAt.length, CLIENTS)
  t.ok(closedAt[0]! >= DELAY_MS, `the first after ${closedAt[0]} ms`)
  const lasted = closedAt.at(-1)! - closedAt[0]!
  t.ok(lasted >= WINDOW_MS * 0.8, `from the first to the last ${lasted} ms`)
  const half = closedAt.filter((at) => at - closedAt[0]! <= lasted / 2).length
  t.ok(half > CLIENTS / 5 && half < CLIENTS * 4 / 5, `${half} of ${CLIENTS} in the first half`)
  const arrived = new Set(sink.requests.map((request) => request.payload().toString()))
  t.ok(acknowledged.length > CLIENTS * 5, `${acknowledged.length} were acknowledged`)
  t.same(acknowledged.filter((payload) => !arrived.has(payload)), [])
})

test('a start that fails waits for nothing', async (t) => {
  const directory = t.testdir()
  const first = await startProgram(t, {
    dataDir: `${directory}/first`, listeners: [{ port: 0 }], http: { port: 0 }, sink: { kind: 'http' }, log: { format: 'json' }
  })
  const startedAt = performance.now()
  await t.rejects(startProgram(t, {
    dataDir: `${directory}/second`,
    listeners: [{ port: first.port('mqtt') }],
    http: { port: 0 },
    outbox: { store: 'memory' },
    sink: { kind: 'http' },
    drain: { delay: 'PT5M', window: 'PT5M' },
    log: { format: 'json' }
  }), /MBS_ERR_LISTENER_BIND/)
  t.ok(performance.now() - startedAt < 60_000)
  t.equal(await first.stop(), 0)
})

test('a device whose publish waits for a sink that is down does not hold up the others beyond the window', async (t) => {
  const program = await startProgram(t, {
    dataDir: `${t.testdir()}/data`,
    listeners: [{ port: 0 }],
    http: { port: 0 },
    sink: { url: 'http://127.0.0.1:1/' },
    events: { rules: [{ topic: 'waits', ack: 'delivered' }] },
    limits: { publishTimeout: 'PT5M' },
    delivery: { grace: 'PT0S' },
    drain: { window: 'PT0.5S' },
    log: { format: 'json' }
  })
  const waiting = await RawMqtt.open(program.port('mqtt'), { clientId: 'waiting' })
  waiting.send({ cmd: 'publish', topic: 'waits', payload: '1', qos: 1, messageId: 1, dup: false, retain: false })
  const metrics = async () => await (await fetch(`http://${program.address('http')}/metrics`)).text()
  const one = /^mqtt_broker_source_delivery_waiting\{sink="default"\} 1$/m
  while (!one.test(await metrics())) await new Promise(setImmediate)
  const signaledAt = performance.now()
  t.equal(await program.stop(), 0)
  const tookMs = performance.now() - signaledAt
  t.ok(tookMs < 60_000, `it took ${tookMs} ms, far less than the publish may wait`)
  waiting.abort()
})

/**
 * Clients that mean harm, against the built program. An honest device beside them loses nothing and does not wait, and
 * what they took is given back.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { test } from 'tap'
import {
  attack, connectAs, connectWithWill, idle, manyFilters, mutated, noise, publishTo, publishWithIdZero, subscribeBytes,
  times
} from '../support/attackers.ts'
import { createCertificates } from '../support/certs.ts'
import { until } from '../support/broker.ts'
import { percentile, startHonestDevice } from '../support/honest-device.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { startProgram } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { seededRandom } from '../support/random.ts'
import { connectBytes, publishBytes } from '../support/raw-mqtt.ts'

/** Publishes of the honest device in a second. */
const PACE = 100
/** What its PUBACKs may take while it is attacked, in milliseconds, on a machine that has nothing else to do. */
const MEDIAN_MS = 50
const P99_MS = 1000
/**
 * By how much memory may have grown when the attackers are gone, in MiB: what 5000 connections took at a time stays
 * with the process, for the next 5000.
 */
const GROWTH_MIB = 256
const IDLE = 5000

test('an honest device loses nothing and does not wait while others attack', { timeout: 120_000 }, async (t) => {
  const seed = Number(process.env['MBS_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}: MBS_TEST_SEED=${seed} repeats the choices`)
  const random = seededRandom(seed)
  const certificates = createCertificates(t.testdir())
  const sink = await startHttpSink(t)
  const program = await startProgram(t, {
    dataDir: `${t.testdirName}/data`,
    listeners: [
      { port: 0 },
      { protocol: 'mqtts', port: 0, tls: { cert: certificates.file('server.crt'), key: certificates.file('server.key') } }
    ],
    http: { port: 0 },
    sink: { url: sink.url },
    // All attackers come from one address here.
    limits: { connectTimeout: 'PT2S', connectionsPerAddress: 0 },
    log: { format: 'json' }
  })
  const port = program.port('mqtt')
  const tlsPort = program.port('mqtts')
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`http://${program.address('http')}/metrics`)).text()
    return sampleOf(parseMetrics(text), `mqtt_broker_source_${name}`) ?? 0
  }
  const errors = async (code: string): Promise<number> => await metric(`connection_errors_total{code="${code}"}`)
  const memoryMiB = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${program.pid}/status`, 'utf8'))?.[1]) / 1024

  const honest = startHonestDevice(t, { port, perSecond: PACE, topic: 'honest' })
  await sink.waitFor(3 * PACE)
  const before = memoryMiB()
  const opened = Date.now()
  const hello = connectBytes({ clientId: 'attacker' })
  const byteByByte = [...hello.subarray(0, -1)].map((byte) => Buffer.from([byte]))
  const as = (index: number): Buffer => connectBytes({ clientId: `attacker-${index}`, clean: index % 2 === 0 })

  // What takes its time goes on beside the rest.
  const slow = Promise.all([
    times(300, 300, async () => await attack(port, byteByByte, 10_000, 300)),
    times(200, 200, async () => await attack(tlsPort, [Buffer.from([0x16, 0x03, 0x01])], 10_000)),
    times(100, 100, async (index) => await attack(port, [as(index), publishBytes().subarray(0, 5)], 4_000))
  ])

  await times(200, 50, async () => await attack(port, [noise(random, 4096)], 1000))
  await times(50, 25, async () => await attack(tlsPort, [noise(random, 4096)], 1000))
  const mutants = await times(1000, 50, async (index) => await attack(port, [as(index), mutated(random)], 300))
  t.comment(`${mutants.filter(({ closed }) => closed).length} of ${mutants.length} mutants were closed at once`)
  t.ok(mutants.some(({ closed }) => closed) && mutants.some(({ closed }) => !closed), 'some mutants live, some do not')
  await times(2000, 100, async (index) => await attack(port, [as(index)], 5))

  const huge = Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f])
  const oversized = await times(100, 50, async () => await attack(port, [hello, huge, noise(random, 65_536)], 5000))
  t.ok(oversized.every(({ closed }) => closed), 'an oversized packet')
  t.ok(await errors('MBS_ERR_GATE_PACKET_TOO_LARGE') >= 1)
  const filters = await times(20, 5, async (index) => await attack(port, [as(index), manyFilters(10_000)], 5000))
  t.ok(filters.every(({ closed }) => closed), '10,000 topic filters')
  t.ok(await errors('MBS_ERR_GATE_SUBSCRIPTIONS') >= 20)

  const deep = 'a/'.repeat(200)
  t.ok((await attack(port, [hello, publishTo(Buffer.from(deep))], 5000)).closed, 'a deep topic')
  t.ok((await attack(port, [hello, subscribeBytes(deep)], 500)).received.length > 0)
  for (const bad of [[0xff, 0xfe], [0x61, 0], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
    t.ok((await attack(port, [hello, publishTo(Buffer.from(bad))], 5000)).closed, `a topic of ${bad}`)
    const refused = await attack(port, [connectAs(Buffer.from(bad))], 5000)
    t.same([...refused.received], [0x20, 2, 0, 2], `a client identifier of ${bad}`)
  }
  for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
    const lives = await attack(port, [
      connectAs(Buffer.from(name)), subscribeBytes(name), publishTo(Buffer.from(name)), Buffer.from([0xc0, 0])
    ], 200)
    t.same([...lives.received.subarray(0, 4)], [0x20, 2, 0, 0], name)
    t.ok(lives.received.includes(Buffer.from([0x40, 2, 0, 1])), `${name} gets its PUBACK`)
  }
  await attack(port, [hello, publishWithIdZero(), subscribeBytes('a', 0)], 200)
  for (const topic of ['a/#', '+', '#', '$SYS/x', '$share/a/b', 'a\0b']) {
    t.same([...(await attack(port, [connectWithWill(topic)], 5000)).received], [0x20, 2, 0, 5], `a will to ${topic}`)
  }

  const [slowConnects, slowHandshakes] = await slow
  t.ok(slowConnects.every(({ closed }) => closed), 'a slow CONNECT is closed')
  t.ok(slowHandshakes.every(({ closed }) => closed), 'a slow handshake is closed')

  const sockets = await idle(port, IDLE)
  const open = await metric('sessions')
  t.ok(open > IDLE, `${open} sessions at a time`)
  const peak = memoryMiB()
  for (const socket of sockets) socket.destroy()
  const closing = Date.now()
  while (await metric('sessions') > 1 && Date.now() - closing < 10_000) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.equal(await metric('sessions'), 1, 'all but the honest one are gone')
  t.comment(`attacked for ${((Date.now() - opened) / 1000).toFixed(1)} s`)

  const report = await honest.stop()
  t.equal(report.problem, undefined)
  const median = percentile(report.latenciesMs, 0.5)
  const p99 = percentile(report.latenciesMs, 0.99)
  t.comment(`PUBACK of the honest device: median ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, of ${report.sent}`)
  t.equal(report.latenciesMs.length, report.sent, 'everything was acknowledged')
  // Attackers and broker share its cores, and whatever else runs there.
  const load = Math.max(1, loadavg()[0]! / availableParallelism())
  t.ok(median < MEDIAN_MS * load, `median below ${MEDIAN_MS} ms times a load of ${load.toFixed(1)}`)
  t.ok(p99 < P99_MS * load, `p99 below ${P99_MS} ms times a load of ${load.toFixed(1)}`)

  const arrived = new Set<string>()
  let read = 0
  const complete = (): boolean => {
    for (; read < sink.requests.length; read++) {
      const request = sink.requests[read]!
      if (request.header('ce-subject') === 'honest') arrived.add(request.body.toString())
    }
    return arrived.size === report.sent
  }
  await until(complete)
  t.pass(`all ${arrived.size} messages of the honest device arrived at the sink`)

  let after = memoryMiB()
  for (const since = Date.now(); after - before > GROWTH_MIB && Date.now() - since < 10_000; after = memoryMiB()) {
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  t.comment(`memory: ${before.toFixed(0)} MiB before, ${peak.toFixed(0)} with ${IDLE} idle ones, ${after.toFixed(0)} afterwards`)
  t.ok(after - before < GROWTH_MIB, `memory is back within ${GROWTH_MIB} MiB`)
  t.equal(await program.stop(), 0)
  t.notMatch(program.stderr, /uncaught|unhandled|unexpected failure/i)
})

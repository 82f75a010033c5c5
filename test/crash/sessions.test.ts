/**
 * Sessions on disk, held against the built program: what was acknowledged to publishers reaches a persistent session
 * that is away, however often the process is killed, in order, and at QoS 2 once; so do retained messages.
 */
import { test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { untilFinished } from '../support/arrivals.ts'
import { CrashPublisher } from '../support/crash-publisher.ts'
import { freePort, startProgram } from '../support/process.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { seededRandom } from '../support/random.ts'
import { Retaining } from '../support/retaining.ts'

const ROUNDS = Number(process.env['MBS_TEST_SESSION_ROUNDS'] ?? 12)

test(`a persistent session misses nothing acknowledged over ${ROUNDS} kills`, { timeout: 600_000 }, async (t) => {
  const seed = Number(process.env['MBS_TEST_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}: MBS_TEST_SEED=${seed} repeats the choices`)
  const random = seededRandom(seed)
  const port = await freePort()
  const config = {
    dataDir: `${t.testdir()}/data`,
    listeners: [{ protocol: 'mqtt', host: '127.0.0.1', port }],
    http: { host: '127.0.0.1', port: 0 },
    sink: { kind: 'http' },
    broker: { sessions: 'disk' },
    limits: { queuedMessages: 1_000_000, queuedBytes: '1GiB', queuedBytesTotal: '1GiB' },
    log: { level: 'info', format: 'json' }
  }
  let program = await startProgram(t, config)
  const subscriber = await RawMqtt.open(port, { clientId: 'subscriber', clean: false })
  subscriber.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'crash/#', qos: 2 }] })
  t.same((await subscriber.next('suback')).granted, [2])
  subscriber.abort() // never to return before the last start

  const publishers = ([1, 1, 2, 2] as const).map((qos, index) =>
    new CrashPublisher({ id: `device-${index}-qos${qos}`, port, qos, inflight: 10 }))
  const retaining = new Retaining(port)
  t.teardown(async () => {
    await Promise.all([retaining.finish(), ...publishers.map(async (publisher) => { await publisher.close() })])
  })
  for (let round = 0; round < ROUNDS; round++) {
    await sleep(20 + 400 * random())
    await program.kill()
    program = await startProgram(t, config)
  }
  await untilFinished(t, publishers)
  await retaining.finish()

  // One more, with nobody about: all that comes now comes from the disk.
  await program.kill()
  program = await startProgram(t, config)
  const back = await RawMqtt.dial(port)
  back.connect({ clientId: 'subscriber', clean: false })
  t.equal((await back.next('connack')).sessionPresent, true, 'it does not have to subscribe again')
  const expected = new Set(publishers.flatMap(({ id, acknowledged }) =>
    Array.from(acknowledged, (number) => `${id} ${number}`)))
  const got = new Map<string, Array<{ number: number, qos: number }>>()
  const exactlyOnce = new Set<number>()
  while (expected.size > 0) {
    const { payload, messageId, qos } = await back.next('publish')
    if (qos === 1) back.send({ cmd: 'puback', messageId: messageId as number })
    if (qos === 2) {
      t.notOk(exactlyOnce.has(messageId as number), 'an identifier is not used while it is')
      exactlyOnce.add(messageId as number)
      back.send({ cmd: 'pubrec', messageId: messageId as number })
      await back.next('pubrel')
      exactlyOnce.delete(messageId as number)
      back.send({ cmd: 'pubcomp', messageId: messageId as number })
    }
    const { client, number } = JSON.parse(payload.toString()) as { client: string, number: number }
    got.set(client, [...got.get(client) ?? [], { number, qos }])
    expected.delete(`${client} ${number}`)
  }
  for (const publisher of publishers) {
    const all = got.get(publisher.id) ?? []
    const numbers = all.map(({ number }) => number)
    const { size } = publisher.acknowledged
    t.ok(size > 0, `${publisher.id}: ${size} acknowledged, ${numbers.length} came`)
    t.ok(numbers.every((number) => number <= publisher.used), 'nothing came that was not sent')
    // The first of each: what was kept and not acknowledged before a crash is sent again at QoS 1, and kept again.
    const firsts = [...new Set(numbers)]
    t.strictSame(firsts, firsts.toSorted((a, b) => a - b), `${publisher.id}: in order`)
    if (publisher.id.endsWith('qos2')) t.equal(new Set(numbers).size, numbers.length, `${publisher.id}: each of them once`)
  }

  const reader = await RawMqtt.open(port, { clientId: 'reader' })
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'retained', qos: 0 }] })
  const last = Number((await reader.next('publish')).payload.toString())
  t.ok(last >= retaining.acknowledged && last <= retaining.sent,
    `retained: ${retaining.acknowledged} acknowledged, ${last} is there, ${retaining.sent} sent`)
  t.ok(retaining.acknowledged > 0)
  t.equal(await program.stop(), 0, 'SIGTERM ends it with 0')
})

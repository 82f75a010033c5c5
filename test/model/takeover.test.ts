/**
 * Connects, takeovers, losses and goodbyes of few client identifiers, in any order and at any moment, many in one turn.
 * Whatever came of it: whoever was let in last is there and nobody else, each will is published as MQTT says, each
 * session that was told as connected is told as disconnected, and nothing is left when all have gone. MBS_TEST_SEED
 * repeats a run's choices; when its packets meet is the machine's.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { generate } from 'mqtt-packet'
import { test } from 'tap'
import type { BrokerOptions } from '../../lib/broker/broker.ts'
import { startBroker, until } from '../support/broker.ts'
import { lifecycleOf } from '../support/lifecycle.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { seededRandom } from '../support/random.ts'
import { connectBytes, publishBytes, RawMqtt } from '../support/raw-mqtt.ts'

const { MBS_TEST_SEED } = process.env
const FIRST_SEED = Number(MBS_TEST_SEED ?? Date.now() % 1e9)
const RUNS = MBS_TEST_SEED === undefined ? 8 : 1
const STEPS = 150
const CLIENTS = ['a', 'b', 'c']

const subscribe = generate({
  cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x', qos: 0 }, { topic: 'y/#', qos: 1 }]
})
const unsubscribe = generate({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['x'] })

interface Device {
  readonly name: string
  readonly clientId: string
  readonly raw: RawMqtt
  closed: boolean
  /** How the test has ended it. */
  left?: 'goodbye' | 'lost'
  /** It said goodbye when no later one of its client identifier was on its way. */
  goodbyeCounts?: boolean
}

for (let run = 0; run < RUNS; run++) {
  const seed = FIRST_SEED + run
  test(`one connection for each client identifier (MBS_TEST_SEED=${seed})`, async (t) => {
    const random = seededRandom(seed)
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T
    const asked: Array<() => void> = []
    const letIn: string[] = []
    const authenticate: BrokerOptions['authenticate'] = async ({ clientId, username }, signal) => {
      if (username === undefined) return { kind: 'accepted', identity: { clientId, method: 'anonymous' } }
      await new Promise<void>((resolve) => {
        asked.push(resolve)
        signal.addEventListener('abort', () => { resolve() })
      })
      letIn.push(username)
      return { kind: 'accepted', identity: { clientId, method: 'anonymous' } }
    }
    const it = await startBroker(t, { lifecycle: {}, authenticate })
    // The connections that the broker has, by the address of the other side.
    const held = new Set<string>()
    const handle = it.broker.handle.bind(it.broker)
    it.broker.handle = (connection) => {
      const { address } = connection.facts
      held.add(address)
      connection.once('close', () => { held.delete(address) })
      handle(connection)
    }
    const devices: Device[] = []
    const openDoor = (count: number): void => { for (const open of asked.splice(0, count)) open() }

    const connect = async (): Promise<void> => {
      const clientId = pick(CLIENTS)
      const name = `device ${devices.length}`
      const device: Device = { name, clientId, raw: await RawMqtt.dial(it.port), closed: false }
      devices.push(device)
      const isLatest = (): boolean => devices.findLast((other) => other.clientId === clientId) === device
      void device.raw.closed.then(() => {
        device.closed = true
        device.goodbyeCounts = device.left === 'goodbye' && isLatest()
      })
      const will = { topic: 'gone', payload: Buffer.from(name), qos: 1 as const, retain: false }
      const bytes = [connectBytes({ clientId, username: name, clean: random() < 0.4, will })]
      if (random() < 0.6) bytes.push(subscribe)
      if (random() < 0.2) bytes.push(publishBytes({ topic: 'x', payload: '', qos: 2, messageId: 3 }))
      device.raw.write(Buffer.concat(bytes))
    }
    const end = (device: Device): void => {
      device.left = 'lost'
      const how = random()
      if (how < 0.3) device.raw.abort()
      else if (how < 0.5) device.raw.socket.end()
      else if (how < 0.6) device.raw.write(Buffer.from([0]))
      else if (device.raw.received.length === 0) device.raw.abort()
      else {
        device.left = 'goodbye'
        device.raw.send({ cmd: 'disconnect' })
      }
    }

    /** Everything has come to rest: holds who is left against who was let in. */
    const settle = async (): Promise<void> => {
      const probe = await RawMqtt.open(it.port, { clientId: 'probe' })
      // Whoever dialed before the probe has been accepted. At rest, both sides take the same connections for open, and
      // go on doing so: one that is taken over is there for a turn.
      const open = (): Device[] => devices.filter(({ closed }) => !closed)
      const isAtRest = (): boolean => {
        const ports = [probe, ...open().map(({ raw }) => raw)].map(({ socket }) => socket.localPort)
        return open().every(({ name, left }) => left === undefined && letIn.includes(name)) &&
          ports.length === held.size && ports.every((port) => held.has(`127.0.0.1:${port}`)) &&
          it.broker.clients === held.size
      }
      let calm = 0
      await until(() => {
        openDoor(Infinity)
        calm = isAtRest() ? calm + 1 : 0
        return calm === 5
      })
      for (const clientId of CLIENTS) {
        const all = letIn.map((name) => devices.find((device) => device.name === name) as Device)
          .filter((device) => device.clientId === clientId)
        t.ok(open().filter((device) => device.clientId === clientId).length <= 1, `one of ${clientId}`)
        const last = all.at(-1)
        if (last !== undefined && last.left === undefined) {
          await last.raw.ping()
          t.notOk(last.closed, `${last.name} was let in last`)
        }
        // Who was let in and has gone may have taken over first, or not.
        const candidate = all.findLast(({ left }) => left === undefined)
        for (const device of all) if (device !== candidate) t.ok(device.closed, `${device.name} was taken over or lost`)
      }
      const left = open().length
      t.equal(await sessions(), left + 1, 'sessions that are counted, with the probe')
      probe.send({ cmd: 'disconnect' })
      await until(() => it.connections.open === left && it.broker.clients === left)
      t.equal(await sessions(), left, 'sessions that are counted')
    }
    const sessions = async () => sampleOf(parseMetrics(await it.telemetry.registry.metrics()), 'mqtt_broker_source_sessions')

    for (let step = 0; step < STEPS; step++) {
      const alive = devices.filter(({ left, closed }) => left === undefined && !closed)
      const choice = random()
      if (choice < 0.4) await connect()
      else if (choice < 0.6) openDoor(Math.ceil(random() * 4))
      else if (choice < 0.75 && alive.length > 0) end(pick(alive))
      else if (choice < 0.85 && alive.length > 0) pick(alive).raw.write(pick([subscribe, unsubscribe]))
      else if (choice < 0.97) for (let turns = random() * 6; turns > 0; turns--) await nextTurn()
      else await settle()
    }
    await settle()
    for (const device of devices) if (!device.closed && device.left === undefined) end(device)
    await until(() => it.connections.open === 0 && it.broker.clients === 0 && it.outbox.open === 0)
    await Promise.all(devices.map(({ raw }) => raw.closed))
    t.equal(await sessions(), 0, 'no session is counted')
    t.ok(it.broker.stats().persistentSessions <= CLIENTS.length)

    const wills = it.outbox.stored.filter(({ type }) => type === 'will').map(({ data }) => data.toString())
    t.equal(new Set(wills).size, wills.length, 'no will is published twice')
    for (const { name, raw, left, goodbyeCounts } of devices) {
      const accepted = raw.received.some(({ cmd }) => cmd === 'connack')
      if (goodbyeCounts === true) t.notOk(wills.includes(name), `${name} said goodbye`)
      else if (accepted && left !== 'goodbye') t.ok(wills.includes(name), `${name} was taken over or lost`)
    }
    for (const clientId of CLIENTS) {
      const kinds = lifecycleOf(it.outbox.stored).filter(({ data }) => data['clientId'] === clientId)
        .map(({ kind }) => kind).filter((kind) => kind.endsWith('connected'))
      t.same(kinds.filter((kind, at) => (kind === 'connected') !== (at % 2 === 0)), [], `${clientId} takes turns`)
      t.equal(kinds.length % 2, 0, `${clientId} ends`)
    }
  })
}

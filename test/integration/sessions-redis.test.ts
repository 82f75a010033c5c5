/** Persistent sessions that several pods share in Redis: one server, and a Cluster of three. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { known, startPods, type Pod } from '../support/pods.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startCluster, startRedis, type RedisServer } from '../support/redis.ts'

type Servers = RedisServer | readonly RedisServer[]

const servers: ReadonlyArray<readonly [string, (t: Test) => Promise<Servers>]> = [
  ['one server', startRedis], ['a Cluster', startCluster]
]

async function subscribe (client: RawMqtt, topic: string, qos: 0 | 1 | 2 = 1): Promise<void> {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos }] })
  await client.next('suback')
}

async function publish (
  client: RawMqtt, topic: string, payload: string, messageId: number, retain = false
): Promise<void> {
  client.publish({ topic, payload, qos: 1, messageId, retain })
  await client.next('puback')
}

async function leave (client: RawMqtt): Promise<void> {
  client.send({ cmd: 'disconnect' })
  await client.closed
}

async function open (pod: Pod, clientId: string, clean = false): Promise<RawMqtt> {
  return await RawMqtt.open(pod.port, { clientId, clean })
}

async function payloads (client: RawMqtt, count: number): Promise<string[]> {
  const found: string[] = []
  while (found.length < count) {
    const packet = await client.next('publish')
    found.push(packet.payload.toString())
    if (packet.qos === 1) client.send({ cmd: 'puback', messageId: packet.messageId! })
  }
  return found
}

for (const [name, start] of servers) {
  test(name, async (t) => {
    const redis = await start(t)

    await t.test('a session goes on at another pod: what waited comes in order, all of it, and once', async (t) => {
      const [a, b, c] = await startPods(t, redis, 3)
      const device = await open(a, 'device')
      await subscribe(device, 'to/device/#')
      await subscribe(device, 'to/+/x')
      await leave(device)
      await known([b, c], 'to/device/x')
      const [one, other] = [await open(b, 'one', true), await open(c, 'other', true)]
      const sent: string[] = []
      for (let at = 1; at <= 150; at++) {
        for (const sender of [one, other]) {
          const payload = `${sender === one ? 'one' : 'other'} ${at}`
          await publish(sender, 'to/device/x', payload, at)
          sent.push(payload)
        }
      }
      const back = await RawMqtt.dial(c.port)
      back.connect({ clientId: 'device', clean: false })
      t.equal((await back.next('connack')).sessionPresent, true)
      const got = await payloads(back, sent.length)
      t.strictSame(got.filter((text) => text.startsWith('one ')), sent.filter((text) => text.startsWith('one ')))
      t.strictSame(got.filter((text) => text.startsWith('other ')), sent.filter((text) => text.startsWith('other ')))
      await back.ping()
      await leave(back)
      const again = await open(a, 'device')
      await again.ping()
      t.strictSame(again.idsOf('publish'), [], 'what was acknowledged does not come again')
    })

    await t.test('more than a thousand waiting messages are handed out at one reconnect', async (t) => {
      const broker = { queuedMessages: 5000, queuedBytes: 16 * 1024 * 1024 }
      const [a, b] = await startPods(t, redis, 2, { broker })
      const device = await open(a, 'device')
      await subscribe(device, 'many')
      await leave(device)
      await known([b], 'many')
      const sender = await open(b, 'sender', true)
      for (let at = 1; at <= 2500; at++) sender.publish({ topic: 'many', payload: String(at), qos: 1, messageId: at })
      for (let at = 1; at <= 2500; at++) await sender.next('puback')
      // Acknowledged is what is stored as an event; for waiting sessions it is kept a moment later.
      await publish(sender, 'many', 'last', 3000)
      await sender.ping()
      const back = await open(b, 'device')
      const got = await payloads(back, 2501)
      t.strictSame(got, [...Array.from({ length: 2500 }, (_, at) => String(at + 1)), 'last'])
    })

    await t.test('messages reach those who are connected to other pods, none is lost beside retained ones, in order', async (t) => {
      const [a, b] = await startPods(t, redis, 2)
      const near = await open(a, 'near')
      const far = await open(b, 'far')
      const clean = await open(b, 'clean', true)
      for (const client of [near, far, clean]) await subscribe(client, 'state/#')
      await known([a, b], 'state/x', 2)
      const sender = await open(a, 'sender', true)
      const sent: string[] = []
      for (let at = 1; at <= 200; at++) {
        sender.publish({ topic: 'state/x', payload: `r${at}`, qos: 1, messageId: 2 * at, retain: true })
        sender.publish({ topic: 'state/x', payload: `p${at}`, qos: 1, messageId: 2 * at + 1 })
        sent.push(`r${at}`, `p${at}`)
      }
      for (const client of [near, far, clean]) t.strictSame(await payloads(client, sent.length), sent)
    })

    await t.test('a message that two filters match comes once, to kept and to clean sessions', async (t) => {
      const [a, b] = await startPods(t, redis, 2)
      const kept = await open(b, 'kept')
      const clean = await open(b, 'clean', true)
      for (const client of [kept, clean]) {
        await subscribe(client, 'two/#')
        await subscribe(client, 'two/+')
      }
      while ((await a.shared.persistence.subscriptionsByTopic('two/x')).length === 0) await sleep(2)
      const sender = await open(a, 'sender', true)
      await publish(sender, 'two/x', 'first', 1)
      await publish(sender, 'two/x', 'second', 2)
      for (const client of [kept, clean]) {
        t.strictSame(await payloads(client, 2), ['first', 'second'])
        await client.ping()
        t.strictSame(client.idsOf('publish'), [])
      }
    })

    await t.test('QoS 2 to a client: its packet identifier and PUBREL are known at another pod', async (t) => {
      const [a, b] = await startPods(t, redis, 2)
      const device = await open(a, 'device')
      await subscribe(device, 'exactly', 2)
      await known([b], 'exactly')
      const sender = await open(b, 'sender', true)
      sender.publish({ topic: 'exactly', payload: 'one', qos: 2, messageId: 1 })
      await sender.next('pubrec')
      sender.publish({ topic: 'exactly', payload: 'two', qos: 2, messageId: 2 })
      await sender.next('pubrec')
      const [first, second] = [await device.next('publish'), await device.next('publish')]
      device.send({ cmd: 'pubrec', messageId: first.messageId! })
      await device.next('pubrel')
      device.abort()
      const back = await open(b, 'device')
      t.equal((await back.next('pubrel')).messageId, first.messageId, 'PUBREL has taken its place')
      const again = await back.next('publish')
      t.equal(again.messageId, second.messageId)
      t.equal(again.payload.toString(), 'two')
      back.send({ cmd: 'pubcomp', messageId: first.messageId! })
      back.send({ cmd: 'pubrec', messageId: second.messageId! })
      await back.next('pubrel')
      back.send({ cmd: 'pubcomp', messageId: second.messageId! })
      await back.ping()
      await leave(back)
      const last = await open(a, 'device')
      await last.ping()
      t.strictSame(last.received, [])
    })

    await t.test('QoS 2 from a client: a duplicate is known at another pod, until it is released', async (t) => {
      const [a, b] = await startPods(t, redis, 2)
      const device = await open(a, 'device')
      device.publish({ topic: 'x', payload: 'once', qos: 2, messageId: 7 })
      await device.next('pubrec')
      device.abort()
      const back = await open(b, 'device')
      back.publish({ topic: 'x', payload: 'once', qos: 2, messageId: 7, dup: true })
      await back.next('pubrec')
      t.equal(b.publishes.length, 0)
      back.send({ cmd: 'pubrel', messageId: 7 })
      await back.next('pubcomp')
      back.abort()
      const last = await open(a, 'device')
      last.publish({ topic: 'x', payload: 'another', qos: 2, messageId: 7 })
      await last.next('pubrec')
      t.equal(a.publishes.at(-1)?.payload.toString(), 'another')
    })

    await t.test('a connection at another pod takes over, kept or clean, and a clean one ends what was kept', async (t) => {
      const [a, b] = await startPods(t, redis, 2, { lifecycle: {} })
      for (const clean of [true, false]) {
        let device = await open(a, `device-${clean}`, clean)
        await subscribe(device, 'x')
        for (const pod of [b, a, b, a]) {
          const next = await open(pod, `device-${clean}`, clean)
          await device.closed
          await next.ping()
          device = next
        }
        await leave(device)
      }
      const kept = await open(a, 'kept')
      await subscribe(kept, 'x')
      const replaced = await open(b, 'kept', true)
      await kept.closed
      await replaced.ping()
      await leave(replaced)
      const last = await RawMqtt.dial(a.port)
      last.connect({ clientId: 'kept', clean: false })
      t.equal((await last.next('connack')).sessionPresent, false)
    })

    await t.test('a session of another user ends, also at another pod', async (t) => {
      const [a, b] = await startPods(t, redis, 2, {
        authenticate: async ({ clientId, username = '' }) => ({ kind: 'accepted', identity: { clientId, username, method: 'password' } })
      })
      const first = await RawMqtt.open(a.port, { clientId: 'device', clean: false, username: 'anna' })
      await subscribe(first, 'secret')
      await leave(first)
      await known([b], 'secret')
      await publish(await RawMqtt.open(b.port, { clientId: 'sender', username: 's' }), 'secret', 'for anna', 1)
      const other = await RawMqtt.dial(b.port)
      other.connect({ clientId: 'device', clean: false, username: 'bert' })
      t.equal((await other.next('connack')).sessionPresent, false)
      await other.ping()
      t.strictSame(other.received, [])
    })

    await t.test('a session that moves from pod to pod while messages come: none is lost, all are in order', async (t) => {
      const count = 300
      const pods = await startPods(t, redis, 3)
      let device = await open(pods[0], 'device')
      await subscribe(device, 'm/#')
      await known(pods, 'm/0')
      const senders = await Promise.all(pods.map(async (pod, at) => await open(pod, `sender-${at}`, true)))
      const sent = Promise.all(senders.map(async (sender, at) => {
        for (let number = 1; number <= count; number++) await publish(sender, `m/${at}`, `${at} ${number}`, number)
      }))
      const got = new Set<string>()
      for (let moves = 0; got.size < 3 * count; moves++) {
        const taken = device
        for (let some = 0; some < 60 && got.size < 3 * count; some++) {
          const packet = await taken.next('publish')
          got.add(packet.payload.toString())
          taken.send({ cmd: 'puback', messageId: packet.messageId! })
        }
        device = await open(pods[moves % 3]!, 'device')
        await taken.closed
      }
      await sent
      for (const at of [0, 1, 2]) {
        const numbers = [...got].filter((text) => text.startsWith(`${at} `)).map((text) => Number(text.slice(2)))
        t.strictSame(numbers, Array.from({ length: count }, (_, index) => index + 1))
      }
    })

    await t.test('retained messages are there at all pods: replaced, deleted, and found by what the filter says alone', async (t) => {
      const [a, b] = await startPods(t, redis, 2)
      const sender = await open(a, 'sender', true)
      const topics = ['a/b', 'a/*', 'a/[b]', 'a', 'ab', 'a/b/c', 'ä/b']
      for (const [at, topic] of topics.entries()) await publish(sender, topic, topic, at + 1, true)
      await publish(sender, 'a/b', 'new', 50, true)
      await publish(sender, 'a/b/c', '', 51, true)
      await publish(sender, 'zz', 'end', 52, true)
      // PUBACK comes before a message is retained.
      const isStored = async (): Promise<boolean> => {
        const found = await b.shared.persistence.createRetainedStream('zz').toArray()
        return found.length > 0
      }
      while (!await isStored()) await sleep(2)
      const found = async (filter: string, count: number): Promise<string[]> => {
        const client = await open(b, 'reader', true)
        await subscribe(client, filter)
        const messages: string[] = []
        while (messages.length < count) messages.push((await client.next('publish')).payload.toString())
        // Whatever there is beyond comes before this.
        await subscribe(client, 'zz')
        while (messages.at(-1) !== 'end') messages.push((await client.next('publish')).payload.toString())
        await leave(client)
        return messages.slice(0, -1).toSorted()
      }
      t.strictSame(await found('a/#', 4), ['a', 'a/*', 'a/[b]', 'new'])
      t.strictSame(await found('+/b', 2), ['new', 'ä/b'])
      t.strictSame(await found('a/*', 1), ['a/*'])
      t.strictSame(await found('a/[b]', 1), ['a/[b]'])
      t.strictSame(await found('a/b/c', 0), [])
    })
  })
}

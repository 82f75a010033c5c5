/** Life-cycle events keep their place where the events of publishes take a while to be made. */
import { test } from 'tap'
import { createSource } from '../../lib/index.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'

test('connected comes before what is published, disconnected after it and after the will, also with a transform', async (t) => {
  const sink = await startHttpSink(t)
  const source = createSource({
    env: {},
    settings: {
      listeners: [{ port: 0 }],
      outbox: { store: 'memory' },
      http: { port: 0 },
      sink: { url: sink.url, contentMode: 'structured' },
      events: {
        lifecycle: { events: ['connected', 'disconnected'] },
        transformTimeout: 'PT5S',
        rules: [{ topic: 'slow', transform: '{ "n": n, "sum": $sum([1..20000]) }' }]
      },
      log: { level: 'silent' }
    }
  })
  t.teardown(() => source.close())
  await source.start()
  const port = Number(source.addresses.listeners[0]!.address.split(':').at(-1))
  const publishes = (client: RawMqtt, qos: 0 | 1) => {
    for (let n = 1; n <= 3; n++) client.send({ cmd: 'publish', topic: 'slow', payload: `{"n":${n}}`, qos, messageId: n, dup: false, retain: false })
  }
  const wordsOf = (clientId: string) => sink.requests.flatMap((request) => {
    const { type, partitionkey } = request.event()
    if (partitionkey !== clientId) return []
    const data = JSON.parse(request.payload().toString()) as { n?: number, reason?: string }
    return [data.n === undefined ? `${type.split('.').at(-1)}${data.reason === undefined ? '' : ` ${data.reason}`}` : data.n]
  })
  const arrived = async (clientId: string, words: Array<string | number>) => {
    while (wordsOf(clientId).length < words.length) await sink.waitFor(sink.requests.length + 1)
    t.same(wordsOf(clientId), words)
  }

  for (const qos of [0, 1] as const) {
    const clientId = `clean-${qos}`
    const client = await RawMqtt.open(port, { clientId })
    publishes(client, qos)
    client.send({ cmd: 'disconnect' })
    await arrived(clientId, ['connected', 1, 2, 3, 'disconnected clean'])
  }
  const dying = await RawMqtt.open(port, {
    clientId: 'will', will: { topic: 'slow', payload: Buffer.from('{"n":9}'), qos: 1, retain: false }
  })
  dying.abort()
  await arrived('will', ['connected', 9, 'disconnected connection-lost'])

  const old = await RawMqtt.open(port, { clientId: 'taken' })
  publishes(old, 1)
  const next = await RawMqtt.open(port, { clientId: 'taken' })
  next.send({ cmd: 'disconnect' })
  // How much of the old session's was read before it ended is not said; its order is.
  while (wordsOf('taken').at(-1) !== 'disconnected clean') await sink.waitFor(sink.requests.length + 1)
  const words = wordsOf('taken')
  const read = words.filter((word) => typeof word === 'number')
  t.same(words, ['connected', ...read, 'disconnected takenover', 'connected', 'disconnected clean'])
  old.abort()
})

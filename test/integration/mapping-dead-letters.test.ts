/** What the mapping sets aside: told with its topic, kept on disk, and put back where somebody names it, as it is. */
import { connectAsync } from 'mqtt'
import { test } from 'tap'
import { createSource, readDeadLetters, requeueDeadLetters, type DeadLetter } from '../../lib/index.ts'
import { startHttpSink } from '../support/http-sink.ts'

test('dead letters of the mapping stay where they are, unless they are named', async (t) => {
  const sink = await startHttpSink(t)
  sink.answer = ({ body }) => ({ status: body.toString() === '{"v":3}' ? 400 : 202 })
  const settings = {
    dataDir: t.testdir(),
    listeners: [{ port: 0 }],
    http: { port: 0 },
    sink: { url: sink.url },
    events: { rules: [{ topic: 'a/{b}', source: '/hidden', subject: 'none', schema: { inline: { required: ['v'] } } }] },
    log: { level: 'silent' }
  }
  const start = async () => {
    const source = createSource({ env: {}, settings })
    t.teardown(() => source.close())
    await source.start()
    return source
  }
  const first = await start()
  const client = await connectAsync(`mqtt://${first.addresses.listeners[0]!.address}`, { clientId: 'pump', reconnectPeriod: 0 })
  await client.publishAsync('a/1', '{"w":1}', { qos: 1 })
  await client.publishAsync('a/2', '{"v":2}', { qos: 1 })
  await client.publishAsync('a/3', '{"v":3}', { qos: 1 })
  await client.endAsync()
  await sink.waitFor(2)
  await first.close()

  const lettersOf = async () => {
    const letters: DeadLetter[] = []
    await readDeadLetters(first.config, (letter) => { letters.push(letter) })
    return letters
  }
  t.match(await lettersOf(), [
    { sink: 'mapping', reason: 'schema', stored: { event: { handling: { aside: { topic: 'a/1', clientId: 'pump' } } } } },
    { sink: 'default', reason: 'answer' }
  ])
  t.same(await requeueDeadLetters(first.config), { done: 1, left: 1 })
  const [letter] = await lettersOf()
  t.same(await requeueDeadLetters(first.config, new Set([letter!.stored.sequence, 99])), { done: 1, left: 0 })
  sink.answer = { status: 202 }
  const second = await start()
  await sink.waitFor(4)
  t.same(sink.requests.slice(2).map(({ body }) => body.toString()), ['{"v":3}', '{"w":1}'])
  await second.close()
  t.same(await lettersOf(), [])
})

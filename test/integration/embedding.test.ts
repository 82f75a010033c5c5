/** The public API, as docs/embedding.md shows it and as a test can hold it. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connectAsync } from 'mqtt'
import { test } from 'tap'
import { createSource } from '../../lib/index.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { nodeCommand } from '../support/process.ts'

test('the example of docs/embedding.md runs as it stands', async (t) => {
  const page = readFileSync(new URL('../../docs/embedding.md', import.meta.url), 'utf8')
  const example = /```js\n([\s\S]+?)```/.exec(page)![1]!
  const directory = t.testdir({ 'example.mjs': example })
  const sink = await startHttpSink(t)
  const child = spawn(...nodeCommand(['example.mjs'], { SINK_URL: sink.url }), {
    cwd: directory, stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  const port = await new Promise<string>((resolve, reject) => {
    let output = ''
    child.once('exit', (code) => { reject(new Error(`it ended with ${code}`)) })
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      const found = /connect to 127\.0\.0\.1:(\d+)/.exec(output)?.[1]
      if (found !== undefined) resolve(found)
    })
  })
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 })
  await client.publishAsync('a', 'from the example', { qos: 1 })
  await client.endAsync()
  await sink.waitFor(1)
  t.equal(sink.requests[0]!.body.toString(), 'from the example')
  const exited = new Promise((resolve) => { child.once('exit', resolve) })
  child.kill('SIGTERM')
  t.equal(await exited, 0)
})

test('start and close can be called again, and a source does not start twice', async (t) => {
  const source = createSource({
    settings: {
      dataDir: `${t.testdir()}/data`, listeners: [{ port: 0 }], http: { port: 0 }, sink: { kind: 'http' }, log: { level: 'silent' }
    },
    env: {}
  })
  await Promise.all([source.start(), source.start()])
  t.match(source.addresses, { listeners: [{ protocol: 'mqtt', address: /^127\.0\.0\.1:\d+$/ }], http: /^127\.0\.0\.1:\d+$/ })
  t.equal(source.config.delivery.retry, 10)
  await Promise.all([source.close(), source.close()])
  await source.close()
  const unused = createSource({ settings: { http: { port: 0 }, log: { level: 'silent' } }, env: {} })
  await unused.close()
  await t.rejects(unused.start(), { code: 'MBS_ERR_SOURCE_CLOSED' })
})

test('a start that fails closes what it had opened', async (t) => {
  const dataDir = `${t.testdir()}/data`
  const settings = { dataDir, http: { port: 0 }, sink: { kind: 'http' }, log: { level: 'silent' } }
  const first = createSource({ settings: { ...settings, listeners: [{ port: 0 }] }, env: {} })
  t.teardown(() => first.close())
  await first.start()
  const port = Number(first.addresses.listeners[0]!.address.split(':').at(-1))
  const second = createSource({ settings: { ...settings, dataDir: `${dataDir}-2`, listeners: [{ port: 0 }, { port }] }, env: {} })
  await t.rejects(second.start(), { code: 'MBS_ERR_LISTENER_BIND' })
  await first.close()

  const third = createSource({ settings: { ...settings, dataDir: `${dataDir}-2`, listeners: [{ port }] }, env: {} })
  await third.start()
  await third.close()
})

test('settings that cannot be used are refused whole, with every mistake', async (t) => {
  t.throws(() => createSource({ settings: { nmae: 'x', delivery: { retry: -1 } }, env: {} }),
    { code: 'MBS_ERR_CONFIG_INVALID', message: /nmae[\s\S]*delivery\.retry/ })
})

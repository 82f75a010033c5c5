/** Knative's own event_display, the sink of every demo: what it prints of our events, which it reads by the Go SDK. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { connectAsync } from 'mqtt'
import { test } from 'tap'
import { missing, tool } from '../support/chart.ts'
import { startProgram } from '../support/process.ts'

/** It takes no other one. */
const PORT = 8080

test("Knative's event_display shows events in both content modes as valid", { skip: missing('event_display') }, async (t) => {
  const display = spawn(tool('event_display')!, { env: {}, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => display.kill('SIGKILL'))
  let printed = ''
  let complained = ''
  display.stdout.setEncoding('utf8').on('data', (text: string) => { printed += text })
  display.stderr.setEncoding('utf8').on('data', (text: string) => { complained += text })
  const ended = once(display, 'exit').then(() => { throw new Error(`event_display has ended: ${complained}`) })
  await Promise.race([listening(PORT), ended])

  const events = { rules: [{ topic: 'text/#', contentType: 'text/plain' }], overrides: { extensions: { site: 'north' } } }
  for (const contentMode of ['auto', 'structured']) {
    const program = await startProgram(t, {
      dataDir: `${t.testdir()}/data`,
      listeners: [{ port: 0 }],
      http: { port: 0 },
      sink: { url: `http://127.0.0.1:${PORT}/`, contentMode },
      events,
      log: { format: 'json' }
    })
    const client = await connectAsync(`mqtt://${program.address('mqtt')}`, { clientId: `pump ${contentMode}`, reconnectPeriod: 0 })
    await client.publishAsync('sensors/temperature', '{"celsius": 21.5}', { qos: 1 })
    await client.publishAsync('text/ü', 'grüß dich', { qos: 1, retain: true })
    await client.endAsync()
    const count = () => printed.split(`partitionkey: pump ${contentMode}`).length - 1
    while (count() < 2) await Promise.race([new Promise((resolve) => { setTimeout(resolve, 20) }), ended])
    t.equal(await program.stop(), 0)
  }
  ended.catch(() => {})
  const blocks = printed.split('☁️  cloudevents.Event\n').slice(1)
  t.equal(blocks.length, 4)
  for (const block of blocks) t.match(block, /^Context Attributes,\n {2}specversion: 1\.0\n {2}type: dev\.mqttbrokersource\.publish\n/)
  const readings = blocks.filter((block) => block.includes('subject: sensors/temperature'))
  for (const block of readings) {
    t.match(block, / {2}datacontenttype: application\/json\nExtensions,\n {2}mqttqos: 1\n {2}partitionkey: pump [^]*\n {2}site: north\nData,\n {2}\{\n {4}"celsius": 21\.5\n {2}\}\n/)
  }
  const greetings = blocks.filter((block) => block.includes('subject: text/ü'))
  for (const block of greetings) t.match(block, / {2}datacontenttype: text\/plain\n[^]*mqttretain: true[^]*Data,\n {2}grüß dich\n/)
  t.same([readings.length, greetings.length], [2, 2], 'no text is escaped')
})

/** Resolves when somebody takes connections there. */
async function listening (port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const taken = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => { resolve(true) }).once('error', () => { resolve(false) })
    })
    socket.destroy()
    if (taken) return
    await new Promise((resolve) => { setTimeout(resolve, 50) })
  }
}

/**
 * The disk runs full under the built program: nothing is acknowledged that is not stored, and when there is room again
 * it goes on by itself. On a file system of its own, in memory, which takes root to mount.
 */
import { rmSync, writeFileSync } from 'node:fs'
import { connect } from 'mqtt'
import { test } from 'tap'
import { startHttpSink } from '../support/http-sink.ts'
import { mountSmall } from '../support/outbox-files.ts'
import { startProgram } from '../support/process.ts'

const SIZE_MIB = 24

test('a full disk stops acknowledgements, and room on it brings them back', async (t) => {
  const disk = mountSmall(t, SIZE_MIB)
  if (disk === undefined) return
  const ballast = `${disk}/ballast`
  writeFileSync(ballast, Buffer.alloc((SIZE_MIB - 10) * 1024 * 1024, 1))
  const sink = await startHttpSink(t)
  const program = await startProgram(t, {
    dataDir: `${disk}/data`, listeners: [{ port: 0 }], http: { port: 0 }, log: { format: 'json' }, sink: { kind: 'http' }
  })

  const client = connect(`mqtt://127.0.0.1:${program.port('mqtt')}`, { clientId: 'd1', clean: false, reconnectPeriod: 200 })
  t.teardown(() => client.endAsync(true))
  client.on('error', () => {})
  const acknowledged = new Set<number>()
  const payload = (number: number): Buffer => Buffer.concat([Buffer.from(`${number} `), Buffer.alloc(100_000, 120)])
  const full = program.until(() => program.log.some(({ code }) => code === 'MBS_ERR_OUTBOX_WRITE')).then(() => 'full' as const)
  let number = 0
  for (let last = 'stored'; last === 'stored';) {
    const current = ++number
    const stored = client.publishAsync('a', payload(current), { qos: 1 }).then(() => {
      acknowledged.add(current)
      return 'stored' as const
    })
    last = await Promise.race([stored, full])
  }
  t.ok(acknowledged.size >= 20, `${acknowledged.size} had been acknowledged`)
  t.notOk(acknowledged.has(number), 'what could not be stored was not acknowledged')
  const ready = await fetch(`http://${program.address('http')}/readyz`)
  t.equal(ready.status, 503)
  t.match(await ready.text(), /MBS_ERR_OUTBOX_WRITE/)

  rmSync(ballast)
  await program.logged('the outbox stores again')
  await client.publishAsync('a', payload(++number), { qos: 1 })
  acknowledged.add(number)
  t.equal((await fetch(`http://${program.address('http')}/readyz`)).status, 200)
  await program.kill()

  const delivering = await startProgram(t, {
    dataDir: `${disk}/data`, listeners: [{ port: 0 }], http: { port: 0 }, log: { format: 'json' }, sink: { url: sink.url }
  })
  await sink.waitFor(acknowledged.size)
  const arrived = new Set(sink.requests.map(({ body }) => parseInt(body.toString('latin1', 0, 8))))
  t.strictSame([...acknowledged].filter((each) => !arrived.has(each)), [], 'everything acknowledged arrived')
  t.equal(await delivering.stop(), 0)
})

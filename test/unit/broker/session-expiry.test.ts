import { PassThrough } from 'node:stream'
import { test } from 'tap'
import type { Connection } from '../../../lib/broker/contract.ts'
import { endAt } from '../../../lib/broker/session-expiry.ts'

/** A stream is all of a connection that matters here. */
function connection (): Connection & { error: Promise<Error> } {
  const stream = new PassThrough()
  const error = new Promise<Error>((resolve) => { stream.once('error', resolve) })
  return Object.assign(stream, { error }) as unknown as Connection & { error: Promise<Error> }
}

test('a connection ends when its time has come, and not before', async (t) => {
  const it = connection()
  endAt(it, Date.now() + 50)
  t.equal(it.destroyed, false)
  t.match(await it.error, { code: 'MBS_ERR_ACCESS_EXPIRED' })
})

test('a time that has passed ends it at once', async (t) => {
  const it = connection()
  endAt(it, Date.now() - 1)
  t.match(await it.error, { code: 'MBS_ERR_ACCESS_EXPIRED' })
})

test('a time beyond what a timer can do is no time that has passed', async (t) => {
  for (const days of [24, 25, 50, 36_500]) {
    const it = connection()
    endAt(it, Date.now() + days * 86_400_000)
    await new Promise((resolve) => { setTimeout(resolve, 5) })
    t.equal(it.destroyed, false, `${days} days`)
    it.destroy()
  }
})

test('a connection that has closed leaves no timer behind', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const before = timers()
  const it = connection()
  endAt(it, Date.now() + 60_000)
  t.equal(timers(), before + 1)
  it.destroy()
  await new Promise((resolve) => { it.once('close', resolve) })
  t.ok(timers() <= before)
})

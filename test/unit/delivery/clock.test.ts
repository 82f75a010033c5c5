import { test } from 'tap'
import { sleep, systemClock } from '../../../lib/delivery/clock.ts'

void test('the clock of the machine tells monotonic and wall time, and fires timers once', async (t) => {
  const now = systemClock.now()
  t.ok(Math.abs(systemClock.wallNow() - Date.now()) < 1000)
  let fired = 0
  await new Promise<void>((resolve) => {
    const cancel = systemClock.setTimer(() => { fired++ }, 1)
    cancel()
    systemClock.setTimer(resolve, 5)
  })
  t.equal(fired, 0, 'unless it was ended')
  t.ok(systemClock.now() > now)
})

void test('sleep ends with its time, or as soon as the signal is aborted', async (t) => {
  await sleep(systemClock, 1, new AbortController().signal)
  await sleep(systemClock, 1e9, AbortSignal.abort())
  const controller = new AbortController()
  const sleeping = sleep(systemClock, 1e9, controller.signal)
  controller.abort()
  await sleeping
  t.pass('all resolved')
})

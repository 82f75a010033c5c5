import { test } from 'tap'
import { liveness, readiness, startup } from '../../../lib/admin/health.ts'
import { TestHealthState } from '../../support/health-state.ts'

test('ready means started, not shutting down and able to store', async (t) => {
  const state = new TestHealthState()
  t.strictSame(readiness(state), {
    status: 'ok',
    checks: { started: true, draining: false, outbox: state.stats, sinks: { default: 'up' } }
  })
})

test('readiness never depends on the sink', async (t) => {
  const state = new TestHealthState()
  for (const sink of ['up', 'down', 'recovering', 'none'] as const) {
    state.sinkHealth = sink
    t.match(readiness(state), { status: 'ok', checks: { sinks: { default: sink } } }, sink)
  }
})

test('an outbox that does not store is not ready, and the reason says which way', async (t) => {
  const state = new TestHealthState()
  const reasons = { full: /full.*MBS_ERR_OUTBOX_FULL/, failed: /cannot write.*MBS_ERR_OUTBOX_WRITE/, closed: /closed/ }
  for (const status of ['full', 'failed', 'closed'] as const) {
    state.setOutbox(status)
    t.match(readiness(state), { status: 'unavailable', reason: reasons[status], checks: { outbox: { status } } }, status)
  }
})

test('not ready while starting and from the beginning of the shutdown on', async (t) => {
  const state = new TestHealthState()
  state.isStarted = false
  state.setOutbox('closed')
  t.match(readiness(state), { status: 'unavailable', reason: /^starting/ }, 'starting explains a closed outbox')
  state.isStarted = true
  state.setOutbox('ready')
  state.isDraining = true
  t.match(readiness(state), { status: 'unavailable', reason: 'shutting down' })
  state.setOutbox('closed')
  t.match(readiness(state), { status: 'unavailable', reason: 'shutting down' }, 'so does shutting down')
})

test('started stays started, whatever happens later', async (t) => {
  const state = new TestHealthState()
  state.isStarted = false
  t.match(startup(state), { status: 'unavailable', reason: /^starting/, checks: { started: false } })
  state.isStarted = true
  state.isDraining = true
  state.setOutbox('failed')
  t.strictSame(startup(state), { status: 'ok', checks: { started: true } })
})

test('liveness depends on nothing but the event loop', async (t) => {
  t.strictSame(liveness(), { status: 'ok', checks: { eventLoop: 'ok' } })
})

import { test } from 'tap'
import { mock } from 'node:test'
import { ExpiryWatch } from '../../../lib/listener/expiry-watch.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

const DAY_MS = 86_400_000
const SOON = 'the certificate of this listener expires soon'
const EXPIRED = 'the certificate of this listener has expired'

test('a certificate is warned about once a day in its last two weeks, and then is an error', async (t) => {
  mock.timers.enable({ apis: ['setInterval', 'Date'], now: 0 })
  t.teardown(() => { mock.timers.reset() })
  const { telemetry, lines } = createTestTelemetry()
  const watch = new ExpiryWatch('mqtts://x', telemetry)
  watch.set({ certificate: 15.5 * DAY_MS, crl: undefined })
  const days: string[] = []
  for (let day = 0; day <= 17; day++) {
    days.push(lines.objects.map(({ level }) => level).join())
    lines.text = ''
    mock.timers.tick(DAY_MS)
  }
  t.strictSame(days, ['', '', ...Array<string>(14).fill('warn'), 'error', 'error'])
  watch.stop()
  lines.text = ''
  mock.timers.tick(3 * DAY_MS)
  t.equal(lines.text, '')
})

test('it looks at once, and a new certificate silences the old one', async (t) => {
  const now = Date.now()
  const { telemetry, lines } = createTestTelemetry()
  const watch = new ExpiryWatch('mqtts://x', telemetry)
  t.teardown(() => { watch.stop() })
  watch.set({ certificate: now + 13 * DAY_MS, crl: undefined })
  t.match(lines.of(SOON), [{ level: 'warn', listener: 'mqtts://x', expiresAt: new Date(now + 13 * DAY_MS).toISOString() }])
  watch.set({ certificate: now - 1, crl: undefined })
  t.match(lines.of(EXPIRED), [{ level: 'error' }])
  lines.text = ''
  watch.set({ certificate: now + 15 * DAY_MS, crl: now + DAY_MS })
  t.equal(lines.text, '')
})

test('a revocation list that has expired is an error: it shuts everyone out', async (t) => {
  const { telemetry, lines } = createTestTelemetry()
  const watch = new ExpiryWatch('mqtts://x', telemetry)
  t.teardown(() => { watch.stop() })
  watch.set({ certificate: Date.now() + 90 * DAY_MS, crl: Date.now() - 1 })
  t.match(lines.objects, [{ level: 'error', listener: 'mqtts://x', msg: /no client certificate is accepted/ }])
})

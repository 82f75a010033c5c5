import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { endReasonOf, reasonOfCode, type SessionRemains } from '../../../lib/broker/end-reason.ts'
import { createError, errorTable, type ErrorCode } from '../../../lib/errors.ts'

const sound: SessionRemains = { saidGoodbye: false, error: null, isGone: false, isClosing: false }
const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })

test('what is left of a session says why it ended', async (t) => {
  for (const [remains, reason] of [
    [{ saidGoodbye: true, isGone: true }, 'clean'],
    [{ error: reset, isGone: true }, 'connection-lost'],
    [{ error: new Error('connection closed') }, 'connection-lost'],
    [{ isGone: true }, 'connection-lost'],
    [{}, 'takenover'],
    [{ isClosing: true }, 'server-shutdown'],
    [{ saidGoodbye: true, isClosing: true }, 'clean'],
    [{ error: reset, isClosing: true, isGone: true }, 'connection-lost']
  ] as const) {
    t.strictSame(endReasonOf({ ...sound, ...remains }), { reason }, JSON.stringify(remains))
  }
})

test('an error of ours gives its code as well, and one of Aedes is an offence against the protocol', async (t) => {
  const of = (error: Error) => endReasonOf({ ...sound, error, isGone: true })
  t.strictSame(of(createError('MBS_ERR_GATE_KEEPALIVE')), { reason: 'keepalive', code: 'MBS_ERR_GATE_KEEPALIVE' })
  t.strictSame(of(createError('MBS_ERR_ACCESS_EXPIRED')), { reason: 'kicked', code: 'MBS_ERR_ACCESS_EXPIRED' })
  t.strictSame(of(new Error('Invalid header flag bits')), { reason: 'protocol-error', code: 'MBS_ERR_BROKER_PROTOCOL' })
})

test('docs/lifecycle.md lists the codes of each reason', async (t) => {
  const page = readFileSync(new URL('../../../docs/lifecycle.md', import.meta.url), 'utf8')
  const listed = page.split('\n').flatMap((line) => {
    const reason = /^\| `([a-z-]+)` \|/.exec(line)?.[1]
    return reason === undefined ? [] : (line.match(/MBS_ERR_[A-Z_]+[A-Z]/g) ?? []).map((code) => [code, reason] as const)
  })
  t.ok(listed.length > 10)
  for (const [code, reason] of listed) {
    t.ok(code in errorTable, code)
    t.equal(reasonOfCode(code as ErrorCode), reason, code)
  }
  const named = new Set(listed.map(([code]) => code))
  const others = (Object.keys(errorTable) as ErrorCode[]).filter((code) => reasonOfCode(code) !== 'kicked' && !named.has(code))
  t.strictSame(others, [])
})

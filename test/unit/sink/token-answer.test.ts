import { test } from 'tap'
import { readTokenAnswer } from '../../../lib/sink/token-answer.ts'

const read = (body: unknown, status = 200) =>
  readTokenAnswer(status, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
const good = { access_token: 'abc.def', token_type: 'Bearer', expires_in: 3600 }

test('an answer has a token and how long it is good for [RFC 6749 5.1]', async (t) => {
  t.same(read(good), { kind: 'token', token: 'abc.def', lifetimeMs: 3_600_000 })
  t.same(read({ ...good, token_type: 'bearer', expires_in: '120', more: {} }), { kind: 'token', token: 'abc.def', lifetimeMs: 120_000 })
  t.match(read({ access_token: 'a', token_type: 'bearer' }), { lifetimeMs: 300_000 }, 'five minutes where it does not say')
  t.match(read({ ...good, expires_in: 1e9 }), { lifetimeMs: 86_400_000 }, 'a day at most')
})

test('what cannot be used is a reason, which repeats nothing of it', async (t) => {
  for (const body of [
    'hunter2', '', '[]', '"hunter2"', 'null', {}, { ...good, access_token: '' }, { ...good, access_token: 'hunter2\r\nx: y' },
    { ...good, access_token: 'hunter2 hunter2' }, { ...good, access_token: ['hunter2'] }, { ...good, access_token: 'x'.repeat(16_385) },
    { ...good, token_type: 'mac' }, { ...good, token_type: undefined }, { ...good, expires_in: 0 }, { ...good, expires_in: -5 },
    { ...good, expires_in: 'soon hunter2' }, { ...good, expires_in: {} }, { ...good, expires_in: '1e99' }
  ]) {
    const answer = read(body)
    t.match(answer, { kind: 'answer', reason: String }, JSON.stringify(body)?.slice(0, 60))
    t.notMatch(JSON.stringify(answer), 'hunter2')
  }
})

test('another status than 200 is no token, and only the words of the specification are repeated', async (t) => {
  for (const status of [201, 204, 302, 400, 401, 500]) t.match(read(good, status), { kind: 'status', reason: `the answer has the status ${status}` })
  t.match(read({ error: 'invalid_client' }, 401), { reason: 'the answer has the status 401 (invalid_client)' })
  t.match(read({ error: 'hunter2', error_description: 'hunter2' }, 400), { reason: 'the answer has the status 400' })
})

import { test, type Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHttpMethod, MAX_ANSWER_BYTES, type HttpHookOptions } from '../../../lib/access/http-hook.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'
import { drip, flood, json, startAskedService, type AskedService } from '../../support/asked-service.ts'
import { parseMetrics, sampleOf } from '../../support/prometheus.ts'
import { credentials, never } from '../../support/tokens.ts'

const UNAVAILABLE = { kind: 'unavailable', reason: 'hook' }
const DENIED = { kind: 'refused', reason: 'denied' }
const device = credentials({ username: 'device-1', token: 'hunter2' })

async function startHook (t: Test, options: Partial<HttpHookOptions> = {}) {
  const service = await startAskedService(t)
  const { telemetry, lines } = createTestTelemetry('trace')
  const clock = { ms: 0 }
  const hook = createHttpMethod({
    url: `${service.url}authenticate`,
    timeoutMs: 5000,
    concurrency: 4,
    cacheMs: 0,
    cacheDeniedMs: 0,
    telemetry,
    monotonic: () => clock.ms,
    ...options
  })
  await hook.reload()
  const ask = async (given = device) => await hook.authenticate(given, never)
  const counted = async (outcome: string) =>
    sampleOf(parseMetrics(await telemetry.registry.metrics()), `mqtt_broker_source_auth_hook_requests_total{outcome="${outcome}"}`)
  return { service, hook, ask, clock, lines, counted }
}

test('the service is told all that the device shows, and nothing is made up', async (t) => {
  const { service, ask } = await startHook(t)
  service.answer = json({ result: 'allow', username: 'x' })
  const certificate = { cn: 'device-1', fingerprint: 'ab'.repeat(32), sans: [{ type: 'DNS', value: 'device-1.local' }] }
  await ask(credentials({ username: 'device-1', token: 'pässword', certificate }))
  await ask(credentials({ password: Buffer.from([0xff, 0x00]) }))
  await ask(credentials({ username: '', password: Buffer.alloc(0) }))
  const where = { clientId: 'client-1', address: '127.0.0.1', listener: 'mqtts 127.0.0.1:8883' }
  t.strictSame(service.questions.map(({ body }) => JSON.parse(body) as unknown), [
    { ...where, username: 'device-1', password: 'pässword', certificate },
    { ...where, passwordBase64: '/wA=' },
    { ...where, username: '', password: '' }
  ])
  t.match(service.questions[0], { method: 'POST', headers: { 'content-type': 'application/json' } })
})

test('a device that shows nothing is not asked about', async (t) => {
  const { service, ask } = await startHook(t)
  t.strictSame(await ask(credentials()), { kind: 'skipped' })
  t.equal(service.questions.length, 0)
})

test('allow lets in, under the name of the answer or of the device', async (t) => {
  const { service, ask, counted } = await startHook(t, { now: () => 1_000_000 })
  const claims = { site: 'a', roles: ['x'] }
  service.answer = json({ result: 'allow', username: 'registered-1', claims, expiresIn: 1.5, more: 1 })
  t.strictSame(await ask(), { kind: 'accepted', username: 'registered-1', claims, expiresAt: 1_001_500 })
  service.answer = json({ result: 'allow' })
  t.strictSame(await ask(), { kind: 'accepted', username: 'device-1' })
  service.answer = (response) => { response.writeHead(204).end() }
  t.strictSame(await ask(), { kind: 'accepted', username: 'device-1' })
  t.equal(await counted('allow'), 3)
})

test('a name that nobody gave is not made up, and one that cannot be used lets nobody in', async (t) => {
  const { service, ask } = await startHook(t)
  service.answer = (response) => { response.writeHead(204).end() }
  t.strictSame(await ask(credentials({ token: 'a' })), UNAVAILABLE)
  t.strictSame(await ask(credentials({ username: '' })), DENIED)
  t.strictSame(await ask(credentials({ username: 'a\nb' })), DENIED)
})

test('deny refuses, ignore leaves it to others', async (t) => {
  const { service, ask, counted } = await startHook(t)
  service.answer = json({ result: 'deny' })
  t.strictSame(await ask(), DENIED)
  for (const status of [401, 403]) {
    service.answer = json({ result: 'allow' }, status)
    t.strictSame(await ask(), DENIED, `${status}, whatever the body says`)
  }
  service.answer = json({ result: 'ignore' })
  t.strictSame(await ask(), { kind: 'skipped' })
  t.equal(await counted('deny'), 3)
  t.equal(await counted('ignore'), 1)
})

const failures: Record<string, AskedService['answer']> = {
  'an error': json({ result: 'allow' }, 500),
  'another success': json({ result: 'allow' }, 201),
  'a client error': json({ result: 'allow' }, 404),
  'a redirect': (response) => { response.writeHead(307, { location: '/elsewhere' }).end() },
  'no body': (response) => { response.writeHead(200).end() },
  'no JSON': (response) => { response.end('allow') },
  'JSON that is not UTF-8': (response) => { response.end(Buffer.from('{"result":"allow","username":"\xff"}', 'latin1')) },
  'a list': json(['allow']),
  null: json(null),
  'no result': json({}),
  'a result that is true': json({ result: true }),
  'another case': json({ result: 'Allow' }),
  'a username that is a number': json({ result: 'allow', username: 5 }),
  'an empty username': json({ result: 'allow', username: '' }),
  'a username with a line break': json({ result: 'allow', username: 'a\nb' }),
  'claims that are a list': json({ result: 'allow', claims: [] }),
  'claims beyond their bounds': json({ result: 'allow', claims: { a: 'x'.repeat(9000) } }),
  'a session that is over': json({ result: 'allow', expiresIn: 0 }),
  'a session without end': (response) => { response.end('{"result":"allow","expiresIn":1e999}') },
  'a time that is a text': json({ result: 'allow', expiresIn: '60' }),
  'a body that is too large': json({ result: 'allow', more: 'x'.repeat(MAX_ANSWER_BYTES) }),
  'a broken socket': (response) => { response.socket?.destroy() },
  'an answer that breaks off': (response) => {
    response.writeHead(200, { 'content-length': '1000' }).write('{"result":"allow"}', () => { response.socket?.destroy() })
  }
}

for (const [name, answer] of Object.entries(failures)) {
  test(`it fails closed: ${name}`, async (t) => {
    const { service, ask, lines } = await startHook(t, { cacheMs: 60_000, cacheDeniedMs: 60_000 })
    service.answer = answer
    t.strictSame(await ask(), UNAVAILABLE)
    t.equal(service.questions.length, 1, 'no redirect is followed, nothing is tried again')
    t.match(lines.objects, [{ level: 'error', code: 'MBS_ERR_ACCESS_HOOK' }])
    service.answer = json({ result: 'allow' })
    t.match(await ask(), { kind: 'accepted' }, 'a failure is not remembered')
  })
}

test('it fails closed: nothing listens', async (t) => {
  const { service, ask, counted } = await startHook(t)
  await service.stop()
  t.strictSame(await ask(), UNAVAILABLE)
  t.equal(await counted('network'), 1)
})

test('it fails closed: the answer does not come, or drips, within the timeout', async (t) => {
  const { service, ask, counted } = await startHook(t, { timeoutMs: 200 })
  const since = performance.now()
  service.answer = () => {}
  t.strictSame(await ask(), UNAVAILABLE)
  service.answer = drip
  t.strictSame(await ask(), UNAVAILABLE)
  t.equal(await counted('timeout'), 2)
  t.ok(performance.now() - since < 2000)
})

test('of an answer without end little more is read than is allowed', async (t) => {
  const { service, ask, counted } = await startHook(t)
  const sent = { bytes: 0 }
  service.answer = flood(sent)
  t.strictSame(await ask(), UNAVAILABLE)
  t.equal(await counted('too-large'), 1)
  t.ok(sent.bytes < 64 * 1024 ** 2, `${sent.bytes} bytes were sent`)
})

test('who no longer waits is let go, and its request is given up', async (t) => {
  const { service, hook, lines } = await startHook(t)
  const closed = new Promise<void>((resolve) => { service.answer = (response) => { response.on('close', resolve) } })
  const controller = new AbortController()
  const gone = hook.authenticate(device, controller.signal)
  await service.asked(1)
  controller.abort()
  t.strictSame(await gone, UNAVAILABLE)
  await closed
  t.strictSame(await hook.authenticate(device, controller.signal), UNAVAILABLE)
  t.equal(service.questions.length, 1)
  t.strictSame(lines.objects, [], 'which says nothing of the hook')
})

test('no more requests at a time than are allowed; the others wait, in turn, and not longer than the timeout', async (t) => {
  const options = { concurrency: 2, timeoutMs: 2000, monotonic: () => performance.now() }
  const { service, ask, counted } = await startHook(t, options)
  const open: (() => void)[] = []
  const allow = json({ result: 'allow' })
  service.answer = (response, question, index) => { open.push(() => { allow(response, question, index) }) }
  const answers = ['a', 'b', 'c', 'd'].map((username) => ask(credentials({ username })))
  await service.asked(2)
  t.equal(service.questions.length, 2)
  open[0]!()
  await service.asked(3)
  t.match(service.questions[2]?.body, '"username":"c"')
  t.equal(service.questions.length, 3)
  t.match(await answers[0], { kind: 'accepted', username: 'a' })
  t.strictSame(await Promise.all(answers.slice(1)), [UNAVAILABLE, UNAVAILABLE, UNAVAILABLE])
  t.ok(service.questions.length <= 4)
  t.ok((await counted('busy') ?? 0) + (await counted('timeout') ?? 0) === 3)
})

test('so many devices wait, and no more', async (t) => {
  const { service, ask, counted } = await startHook(t, { concurrency: 1 })
  let answer = () => {}
  service.answer = (response, question, index) => {
    if (index > 0) json({ result: 'allow' })(response, question, index)
    else answer = () => { json({ result: 'allow' })(response, question, index) }
  }
  const answers = Array.from({ length: 100 }, (_, at) => ask(credentials({ username: `u-${at}` })))
  await service.asked(1)
  t.strictSame(await answers[99], UNAVAILABLE)
  answer()
  const kinds = (await Promise.all(answers)).map(({ kind }) => kind)
  t.equal(kinds.filter((kind) => kind === 'accepted').length, 65)
  t.equal(await counted('busy'), 35)
})

test('an answer is remembered for the time that is configured, a denial for its own', async (t) => {
  const { service, ask, clock } = await startHook(t, { cacheMs: 60_000, cacheDeniedMs: 5000 })
  service.answer = json({ result: 'allow' })
  const first = await ask()
  clock.ms = 59_999
  t.strictSame(await ask(), first)
  t.equal(service.questions.length, 1)
  clock.ms = 60_000
  service.answer = json({ result: 'deny' })
  t.strictSame(await ask(), DENIED)
  clock.ms = 64_999
  t.strictSame(await ask(), DENIED)
  t.equal(service.questions.length, 2)
  clock.ms = 65_000
  service.answer = json({ result: 'ignore' })
  t.strictSame(await ask(), { kind: 'skipped' })
  clock.ms = 69_999
  t.strictSame(await ask(), { kind: 'skipped' })
  t.equal(service.questions.length, 3)
})

test('an answer is remembered for the very same question alone', async (t) => {
  const { service, ask } = await startHook(t, { cacheMs: 60_000, cacheDeniedMs: 60_000 })
  service.answer = json({ result: 'allow', username: 'x' })
  const certificate = { cn: 'a', fingerprint: 'ab'.repeat(32), sans: [] }
  const others = [
    { username: 'device-1', token: 'hunter3' }, { username: 'device-2', token: 'hunter2' }, { username: 'device-1' }, { token: 'hunter2' },
    { username: 'device-1hunter2', token: '' }, { username: 'device-1', token: 'hunter2', clientId: 'client-2' },
    { username: 'device-1', token: 'hunter2', address: '127.0.0.2' }, { username: 'device-1', token: 'hunter2', listener: 'mqtt' },
    { username: 'device-1', token: 'hunter2', certificate }, { username: 'device-1', token: 'hunter2', certificate: { ...certificate, cn: 'b' } },
    { username: 'device-1', password: Buffer.from([0xff]) }, { username: 'device-1', password: Buffer.from('/w==') }
  ]
  await ask()
  for (const other of others) await ask(credentials(other))
  t.equal(service.questions.length, 1 + others.length)
  for (const other of others) await ask(credentials(other))
  t.equal(service.questions.length, 1 + others.length)
})

test('an answer is not remembered beyond the end that it set, nor that end moved', async (t) => {
  let now = 0
  const { service, ask } = await startHook(t, { cacheMs: 60_000, now: () => now })
  service.answer = json({ result: 'allow', expiresIn: 10 })
  t.match(await ask(), { expiresAt: 10_000 })
  now = 9999
  t.match(await ask(), { expiresAt: 10_000 })
  t.equal(service.questions.length, 1)
  now = 10_000
  t.match(await ask(), { expiresAt: 20_000 })
  t.equal(service.questions.length, 2)
})

test('reload forgets what was remembered', async (t) => {
  const { service, ask, hook } = await startHook(t, { cacheMs: 60_000, cacheDeniedMs: 60_000 })
  service.answer = json({ result: 'allow' })
  await ask()
  await hook.reload()
  service.answer = json({ result: 'deny' })
  t.strictSame(await ask(), DENIED)
})

test('the bearer token is read at reload; where that fails, the old one stays', async (t) => {
  const tokenFile = join(t.testdir(), 'token')
  writeFileSync(tokenFile, 'bearer-1\n')
  const { service, ask, hook } = await startHook(t, { tokenFile })
  t.strictSame(hook.files, [tokenFile])
  service.answer = json({ result: 'allow' })
  await ask()
  for (const broken of ['', 'two\nhunter2', 'hunter2\u0000', 'hunter2 and spaces', 'hunter2ü', 'x'.repeat(8193)]) {
    writeFileSync(tokenFile, broken)
    const error = await hook.reload().then(() => undefined, (thrown: unknown) => thrown)
    t.match(error, { code: 'MBS_ERR_ACCESS_HOOK' })
    t.notMatch(String(error) + JSON.stringify(error), 'hunter2')
  }
  await ask()
  writeFileSync(tokenFile, 'bearer-2')
  await hook.reload()
  await ask()
  t.strictSame(service.questions.map(({ headers }) => headers.authorization), ['Bearer bearer-1', 'Bearer bearer-1', 'Bearer bearer-2'])
})

test('before its first reload it lets nobody in', async (t) => {
  const { telemetry } = createTestTelemetry()
  const hook = createHttpMethod({
    url: 'http://127.0.0.1:1/', timeoutMs: 100, concurrency: 1, cacheMs: 0, cacheDeniedMs: 0, telemetry
  })
  t.strictSame(await hook.authenticate(device, never), UNAVAILABLE)
})

test('no password, bearer token or answer is in the log or in a metric', async (t) => {
  const tokenFile = join(t.testdir(), 'token')
  writeFileSync(tokenFile, 'bearer-secret')
  const service = await startAskedService(t)
  const { telemetry, lines } = createTestTelemetry('trace')
  const options = { timeoutMs: 200, concurrency: 1, cacheMs: 1000, cacheDeniedMs: 1000, telemetry, tokenFile }
  const hook = createHttpMethod({ ...options, url: `${service.url}?query-secret` })
  await hook.reload()
  const answers = [...Object.values(failures), drip, json({ result: 'deny' }), json({ result: 'allow', claims: { a: 'claim-secret' } })]
  for (const [at, answer] of answers.entries()) {
    service.answer = answer
    await hook.authenticate(credentials({ username: `u-${at}`, token: 'password-secret' }), never)
  }
  service.answer = (response) => { response.end('answer-secret') }
  await hook.authenticate(credentials({ username: 'x', token: 'password-secret' }), never)
  t.ok(lines.objects.length > 3)
  t.notMatch(lines.text + await telemetry.registry.metrics(), /secret/)
})

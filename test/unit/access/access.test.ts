import { test } from 'tap'
import { createAccess, noSignal, secret, shown, userWith } from '../../support/access.ts'
import { parseMetrics, sampleOf } from '../../support/prometheus.ts'
import type { PeerCertificate } from '../../../lib/message.ts'

const certificate: PeerCertificate = {
  cn: 'sensor-1',
  sans: [{ type: 'DNS', value: 'one' }, { type: 'URI', value: 'urn:dev:1' }, { type: 'URI', value: 'urn:dev:2' }, { type: 'email', value: 'a@b' }],
  fingerprint: 'ab'.repeat(32)
}

test('a user with its password is itself, and nobody else is', async (t) => {
  const { whoIs } = await createAccess({ users: [await userWith('alice', 'wonderland'), await userWith('__proto__', 'x')] })
  t.strictSame(await whoIs(secret('alice', 'wonderland')), { clientId: 'device', method: 'password', username: 'alice' })
  t.match(await whoIs(secret('__proto__', 'x')), { username: '__proto__' })
  for (const wrong of [
    secret('alice', 'Wonderland'), secret('alice', ''), { username: 'alice' }, secret('Alice', 'wonderland'), secret('bob', 'wonderland'),
    secret('', ''), secret('constructor', 'x'), secret('alice\0', 'wonderland'), secret('x'.repeat(65_535), 'y'.repeat(65_535))
  ]) {
    const { whoIs } = await createAccess({ users: [await userWith('alice', 'wonderland')] })
    t.equal(await whoIs(wrong), 'MBS_ERR_ACCESS_CREDENTIALS', JSON.stringify(wrong).slice(0, 50))
  }
  t.equal(await whoIs({}), 'MBS_ERR_ACCESS_DENIED', 'nothing shown')
})

test('a hash of the empty password lets nobody in', async (t) => {
  const { whoIs } = await createAccess({ users: [await userWith('alice', '')] })
  t.equal(await whoIs(secret('alice', '')), 'MBS_ERR_ACCESS_CREDENTIALS')
  t.equal(await whoIs({ username: 'alice' }), 'MBS_ERR_ACCESS_CREDENTIALS')
})

test('nothing shown is anonymous where the listener allows it; wrong credentials are refused there, too', async (t) => {
  const { whoIs } = await createAccess({ users: [await userWith('alice', 'wonderland')] })
  t.strictSame(await whoIs({ anonymous: true }), { clientId: 'device', method: 'anonymous' })
  t.equal(await whoIs({ anonymous: true, ...secret('alice', 'no') }), 'MBS_ERR_ACCESS_CREDENTIALS')
  t.match(await whoIs({ anonymous: true, ...secret('alice', 'wonderland') }), { username: 'alice' })
})

test('where nothing could check it, a user name says nothing', async (t) => {
  const { whoIs } = await createAccess()
  t.strictSame(await whoIs({ anonymous: true, ...secret('alice', 'x') }), { clientId: 'device', method: 'anonymous' })
  t.equal(await whoIs(secret('alice', 'x')), 'MBS_ERR_ACCESS_CREDENTIALS')
})

test('a certificate says who a device is, before user name and password', async (t) => {
  const who = async (certificates: object, fields = {}) => {
    const { whoIs } = await createAccess({ settings: { certificates }, users: [await userWith('alice', 'wonderland')] })
    return await whoIs({ certificate, ...fields })
  }
  t.match(await who({ identity: 'cn' }), { method: 'certificate', username: 'sensor-1', certificate })
  t.match(await who({ identity: 'san', san: 'URI' }), { username: 'urn:dev:1' })
  t.match(await who({ identity: 'san', san: 'DNS' }), { username: 'one' })
  t.match(await who({ identity: 'san', san: 'email' }), { username: 'a@b' })
  t.match(await who({ identity: 'fingerprint' }), { username: 'ab'.repeat(32) })
  t.match(await who({ identity: 'cn' }, secret('alice', 'no')), { method: 'certificate', username: 'sensor-1' })
  t.match(await who({ identity: 'cn' }, { certificate: undefined, ...secret('alice', 'wonderland') }), { method: 'password' })
})

test('a certificate without the name that is asked for is refused, anonymous listener or not', async (t) => {
  for (const certificates of [{ identity: 'cn' }, { identity: 'san', san: 'URI' }]) {
    const { whoIs, lines } = await createAccess({ settings: { certificates } })
    const nameless = { sans: [{ type: 'DNS', value: 'one' }], fingerprint: 'ab'.repeat(32) }
    t.equal(await whoIs({ certificate: nameless, anonymous: true }), 'MBS_ERR_ACCESS_DENIED')
    t.match(lines.objects.at(-1), { reason: 'certificate' })
  }
  const { whoIs } = await createAccess({ settings: { certificates: {} } })
  for (const cn of ['', 'a\0b', 'a\nb']) t.equal(await whoIs({ certificate: { ...certificate, cn } }), 'MBS_ERR_ACCESS_DENIED', JSON.stringify(cn))
})

test('a certificate that is not to say who a device is only goes along', async (t) => {
  const { whoIs } = await createAccess({ users: [await userWith('alice', 'wonderland')] })
  t.match(await whoIs({ certificate, ...secret('alice', 'wonderland') }), { method: 'password', username: 'alice', certificate })
  t.equal(await whoIs({ certificate }), 'MBS_ERR_ACCESS_DENIED')
})

test('a user takes only the client identifiers that are its own', async (t) => {
  const users = [await userWith('alice', 'a'), await userWith('bob', 'b', { clientId: { parts: ['gateway-'], open: true } })]
  const { whoIs } = await createAccess({ settings: { clientId: '{username}', certificates: {} }, users })
  t.match(await whoIs({ clientId: 'alice', ...secret('alice', 'a') }), { username: 'alice' })
  for (const clientId of ['bob', 'alice2', 'Alice', 'auto-1']) t.equal(await whoIs({ clientId, ...secret('alice', 'a') }), 'MBS_ERR_ACCESS_CLIENT_ID', clientId)
  t.match(await whoIs({ clientId: 'gateway-7', ...secret('bob', 'b') }), { username: 'bob' })
  t.equal(await whoIs({ clientId: 'bob', ...secret('bob', 'b') }), 'MBS_ERR_ACCESS_CLIENT_ID', 'its own pattern goes before')
  t.match(await whoIs({ clientId: 'sensor-1', certificate }), { username: 'sensor-1' })
  t.equal(await whoIs({ clientId: 'alice', certificate }), 'MBS_ERR_ACCESS_CLIENT_ID')
})

test('what passes by itself has no CONNACK, what does not has one', async (t) => {
  const { access } = await createAccess({ users: [await userWith('alice', 'a')], settings: { attempts: { perUser: 1 } } })
  const error = async (fields: object) => {
    const outcome = await access.authenticate(shown(fields), noSignal)
    return outcome.kind === 'refused' ? outcome.error : undefined
  }
  t.match(await error(secret('alice', 'x')), { code: 'MBS_ERR_ACCESS_CREDENTIALS', connack: 4 })
  t.match(await error(secret('alice', 'a')), { code: 'MBS_ERR_ACCESS_ATTEMPTS', connack: undefined, retryable: true })
  t.match(await error({}), { code: 'MBS_ERR_ACCESS_DENIED', connack: 5 })
})

test('refusals are counted by reason and logged once, without secrets', async (t) => {
  const { whoIs, telemetry, lines } = await createAccess({ users: [await userWith('alice', 'hush-hush')] })
  await whoIs(secret('alice', 'not-hush'))
  await whoIs(secret('alice', 'not-hush'))
  await whoIs(secret('typed-my-password-here', 'hush-hush'))
  await whoIs({})
  await whoIs(secret('alice', 'hush-hush'))
  const metrics = await telemetry.registry.metrics()
  const families = parseMetrics(metrics)
  const refused = (reason: string) => sampleOf(families, `mqtt_broker_source_authentications_refused_total{reason="${reason}"}`)
  t.strictSame(['wrong-password', 'unknown-user', 'missing'].map(refused), [2, 1, 1])
  t.equal(sampleOf(families, 'mqtt_broker_source_authentications_total{method="password"}'), 1)
  t.equal(sampleOf(families, 'mqtt_broker_source_connection_errors_total{code="MBS_ERR_ACCESS_CREDENTIALS"}'), 3)
  t.equal(lines.objects.filter(({ reason }) => reason === 'wrong-password').length, 1)
  t.match(lines.objects.find(({ reason }) => reason === 'wrong-password'), { username: 'alice', clientId: 'device', address: '10.0.0.1' })
  t.notMatch(lines.text + metrics, /hush|typed-my|scrypt/)
})

test('users of a reload count at once, and what was proven before it is proven anew', async (t) => {
  const { reload, file, whoIs } = await createAccess({ users: [await userWith('alice', 'old')] })
  t.match(await whoIs(secret('alice', 'old')), { username: 'alice' })
  file.users = [await userWith('alice', 'new')]
  await reload()
  t.equal(await whoIs(secret('alice', 'old')), 'MBS_ERR_ACCESS_CREDENTIALS')
  t.match(await whoIs(secret('alice', 'new')), { username: 'alice' })
  file.users = []
  await reload()
  t.equal(await whoIs(secret('alice', 'new')), 'MBS_ERR_ACCESS_CREDENTIALS')
})

test('an unknown user takes as long as a wrong password', async (t) => {
  const cost = { ln: 13, r: 8, p: 1 }
  const settings = { attempts: { perUser: 10_000, perAddress: 10_000 } }
  const { whoIs } = await createAccess({ settings, users: [await userWith('alice', 'a', {}, cost)] })
  const timeOf = async (username: string): Promise<number> => {
    const begun = performance.now()
    await whoIs(secret(username, 'wrong'))
    return performance.now() - begun
  }
  const [known, unknown]: [number[], number[]] = [[], []]
  for (let round = 0; round < 25; round++) {
    known.push(await timeOf('alice'))
    unknown.push(await timeOf('mallory'))
  }
  const median = (times: number[]) => times.sort((a, b) => a - b)[12]!
  const ratio = median(known) / median(unknown)
  t.ok(ratio > 0.6 && ratio < 1.6, `${median(known)} ms known, ${median(unknown)} ms unknown`)
})

test('a thousand wrong logins at once keep neither an honest device elsewhere nor one that was here before waiting', async (t) => {
  const { whoIs } = await createAccess({
    users: [await userWith('alice', 'a', {}, { ln: 13, r: 8, p: 1 }), await userWith('bob', 'b', {}, { ln: 13, r: 8, p: 1 })]
  })
  await whoIs({ ...secret('bob', 'b'), address: '10.6.6.6' })
  const flood = Array.from({ length: 1000 }, async (_, at) => await whoIs({ ...secret(`guess-${at}`, 'x'), address: '10.6.6.6' }))
  await new Promise(setImmediate)
  const begun = performance.now()
  t.match(await whoIs({ ...secret('bob', 'b'), address: '10.6.6.6' }), { username: 'bob' }, 'behind the same address')
  const knownMs = performance.now() - begun
  t.match(await whoIs({ ...secret('alice', 'a'), address: '10.0.0.7' }), { username: 'alice' })
  const aliceMs = performance.now() - begun
  t.ok(knownMs < 500, `${knownMs} ms`)
  t.ok(aliceMs < 1500, `${aliceMs} ms`)
  const outcomes = await Promise.all(flood)
  const checked = outcomes.filter((code) => code === 'MBS_ERR_ACCESS_CREDENTIALS').length
  t.ok(checked >= 1 && checked <= 60, `${checked} of 1000 were looked at`)
})

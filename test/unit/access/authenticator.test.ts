import { test } from 'tap'
import { Attempts } from '../../../lib/access/attempts.ts'
import { Authenticator } from '../../../lib/access/authenticator.ts'
import type { AuthenticationMethod, MethodResult } from '../../../lib/access/method.ts'
import type { AuthMethod } from '../../../lib/message.ts'
import { secret, shown } from '../../support/access.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

type Answer = MethodResult | (() => Promise<MethodResult>)

/** A method that answers what the test says, and counts how often it was asked. */
function method (name: AuthMethod, answer: Answer): AuthenticationMethod & { asked: number } {
  const made = {
    method: name,
    asked: 0,
    async authenticate () {
      made.asked++
      return typeof answer === 'function' ? await answer() : answer
    }
  }
  return made
}

function create (methods: readonly AuthenticationMethod[], timeoutMs = 10_000) {
  const { telemetry, lines } = createTestTelemetry()
  const authenticator = new Authenticator({
    methods,
    attempts: new Attempts({ perUser: 2, perAddress: 100, backoffMs: 60_000, backoffMaxMs: 60_000 }),
    clientIdsOf: () => undefined,
    timeoutMs,
    telemetry
  })
  const whoIs = async (fields: object = secret('a', 'b'), signal = new AbortController().signal) => {
    const outcome = await authenticator.authenticate(shown(fields), signal)
    return outcome.kind === 'accepted' ? outcome.identity : outcome.error.code
  }
  return { whoIs, lines }
}

const skipped = { kind: 'skipped' } as const
const accepted = { kind: 'accepted', username: 'a' } as const
const refused = { kind: 'refused', reason: 'token-invalid' } as const
const never = async () => await new Promise<MethodResult>(() => {})

test('methods are asked in turn until one knows', async (t) => {
  const [one, two, three] = [method('certificate', skipped), method('jwt', accepted), method('password', accepted)]
  t.match(await create([one, two, three]).whoIs(), { method: 'jwt', username: 'a' })
  t.strictSame([one.asked, two.asked, three.asked], [1, 1, 0])
  const last = method('password', accepted)
  t.equal(await create([method('jwt', refused), last]).whoIs(), 'MBS_ERR_ACCESS_CREDENTIALS')
  t.equal(last.asked, 0, 'wrong is wrong')
  t.equal(await create([method('http', { kind: 'unavailable', reason: 'down' }), last]).whoIs(), 'MBS_ERR_ACCESS_UNAVAILABLE')
  t.equal(last.asked, 0)
})

test('a refusal has the error of its reason', async (t) => {
  for (const [reason, code] of [
    ['unknown-user', 'MBS_ERR_ACCESS_CREDENTIALS'], ['wrong-password', 'MBS_ERR_ACCESS_CREDENTIALS'], ['token-invalid', 'MBS_ERR_ACCESS_CREDENTIALS'],
    ['token-expired', 'MBS_ERR_ACCESS_CREDENTIALS'], ['certificate', 'MBS_ERR_ACCESS_DENIED'], ['denied', 'MBS_ERR_ACCESS_DENIED'], ['missing', 'MBS_ERR_ACCESS_DENIED']
  ] as const) t.equal(await create([method('http', { kind: 'refused', reason })]).whoIs(), code, reason)
})

test('claims and the end of a token go into the identity; one that has ended lets nobody in', async (t) => {
  const expiresAt = Date.now() + 60_000
  const identity = await create([method('jwt', { ...accepted, claims: { site: 'x' }, expiresAt })]).whoIs()
  t.strictSame(identity, { clientId: 'device', method: 'jwt', username: 'a', claims: { site: 'x' }, expiresAt })
  t.ok(Object.isFrozen(identity))
  t.equal(await create([method('jwt', { ...accepted, expiresAt: Date.now() - 1 })]).whoIs(), 'MBS_ERR_ACCESS_CREDENTIALS')
})

test('a name that a method found and that nobody can have lets nobody in', async (t) => {
  for (const username of ['', 'a\0b', 'a\nb', '\ufffd', 'x'.repeat(1025)]) {
    t.equal(await create([method('jwt', { ...accepted, username })]).whoIs(), 'MBS_ERR_ACCESS_DENIED', JSON.stringify(username.slice(0, 9)))
  }
})

test('a method that never answers holds nobody longer than allowed', async (t) => {
  t.equal(await create([method('http', never)], 50).whoIs(), 'MBS_ERR_ACCESS_UNAVAILABLE')
})

test('a device that has gone is not waited for', async (t) => {
  const controller = new AbortController()
  const outcome = create([method('http', never)]).whoIs(secret('a', 'b'), controller.signal)
  controller.abort()
  t.equal(await outcome, 'MBS_ERR_ACCESS_UNAVAILABLE')
  t.equal(await create([method('http', never)]).whoIs(secret('a', 'b'), controller.signal), 'MBS_ERR_ACCESS_UNAVAILABLE')
})

test('a method that throws lets nobody in, and is an error in the log', async (t) => {
  for (const broken of [async () => { throw new Error('a defect') }, () => { throw new Error('a defect') }]) {
    const { whoIs, lines } = create([method('http', broken as () => Promise<MethodResult>)])
    t.equal(await whoIs({ ...secret('a', 'b'), anonymous: true }), 'MBS_ERR_ACCESS_UNAVAILABLE')
    t.match(lines.objects[0], { level: 'error', err: { message: 'a defect' } })
  }
})

test('guesses count against a user, what says nothing of its credentials does not', async (t) => {
  const answers: MethodResult[] = []
  const { whoIs } = create([method('jwt', async () => answers.shift() ?? accepted)])
  for (const harmless of [
    { kind: 'unavailable', reason: 'x' }, { kind: 'refused', reason: 'token-expired' }, { kind: 'refused', reason: 'missing' }
  ] as const) {
    answers.push(harmless)
    await whoIs({ ...secret('a', 'b'), anonymous: true })
  }
  answers.push(refused, refused)
  t.equal(await whoIs(), 'MBS_ERR_ACCESS_CREDENTIALS')
  t.equal(await whoIs(), 'MBS_ERR_ACCESS_CREDENTIALS')
  t.equal(await whoIs(), 'MBS_ERR_ACCESS_ATTEMPTS')
  t.match(await whoIs(secret('another', 'b')), { username: 'a' })
})

test('who has to wait is not looked at, and who is under way then is sent away', async (t) => {
  const answers: Array<(result: MethodResult) => void> = []
  const slow = method('http', async () => await new Promise<MethodResult>((resolve) => { answers.push(resolve) }))
  const { whoIs } = create([slow])
  const [one, two, three] = [whoIs(), whoIs(), whoIs()]
  answers[0]!(refused)
  answers[1]!(refused)
  t.strictSame([await one, await two], Array(2).fill('MBS_ERR_ACCESS_CREDENTIALS'))
  t.equal(await three, 'MBS_ERR_ACCESS_ATTEMPTS')
  t.equal(await whoIs(), 'MBS_ERR_ACCESS_ATTEMPTS')
  t.equal(slow.asked, 3)
})

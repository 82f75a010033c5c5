/** Attempts are counted by what can be guessed: a name that is shown counts only where its own secret is asked for. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { createAccess, secret, userWith } from '../../support/access.ts'
import { ecKeys, forge, inSeconds, jwkOf, sign } from '../../support/tokens.ts'

const keys = ecKeys()
const tokenOf = async (sub: string): Promise<string> =>
  await sign(keys, { alg: 'ES256', kid: 'k' }, { sub, aud: 'mqtt', exp: inSeconds(600) })

async function start (t: Test) {
  const jwks = join(t.testdir(), 'jwks.json')
  writeFileSync(jwks, JSON.stringify({ keys: [jwkOf(keys, { kid: 'k' })] }))
  return await createAccess({
    users: [await userWith('alice', 'right')],
    settings: {
      jwt: { jwks, audience: 'mqtt' },
      certificates: { identity: 'cn' },
      attempts: { perUser: 3, perAddress: 20, backoff: 'PT1M', backoffMax: 'PT1M' }
    }
  })
}

test('whoever gets in as another does not become known by the name that it showed', async (t) => {
  const { whoIs } = await start(t)
  const mallory = secret('alice', await tokenOf('mallory'))
  let looked = 0
  for (let at = 0; at < 5; at++) {
    const address = `10.0.1.${at}`
    t.match(await whoIs({ address, ...mallory }), { username: 'mallory' })
    for (let guess = 0; guess < 2; guess++) {
      if (await whoIs({ address, ...secret('alice', `guess-${guess}`) }) === 'MBS_ERR_ACCESS_CREDENTIALS') looked++
    }
  }
  t.equal(looked, 3, 'guesses count for the user, wherever they come from')
})

test('whoever has a token is not kept out by what others try under the name that it shows', async (t) => {
  const { whoIs } = await start(t)
  const forged = forge({ alg: 'ES256', kid: 'k' }, { sub: 'device', aud: 'mqtt', exp: inSeconds(600) }, Buffer.alloc(64))
  for (let count = 0; count < 10; count++) {
    t.equal(await whoIs({ address: '10.0.2.1', ...secret('token', forged) }), 'MBS_ERR_ACCESS_CREDENTIALS')
  }
  t.match(await whoIs({ address: '10.0.2.2', ...secret('token', await tokenOf('device')) }), { username: 'device' })
  for (let count = 0; count < 10; count++) await whoIs({ address: '10.0.2.1', ...secret('token', forged) })
  t.equal(await whoIs({ address: '10.0.2.1', ...secret('token', forged) }), 'MBS_ERR_ACCESS_ATTEMPTS', 'its address has to wait')
})

test('whoever has a certificate is not kept out by attempts, whatever name it shows', async (t) => {
  const { whoIs } = await start(t)
  for (let count = 0; count < 30; count++) await whoIs({ address: '10.0.3.1', ...secret('alice', `guess-${count}`) })
  t.equal(await whoIs({ address: '10.0.3.1', ...secret('alice', 'right') }), 'MBS_ERR_ACCESS_ATTEMPTS')
  const certificate = { cn: 'device-1', sans: [], fingerprint: '00' }
  t.match(await whoIs({ address: '10.0.3.1', certificate, ...secret('alice', 'x') }), { username: 'device-1' })
})

test('at a listener that lets anyone in, wrong credentials are wrong and not nothing', async (t) => {
  const { whoIs } = await start(t)
  t.match(await whoIs({ anonymous: true }), { method: 'anonymous' })
  for (const [name, password] of [['alice', 'wrong'], ['nobody', 'x'], ['x', `Bearer ${await tokenOf('device')}`]] as const) {
    t.equal(await whoIs({ anonymous: true, ...secret(name, password) }), 'MBS_ERR_ACCESS_CREDENTIALS', name)
  }
  const onlyTokens = await createAccess({ settings: { jwt: { jwks: join(t.testdirName, 'jwks.json'), audience: 'mqtt' } } })
  t.equal(await onlyTokens.whoIs({ anonymous: true, ...secret('x', 'foo') }), 'MBS_ERR_ACCESS_CREDENTIALS')
  const nothing = await createAccess()
  t.match(await nothing.whoIs({ anonymous: true, ...secret('x', 'foo') }), { method: 'anonymous' })
})

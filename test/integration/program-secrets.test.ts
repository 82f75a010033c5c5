/** Nothing secret leaves the built program: not in its log at level trace, its errors, its metrics, or its commands. */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import mqtt, { type IClientOptions } from 'mqtt'
import { test } from 'tap'
import { stringify } from 'yaml'
import { json, startAskedService } from '../support/asked-service.ts'
import { createCertificates } from '../support/certs.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { programCommand, spawnProgram } from '../support/process.ts'
import { ecKeys, inSeconds, jwkOf, sign } from '../support/tokens.ts'

/** All that a command of the program says. */
async function outputOf (args: readonly string[], cwd: string, input = ''): Promise<string> {
  return await new Promise((resolve) => {
    const options = { cwd, maxBuffer: 1024 ** 3 }
    const child = execFile(...programCommand(args), options, (_error, stdout, stderr) => {
      resolve(stdout + stderr)
    })
    child.stdin!.end(input)
  })
}

/** What may be in no output. Each was in use: the test makes sure that it was read, sent or received. */
const SECRETS = {
  password: 'pass-7f3a9c',
  'wrong password': 'wrong-51be77',
  'password in the wrong field': 'name-e0d1a4',
  'password for the hook': 'hook-c93b12',
  'bearer token of the hook': 'bearer-2f6d08',
  'query of the hook': 'hookquery-88aa31',
  'query of the sink': 'sinkquery-d41d8c',
  'header of the sink': 'header-0b5f17',
  'header of the sink from a file': 'headerfile-aa40c9',
  'client secret': 'client-5e0d77',
  'access token': 'access-c1d6f2',
  'query of the token endpoint': 'tokenquery-9f3b20',
  'what the token endpoint answers wrongly': 'tokenanswer-61ec3a',
  'what a broken file holds': 'broken-9b2e55',
  'what the hook answers wrongly': 'answer-70cc6e',
  'payload of a device': 'payload-3dd2f9'
}

test('no secret leaves the program', { timeout: 120_000 }, async (t) => {
  const directory = t.testdir()
  const at = (name: string): string => join(directory, name)
  mkdirSync(at('tls'))
  const certificates = createCertificates(at('tls'))
  const keys = ecKeys()
  const sink = await startHttpSink(t)
  const hook = await startAskedService(t)
  await outputOf(['passwd', '--file', at('users.yaml'), 'alice'], directory, `${SECRETS.password}\n`)
  const hash = /\$scrypt\$\S+/.exec(readFileSync(at('users.yaml'), 'utf8'))![0]
  writeFileSync(at('jwks.json'), JSON.stringify({ keys: [jwkOf(keys, { kid: 'k' })] }))
  writeFileSync(at('bearer.txt'), SECRETS['bearer token of the hook'])
  writeFileSync(at('header.txt'), SECRETS['header of the sink from a file'])
  writeFileSync(at('client-secret.txt'), SECRETS['client secret'])
  const issuer = await startAskedService(t)
  // The first token ends soon, and then there is none.
  issuer.answer = (...args) => {
    const wrong = SECRETS['what the token endpoint answers wrongly']
    const answers = [{ access_token: SECRETS['access token'], token_type: 'Bearer', expires_in: 1 }, { error: wrong, access_token: wrong }]
    json(answers[Math.min(args[2], 1)])(...args)
  }
  const config = {
    dataDir: at('data'),
    listeners: [
      { port: 0, anonymous: false },
      {
        protocol: 'mqtts',
        port: 0,
        anonymous: false,
        tls: { cert: certificates.file('server.crt'), key: certificates.file('server.key'), ca: certificates.file('ca.crt'), clientCertificate: 'optional' }
      }
    ],
    access: {
      users: at('users.yaml'),
      jwt: { jwks: at('jwks.json'), audience: 'mqtt' },
      http: { url: `${hook.url}?key=${SECRETS['query of the hook']}`, tokenFile: at('bearer.txt'), cacheDenied: 'PT0S' },
      permissions: [{ who: '*', publish: ['own/{username}/#'] }]
    },
    http: { port: 0 },
    sink: {
      url: `${sink.url}?key=${SECRETS['query of the sink']}`,
      headers: { 'x-key': SECRETS['header of the sink'], 'x-file': { file: at('header.txt') } },
      auth: {
        oauth2: {
          tokenUrl: `${issuer.url}?key=${SECRETS['query of the token endpoint']}`, clientId: 'gw', clientSecretFile: at('client-secret.txt')
        }
      }
    },
    reload: { every: 'PT0S' },
    log: { format: 'json', level: 'trace' }
  }
  const file = at('config.yaml')
  writeFileSync(file, stringify(config))
  const program = spawnProgram(t, ['run', '--config', file], { cwd: directory })
  await program.logged('mqtt-broker-source is up')

  const token = await sign(keys, { alg: 'ES256', kid: 'k' }, { sub: 'alice', aud: 'mqtt', exp: inSeconds(600) })
  const expired = await sign(keys, { alg: 'ES256', kid: 'k' }, { sub: 'alice', aud: 'mqtt', exp: inSeconds(-600) })
  const session = async (options: IClientOptions, topic?: string): Promise<boolean> => {
    const client = mqtt.connect({ host: '127.0.0.1', port: program.port('mqtt'), reconnectPeriod: 0, clientId: 'device', ...options })
    client.on('error', () => {})
    const connected = await new Promise<boolean>((resolve) => {
      client.once('connect', () => { resolve(true) })
      client.once('close', () => { resolve(false) })
    })
    if (connected && topic !== undefined) {
      const sent = client.publishAsync(topic, SECRETS['payload of a device'], { qos: 1 }).catch(() => {})
      await Promise.race([sent, new Promise<void>((resolve) => { client.once('close', () => { resolve() }) })])
    }
    await client.endAsync(true)
    return connected
  }
  const alice = { username: 'alice', password: SECRETS.password }
  t.ok(await session(alice, 'own/alice/a'))
  t.ok(await session(alice, 'others/a'), 'a publish that is denied')
  t.notOk(await session({ ...alice, password: SECRETS['wrong password'] }))
  t.notOk(await session({ username: SECRETS['password in the wrong field'], password: 'x' }))
  t.ok(await session({ username: 'alice', password: token }, 'own/alice/b'))
  t.notOk(await session({ username: 'alice', password: expired }))
  t.notOk(await session({ username: 'alice', password: `${token.slice(0, -8)}AAAAAAAA` }))
  const asked = hook.questions.length
  hook.answer = json({ result: 'allow', username: 'bob', claims: { room: 'claim-6b8f01' } })
  t.ok(await session({ username: 'bob', password: SECRETS['password for the hook'] }, 'own/bob/c'))
  hook.answer = json({ result: SECRETS['what the hook answers wrongly'] })
  t.notOk(await session({ username: 'carol', password: SECRETS['password for the hook'] }))
  hook.answer = (response) => { response.destroy() }
  t.notOk(await session({ username: 'dave', password: SECRETS['password for the hook'] }))
  t.equal(hook.questions.length, asked + 3)
  t.match(hook.questions.at(-1), {
    headers: { authorization: `Bearer ${SECRETS['bearer token of the hook']}` }, body: SECRETS['password for the hook']
  })
  await sink.waitFor(3)
  const [first] = sink.requests
  t.match(first?.path, SECRETS['query of the sink'])
  t.same(['x-key', 'x-file', 'authorization'].map((name) => first?.header(name)), [
    SECRETS['header of the sink'], SECRETS['header of the sink from a file'], `Bearer ${SECRETS['access token']}`
  ])
  sink.answer = { status: 401 }
  t.ok(await session(alice, 'own/alice/d'))
  await issuer.asked(2)
  await program.until(() => program.log.some(({ code }) => code === 'MBS_ERR_SINK_TOKEN'))

  // Every file broken, with what must not be shown in it.
  const broken = SECRETS['what a broken file holds']
  writeFileSync(at('users.yaml'), `users: { alice: { password: ${broken} } }\n`)
  writeFileSync(at('jwks.json'), `{ "keys": ${broken} }`)
  writeFileSync(at('bearer.txt'), `${broken}\n${broken}`)
  writeFileSync(at('header.txt'), `${broken}\n${broken}`)
  writeFileSync(at('client-secret.txt'), `${broken}\n${broken}`)
  writeFileSync(certificates.file('server.key'), `-----BEGIN PRIVATE KEY-----\n${broken}\n-----END PRIVATE KEY-----\n`)
  program.signal('SIGHUP')
  await program.until(() => program.log.filter(({ code }) => code === 'MBS_ERR_RELOAD_FAILED').length === 6)
  const pages = await Promise.all(['metrics', 'livez', 'readyz', 'startupz'].map(async (path) => {
    return await (await fetch(`http://${program.address('http')}/${path}`)).text()
  }))
  t.match(pages[0], /reloads_total\{what="users",result="failed"\} 1/)
  t.equal(await program.stop(), 0)

  const commands = await Promise.all([
    ['check', '--config', file],
    ['check', '--config', file, '--print'],
    ['check', '--config', file, '--as', 'alice', '--topic', 'own/alice/a'],
    ['schema'],
    ['outbox', 'status', '--config', file],
    ['outbox', 'dead-letters', '--config', file],
    ['run', '--config', file]
  ].map(async (args) => [args.join(' '), await outputOf(args, directory)] as const))
  t.match(commands[0]?.[1], /users\.yaml/, 'check finds what is broken')

  t.equal(hash.split('$').length, 5)
  const secrets = new Map<string, string>(Object.entries(SECRETS))
  secrets.set('hash', hash.split('$')[3]!).set('salt', hash.split('$')[4]!).set('claim', 'claim-6b8f01')
  for (const [name, text] of [['token', token], ['expired token', expired]] as const) {
    for (const [part, piece] of text.split('.').entries()) if (part > 0) secrets.set(`${name}, part ${part}`, piece.slice(0, 40))
  }
  secrets.set('client secret in base64', Buffer.from(`gw:${SECRETS['client secret']}`).toString('base64').slice(0, 20))
  secrets.set('password in base64', Buffer.from(SECRETS.password).toString('base64').slice(0, 12))
  const outputs = [['run', program.stdout + program.stderr], ['pages', pages.join('\n')], ...commands] as const
  for (const [where, text] of outputs) {
    // `check --print` and the schema show settings, the names of files among them; a query may hold a key.
    for (const [name, secret] of secrets) t.notOk(text.includes(secret), `${name} in ${where}`)
  }
})
